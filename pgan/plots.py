"""Arrays and results to pictures: image grids with a name for every row, and figures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pgan.data import description, description_tables

if TYPE_CHECKING:  # training draws grids only, and starts sooner without matplotlib
    from matplotlib import axes, figure

_GAP = 2
_TEXT = 235
_SMALLEST_CELL = 64

# Okabe and Ito's colours, which people with colour blindness can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_GREY = "#E8E8E8"
_MOST_NUMBERED_BARS = 12
FONT_SIZE = 8  # points


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Converts images in [-1, 1] to grey levels, rounded and clipped.

    Args:
        images: Floats of any shape.

    Returns:
        uint8 of the same shape; -1 is 0 and 1 is 255.
    """
    return np.clip(np.rint((np.asarray(images, np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def image_grid(
    rows: Sequence[np.ndarray], row_names: Sequence[str], title: str, columns: int | None = None
) -> Image.Image:
    """Draws rows of grey images under a title, each row with its name at the left.

    Images under 64 px are enlarged by a whole factor without smoothing, so that pixels stay
    pixels. A row may be shorter than the others; its missing cells stay empty.

    Args:
        rows: A uint8 array [n, H, W] for each row, of one size.
        row_names: A name for each row.
        title: Text of the header.
        columns: Number of cells of a row; the longest row by default.

    Returns:
        A grey picture.

    Raises:
        ValueError: If there is no image, or names and rows differ in number.
    """
    if len(rows) != len(row_names):
        raise ValueError(f"{len(rows)} rows need as many names, got {len(row_names)}")
    sizes = {row.shape[1:] for row in rows if len(row)}
    if len(sizes) != 1:
        raise ValueError(f"a grid wants images of one size, got {sorted(sizes)}")
    (height, width) = sizes.pop()
    columns = columns or max(len(row) for row in rows)
    scale = max(1, -(-_SMALLEST_CELL // max(height, width)))
    height, width = height * scale, width * scale
    font = ImageFont.load_default(size=min(28, max(12, height // 9)))
    line = sum(font.getmetrics()) + 6
    names_width = max(int(font.getlength(name)) for name in row_names) + 12
    picture_width = names_width + columns * (width + _GAP)
    picture_width = max(picture_width, int(font.getlength(title)) + 12)
    picture = Image.new("L", (picture_width, line + len(rows) * (height + _GAP)), 0)
    draw = ImageDraw.Draw(picture)
    draw.text((6, 2), title, fill=_TEXT, font=font)
    for i, (row, name) in enumerate(zip(rows, row_names, strict=True)):
        top = line + i * (height + _GAP)
        draw.text((6, top + height // 2), name, fill=_TEXT, font=font, anchor="lm")
        for j, image in enumerate(row[:columns]):
            cell = np.kron(image, np.ones((scale, scale), np.uint8)) if scale > 1 else image
            picture.paste(Image.fromarray(cell), (names_width + j * (width + _GAP), top))
    return picture


def label_statistics(
    columns: Mapping[str, description.Description], matrices: Sequence[str], title: str
) -> figure.Figure:
    """Draws prevalence, co-occurrence, ages, sexes, views and number of findings.

    Args:
        columns: Up to eight descriptions by name, a colour for each.
        matrices: Names of those whose co-occurrence is drawn. A single finding has none.
        title: Of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no description, or more than can be told apart.
    """
    from matplotlib import figure, rc_context

    if not 0 < len(columns) <= len(COLOURS):
        raise ValueError(f"a figure shows 1 to {len(COLOURS)} descriptions, got {len(columns)}")
    matrices = [name for name in matrices if len(columns[name].findings) > 1]
    names = description_tables.finding_rows(columns.values())
    stack = min(2, len(matrices))  # matrices above one another; further ones go to the right
    across = -(-len(matrices) // max(stack, 1))
    # Inches. Bars need room for their numbers, matrices for 14 rows.
    bars = max(2.0, 0.1 * len(names) * (len(columns) + 0.8) + 1.2)
    above, below = max(bars, 6.6 * stack), 2.4
    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        drawing = figure.Figure((max(11, 5.5 + 7.2 * across), above + below + 0.7), dpi=150)
        drawing.set_layout_engine("constrained", hspace=0.04)
        drawing.suptitle(title, fontsize=FONT_SIZE + 4)
        upper, lower = drawing.subfigures(2, 1, height_ratios=[above, below])
        if matrices:
            left, right = upper.subfigures(1, 2, width_ratios=[5.5, 7.2 * across])
            spaces = right.subplots(stack, across, squeeze=False).T.flatten()
            for space in spaces[len(matrices) :]:
                space.remove()
            for space, name in zip(spaces, matrices, strict=False):
                _draw_cooccurrence(space, name, columns[name])
        else:
            left = upper
        _draw_prevalence(left.subplots(), columns, names)
        tallies = {
            "age, years": [facts.ages for facts in columns.values()],
            "sex": [facts.sexes for facts in columns.values()],
            "view": [facts.views for facts in columns.values()],
            "group": [facts.groups for facts in columns.values()],
            "findings in the image": [
                {str(number): images for number, images in enumerate(facts.findings_per_image)}
                for facts in columns.values()
            ],
        }
        tallies = {label: shown for label, shown in tallies.items() if _something_known(shown)}
        widths = [3 + len(set(itertools.chain(*shown))) for shown in tallies.values()]
        widths.append(max(0.1, 28 - sum(widths)))  # few panels do not fill the row
        *spaces, rest = lower.subplots(1, len(widths), width_ratios=widths)
        rest.remove()
        for space, (label, shown) in zip(spaces, tallies.items(), strict=True):
            _draw_shares(space, shown, label)
        spaces[0].set_ylabel("images, % of the known")
    return drawing


def _draw_prevalence(
    part: axes.Axes, columns: Mapping[str, description.Description], names: Mapping[str, str]
) -> None:
    width = 0.8 / len(columns)
    for number, (heading, facts) in enumerate(columns.items()):
        places, shares = [], []
        for place, name in enumerate(names.values()):
            counts = facts.finding(name)
            if counts is not None and counts.prevalence is not None:
                places.append(place + (number + 0.5) * width - 0.4)
                shares.append(100 * counts.prevalence)
        bars = part.barh(places, shares, width * 0.92, color=COLOURS[number], label=heading)
        texts = [description_tables.format_share(share / 100)[: -len(" %")] for share in shares]
        part.bar_label(bars, texts, padding=2, fontsize=6)
    part.set_yticks(range(len(names)), list(names))
    part.set_ylim(len(names) - 0.5, -0.5)
    part.margins(x=0.08)
    part.set_xlabel("positive images, % of those with a known label")
    part.spines[["top", "right"]].set_visible(False)
    # Above the bars, so that it covers none.
    part.legend(
        title="Prevalence", alignment="left", frameon=False, ncol=2, loc="lower left",
        bbox_to_anchor=(0, 1), borderaxespad=0.2, title_fontsize=FONT_SIZE + 1,
    )  # fmt: skip


def _draw_cooccurrence(part: axes.Axes, heading: str, facts: description.Description) -> None:
    names = list(facts.findings)
    shares = np.array(facts.conditional, float)  # None becomes NaN
    off_diagonal = np.where(np.eye(len(names), dtype=bool), np.nan, shares)
    part.set_anchor("N")
    part.set_facecolor(_GREY)  # shines through where there is no share
    part.imshow(off_diagonal, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(names)):
        for column in range(len(names)):
            share, colour = shares[row, column], "black"
            if row == column:
                text = f"{facts.cooccurrence[row][row]:,}"
            else:
                text = "-" if np.isnan(share) else _percent(share)
                colour = "white" if share > 0.55 else "black"
            part.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    part.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    part.set_yticks(range(len(names)), names)
    part.tick_params(length=0)
    part.spines[:].set_visible(False)
    part.set_title(
        f"{heading}: of images with the row's finding, % with the column's\n"
        f"(diagonal: number of images)"
    )


def _draw_shares(part: axes.Axes, tallies: Sequence[Mapping[str, int]], label: str) -> None:
    names = [n for n in dict.fromkeys(itertools.chain(*tallies)) if n != description.UNKNOWN]
    width = 0.8 / len(tallies)
    for number, tally in enumerate(tallies):
        known = sum(tally.get(name, 0) for name in names)
        shares = [tally.get(name, 0) / max(known, 1) for name in names]
        places = np.arange(len(names)) + (number + 0.5) * width - 0.4
        bars = part.bar(places, np.multiply(shares, 100), width * 0.92, color=COLOURS[number])
        if len(names) * len(tallies) <= _MOST_NUMBERED_BARS:
            turned = 90 if len(tallies) > 2 else 0
            texts = [_percent(share) for share in shares]
            part.bar_label(bars, texts, padding=2, fontsize=6, rotation=turned)
            part.margins(y=0.12)
    part.set_xticks(range(len(names)), names)
    if len(names) > 10 or max(map(len, names)) > 3:
        part.tick_params(axis="x", rotation=35)
        for text in part.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    middle, half = (len(names) - 1) / 2, max(len(names), 3) / 2
    part.set_xlim(middle - half, middle + half)  # a single bar does not fill the panel
    unknown = [tally.get(description.UNKNOWN, 0) / max(sum(tally.values()), 1) for tally in tallies]
    if any(unknown):  # a number for each description, in their order
        label += f"\nunknown, %: {', '.join(map(_percent, unknown))}"
    part.set_xlabel(label)
    part.spines[["top", "right"]].set_visible(False)


def _something_known(tallies: Sequence[Mapping[str, int]]) -> bool:
    return any(tally[name] for tally in tallies for name in tally if name != description.UNKNOWN)


def _percent(share: float) -> str:
    """Two digits of a share, without "%": there is little room."""
    if 0 < share < 0.0005:
        return "<0.1"
    return f"{100 * share:.1f}" if 0 < share < 0.0995 else f"{100 * share:.0f}"
