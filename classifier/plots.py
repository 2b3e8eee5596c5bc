"""Figures of classifiers: ROC curves, metrics, where images came from, attacks, likeness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from classifier import stats
from pgan import region_shares
from pgan.plots import COLOURS, FONT_SIZE

if TYPE_CHECKING:
    from matplotlib import figure

    from classifier import explanation, predictions

_GRID = np.linspace(0.0, 1.0, 201)
_BARS = ("auc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")


def parts_of_findings(findings: Sequence[str]) -> tuple[figure.Figure, Sequence[Any]]:
    """A figure with a square part for each finding, with its name and a dotted diagonal.

    Args:
        findings: Their names; up to four stand in a row.

    Returns:
        The figure and its parts (axes).
    """
    from matplotlib import figure

    columns = min(len(findings), 4)
    rows = -(-len(findings) // columns)
    drawing = figure.Figure((max(3.0 * columns, 4.2), 3.2 * rows), dpi=150, layout="constrained")
    parts = np.atleast_1d(drawing.subplots(rows, columns)).ravel()
    for part in parts[len(findings) :]:
        part.set_axis_off()
    for part, finding in zip(parts, findings, strict=False):
        part.plot([0, 1], [0, 1], color="#999999", lw=0.8, ls=":")
        part.set_title(finding)
        part.set_aspect("equal")
    return drawing, parts[: len(findings)]


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
    from matplotlib import rc_context

    findings = next(iter(found.values()))[0].findings
    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        drawing, parts = parts_of_findings(findings)
        for k, part in enumerate(parts):
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
            part.set_xlabel("1 - specificity")
            part.set_ylabel("sensitivity")
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
                low, high = row["low"], row["high"]
                error = None
                if low is not None:
                    error = [[max(row["value"] - low, 0)], [max(high - row["value"], 0)]]
                part.bar(
                    x, row["value"], 0.9 * width, color=COLOURS[number % len(COLOURS)],
                    yerr=error, error_kw={"lw": 0.9}, label=title if metric == _BARS[0] else None,
                )  # fmt: skip
        part.set_xticks(
            range(len(_BARS)), [name.upper() if len(name) < 4 else name for name in _BARS]
        )
        part.set_ylim(0, 1)
        part.set_title("mean over findings" if shown == evaluation.MEAN else shown, loc="left")
        part.legend(
            frameon=False, ncols=len(titles), loc="upper center", bbox_to_anchor=(0.5, -0.07)
        )
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


def robustness(
    curves: Mapping[tuple[str, str, str], Sequence[Sequence[float]]], titles: Mapping[str, str]
) -> figure.Figure:
    """Draws metrics against the strength of attacks with 95 % intervals (fig S3).

    Args:
        curves: {(metric, attack, arm): [strengths, values, lower ends, upper ends]}.
        titles: Of the arms.

    Returns:
        The figure: a row for each metric, a column for each attack.
    """
    from matplotlib import figure, rc_context

    metrics = list(dict.fromkeys(metric for metric, _, _ in curves))
    kinds = list(dict.fromkeys(kind for _, kind, _ in curves))
    with rc_context({"font.size": FONT_SIZE}):
        drawing = figure.Figure(
            (3.4 * len(kinds), 2.6 * len(metrics)), dpi=150, layout="constrained"
        )
        parts = drawing.subplots(len(metrics), len(kinds), squeeze=False, sharex=True, sharey="row")
        for (metric, kind, arm), (strengths, values, low, high) in curves.items():
            part = parts[metrics.index(metric), kinds.index(kind)]
            colour = COLOURS[list(titles).index(arm) % len(COLOURS)]
            part.plot(strengths, values, color=colour, marker="o", ms=3, label=titles[arm])
            part.fill_between(strengths, low, high, color=colour, alpha=0.15, lw=0)
        for part, kind in zip(parts[0], kinds, strict=True):
            part.set_title(f"{kind.upper()} on the test images")
        for row, metric in zip(parts, metrics, strict=True):
            row[0].set_ylabel("AUC" if metric == "auc" else metric)
            row[0].set_ylim(0, 1)
        for part in parts[-1]:
            part.set_xlabel("largest change of a pixel, grey levels of 255")
        parts[0, 0].legend(frameon=False, title="trained", loc="lower left")
        return drawing


def pair_similarities(
    values: Mapping[str, Mapping[str, np.ndarray]], titles: Mapping[str, str], metric: str
) -> figure.Figure:
    """Draws how alike random pairs of training images with a finding are (Fig 2A).

    Args:
        values: {arm: {finding: float [P]}}.
        titles: Of the arms.
        metric: Name of the values.

    Returns:
        The figure: a part for each finding, a histogram for each arm, its mean as a line.
    """
    from matplotlib import figure, rc_context

    findings = list(next(iter(values.values())))
    with rc_context({"font.size": FONT_SIZE}):
        drawing = figure.Figure((3.6 * len(findings), 2.8), dpi=150, layout="constrained")
        parts = drawing.subplots(1, len(findings), squeeze=False)[0]
        for part, finding in zip(parts, findings, strict=True):
            own = {arm: found[finding] for arm, found in values.items() if len(found[finding])}
            edges = np.linspace(*np.percentile(np.concatenate(list(own.values())), (0, 100)), 41)
            for arm, found in own.items():
                colour = COLOURS[list(titles).index(arm) % len(COLOURS)]
                label = f"{titles[arm]}: {found.mean():.2f} ± {found.std(ddof=1):.2f}"
                part.hist(found, edges, density=True, color=colour, alpha=0.45, label=label)
                part.axvline(found.mean(), color=colour, lw=1.2)
            part.set_title(finding, loc="left")
            part.set_xlabel(f"{metric} of random pairs")
            part.set_ylabel("density")
            part.legend(frameon=False, fontsize=FONT_SIZE - 1)
        return drawing


def explanations(
    found: Sequence[explanation.Explained],
    judges: Sequence[explanation.Judge],
    title: str,
    limits: tuple[float | None, float],
) -> figure.Figure:
    """Draws images, what one or two classifiers see in each, and the difference of the two.

    Args:
        found: Images of the sheet.
        judges: The classifiers.
        title: What is shown.
        limits: The end of the scale of maps in log odds, or None for the largest value of each
            map; and that of differences, larger ones being cut: in log odds as well or, where each
            map has its own scale, in multiples of a map's mean.

    Returns:
        The figure: four cells in a row, of two images or, for two classifiers, of one. Green lines
        enclose the region of the finding where it is known.
    """
    from matplotlib import figure, rc_context

    limit, difference_limit = limits
    cells = 2 * len(judges)
    rows = -(-len(found) * cells // 4)
    signed = any((one.maps < 0).any() for one in found)
    colours, low = ("RdBu_r", -1.0) if signed else ("inferno", 0.0)
    with rc_context({"font.size": FONT_SIZE - 1, "axes.titlesize": FONT_SIZE - 1}):
        drawing = figure.Figure((9.6, 2.75 * rows + 1.1), dpi=150, layout="constrained")
        drawing.suptitle(title, fontsize=FONT_SIZE + 1, x=0.01, ha="left")
        grid = drawing.add_gridspec(rows + 1, 4, height_ratios=[*[1.0] * rows, 0.04])
        parts = [drawing.add_subplot(grid[row, cell]) for row in range(rows) for cell in range(4)]
        for part in parts:
            part.set_axis_off()
        for number, one in enumerate(found):
            own = parts[number * cells : (number + 1) * cells]
            for part in own:
                part.imshow(one.image, cmap="gray", vmin=0, vmax=255)
                if one.region is not None and not one.region.all():
                    part.contour(one.region, [0.5], colors="#00FF66", linewidths=0.7)
            label = "unknown" if np.isnan(one.label) else "yes" if one.label >= 0.5 else "no"
            own[0].set_title(f"{one.image_id}\nlabel: {label}", loc="left")
            for k, judge in enumerate(judges):
                end = limit or np.abs(one.maps[k]).max() or 1.0
                _overlay(own[k + 1], one.maps[k] / end, colours, low)
                own[k + 1].set_title(_verdict(one, judge, k), loc="left")
            if len(judges) > 1:
                values = one.maps if limit else one.densities
                _overlay(own[3], (values[0] - values[1]) / difference_limit, "PuOr", -1.0)
                own[3].set_title(f"difference\noverlap {one.overlap:.2f}", loc="left")
        end, unit = (limit, "log odds") if limit else (1.0, "share of each map's largest value")
        bar = drawing.add_subplot(grid[rows, :2])
        _scale(drawing, bar, colours, low * end, end, f"maps: {unit}")
        if len(judges) > 1:
            unit = "log odds" if limit else "multiples of each map's mean"
            text = f"difference: {judges[0].name} - {judges[1].name}, {unit}"
            bar = drawing.add_subplot(grid[rows, 2:])
            _scale(drawing, bar, "PuOr", -difference_limit, difference_limit, text, extend="both")
        return drawing


def _scale(drawing, part, colours, low, high, text, extend="neither"):
    from matplotlib import cm, colors

    scale = cm.ScalarMappable(colors.Normalize(low, high), colours)
    drawing.colorbar(scale, cax=part, orientation="horizontal", label=text, extend=extend)


def _overlay(part, values, colours, low):
    """Draws values in [low, 1] over an image, the more opaque the further from 0."""
    part.imshow(
        values, cmap=colours, vmin=low, vmax=1, interpolation="bilinear",
        alpha=0.75 * np.clip(np.abs(values), 0, 1),
    )  # fmt: skip


def _verdict(one, judge, k):
    """What a classifier says of an image, in two lines."""
    decision = "no threshold"
    if not np.isnan(judge.threshold):
        called = "positive" if one.scores[k] >= judge.threshold else "negative"
        decision = f"{called} at {judge.threshold:.3f}"
    where = f"largest: {one.maps[k].max():.3g} log odds"
    if not (one.maps[k] > 0).any():
        where = "nothing speaks for it"
    elif one.region is not None:
        value = region_shares.measure(one.maps[k], one.region)
        where += f"; pointing {value.ratio:.1f} of {1 / value.area:.0f}"
    return f"{judge.name}: {one.scores[k]:.3f}, {decision}\n{where}"
