"""Figures of measurements: similarity of pairs, power spectra, distances while training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pgan.plots import COLOURS, FONT_SIZE

if TYPE_CHECKING:
    from matplotlib import figure

    from pgan import distance_curves, precision_comparison

_GREY = "#666666"
_SHADE = "#EEEEEE"


def diversity(rows: Sequence[Mapping[str, Any]], title: str) -> figure.Figure:
    """Draws the similarity of pairs of real and of synthetic images, finding by finding.

    Bars are means, whiskers the SD of the pairs (not an error of the mean). Bars of fewer pairs
    than wanted say of how many they are.

    Args:
        rows: Of `pgan.metrics.diversity.compare`.
        title: Of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no row, or rows are of different measures, sizes or sources.
    """
    from matplotlib import figure, rc_context

    shared = ("metric", "resolution", "real", "synthetic")
    kinds = sorted({tuple(row[key] for key in shared) for row in rows})
    if len(kinds) != 1:
        raise ValueError(f"a figure shows rows of one {', '.join(shared)}; got {kinds}")
    (metric, resolution, *_) = kinds[0]
    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        drawing = figure.Figure((7, 1.6 + 0.36 * len(rows)), dpi=150, layout="constrained")
        drawing.suptitle(title, fontsize=FONT_SIZE + 4)
        part, longest = drawing.subplots(), 1e-3
        for number, side in enumerate(("real", "synthetic")):
            means = np.array([row[f"{side}_mean"] or 0.0 for row in rows])
            spreads = np.array([row[f"{side}_sd"] or 0.0 for row in rows])
            places = np.arange(len(rows)) + 0.4 * (number - 0.5)
            shown = np.array([row[f"{side}_pairs"] > 0 for row in rows])
            part.barh(
                places[shown], means[shown], 0.37, xerr=spreads[shown], color=COLOURS[number],
                error_kw={"elinewidth": 0.8, "capsize": 2}, label=f"{side}: {rows[0][side]}",
            )  # fmt: skip
            for row, end, place in zip(rows, means + spreads, places, strict=True):
                part.annotate(
                    _similarity_text(row, side), (end, place), (4, 0),
                    textcoords="offset points", va="center", fontsize=6,
                )  # fmt: skip
            longest = max(longest, *(means + spreads))
        part.set_yticks(range(len(rows)), [row["finding"] for row in rows])
        part.set_ylim(len(rows) - 0.5, -0.5)
        part.set_xlim(0, 1.25 * longest)  # room for the texts
        part.set_xlabel(f"{metric} of pairs at {resolution} px, mean and SD; lower: more diverse")
        part.spines[["top", "right"]].set_visible(False)
        part.legend(
            frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncol=2, borderaxespad=0.2
        )
    return drawing


def spectra(rows: Sequence[Mapping[str, Any]], title: str) -> figure.Figure:
    """Draws the power spectra of sets of images, and below them their difference to the reference.

    Peaks of the synthetic images, which are regular patterns that the reference has not, are marked
    at their frequency with their height above the surrounding difference.

    Args:
        rows: Of the spectra of `pgan.measurements.compare`, one for each set, all with the same
            reference.
        title: Of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no row, or they are of different measures or references.
    """
    from matplotlib import figure, rc_context

    shared = ("metric", "reference")
    kinds = sorted({tuple(row[key] for key in shared) for row in rows})
    if len(kinds) != 1:
        raise ValueError(f"a figure shows rows of one {', '.join(shared)}; got {kinds}")
    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        drawing = figure.Figure((7, 6.4), dpi=150, layout="constrained")
        drawing.suptitle(title, fontsize=FONT_SIZE + 4)
        upper, lower = drawing.subplots(2, 1, sharex=True)
        upper.plot(
            rows[0]["frequency"], rows[0]["reference_db"], color="black", lw=1.6,
            label=f"reference: {rows[0]['reference']}",
        )  # fmt: skip
        for row, colour in zip(rows, COLOURS, strict=False):
            frequency, difference = row["frequency"], np.subtract(row["db"], row["reference_db"])
            is_blurred = row["images"] not in ("real", "synthetic")
            style = {"color": colour, "lw": 0.9 if is_blurred else 1.5}
            style["ls"] = "--" if is_blurred else "-"
            is_synthetic = row["images"] == "synthetic"
            label = f"synthetic: {row['source']}" if is_synthetic else row["images"]
            upper.plot(frequency, row["db"], label=label, **style)
            lower.plot(frequency, difference, **style)
            for peak in row["peaks"] if is_synthetic else ():
                height = np.interp(peak["frequency"], frequency, difference) + peak["excess"]
                lower.plot(peak["frequency"], height, "v", color=colour, ms=5, mec="black", mew=0.5)
                lower.annotate(
                    f"{peak['angle']:.0f}\N{DEGREE SIGN}", (peak["frequency"], height), (0, 5),
                    textcoords="offset points", ha="center", fontsize=6,
                )  # fmt: skip
        lower.axhline(0, color="black", lw=1.6)
        for part in (upper, lower):
            part.axvline(0.5, color=_GREY, lw=0.8, ls=":")
            part.spines[["top", "right"]].set_visible(False)
        upper.set_ylabel("power, dB")
        lower.set_ylabel("difference to the reference, dB")
        lower.set_xlabel(
            "frequency, cycles per pixel (beyond the dotted line diagonal waves only)\n"
            "\N{BLACK DOWN-POINTING TRIANGLE} regular pattern of the synthetic images, with its "
            "direction"
        )
        upper.legend(
            frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncol=3, borderaxespad=0.2
        )
    return drawing


def evolution(curves: distance_curves.Curves, title: str) -> figure.Figure:
    """Draws the distances that a run watched over the images it was shown.

    Resolutions are named where they begin, fade-ins are shaded, the floor (distance of reals to
    reals) is dashed in the colour of the curve that it is the floor of, and the checkpoint that was
    kept as the best has a star.

    Args:
        curves: The distances.
        title: Of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no distance.
    """
    from matplotlib import figure, rc_context

    if not curves.values:
        raise ValueError("the run watched no distance; there is nothing to draw")
    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        drawing = figure.Figure((7, 3.8), dpi=150, layout="constrained")
        drawing.suptitle(title, fontsize=FONT_SIZE + 4)
        part = drawing.subplots()
        colours = {}
        for name, points in curves.values.items():
            kind = name.removesuffix("_real_floor")
            is_floor = kind != name
            # A floor has the colour of the curve of the same count, the only one it belongs to.
            next_colour = COLOURS[len(colours) % len(COLOURS)]
            colours[name] = colours.get(f"{kind}_to_held_out") if is_floor else next_colour
            style = {"ls": "--", "lw": 1.2} if is_floor else {"marker": "o", "ms": 3, "lw": 1.4}
            part.plot(
                [shown / 1000 for shown, _ in points], [value for _, value in points],
                color=colours[name], label=name, **style,
            )  # fmt: skip
        part.set_yscale("log")
        part.yaxis.set_major_formatter("{x:g}")
        part.yaxis.set_minor_formatter("{x:g}")
        part.tick_params(axis="y", which="minor", labelsize=6)
        ends = [start for start, *_ in curves.phases[1:]] + [curves.images_shown]
        named = None
        for (start, resolution, fading), end in zip(curves.phases, ends, strict=True):
            if fading:
                part.axvspan(start / 1000, end / 1000, color=_SHADE, lw=0, zorder=0)
            if resolution != named:
                part.axvline(start / 1000, color=_GREY, lw=0.8, ls=":")
                part.annotate(
                    f" {resolution} px", (start / 1000, 1), xycoords=("data", "axes fraction"),
                    va="bottom", fontsize=7,
                )  # fmt: skip
                named = resolution
        if curves.best is not None and curves.best["metric"] in colours:
            kimg, value = curves.best["images_shown"] / 1000, curves.best["value"]
            part.plot(
                kimg, value, "*", color=colours[curves.best["metric"]], ms=13, mec="black",
                mew=0.7, ls="", label=f"kept as the best: {value:.3g} at {kimg:g} kimg",
            )  # fmt: skip
        part.set_xlim(0, 1.02 * curves.images_shown / 1000)
        part.set_xlabel("real images shown, thousands (shaded: fading in)")
        part.set_ylabel("Frechet distance")
        part.spines[["top", "right"]].set_visible(False)
        drawing.legend(loc="outside lower center", ncols=2, frameon=False)
    return drawing


def precision_pairs(studies: Mapping[str, Sequence[precision_comparison.Run]]) -> figure.Figure:
    """Draws the distances of pairs of runs that differ in their precision, a part for each study.

    Args:
        studies: Runs by the name of their comparison.

    Returns:
        The figure: a colour for each precision, a line for each seed.
    """
    from matplotlib import figure, rc_context, ticker

    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        columns = min(len(studies), 2)
        rows = -(-len(studies) // columns)
        drawing = figure.Figure((4.2 * columns, 3.0 * rows), dpi=150, layout="constrained")
        parts = np.atleast_1d(drawing.subplots(rows, columns)).ravel()
        for part in parts[len(studies) :]:
            part.set_axis_off()
        for part, (name, runs) in zip(parts, studies.items(), strict=False):
            precisions = sorted({run.precision for run in runs})
            for run in runs:
                first = all(run.seed <= r.seed for r in runs if r.precision == run.precision)
                part.plot(
                    [shown / 1000 for shown, _ in run.points],
                    [value for _, value in run.points],
                    color=COLOURS[precisions.index(run.precision)], lw=1.1,
                    label=run.precision.removeprefix("mixed_") if first else None,
                )  # fmt: skip
            for start, resolution, fading in runs[0].curves.phases[1:]:
                if fading:
                    part.axvline(start / 1000, color=_GREY, lw=0.8, ls=":")
                    part.annotate(
                        f" {resolution} px", (start / 1000, 1), va="bottom", fontsize=7,
                        xycoords=("data", "axes fraction"),
                    )  # fmt: skip
            part.set_yscale("log")
            part.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            part.yaxis.set_major_formatter("{x:g}")
            part.yaxis.set_minor_formatter("")
            seeds = len({run.seed for run in runs})
            part.set_title(f"{name}, {seeds} seed{'s' * (seeds > 1)}\n", loc="left")
            part.set_xlabel("real images shown, thousands")
            part.set_ylabel(runs[0].metric)
            part.legend(frameon=False)
        return drawing


def _similarity_text(row: Mapping[str, Any], side: str) -> str:
    pairs = row[f"{side}_pairs"]
    if not pairs:
        return f"{side}: no pairs"
    mean = f"{row[f'{side}_mean']:.2f}"
    if pairs >= row["pairs_wanted"]:
        return mean
    return f"{mean} ({pairs:,} {'pair' if pairs == 1 else 'pairs'})"
