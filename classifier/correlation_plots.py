"""Figures of drawn findings: correlations, scatter, dose response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from classifier import correlation
from pgan.data import labels as labels_lib
from pgan.plots import COLOURS, FONT_SIZE

if TYPE_CHECKING:
    from matplotlib import figure

_COLUMNS = 4  # of small parts
_SMALLEST = 1e-6  # of a logarithmic axis of probabilities
_GREY = "#999999"


def matrix(found: correlation.Matrix, clustering: correlation.Clustering | None) -> figure.Figure:
    """Draws correlations as colours, the findings that go together side by side (Fig 5D).

    Args:
        found: Correlations.
        clustering: Of its columns; None leaves all in their order.

    Returns:
        The figure: the tree of the findings above, frames of white around blocks and what the
        classifier calls the same; undefined cells are grey.
    """
    from matplotlib import figure, rc_context

    columns = list(clustering.order) if clustering else list(range(len(found.findings)))
    rows = clustering.rows(found) if clustering else list(range(len(found.outputs)))
    values = found.values[np.ix_(rows, columns)]
    size = 2.4 + 0.42 * len(columns), 2.8 + 0.36 * len(rows)
    with rc_context({"font.size": FONT_SIZE}):
        drawing = figure.Figure((max(size[0], 4.5), size[1]), dpi=150, layout="constrained")
        grid = drawing.add_gridspec(2, 2, height_ratios=[0.9, size[1] - 2], width_ratios=[40, 1])
        part = drawing.add_subplot(grid[1, 0])
        part.set_facecolor("#DDDDDD")
        image = part.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        for (y, x), value in np.ndenumerate(values):
            if np.isnan(value):
                part.text(x, y, "undef.", ha="center", va="center", size=FONT_SIZE - 3)
            else:
                colour = "white" if abs(value) > 0.6 else "black"
                text = f"{value:.2f}".replace("0.", ".")
                part.text(x, y, text, ha="center", va="center", size=FONT_SIZE - 1, color=colour)
        part.set_xticks(
            range(len(columns)), [found.findings[c] for c in columns], rotation=45, ha="right"
        )
        part.set_yticks(range(len(rows)), [found.outputs[r] for r in rows])
        part.set_xlabel("finding that the generator draws")
        part.set_ylabel("probability of the classifier")
        if clustering:
            _frames(part, found, clustering, columns, rows)
            _tree(drawing.add_subplot(grid[0, 0]), clustering)
        drawing.colorbar(image, cax=drawing.add_subplot(grid[1, 1]), label="Pearson's r")
        return drawing


def _frames(part, found, clustering, columns, rows):
    from matplotlib import patches

    diagonal = found.diagonal()
    for block in clustering.blocks:
        places = [rows.index(diagonal[column]) for column in block if column in diagonal]
        if not places:
            continue
        left, top = columns.index(block[0]) - 0.5, min(places) - 0.5
        # White alone would be lost on pale cells.
        for colour, width in (("black", 3.2), ("white", 1.8)):
            part.add_patch(
                patches.Rectangle(
                    (left, top), len(block), len(places), fill=False, ec=colour, lw=width
                )
            )


def _tree(part, clustering):
    from scipy.cluster import hierarchy

    tree = hierarchy.dendrogram(clustering.linkage, no_plot=True)
    for x, y in zip(tree["icoord"], tree["dcoord"], strict=True):
        # SciPy puts leaf i at 10 i + 5.
        part.plot(np.array(x) / 10 - 0.5, y, color="black", lw=0.8)
    part.set_xlim(-0.5, len(clustering.order) - 0.5)
    part.set_ylim(0, None)
    part.set_xticks([])
    part.set_ylabel("distance")
    part.spines[["top", "right", "bottom"]].set_visible(False)


def scatter(pairs: Sequence[tuple[str, str, np.ndarray, np.ndarray, float]]) -> figure.Figure:
    """Draws probabilities against strengths (Fig 5C).

    Args:
        pairs: Finding, output, strengths float [N], probabilities float [N], Pearson's r.

    Returns:
        The figure: a part for each finding, a colour for each output, a logarithmic axis.
    """
    from matplotlib import figure, rc_context

    findings = list(dict.fromkeys(pair[0] for pair in pairs))
    columns = min(len(findings), 3)
    with rc_context({"font.size": FONT_SIZE}):
        drawing = figure.Figure(
            (4.2 * columns, 3.6 * -(-len(findings) // columns)), dpi=150, layout="constrained"
        )
        parts = drawing.subplots(-(-len(findings) // columns), columns, squeeze=False).ravel()
        for part in parts[len(findings) :]:
            part.set_axis_off()
        for part, finding in zip(parts, findings, strict=False):
            own = [pair for pair in pairs if pair[0] == finding]
            for number, (_, output, strengths, scores, r) in enumerate(own):
                # Vermilion and blue come first, as in the paper.
                colour = (COLOURS[5], COLOURS[0], *COLOURS[1:5])[number % 6]
                shown = "undefined" if np.isnan(r) else f"{r:.2f}"
                part.plot(
                    strengths, np.maximum(scores, _SMALLEST), ".", color=colour, ms=3,
                    alpha=min(1.0, 0.15 + 150 / len(scores)), label=f"{output}: r = {shown}",
                )  # fmt: skip
            part.set_yscale("log")
            part.set_ylim(None, 1.3)
            part.set_xlabel(f"strength of {finding} that is asked for")
            part.set_ylabel("probability of the classifier")
            legend = part.legend(
                frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, markerscale=3
            )
            for handle in legend.legend_handles:
                handle.set_alpha(1.0)
        return drawing


def dose_response(
    levels: Sequence[float],
    found: Mapping[str, correlation.DoseResponse],
    matrix: correlation.Matrix,
) -> figure.Figure:
    """Draws mean probabilities against the strength of each finding.

    Args:
        levels: Strengths.
        found: By finding.
        matrix: Names the outputs, and tells which of them answers most.

    Returns:
        The figure: a part for each finding; in blue its own output with a 95 % interval, in orange
        the other output with the largest |r|, in grey the rest; a logarithmic axis.
    """
    from matplotlib import figure, rc_context

    diagonal = matrix.diagonal()
    rows = -(-len(found) // _COLUMNS)
    columns = min(len(found), _COLUMNS)
    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        drawing = figure.Figure(
            (max(2.7 * columns, 4.0), 2.3 * rows + 0.3), dpi=150, layout="constrained"
        )
        parts = drawing.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for part in parts[len(found) :]:
            part.set_axis_off()
        for column, (part, (finding, dose)) in enumerate(zip(parts, found.items(), strict=False)):
            own, strength = diagonal.get(column), np.nan_to_num(np.abs(matrix.values[:, column]))
            others = [row for row in range(len(matrix.outputs)) if row != own]
            for row in others:
                part.plot(levels, dose.mean[:, row], color=_GREY, lw=0.5, alpha=0.7)
            if others:
                other = others[int(strength[others].argmax())]
                _curve(part, levels, dose, other, COLOURS[1], matrix.outputs[other])
            if own is not None:
                _curve(part, levels, dose, own, COLOURS[0], matrix.outputs[own])
            part.set_yscale("log")
            part.set_title(finding, loc="left")
            part.legend(frameon=False, fontsize=FONT_SIZE - 2, loc="upper left")
            part.tick_params(labelbottom=True)
        low = min(dose.mean.min() for dose in found.values())
        parts[0].set_ylim(max(low / 1.5, _SMALLEST), 1.5)
        drawing.supxlabel("strength that is asked for", fontsize=FONT_SIZE)
        drawing.supylabel("mean probability of the classifier", fontsize=FONT_SIZE)
        return drawing


def _curve(part, levels, dose, row, colour, name):
    mean, margin = dose.mean[:, row], 1.96 * dose.error[:, row]
    part.plot(levels, mean, color=colour, marker="o", ms=2.5, lw=1.2, label=name)
    low = np.maximum(mean - margin, _SMALLEST)
    part.fill_between(levels, low, mean + margin, color=colour, alpha=0.2, lw=0)


def findings(rows: Sequence[Mapping[str, Any]]) -> figure.Figure:
    """Draws r of each finding and its own probability with 95 % intervals, the largest above.

    Args:
        rows: "generated_finding" of the report.

    Returns:
        The figure; beside it the training images of each finding where they are known.
    """
    from matplotlib import figure, rc_context

    def place(row):
        return -2.0 if row.get("value") is None else row["value"]

    rows = sorted(rows, key=place)
    with rc_context({"font.size": FONT_SIZE}):
        drawing = figure.Figure((5.6, 1.0 + 0.24 * len(rows)), dpi=150, layout="constrained")
        part = drawing.subplots()
        part.axvline(0, color=_GREY, lw=0.8)
        for y, row in enumerate(rows):
            if row.get("value") is None:
                reason = "undefined" if row["output"] else "not judged by the classifier"
                part.text(0.02, y, reason, va="center", color=_GREY)
                continue
            error = [[row["value"] - row["low"]], [row["high"] - row["value"]]]
            part.errorbar(row["value"], y, xerr=error, fmt="o", ms=4, color=COLOURS[0], lw=1.2)
        names = [
            row["finding"]
            if row["training_images"] is None
            else f"{row['finding']} ({row['training_images']:,})"
            for row in rows
        ]
        part.set_yticks(range(len(rows)), names)
        part.set_ylim(-0.7, len(rows) - 0.3)
        lowest = min([row["low"] for row in rows if row.get("value") is not None], default=0.0)
        part.set_xlim(min(-0.1, 1.1 * lowest), 1.0)
        part.set_xlabel("Pearson's r of strength and the finding's own probability")
        if any(row["training_images"] is not None for row in rows):
            part.set_title(
                "in brackets: training images of the generator", loc="left", size=FONT_SIZE
            )
        part.grid(axis="x", lw=0.3)
        return drawing


def comparison(own: correlation.Matrix, name: str, other: correlation.Matrix) -> figure.Figure:
    """Draws the cells that two matrices share against each other.

    Args:
        own: One matrix.
        name: Of the other.
        other: The other.

    Returns:
        The figure; the diagonals have names.
    """
    from matplotlib import figure, rc_context

    first, second = own.cells(), other.cells()
    shared = [cell for cell in first if cell in second]
    names = {labels_lib.common_name(finding): finding for finding in own.findings}
    with rc_context({"font.size": FONT_SIZE}):
        drawing = figure.Figure((4.8, 4.8), dpi=150, layout="constrained")
        part = drawing.subplots()
        part.plot([-1, 1], [-1, 1], color=_GREY, lw=0.8, ls=":")
        for cell in shared:
            same = cell[0] == cell[1]
            part.plot(
                second[cell], first[cell], "o" if same else ".", ms=5 if same else 3,
                color=COLOURS[5] if same else COLOURS[0], alpha=1.0 if same else 0.6,
            )  # fmt: skip
            if same:
                part.annotate(
                    names[cell[0]], (second[cell], first[cell]), xytext=(4, 3),
                    textcoords="offset points", size=FONT_SIZE - 2,
                )  # fmt: skip
        ends = [value for cell in shared for value in (first[cell], second[cell])]
        low, high = min([*ends, 0.0]) - 0.08, max([*ends, 0.0]) + 0.25
        part.set_xlim(low, high)
        part.set_ylim(low, high)
        part.set_aspect("equal")
        part.set_xlabel(f"r, {name}")
        part.set_ylabel("r, here")
        return drawing
