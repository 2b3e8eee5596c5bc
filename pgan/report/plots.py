"""Figures that the page has and no other tool draws: courses of runs, quality of findings."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pgan.plots import COLOURS, FONT_SIZE

if TYPE_CHECKING:
    from matplotlib import figure

_GREY = "#666666"
_SHADE = "#EEEEEE"
_ROOM = 0.1  # of the axis, that the name of a resolution takes
_LINES = ("-", "--", ":", "-.")


@dataclasses.dataclass(frozen=True)
class Course:
    """One run over the images it was shown, or over its rounds.

    Attributes:
        name: Of the run.
        curves: {panel: [(thousands of images or rounds, value)]}.
        floors: {panel: value that real images have}.
    """

    name: str
    curves: dict[str, list[tuple[float, float]]]
    floors: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of training: begins and ends at thousands of images, side in px, whether it fades."""

    start: float
    end: float
    resolution: int
    fading: bool


def courses(
    runs: Sequence[Course], stages: Sequence[Stage], unit: str, logarithmic: Sequence[str]
) -> figure.Figure:
    """Draws the curves of runs side by side, a panel for each kind of curve.

    Args:
        runs: Runs, a colour for each.
        stages: Of all of them; resolutions are named where they begin, fade-ins are shaded.
        unit: Of the horizontal axis.
        logarithmic: Panels whose values have a logarithmic axis.

    Returns:
        The figure.
    """
    from matplotlib import figure, rc_context, ticker

    handles = {}
    panels = list(dict.fromkeys(name for run in runs for name in run.curves))
    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        columns = min(len(panels), 2)
        rows = -(-len(panels) // columns)
        drawing = figure.Figure((7.4, 2.5 * rows + 0.5), layout="constrained")
        parts = drawing.subplots(rows, columns, squeeze=False).ravel()
        for part in parts[len(panels) :]:
            part.set_axis_off()
        for part, panel in zip(parts, panels, strict=False):
            for place, run in enumerate(runs):
                style = {
                    "color": COLOURS[place % len(COLOURS)],
                    "ls": _LINES[place // len(COLOURS) % len(_LINES)],
                }
                points = run.curves.get(panel, [])
                if points:
                    few = {"marker": "o", "ms": 3} if len(points) < 4 else {}
                    (handles[run.name],) = part.plot(
                        *zip(*points, strict=True), lw=1.1, **style, **few
                    )
                if panel in run.floors:
                    part.axhline(run.floors[panel], color=style["color"], lw=0.8, ls=(0, (4, 3)))
            _draw_stages(part, stages)
            if panel in logarithmic:
                part.set_yscale("log")
                part.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
                part.yaxis.set_major_formatter("{x:g}")
                part.yaxis.set_minor_formatter("")
            part.set_title(panel + ("\n" if stages else ""), loc="left")
            part.set_xlabel(unit)
            part.spines[["top", "right"]].set_visible(False)
        if len(runs) > 1:
            drawing.legend(
                handles.values(), handles.keys(), frameon=False, loc="outside lower center",
                ncols=min(len(runs), 4),
            )  # fmt: skip
        return drawing


def _draw_stages(part, stages):
    if not stages:
        return
    named, end = None, stages[-1].end
    part.set_xlim(0, 1.02 * end)
    for number, stage in enumerate(stages):
        if stage.fading:
            part.axvspan(stage.start, stage.end, color=_SHADE, lw=0, zorder=0)
        if stage.resolution != named:
            if named is not None:
                part.axvline(stage.start, color=_GREY, lw=0.7, ls=":")
            others = [s.start for s in stages[number + 1 :] if s.resolution != stage.resolution]
            if min(others, default=end) - stage.start > _ROOM * end:
                part.annotate(
                    f" {stage.resolution} px", (stage.start, 1), va="bottom", fontsize=6.5,
                    xycoords=("data", "axes fraction"),
                )  # fmt: skip
            named = stage.resolution


def findings(
    values: Sequence[tuple[str, float | None, float | None, float]], value_name: str
) -> figure.Figure:
    """Draws a quality of findings against their frequency and their size.

    Args:
        values: (finding, images with it in training, share of the image that it takes, quality).
        value_name: Of the quality.

    Returns:
        The figure: a panel for what is known of at least two findings.
    """
    from matplotlib import figure, rc_context

    axes = [
        (1, "training images with the finding"),
        (2, "size of the finding, share of the image"),
    ]
    axes = [one for one in axes if sum(row[one[0]] is not None for row in values) > 1]
    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        drawing = figure.Figure((max(3.9 * len(axes), 4.5), 3.1), layout="constrained")
        for part, (place, label) in zip(
            drawing.subplots(1, max(len(axes), 1), squeeze=False)[0], axes, strict=False
        ):
            known = [row for row in values if row[place]]
            part.scatter([row[place] for row in known], [row[3] for row in known],
                         color=COLOURS[0], s=16)  # fmt: skip
            for row in known:
                part.annotate(
                    row[0], (row[place], row[3]), (3, 3), textcoords="offset points", fontsize=6
                )
            part.set_xscale("log")
            part.xaxis.set_major_formatter("{x:g}")
            part.xaxis.set_minor_formatter("")
            part.margins(x=0.18)
            part.set_xlabel(label)
            part.set_ylabel(value_name)
            part.spines[["top", "right"]].set_visible(False)
        return drawing


def svg(drawing: figure.Figure) -> bytes:
    """A figure as SVG; the same figure gives the same bytes."""
    from matplotlib import rc_context

    with io.BytesIO() as file, rc_context({"svg.hashsalt": "report", "svg.fonttype": "path"}):
        drawing.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        return file.getvalue()
