"""Tables of results from predictions on disk: intervals, subgroups, comparisons of classifiers.

Everything here is a function of `predictions.npz` files, a seed and a number of redraws; no model
is loaded and no TensorFlow imported.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from classifier import calibration, predictions, resampling, stats
from pgan import results

MEAN = "mean"  # Name of the mean over findings, in the place of a finding.
ALL = "all"  # Name of the group of all images.
AGE_EDGES = (18, 40, 60, 80)
FEWEST = 5  # Patients with a finding, and without, below which no interval and no p value is given.


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
    runs: Sequence[predictions.Predictions],
    effort: Effort,
    thresholds: str = "validation",
    by_group: bool = True,
) -> list[dict[str, Any]]:
    """Every metric of every finding and group with its intervals.

    Of several runs of one kind of classifier (seeds), values are means over the runs; intervals
    are about patients, for the classifiers as they were trained, and `seed_sd` tells how the runs
    differ. There is no interval where fewer than `FEWEST` patients have the finding or fewer do
    not, of a mean over findings with such a one, or where all redraws are alike, as of a
    sensitivity of 1.

    Args:
        runs: Scores of one run or several on the same images.
        effort: How thoroughly is resampled.
        thresholds: "validation", or "test" for thresholds fitted on the very images that are
            judged, as the paper's code did; rates are then too good.
        by_group: Whether to tell sexes, age groups and views apart.

    Returns:
        JSON rows; `value` is None where a metric is not defined, as without positives.

    Raises:
        ValueError: If the runs judged different images.
    """
    first = runs[0]
    _require_same_images(runs)
    limits = [_thresholds(run, thresholds) for run in runs]
    rows = []
    for group, chosen in groups(first).items() if by_group else ((ALL, slice(None)),):
        labels, patients = first.labels[chosen], np.asarray(first.patients)[chosen]
        units, count = resampling.by_patient(patients)
        cases = [
            resampling.Cases(labels, run.scores[chosen], units, limit, count)
            for run, limit in zip(runs, limits, strict=True)
        ]
        interval = resampling.bootstrap(
            functools.partial(resampling.evaluate_mean, cases), count,
            np.random.default_rng(effort.seed), effort.redraws, chunk=cases[0].chunk(),
        )  # fmt: skip
        alone = np.ones((count, 1))
        each = np.array([resampling.evaluate_mean([one], alone)[..., 0] for one in cases])
        enough = _enough(labels, patients)
        for k, finding in enumerate([*first.findings, MEAN]):
            known = ~np.isnan(labels[:, k]) if finding != MEAN else np.ones(len(labels), bool)
            facts = {
                "finding": finding,
                "group": group,
                "images": int(known.sum()),
                "positives": int(np.nansum(labels[:, k])) if finding != MEAN else None,
                "patients": len(set(patients[known])),
                "runs": len(runs),
                "redraws": effort.redraws,
                "thresholds": thresholds,
            }
            for i, metric in enumerate(resampling.METRICS):
                values = _interval(interval, i, k, enough[k])
                rows.append({"metric": metric, **facts, **values, **_spread(each[:, i, k])})
            if finding != MEAN:
                errors = [
                    calibration.reliability(labels[:, k], run.scores[chosen][:, k]).expected_error
                    for run in runs
                ]
                rows.append({"metric": "ece", **facts, "value": _number(float(np.mean(errors)))})
    return rows


def _require_same_images(runs):
    if not all(run.same_images(runs[0]) for run in runs):
        raise ValueError(
            "these classifiers were not judged on the same images and findings; to compare or "
            "average them takes the same test set"
        )


def _enough(labels, patients) -> list[bool]:
    """Whether intervals make sense, for each finding and the mean over all."""
    enough = []
    for k in range(labels.shape[1]):
        counts = [len(set(patients[labels[:, k] == value])) for value in (0, 1)]
        enough.append(min(counts) >= FEWEST)
    return [*enough, all(enough)]


def _spread(each: np.ndarray) -> dict[str, Any]:
    """Values of the runs and their standard deviation."""
    sd = _number(each.std(ddof=1)) if len(each) > 1 else None
    return {"seed_sd": sd, "each": [_number(value) for value in each]}


def _interval(interval: resampling.Interval, i: int, k: int, enough: bool):
    names = {
        "value": interval.estimate, "sd": interval.sd, "low": interval.low,
        "high": interval.high, "bca_low": interval.bca_low, "bca_high": interval.bca_high,
    }  # fmt: skip
    found = {name: _number(values[i, k]) for name, values in names.items()}
    if not enough or found["low"] == found["high"]:
        found = {name: value if name == "value" else None for name, value in found.items()}
    return found


def comparison(
    first: Sequence[predictions.Predictions],
    second: Sequence[predictions.Predictions],
    effort: Effort,
    thresholds: str = "validation",
    by_group: bool = True,
) -> list[dict[str, Any]]:
    """Differences second - first of every metric, finding and group, with intervals and p values.

    P values of a metric are adjusted by Holm's method for the number of findings; the mean over
    findings is a question of its own, and so is a group. As intervals, they are about patients, for
    the classifiers as they were trained: `each` and `seed_sd` tell how the difference varies
    between trainings.

    Args:
        first: Runs of one kind of classifier.
        second: As many of the other, on the same images.
        effort: How thoroughly is resampled.
        thresholds: As for `table`.
        by_group: As for `table`.

    Raises:
        ValueError: If they judged different images.
    """
    _require_same_images([*first, *second])
    limits = tuple([_thresholds(run, thresholds) for run in runs] for runs in (first, second))
    rows = []
    for group, chosen in groups(first[0]).items() if by_group else ((ALL, slice(None)),):
        labels, patients = first[0].labels[chosen], np.asarray(first[0].patients)[chosen]
        scores = [[run.scores[chosen] for run in runs] for runs in (first, second)]
        found = resampling.compare(
            labels, *scores, patients, limits, np.random.default_rng(effort.seed),
            effort.redraws, effort.permutations,
        )  # fmt: skip
        enough = _enough(labels, patients)
        for i, metric in enumerate(resampling.METRICS):
            p_values = np.where(enough, found.p_value[i], np.nan)
            adjusted = [*stats.holm(p_values[:-1]), p_values[-1]]
            for k, finding in enumerate([*first[0].findings, MEAN]):
                row = {
                    "metric": metric,
                    "finding": finding,
                    "group": group,
                    "images": len(labels),
                    "difference": _number(found.difference[i, k]),
                    **_interval(found.interval, i, k, enough[k]),
                    **_spread(found.each[:, i, k]),
                    "p_value": _number(p_values[k]),
                    "p_holm": _number(adjusted[k]),
                    "runs": len(first),
                    "redraws": effort.redraws,
                    "permutations": effort.permutations,
                }
                if metric == "auc" and finding != MEAN and len(first) == 1 and group == ALL:
                    row["p_delong"] = _delong(first[0], second[0], k)
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
    if len(findings) == 2:  # The mean over one finding says nothing more.
        findings.remove(MEAN)
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    cells = {(row["finding"], row["metric"]): cell(row) for row in rows}
    return results.markdown_table(
        ["finding", *metrics],
        [
            [finding, *(cells.get((finding, metric), "") for metric in metrics)]
            for finding in findings
        ],
    )


def cell(row: Mapping[str, Any]) -> str:
    """Such as "0.81 (0.78 to 0.84), p 0.02" of a row; "not defined" where it has no value.

    The p value is the one after Holm's correction.
    """
    if row["value"] is None:
        return "not defined"
    text = f"{row['value']:.3f}"
    if row.get("low") is not None:
        text += f" ({row['low']:.3f} to {row['high']:.3f})"
    if row.get("p_holm") is not None:
        text += f", p {row['p_holm']:.2g}"
    return text
