"""Tables of results from predictions on disk: intervals, subgroups, comparisons of classifiers.

Everything here is a function of `predictions.npz` files, a seed and a number of redraws; no model
is loaded and no TensorFlow imported.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from classifier import calibration, predictions, resampling, stats
from pgan import results

MEAN = "mean"  # Name of the mean over findings, in the place of a finding.
ALL = "all"  # Name of the group of all images.
AGE_EDGES = (18, 40, 60, 80)


def age_group(text: str) -> str:
    """Such as "40-59" of "47", "" where the age is unknown."""
    try:
        age = float(text)
    except ValueError:
        return ""
    edges = [0, *AGE_EDGES]
    place = int(np.searchsorted(edges, age, side="right")) - 1
    if place < 0:
        return ""
    if place == len(edges) - 1:
        return f"{edges[-1]}+"
    return f"{edges[place]}-{edges[place + 1] - 1}"


def groups(found: predictions.Predictions) -> dict[str, np.ndarray]:
    """Bool [N] of each group: all images, then those of a sex, an age group and a view."""
    chosen = {ALL: np.ones(len(found.image_ids), bool)}
    for name, values in found.facts.items():
        texts = np.array([age_group(v) if name == "age" else v for v in values], dtype=np.str_)
        for text in sorted(set(texts) - {""}):
            chosen[f"{name} {text}"] = texts == text
    return chosen


def _with_mean(evaluate):
    """Adds the mean over the findings, where all of them are defined, as one more finding."""

    def both(weights):
        values = evaluate(weights)
        return np.concatenate([values, values.mean(axis=1, keepdims=True)], axis=1)

    return both


@dataclasses.dataclass(frozen=True)
class Effort:
    """How thoroughly is resampled.

    Attributes:
        redraws: Of patients, for intervals.
        permutations: Of predictions, for p values.
        seed: Of both.
    """

    redraws: int = 10_000
    permutations: int = 10_000
    seed: int = 1


def _thresholds(found: predictions.Predictions, where: str):
    """Thresholds to use: those of the validation images, or fitted on these ones."""
    if where == "validation":
        return found.thresholds
    return np.array(
        [
            stats.corner_threshold(found.labels[:, k], found.scores[:, k])
            for k in range(len(found.findings))
        ]
    )


def table(
    found: predictions.Predictions,
    effort: Effort,
    thresholds: str = "validation",
    by_group: bool = True,
) -> list[dict[str, Any]]:
    """Every metric of every finding and group with its intervals.

    Args:
        found: Scores of a classifier.
        effort: How thoroughly is resampled.
        thresholds: "validation", or "test" for thresholds fitted on the very images that are
            judged, as the paper's code did; rates are then too good.
        by_group: Whether to tell sexes, age groups and views apart.

    Returns:
        JSON rows; `value` is None where a metric is not defined, as without positives.
    """
    limits = _thresholds(found, thresholds)
    rows = []
    for group, chosen in groups(found).items() if by_group else ((ALL, slice(None)),):
        labels, scores = found.labels[chosen], found.scores[chosen]
        patients = np.asarray(found.patients)[chosen]
        units, count = resampling.by_patient(patients)
        cases = resampling.Cases(labels, scores, units, limits, count)
        interval = resampling.bootstrap(
            _with_mean(cases.evaluate), count, np.random.default_rng(effort.seed),
            effort.redraws, chunk=cases.chunk(),
        )  # fmt: skip
        for k, finding in enumerate([*found.findings, MEAN]):
            known = ~np.isnan(labels[:, k]) if finding != MEAN else np.ones(len(labels), bool)
            facts = {
                "finding": finding,
                "group": group,
                "images": int(known.sum()),
                "positives": int(np.nansum(labels[:, k])) if finding != MEAN else None,
                "patients": len(set(patients[known])),
                "redraws": effort.redraws,
                "thresholds": thresholds,
            }
            for i, metric in enumerate(resampling.METRICS):
                rows.append({"metric": metric, **facts, **_interval(interval, i, k)})
            if finding != MEAN:
                rows += _calibration_rows(labels[:, k], scores[:, k], facts)
    return rows


def _interval(interval: resampling.Interval, i: int, k: int) -> dict[str, float | None]:
    names = {
        "value": interval.estimate, "sd": interval.sd, "low": interval.low,
        "high": interval.high, "bca_low": interval.bca_low, "bca_high": interval.bca_high,
    }  # fmt: skip
    return {name: _number(values[i, k]) for name, values in names.items()}


def _calibration_rows(labels, scores, facts):
    error = calibration.reliability(labels, scores).expected_error
    return [{"metric": "ece", **facts, "value": _number(error)}]


def comparison(
    first: predictions.Predictions, second: predictions.Predictions, effort: Effort
) -> list[dict[str, Any]]:
    """Differences second - first of every metric and finding, with intervals and p values.

    P values of a metric are adjusted by Holm's method for the number of findings.

    Raises:
        ValueError: If the two judged different images.
    """
    if not first.same_images(second):
        raise ValueError(
            "the two classifiers were not judged on the same images and findings; a comparison of "
            "them needs the same test set"
        )
    generator = np.random.default_rng(effort.seed)
    found = resampling.compare(
        first.labels, first.scores, second.scores, np.asarray(first.patients),
        (first.thresholds, second.thresholds), generator, effort.redraws, effort.permutations,
    )  # fmt: skip
    rows = []
    for i, metric in enumerate(resampling.METRICS):
        adjusted = stats.holm(found.p_value[i])
        for k, finding in enumerate(first.findings):
            row = {
                "metric": metric,
                "finding": finding,
                "difference": _number(found.difference[i, k]),
                **_interval(found.interval, i, k),
                "p_value": _number(found.p_value[i, k]),
                "p_holm": _number(adjusted[k]),
                "redraws": effort.redraws,
                "permutations": effort.permutations,
            }
            if metric == "auc":
                row["p_delong"] = _delong(first, second, k)
            rows.append(row)
    return rows


def _delong(first, second, k):
    try:
        return stats.delong(first.labels[:, k], first.scores[:, k], second.scores[:, k]).p_value
    except ValueError:  # too few positives or negatives
        return None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def markdown(rows: Sequence[Mapping[str, Any]], group: str = ALL) -> str:
    """A table of findings by metrics, "0.81 (0.78 to 0.84)", from `table` or `comparison`."""
    rows = [row for row in rows if row.get("group", ALL) == group]
    findings = list(dict.fromkeys(row["finding"] for row in rows))
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    cells = {(row["finding"], row["metric"]): _cell(row) for row in rows}
    return results.markdown_table(
        ["finding", *metrics],
        [
            [finding, *(cells.get((finding, metric), "") for metric in metrics)]
            for finding in findings
        ],
    )


def _cell(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "not defined"
    text = f"{row['value']:.3f}"
    if row.get("low") is not None:
        text += f" ({row['low']:.3f} to {row['high']:.3f})"
    if row.get("p_value") is not None:
        text += f", p {row['p_value']:.2g}"
    return text
