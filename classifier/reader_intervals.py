"""Intervals for readers who judge the same images, of one reader and of a group.

What is said of a group holds for other readers of its kind and for other images: both count as
drawn. Every measure is made of what the images contribute to it (`Estimates`), so that its
variances and covariances over readers are sums of products, and one method serves shares of right
answers, AUCs and differences. NumPy and SciPy only.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats as scipy_stats

LEVEL = 0.95
# Two readers may be alike by chance, and then seem to tell much of others: in simulations intervals
# of two covered 88 to 94 % instead of 95 %.
FEWEST_READERS = 3
_Z = float(scipy_stats.norm.ppf((1.0 + LEVEL) / 2.0))


@dataclasses.dataclass(frozen=True)
class Estimates:
    """A measure of each of R readers, and what each of N images contributes to it.

    Attributes:
        values: float64 [R]; NaN where not defined.
        counts: Answers of each reader that count, int [R].
        images: Images that count for any reader.
        influence: float64 [R, N], scaled so that its products add up to covariances; 0 where an
            image does not count. See `influence_of`.
    """

    values: np.ndarray
    counts: np.ndarray
    images: int
    influence: np.ndarray

    def covariance(self) -> np.ndarray:
        """Of the values over draws of images, the readers being as they are: float64 [R, R]."""
        return self.influence @ self.influence.T

    def of(self, readers: np.ndarray) -> "Estimates":
        """Those of readers at some places."""
        return dataclasses.replace(
            self,
            values=self.values[readers],
            counts=self.counts[readers],
            influence=self.influence[readers],
        )

    def defined(self) -> "Estimates":
        """Those of readers for whom there is a value."""
        return self.of(np.flatnonzero(~np.isnan(self.values)))

    def minus(self, other: "Estimates") -> "Estimates":
        """Differences of the same readers between other images and these."""
        return Estimates(
            self.values - other.values,
            self.counts + other.counts,
            self.images + other.images,
            np.concatenate([self.influence, -other.influence], axis=1),
        )


def influence_of(parts: np.ndarray, weight: float = 1.0) -> np.ndarray:
    """Influence of images of one kind on a mean that they are drawn for.

    Args:
        parts: What each contributes to the mean, float64 [n].
        weight: Of the mean of this kind in the whole value.

    Returns:
        float64 [n], whose sum of squares is the variance of the weighted mean, weight^2 s^2 / n;
        0 for a single image, which has no spread.
    """
    count = len(parts)
    if count < 2:
        return np.zeros(count)
    return weight * (parts - parts.mean()) / math.sqrt(count * (count - 1))


def share_interval(hits: float, count: float) -> tuple[float, float]:
    """Exact 95 % interval of a share (Clopper and Pearson, Biometrika 26, 404, 1934).

    It covers at least as often as it says, at every share, and contains 50 % just when the exact
    binomial test does not refuse it. Wilson's is shorter and covers as often on average only.

    Args:
        hits: Successes; like `count` not necessarily whole, for effective numbers.
        count: Tries.

    Returns:
        Lower and upper end, in [0, 1]; NaN without tries.
    """
    if not count > 0:
        return math.nan, math.nan
    tail = (1.0 - LEVEL) / 2.0
    beta = scipy_stats.beta
    low = beta.ppf(tail, hits, count - hits + 1.0) if hits > 0 else 0.0
    high = beta.ppf(1.0 - tail, hits + 1.0, count - hits) if hits < count else 1.0
    return float(low), float(high)


def log_odds_interval(value: float, variance: float, df: float = math.inf) -> tuple[float, float]:
    """95 % interval that is symmetric in the log odds, for an AUC.

    Args:
        value: In [0, 1].
        variance: Of it.
        df: Degrees of freedom of the variance.

    Returns:
        Lower and upper end; NaN where the value is 0 or 1 or has no variance.
    """
    if not (0.0 < value < 1.0 and variance > 0.0):
        return math.nan, math.nan
    reach = _quantile(df) * math.sqrt(variance) / (value * (1.0 - value))
    middle = math.log(value / (1.0 - value))
    low, high = (1.0 / (1.0 + math.exp(-(middle + sign * reach))) for sign in (-1.0, 1.0))
    return low, high


@dataclasses.dataclass(frozen=True)
class Summary:
    """A measure of a group of readers.

    Attributes:
        value: Mean over the readers.
        sd: Standard deviation among them (n - 1); NaN for one reader.
        se: sd / sqrt(readers), "calculated among the reader performances" as in the paper.
        low: Lower end of the 95 % interval for other readers and images; NaN for fewer than
            FEWEST_READERS.
        high: Upper end.
        readers: For whom the measure is defined.
        images: That count for any of them.
    """

    value: float
    sd: float
    se: float
    low: float
    high: float
    readers: int
    images: int


def summary(found: Estimates, share: bool = True) -> Summary:
    """Mean of a group, with an interval that holds for other readers and images.

    The variance of the mean is that of Obuchowski and Rockette (Commun. Stat. Simul. 24, 285, 1995)
    with the degrees of freedom of Hillis (Stat. Med. 26, 596, 2007), and at least what the draw of
    images makes of these very readers. Symmetric intervals are too short near 100 %; therefore the
    number of independent decisions that would have this variance enters the exact interval of a
    share (Korn and Graubard, Surv. Methodol. 24, 193, 1998).

    Why not simpler: in simulations of 3 or 6 readers and 100 images Student's interval over the
    readers, which forgets that they all saw the same images, covered as little as 83 %, and a
    bootstrap of readers and images 78 % of three unlike readers but 100 % of like ones.

    Args:
        found: Of the readers of the group.
        share: Whether values are shares of decisions; else AUCs, with `log_odds_interval`.
    """
    found = found.defined()
    readers = len(found.values)
    if readers < 2:
        value = float(found.values[0]) if readers else math.nan
        return Summary(value, *[math.nan] * 4, readers, found.images)
    value, sd = float(found.values.mean()), float(found.values.std(ddof=1))
    se = sd / math.sqrt(readers)
    if readers < FEWEST_READERS:
        return Summary(value, sd, se, math.nan, math.nan, readers, found.images)
    variance, df = _variance(found, [(1.0, np.arange(readers))])
    if share:
        decisions = found.images
        if 0.0 < value < 1.0 and variance > 0.0:
            decisions = min(value * (1.0 - value) / variance, found.counts.sum())
        decisions *= (_Z / _quantile(df)) ** 2
        ends = share_interval(value * decisions, decisions)
    else:
        ends = log_odds_interval(value, variance, df)
    return Summary(value, sd, se, *ends, readers, found.images)


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of means over readers.

    Attributes:
        value: The difference.
        low: Lower end of the 95 % interval for other readers and images; NaN where a group has
            fewer than FEWEST_READERS.
        high: Upper end.
        p_value: Two-sided, of no difference.
    """

    value: float
    low: float
    high: float
    p_value: float


def mean_difference(found: Estimates) -> Difference:
    """Mean of differences (`Estimates.minus`) of the same readers between other images.

    Intervals of differences are Student's, with the variance and degrees of freedom of `summary`.
    """
    found = found.defined()
    return _difference(found, [(1.0, np.arange(len(found.values)))])


def group_difference(found: Estimates, first: np.ndarray, second: np.ndarray) -> Difference:
    """Mean of a second group of readers minus that of a first, on the same images.

    Args:
        found: Of all readers.
        first: Places of the readers of one group.
        second: Of another, without a reader in common.
    """
    defined = ~np.isnan(found.values)
    groups = [(1.0, second[defined[second]]), (-1.0, first[defined[first]])]
    return _difference(found, groups)


def _difference(found, groups):
    if not all(len(places) for _, places in groups):
        return Difference(*[math.nan] * 4)
    value = float(sum(sign * found.values[places].mean() for sign, places in groups))
    if min(len(places) for _, places in groups) < FEWEST_READERS:
        return Difference(value, *[math.nan] * 3)
    variance, df = _variance(found, groups)
    if not variance > 0.0:
        return Difference(value, *[math.nan] * 3)
    reach = _quantile(df) * math.sqrt(variance)
    p_value = float(2.0 * scipy_stats.t.sf(abs(value) / math.sqrt(variance), df))
    return Difference(value, value - reach, value + reach, p_value)


def _variance(found: Estimates, groups: Sequence[tuple[float, np.ndarray]]) -> tuple[float, float]:
    """Variance of a sum of signed group means over draws of readers and images, and its df.

    Of one group: (variance among the readers + R covariance of two readers) / R. The first term is
    what readers differ by, their own errors with it; the second is that they see the same images.
    """
    covariance = found.covariance()
    weights = np.zeros(len(found.values))
    apart = []
    images = 0.0
    for sign, places in groups:
        count = len(places)
        weights[places] = sign / count
        apart.append((found.values[places].var(ddof=1) / count, count - 1))
        own = covariance[np.ix_(places, places)]
        # The mean over pairs of different readers; below, between groups, over all pairs.
        images += (own.sum() - np.trace(own)) / (count * (count - 1))
    for i, (sign, places) in enumerate(groups):
        for other_sign, others in groups[:i]:
            images += 2.0 * sign * other_sign * covariance[np.ix_(places, others)].mean()
    readers = sum(part for part, _ in apart)
    variance = max(readers + max(images, 0.0), float(weights @ covariance @ weights))
    uncertain = sum(part**2 / df for part, df in apart)
    return variance, variance**2 / uncertain if uncertain > 0.0 else math.inf


def _quantile(df):
    return float(scipy_stats.t.ppf((1.0 + LEVEL) / 2.0, df))
