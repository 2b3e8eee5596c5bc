"""Figures of federated training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from federated import comparison
from pgan.plots import COLOURS, FONT_SIZE

if TYPE_CHECKING:
    from matplotlib import figure

_LINES = ("-", "--", ":", "-.")


def variants(runs: Sequence[comparison.Run], title: str) -> figure.Figure:
    """Draws distance and negative critic loss over the rounds, as fig. 4B and C.

    Args:
        runs: Of all variants and seeds.
        title: Of the figure.

    Returns:
        The figure: for each variant the mean over its seeds and, beneath, their range.
    """
    from matplotlib import figure, rc_context, ticker

    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        drawing = figure.Figure((8.4, 3.4), dpi=150, layout="constrained")
        shown = (comparison.DISTANCE, comparison.CRITIC)
        parts = dict(zip(shown, drawing.subplots(1, 2), strict=True))
        names = list(dict.fromkeys(run.variant for run in runs))
        for metric, part in parts.items():
            for place, name in enumerate(names):
                curves = [dict(run.points[metric]) for run in runs if run.variant == name]
                shared = sorted(set.intersection(*map(set, curves)))
                if not shared:
                    continue
                values = np.array([[curve[number] for number in shared] for curve in curves])
                colour = COLOURS[place % len(COLOURS)]
                part.plot(
                    shared, values.mean(axis=0), color=colour, lw=1.3, label=name,
                    ls=_LINES[place // len(COLOURS) % len(_LINES)],
                )  # fmt: skip
                if len(curves) > 1:
                    part.fill_between(
                        shared,
                        values.min(axis=0),
                        values.max(axis=0),
                        color=colour,
                        alpha=0.2,
                        lw=0,
                    )
            part.set_xlabel("round")
        distance, critic = (parts[metric] for metric in shown)
        distance.set_yscale("log")
        distance.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        distance.yaxis.set_major_formatter("{x:g}")
        distance.yaxis.set_minor_formatter("")
        measured = {run.names[comparison.DISTANCE] for run in runs} - {""}
        distance.set_ylabel(", ".join(name.removeprefix("monitor/") for name in sorted(measured)))
        critic.set_ylabel("negative critic loss, held-out images")
        seeds = len({run.seed for run in runs})
        distance.set_title(f"{title}, {seeds} seed{'s' * (seeds > 1)}", loc="left")
        handles, labels = distance.get_legend_handles_labels()
        if not handles:
            handles, labels = critic.get_legend_handles_labels()
        drawing.legend(handles, labels, frameon=False, loc="outside right center", fontsize=7)
        return drawing
