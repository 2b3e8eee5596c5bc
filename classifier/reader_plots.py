"""Figures of reader studies: accuracies with their intervals, and ROC curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from classifier import reader_results, reader_study, stats
from pgan.plots import COLOURS, FONT_SIZE

if TYPE_CHECKING:
    from matplotlib import figure

_GREY = "#999999"


def rates(rows: Sequence[reader_results.Row], title: str) -> figure.Figure:
    """Draws accuracy, sensitivity and specificity of readers and groups by resolution.

    Args:
        rows: Of `reader_results.rows`.
        title: What is shown.

    Returns:
        The figure: a part for each rate, a point for each reader, a diamond for each group, with
        their 95 % intervals; all readers together in black.
    """
    from matplotlib import figure, rc_context

    groups = reader_results.group_order(rows)
    resolutions = list(dict.fromkeys(r["resolution"] for r in rows if r["name"] == "reader_group"))
    with rc_context({"font.size": FONT_SIZE}):
        drawing = figure.Figure((7.2, 7.6), dpi=150, layout="constrained")
        drawing.suptitle(title, fontsize=FONT_SIZE + 1, x=0.01, ha="left")
        parts = drawing.subplots(len(reader_study.RATES), 1, sharex=True)
        for part, metric in zip(parts, reader_study.RATES, strict=True):
            part.axhline(0.5, color=_GREY, lw=0.8, ls=":")
            for start, resolution in enumerate(resolutions):
                found = [
                    row
                    for row in rows
                    if row["metric"] == metric and row.get("resolution") == resolution
                ]
                _rates_at(part, found, groups, start)
            part.set_ylabel(metric)
            part.set_ylim(-0.02, 1.02)
        parts[-1].set_xticks(range(len(resolutions)), [f"{side} px" for side in resolutions])
        parts[-1].set_xlim(-0.5, len(resolutions) - 0.5)
        parts[0].legend(
            frameon=False, ncols=len(groups) + 1, loc="lower center", bbox_to_anchor=(0.5, 1.0)
        )
        return drawing


def _rates_at(part, found, groups, start):
    """Readers of a resolution group by group, each followed by its mean, around x = start."""
    places = []
    for group in groups:
        own = [row for row in found if row["name"] == "reader" and row["group"] == group]
        means = [row for row in found if row["name"] == "reader_group" and row["group"] == group]
        places += [(group, row, "o", 0.8) for row in own]
        places += [(group, row, "D", 1.6) for row in means]
    for number, (group, row, marker, width) in enumerate(places):
        if row["value"] is None:
            continue
        x = start + 0.8 * ((number + 0.5) / len(places) - 0.5)
        ends = [row["value"] if row[name] is None else row[name] for name in ("low", "high")]
        first = start == 0 and marker == "D"
        label = f"{group} (mean)" if first else None
        part.errorbar(
            x, row["value"], [[row["value"] - ends[0]], [ends[1] - row["value"]]],
            color=_colour(group, groups), fmt=marker, ms=3.5 if marker == "o" else 5.5,
            lw=width, label=label,
        )  # fmt: skip


def _colour(group, groups):
    if group == reader_study.ALL_READERS:
        return "#000000"
    return COLOURS[groups.index(group) % (len(COLOURS) - 1)]


def roc(panels: Sequence[reader_study.Panel], title: str) -> figure.Figure:
    """Draws sensitivity against false alarms, a part for each resolution.

    Args:
        panels: The answers.
        title: What is shown.

    Returns:
        The figure: each reader's answers are a point, and confidence, if it was asked, a curve
        through it.
    """
    from matplotlib import figure, rc_context

    groups = reader_study.group_names(panels[0])
    with rc_context({"font.size": FONT_SIZE}):
        drawing = figure.Figure((max(2.6 * len(panels), 4.2), 3.1), dpi=150, layout="constrained")
        drawing.suptitle(title, fontsize=FONT_SIZE + 1, x=0.01, ha="left")
        parts = drawing.subplots(1, len(panels), squeeze=False)[0]
        for part, panel in zip(parts, panels, strict=True):
            part.plot([0, 1], [0, 1], color=_GREY, lw=0.8, ls=":")
            scores = reader_study.suspicion(panel)
            named = set()
            for number, group in enumerate(panel.groups):
                colour = _colour(group, groups)
                own = ~np.isnan(scores[number])
                if own.any():
                    labels = panel.synthetic[own].astype(np.float64)
                    alarms, sensitivity, _ = stats.roc_curve(labels, scores[number, own])
                    part.plot(alarms, sensitivity, color=colour, lw=0.8, alpha=0.8)
                answered = ~np.isnan(panel.called[number])
                called, kind = panel.called[number, answered], panel.synthetic[answered]
                if kind.any() and not kind.all():
                    label = None if group in named else group
                    named.add(group)
                    point = called[~kind].mean(), called[kind].mean()
                    part.plot(*point, "o", color=colour, ms=4.5, label=label)
            part.set_title(f"{panel.resolution} px")
            part.set_xlabel("1 - specificity")
            part.set_aspect("equal")
            part.set_xlim(-0.02, 1.02)
            part.set_ylim(-0.02, 1.02)
        parts[0].set_ylabel("sensitivity")
        parts[-1].legend(frameon=False, loc="lower right")
        return drawing
