"""Figures of classifiers: ROC curves, metrics with intervals, where images came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from classifier import stats
from pgan.plots import COLOURS, FONT_SIZE

if TYPE_CHECKING:
    from matplotlib import figure

    from classifier import predictions

_GRID = np.linspace(0.0, 1.0, 201)
_BARS = ("auc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")


def roc_curves(
    found: Mapping[str, Sequence[predictions.Predictions]], titles: Mapping[str, str]
) -> figure.Figure:
    """Draws ROC curves, a part for each finding, a colour for each arm, a thin line for each run.

    Args:
        found: Runs by arm.
        titles: Of the arms.

    Returns:
        The figure; the thick line is the mean sensitivity of the runs.
    """
    from matplotlib import figure, rc_context

    findings = next(iter(found.values()))[0].findings
    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        columns = min(len(findings), 4)
        rows = -(-len(findings) // columns)
        drawing = figure.Figure(
            (max(3.0 * columns, 4.2), 3.2 * rows), dpi=150, layout="constrained"
        )
        parts = np.atleast_1d(drawing.subplots(rows, columns)).ravel()
        for part in parts[len(findings) :]:
            part.set_axis_off()
        for k, finding in enumerate(findings):
            part = parts[k]
            part.plot([0, 1], [0, 1], color="#999999", lw=0.8, ls=":")
            for colour, (arm, runs) in zip(COLOURS, found.items(), strict=False):
                curves = []
                for run in runs:
                    labels, scores = run.labels[:, k], run.scores[:, k]
                    if np.isnan(stats.roc_auc(labels, scores)):
                        continue
                    alarms, sensitivity, _ = stats.roc_curve(labels, scores)
                    part.plot(alarms, sensitivity, color=colour, lw=0.5, alpha=0.5)
                    curves.append(np.interp(_GRID, alarms, sensitivity))
                if curves:
                    part.plot(
                        _GRID, np.mean(curves, axis=0), color=colour, lw=1.6, label=titles[arm]
                    )
            part.set_title(finding)
            part.set_xlabel("1 - specificity")
            part.set_ylabel("sensitivity")
            part.set_aspect("equal")
        if parts[0].get_legend_handles_labels()[0]:
            parts[0].legend(frameon=False, fontsize=FONT_SIZE - 1, loc="lower right")
        return drawing


def metric_bars(rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> figure.Figure:
    """Draws metrics of the arms with 95 % intervals: the mean over findings, or the one finding.

    Args:
        rows: Of `evaluation.table`, with "arm".
        titles: Of the arms.

    Returns:
        The figure.
    """
    from matplotlib import figure, rc_context

    from classifier import evaluation

    rows = [r for r in rows if r["name"] == "classifier" and r["group"] == evaluation.ALL]
    findings = list(dict.fromkeys(row["finding"] for row in rows))
    shown = findings[0] if len(findings) == 2 else evaluation.MEAN  # one finding and its mean
    values = {(r["arm"], r["metric"]): r for r in rows if r["finding"] == shown}
    with rc_context({"font.size": FONT_SIZE}):
        drawing = figure.Figure((7.2, 3.2), dpi=150, layout="constrained")
        part = drawing.subplots()
        width = 0.8 / len(titles)
        for number, (arm, title) in enumerate(titles.items()):
            for place, metric in enumerate(_BARS):
                row = values.get((arm, metric))
                if row is None or row["value"] is None:
                    continue
                x = place + (number - (len(titles) - 1) / 2) * width
                error = [[max(row["value"] - row["low"], 0)], [max(row["high"] - row["value"], 0)]]
                part.bar(
                    x, row["value"], 0.9 * width, color=COLOURS[number % len(COLOURS)],
                    yerr=error, error_kw={"lw": 0.9}, label=title if metric == _BARS[0] else None,
                )  # fmt: skip
        part.set_xticks(
            range(len(_BARS)), [name.upper() if len(name) < 4 else name for name in _BARS]
        )
        part.set_ylim(0, 1)
        part.set_title("mean over findings" if shown == evaluation.MEAN else shown, loc="left")
        part.legend(frameon=False, ncols=len(titles), loc="lower center", bbox_to_anchor=(0.5, 1.0))
        return drawing


def composition(
    counts: Mapping[str, Mapping[str, int]], titles: Mapping[str, str]
) -> figure.Figure:
    """Draws where the training images of each arm came from (Fig 3A).

    Args:
        counts: {arm: {origin and kind: images}}.
        titles: Of the arms.

    Returns:
        The figure: a bar for each arm, cut by origin.
    """
    from matplotlib import figure, rc_context

    kinds = list(dict.fromkeys(kind for own in counts.values() for kind in own))
    with rc_context({"font.size": FONT_SIZE}):
        drawing = figure.Figure((7.2, 1.1 + 0.55 * len(counts)), dpi=150, layout="constrained")
        part = drawing.subplots()
        for row, own in enumerate(counts.values()):
            start = 0
            for kind, number in own.items():
                # The two halves of an origin have its colour; positives are hatched.
                origins = list(dict.fromkeys(k.rpartition(",")[0] for k in kinds))
                colour = COLOURS[origins.index(kind.rpartition(",")[0]) % len(COLOURS)]
                part.barh(
                    row, number, left=start, color=colour, edgecolor="white", height=0.7,
                    hatch="////" if kind.endswith("positive") else None,
                    label=None if kind in part.get_legend_handles_labels()[1] else kind,
                )  # fmt: skip
                part.annotate(
                    f"{number:,}", (start + number / 2, row), ha="center", va="center",
                    bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"},
                )  # fmt: skip
                start += number
        part.set_yticks(range(len(counts)), [titles[arm] for arm in counts])
        part.invert_yaxis()
        part.set_xlabel("training images")
        part.legend(frameon=False, fontsize=FONT_SIZE - 1, bbox_to_anchor=(0.5, 1.0),
                    loc="lower center", ncols=2)  # fmt: skip
        return drawing
