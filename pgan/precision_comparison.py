"""Whether a faster precision trains as well: pairs of runs that differ in nothing else.

A run is judged by the distances that it watched (`pgan.distance_monitor`): the mean logarithm of
those of its last stable phase. Two runs of one seed see the same images and start from the same
weights, but rounding soon makes them different runs; so a difference says something only beside
the spread of runs that differ in their seed.

The rule, fixed before the runs were made. With d the mean over the pairs of (other - baseline) and
s the standard deviation of the baseline over its seeds, both of logarithms:

* "within one between-seed SD": d <= s;
* "worse": d > s, and a 95 % interval of the mean difference lies above 0;
* "undecided": otherwise, and where s is not known.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from pgan import distance_curves, results

WITHIN, WORSE, UNDECIDED = "within one between-seed SD", "worse", "undecided"
BASELINE = "float32"


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a comparison.

    Attributes:
        precision: One of config.PRECISIONS.
        seed: Seed of the run.
        curves: The distances it watched.
        metric: Name of the distance that judges.
    """

    precision: str
    seed: int
    curves: distance_curves.Curves
    metric: str

    @property
    def points(self) -> list[tuple[int, float]]:
        """(Images shown, distance)."""
        return self.curves.values[self.metric]

    @property
    def summary(self) -> float:
        """Mean logarithm of the distances of the last stable phase."""
        start = self.curves.phases[-1][0]
        return float(np.mean([math.log(value) for shown, value in self.points if shown > start]))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A precision beside the baseline.

    Attributes:
        precision: The one that is judged.
        metric: Name of the distance.
        pairs: Number of pairs.
        ratio: Geometric mean over the pairs of its distance over the baseline's.
        low: Lower end of the 95 % interval of `ratio`; NaN where it is not known.
        high: Upper end.
        between_seeds: The baseline's spread over the seeds as a factor, exp of the standard
            deviation of the logarithm; NaN where it is not known.
        text: WITHIN, WORSE or UNDECIDED.
    """

    precision: str
    metric: str
    pairs: int
    ratio: float
    low: float
    high: float
    between_seeds: float
    text: str


def folder_name(precision: str, seed: int) -> str:
    """Name of a run's folder within its comparison."""
    return f"{precision}_{seed}"


def read_runs(folder: str | os.PathLike, kind: str = "to_train") -> list[Run]:
    """Reads the finished runs of a comparison.

    Args:
        folder: Holds run folders named as `folder_name` does.
        kind: End of the distance's name, see `distance_monitor.Names`.

    Raises:
        ValueError: If a run watched no such distance.
    """
    runs = []
    for path in sorted(pathlib.Path(folder).iterdir()):
        precision, _, seed = path.name.rpartition("_")
        if not (path / "config.json").exists() or not seed.isdigit():
            continue
        curves = distance_curves.read(path)
        names = [name for name in (curves.values if curves else ()) if name.endswith(kind)]
        if len(names) != 1:
            raise ValueError(
                f"{path} has watched no distance that ends with {kind!r}; its flags need "
                "--metric_every_kimg above 0"
            )
        runs.append(Run(precision, int(seed), curves, names[0]))
    return runs


def between_seed_sd(runs: Sequence[Run]) -> float:
    """Standard deviation over seeds of the baseline's summaries; NaN for fewer than two."""
    values = [run.summary for run in runs if run.precision == BASELINE]
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def judge(runs: Sequence[Run], sd: float | None = None) -> list[Verdict]:
    """Judges every precision but the baseline.

    Args:
        runs: All runs of a comparison.
        sd: Between-seed standard deviation of the logarithm from other runs, for a comparison of
            a single seed; None: from these runs.

    Raises:
        ValueError: If there is no pair, or distances of different names would be compared.
    """
    if len({run.metric for run in runs}) > 1:
        raise ValueError(
            "these runs watched different distances and cannot be compared: "
            f"{', '.join(sorted({run.metric for run in runs}))}"
        )
    by_precision: dict[str, dict[int, Run]] = {}
    for run in runs:
        by_precision.setdefault(run.precision, {})[run.seed] = run
    baseline = by_precision.pop(BASELINE, {})
    sd = between_seed_sd(runs) if sd is None else sd
    verdicts = [
        _judge_one(precision, baseline, others, sd)
        for precision, others in sorted(by_precision.items())
        if baseline.keys() & others.keys()
    ]
    if not verdicts:
        raise ValueError(f"there is no pair of runs of one seed, one of them in {BASELINE}")
    return verdicts


def _judge_one(precision, baseline: Mapping[int, Run], others: Mapping[int, Run], sd):
    seeds = sorted(baseline.keys() & others.keys())
    differences = [others[seed].summary - baseline[seed].summary for seed in seeds]
    mean = float(np.mean(differences))
    if len(seeds) > 1:
        error = float(np.std(differences, ddof=1)) / math.sqrt(len(seeds))
        margin = error * float(stats.t.ppf(0.975, len(seeds) - 1))
    else:  # Both runs of the pair vary as runs of different seeds do.
        margin = 1.96 * math.sqrt(2.0) * sd
    if math.isnan(sd):
        text = UNDECIDED
    elif mean <= sd:
        text = WITHIN
    else:
        text = WORSE if mean > margin else UNDECIDED
    return Verdict(
        precision,
        baseline[seeds[0]].metric,
        len(seeds),
        math.exp(mean),
        math.exp(mean - margin),
        math.exp(mean + margin),
        math.exp(sd),
        text,
    )


def table(verdicts: Mapping[str, Sequence[Verdict]]) -> str:
    """Markdown table of verdicts by the name of their comparison."""
    header = ["comparison", "precision", "distance", "pairs", "ratio", "95 %", "spread", "verdict"]
    rows = [
        [
            name,
            verdict.precision,
            verdict.metric,
            str(verdict.pairs),
            f"{verdict.ratio:.3f}",
            f"{verdict.low:.3f} to {verdict.high:.3f}",
            f"{verdict.between_seeds:.3f}",
            verdict.text,
        ]
        for name, group in verdicts.items()
        for verdict in group
    ]
    return results.markdown_table(header, rows)
