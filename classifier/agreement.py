"""Agreement of judges beyond chance: Cohen's and Fleiss' kappa, with intervals."""

import dataclasses
import math

import numpy as np
from scipy import stats as scipy_stats


@dataclasses.dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance.

    Attributes:
        value: 1 for perfect agreement, 0 for that of chance; NaN where chance alone agrees always.
        se: Standard error, by the delta method or the jackknife.
        low: Lower end of the 95 % interval, value -+ 1.96 se.
        high: Upper end.
        p_value: Two-sided, of agreement by chance alone.
        subjects: Subjects that were judged.
    """

    value: float
    se: float
    low: float
    high: float
    p_value: float
    subjects: int


def cohen_kappa(first: np.ndarray, second: np.ndarray) -> Kappa:
    """Agreement of two judges on the same subjects.

    Cohen (Educ. Psychol. Meas. 20, 37, 1960); standard errors of Fleiss, Cohen and Everitt
    (Psychol. Bull. 72, 323, 1969), the one for the interval and that under chance for the test.

    Args:
        first: Category of each subject by one judge, any comparable values [N].
        second: By the other.

    Raises:
        ValueError: If the judges judged different numbers of subjects, or none.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"both judges need the same subjects, got {first.shape}, {second.shape}")
    names, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    count = len(first)
    table = np.zeros((len(names), len(names)))
    np.add.at(table, (places[:count], places[count:]), 1.0 / count)
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    observed, chance = np.trace(table), float(rows @ columns)
    if chance >= 1.0:
        return Kappa(math.nan, math.nan, math.nan, math.nan, math.nan, count)
    value = (observed - chance) / (1.0 - chance)
    sums = columns[:, np.newaxis] + rows  # entry (i, j): column share of i plus row share of j
    diagonal = np.diag(table) * (1.0 - (rows + columns) * (1.0 - value)) ** 2
    off = table * sums**2
    off = (1.0 - value) ** 2 * (off.sum() - np.trace(off))
    rest = (value - chance * (1.0 - value)) ** 2
    variance = max(diagonal.sum() + off - rest, 0.0) / (count * (1.0 - chance) ** 2)
    chance_sum = float((rows * columns * (rows + columns)).sum())
    under_chance = (chance + chance**2 - chance_sum) / (count * (1.0 - chance) ** 2)
    return _kappa(value, math.sqrt(variance), math.sqrt(max(under_chance, 0.0)), count)


def fleiss_kappa(counts: np.ndarray) -> Kappa:
    """Agreement of several judges, a fixed number for each subject.

    Fleiss (Psychol. Bull. 76, 378, 1971); standard error under chance of Fleiss, Nee and Landis
    (Psychol. Bull. 86, 974, 1979) for the test, jackknife over subjects for the interval.

    Args:
        counts: int [N, K], how many judges put subject n into category k.

    Raises:
        ValueError: If subjects have different numbers of judges, or fewer than two.
    """
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 2 or len(counts) < 2:
        raise ValueError(f"counts must be [subjects, categories] of 2 or more, got {counts.shape}")
    judges = counts.sum(axis=1)
    if judges.min() != judges.max() or judges[0] < 2:
        raise ValueError(
            f"every subject needs the same number of judges, at least 2; got {judges.min():g} to "
            f"{judges.max():g}"
        )
    number, judges = len(counts), float(judges[0])
    agreements = (counts * (counts - 1.0)).sum(axis=1) / (judges * (judges - 1.0))
    totals, agreed = counts.sum(axis=0), agreements.sum()
    value = _fleiss(totals / (number * judges), agreed / number)
    if math.isnan(value):
        return Kappa(math.nan, math.nan, math.nan, math.nan, math.nan, number)
    without = np.array(
        [
            _fleiss((totals - row) / ((number - 1) * judges), (agreed - own) / (number - 1))
            for row, own in zip(counts, agreements, strict=True)
        ]
    )
    spread = np.nansum((without - np.nanmean(without)) ** 2)
    se = math.sqrt((number - 1) / number * spread)
    shares = totals / totals.sum()
    products = shares * (1.0 - shares)
    under_chance = math.sqrt(
        2.0 * (products.sum() ** 2 - (products * (1.0 - 2.0 * shares)).sum())
        / (number * judges * (judges - 1.0))
    ) / products.sum()  # fmt: skip
    return _kappa(value, se, under_chance, number)


def _fleiss(shares, observed):
    chance = float((shares**2).sum())
    return (observed - chance) / (1.0 - chance) if chance < 1.0 else math.nan


def _kappa(value, se, under_chance, count):
    p_value = math.nan
    if under_chance > 0:
        p_value = float(2.0 * scipy_stats.norm.sf(abs(value) / under_chance))
    margin = float(scipy_stats.norm.ppf(0.975)) * se
    return Kappa(value, se, value - margin, value + margin, p_value, count)
