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
    from matplotlib import figure, rc_context

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
        _plain_numbers(distance.yaxis)
        distance.set_ylabel(_measured(runs, comparison.DISTANCE))
        critic.set_ylabel("negative critic loss, held-out images")
        distance.set_title(_with_seeds(title, runs), loc="left")
        handles, labels = distance.get_legend_handles_labels()
        if not handles:
            handles, labels = critic.get_legend_handles_labels()
        drawing.legend(handles, labels, frameon=False, loc="outside right center", fontsize=7)
        return drawing


def attacks(runs: Sequence[comparison.Run], title: str) -> figure.Figure:
    """Draws what attacks against aggregators came to: last distances, and label losses.

    Args:
        runs: Whose variants are <attack>+<aggregator>.
        title: Of the figure.

    Returns:
        The figure: a band for each attack, in it a colour for each aggregator, a dot for each
        seed and a line at their mean. Runs that diverged have no dot; the table has them as NaN.

    Raises:
        ValueError: If no run has measured anything.
    """
    from matplotlib import figure, rc_context

    shown = [
        metric
        for metric in (comparison.DISTANCE, comparison.WITH_LABELS, comparison.LABELS)
        if any(run.points[metric] for run in runs)
    ]
    if not shown:
        raise ValueError(
            "no run has measured anything, so there is nothing to draw; train with "
            "--metric_every_rounds above 0"
        )
    kinds, aggregators = (
        list(dict.fromkeys(run.variant.split("+")[place] for run in runs)) for place in (0, 1)
    )
    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        size = (3.1 * len(shown) + 1.6, 0.5 * len(kinds) + 1.1)
        drawing = figure.Figure(size, dpi=150, layout="constrained")
        parts = drawing.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for part, metric in zip(parts, shown, strict=True):
            for row, kind in enumerate(kinds):
                if row % 2:
                    part.axhspan(row - 0.5, row + 0.5, color="#F4F4F4", lw=0)
                for place, aggregator in enumerate(aggregators):
                    values = [
                        run.summary(metric, "final")
                        for run in runs
                        if run.variant == f"{kind}+{aggregator}" and run.points[metric]
                    ]
                    height = row + 0.8 * ((place + 0.5) / len(aggregators) - 0.5)
                    colour = COLOURS[place % len(COLOURS)]
                    part.plot(values, [height] * len(values), ".", color=colour, ms=4)
                    part.plot(
                        [np.mean(values)] if values else [], [height] if values else [], "|",
                        color=colour, ms=8, mew=1.6,
                        label="" if row else aggregator.replace("_", " "),
                    )  # fmt: skip
            part.set_xscale("log")
            _plain_numbers(part.xaxis)
            part.set_xlabel(_measured(runs, metric))
        parts[0].set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
        parts[0].set_ylim(len(kinds) - 0.5, -0.5)
        parts[0].set_title(_with_seeds(title, runs), loc="left")
        handles, labels = parts[0].get_legend_handles_labels()
        drawing.legend(handles, labels, frameon=False, loc="outside right center", fontsize=7)
        return drawing


def _measured(runs, metric):
    names = {run.names[metric] for run in runs} - {""}
    return ", ".join(name.rpartition("/")[2] for name in sorted(names))


def _with_seeds(title, runs):
    seeds = len({run.seed for run in runs})
    return f"{title}, {seeds} seed{'s' * (seeds > 1)}"


def _plain_numbers(axis):
    """Marks 1, 2 and 5 of each decade of a logarithmic axis, without powers of ten."""
    from matplotlib import ticker

    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")
