"""Federations beside one another over seeds: their distances and critic losses <fig. 4B and C>.

A variant is an arm of the experiment, or an attack with an aggregator; its runs differ in the seed
only. Intervals are Student's over the seeds. Differences to the baseline are paired by the seed,
since runs of one seed have the same clients and initial weights; a baseline and a variant without
two common seeds have no interval.
"""

import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from pgan import results, run_folder

DISTANCE, CRITIC = "distance", "negative critic loss"
# Sees labels that are wrong, to which the distance of the images alone is blind.
WITH_LABELS = "distance with labels"
# Of the critic on held-out images.
LABELS = "label loss"
METRICS = (DISTANCE, WITH_LABELS, CRITIC, LABELS)
# Of a run: its last measurement, and its lowest. The lowest critic loss may be one of the first
# rounds, where the critic has learnt nothing yet; it says something only beside the curve.
SUMMARIES = ("final", "best")
CONFIDENCE = 0.95

_CRITIC_NAME, _LABELS_NAME = "critic/negative_loss_held_out", "critic/labels_real_held_out"
_DISTANCE_ENDS = ("_to_held_out", "_to_train")  # the first that was measured
_WITH_LABELS_NAME = r"labels/fjd\d+k?_\w+_to_train"


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a comparison.

    Attributes:
        variant: Name of what is compared.
        seed: Of the run.
        points: {metric of METRICS: [(round from 1, value)]}, in order; empty where not measured.
        names: {metric: its name in stats.jsonl}.
    """

    variant: str
    seed: int
    points: dict[str, list[tuple[int, float]]]
    names: dict[str, str]

    def summary(self, metric: str, kind: str) -> float:
        """The last or the lowest value; NaN if nothing finite was measured.

        Args:
            metric: Of METRICS.
            kind: Of SUMMARIES.
        """
        values = [value for _, value in self.points[metric]]
        if not values:
            return math.nan
        finite = [value for value in values if math.isfinite(value)]
        return values[-1] if kind == "final" else min(finite, default=math.nan)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        variant: Whose.
        baseline: Which variant was subtracted; empty for the variant's own mean.
        metric: Of METRICS.
        kind: Of SUMMARIES.
        measured: Name of the metric in stats.jsonl.
        seeds: Number of seeds.
        mean: Mean.
        sd: Standard deviation over the seeds; NaN for one seed.
        low: Lower end of the interval; NaN for one seed.
        high: Upper end.
    """

    variant: str
    baseline: str
    metric: str
    kind: str
    measured: str
    seeds: int
    mean: float
    sd: float
    low: float
    high: float


def folder_name(variant: str, seed: int) -> str:
    """Name of a run's folder within its comparison."""
    return f"{variant}_{seed}"


def read_run(folder: str | os.PathLike, variant: str, seed: int) -> Run:
    """Reads a run of a comparison from its `stats.jsonl`.

    Args:
        folder: Of the comparison; holds run folders named as `folder_name` does.
        variant: Name of the variant.
        seed: Of the run.

    Raises:
        ValueError: If nothing was measured.
    """
    path = pathlib.Path(folder) / folder_name(variant, seed)
    rows = run_folder.RunFolder(path).read_stats()
    known = {name for row in rows for name in row}
    found = [
        sorted(name for name in known if name.startswith("monitor/") and name.endswith(end))
        for end in _DISTANCE_ENDS
    ]
    with_labels = sorted(name for name in known if re.fullmatch(_WITH_LABELS_NAME, name))
    names = {
        DISTANCE: next((group[0] for group in found if group), ""),
        WITH_LABELS: with_labels[0] if with_labels else "",
        CRITIC: _CRITIC_NAME,
        LABELS: _LABELS_NAME,
    }
    points = {
        metric: [(row["round"], float(row[name])) for row in rows if name in row]
        for metric, name in names.items()
    }
    if not any(points.values()):
        raise ValueError(
            f"{path} has measured nothing on held-out images; its flags need "
            "--metric_every_rounds above 0, and the records a fold --held_out_fold"
        )
    return Run(variant, seed, points, names)


def estimate(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Mean, standard deviation and the ends of Student's interval of the mean.

    Args:
        values: A value for each seed, at least one.

    Returns:
        The last three are NaN for a single value.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan, math.nan, math.nan
    sd = float(np.std(values, ddof=1))
    margin = sd / math.sqrt(len(values)) * stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return mean, sd, mean - float(margin), mean + float(margin)


def estimates(runs: Sequence[Run], baseline: str | None = None) -> list[Estimate]:
    """Means of all variants, and their differences from the baseline.

    Args:
        runs: Of all variants and seeds.
        baseline: Variant to subtract from the others; None for no differences.

    Raises:
        ValueError: If runs measured different distances.
    """
    measured = {}
    for metric in METRICS:
        names = {run.names[metric] for run in runs if run.names[metric]}
        if len(names) > 1:
            raise ValueError(
                f"these runs measured different distances and cannot be compared: {sorted(names)}"
            )
        measured[metric] = "".join(names)
    variants = list(dict.fromkeys(run.variant for run in runs))
    table = []
    for metric in METRICS:
        for kind in SUMMARIES:
            # Runs that never measured it have no part; one that diverged has, as NaN.
            values = {
                variant: {
                    run.seed: run.summary(metric, kind)
                    for run in runs
                    if run.variant == variant and run.points[metric]
                }
                for variant in variants
            }
            for variant in variants:
                if values[variant]:
                    own = list(values[variant].values())
                    table.append(_row(variant, "", metric, kind, measured[metric], own))
            for variant in variants if baseline in values else ():
                shared = values[variant].keys() & values[baseline].keys()
                if variant != baseline and shared:
                    pairs = [values[variant][s] - values[baseline][s] for s in sorted(shared)]
                    table.append(_row(variant, baseline, metric, kind, measured[metric], pairs))
    return table


def differences(runs: Sequence[Run], baseline: str) -> list[Estimate]:
    """Of `estimates`, the differences from the baseline only."""
    return [one for one in estimates(runs, baseline) if one.baseline]


def damages(runs: Sequence[Run]) -> list[Estimate]:
    """Differences of attacks from the same aggregator without an attack.

    Args:
        runs: Whose variants are <attack>+<aggregator>.

    Returns:
        Paired by seed; none for aggregators that never ran without an attack.
    """
    aggregators = dict.fromkeys(run.variant.split("+")[1] for run in runs)
    return [
        one
        for aggregator in aggregators
        for one in differences(
            [run for run in runs if run.variant.endswith(f"+{aggregator}")], f"none+{aggregator}"
        )
    ]


def attack_table(table: Sequence[Estimate], metric: str) -> str:
    """Markdown table of attacks against aggregators.

    Args:
        table: Own means of variants <attack>+<aggregator>, or `damages`.
        metric: Of METRICS.

    Returns:
        A line for each attack, a column for each aggregator: the mean over the seeds of the last
        measurement and, in brackets, its standard deviation, or the interval of a difference.
    """
    cells = {}
    for one in table:
        if one.metric == metric and one.kind == "final":
            spread = f"{one.low:.3g} to {one.high:.3g}" if one.baseline else f"{one.sd:.2g}"
            cells[tuple(one.variant.split("+"))] = f"{one.mean:.3g}" + (
                "" if math.isnan(one.sd) else f" ({spread})"
            )
    attacks, aggregators = (list(dict.fromkeys(part)) for part in zip(*cells, strict=True))
    lines = [[attack, *(cells.get((attack, one), "") for one in aggregators)] for attack in attacks]
    return results.markdown_table(["attack", *aggregators], lines)


def _row(variant, baseline, metric, kind, measured, values):
    return Estimate(variant, baseline, metric, kind, measured, len(values), *estimate(values))


def rows(table: Sequence[Estimate]) -> list[dict[str, Any]]:
    """The estimates as rows of results.jsonl; what is not known is null."""
    return [
        {
            "name": "federation_comparison",
            **{
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in dataclasses.asdict(one).items()
            },
        }
        for one in table
    ]


def markdown(table: Sequence[Estimate]) -> str:
    """Markdown table of estimates."""
    header = ["variant", "metric", "of", "seeds", "mean", "SD", f"{CONFIDENCE:.0%} interval"]
    return results.markdown_table(
        header,
        [
            [
                f"{one.variant} - {one.baseline}" if one.baseline else one.variant,
                f"{one.metric} ({one.measured.rpartition('/')[2]})",
                one.kind,
                str(one.seeds),
                f"{one.mean:.4g}",
                "" if math.isnan(one.sd) else f"{one.sd:.3g}",
                "" if math.isnan(one.sd) else f"{one.low:.4g} to {one.high:.4g}",
            ]
            for one in table
        ],
    )
