"""Power and sample size: which differences so many decisions or test images can show."""

import math

from scipy import stats as scipy_stats


def binomial_sd(share: float, count: int) -> float:
    """Standard deviation of an observed share, sqrt(p (1 - p) / n), the paper's power reasoning."""
    if not 0 <= share <= 1 or count < 1:
        raise ValueError(f"share must be in [0, 1] and count at least 1, got {share}, {count}")
    return math.sqrt(share * (1.0 - share) / count)


def detectable_difference(
    share: float, count: int, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Least difference of a share from `share` that `count` decisions show.

    Normal approximation, two-sided: (z(1 - alpha / 2) + z(power)) times `binomial_sd`.
    """
    z = scipy_stats.norm.ppf([1.0 - alpha / 2.0, power]).sum()
    return float(z * binomial_sd(share, count))


def sample_size(share: float, difference: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Decisions that show a difference of a share, the inverse of `detectable_difference`."""
    if difference <= 0:
        raise ValueError(f"difference must be positive, got {difference}")
    z = scipy_stats.norm.ppf([1.0 - alpha / 2.0, power]).sum()
    return math.ceil(share * (1.0 - share) * (z / difference) ** 2)


def hanley_mcneil_sd(auc: float, positives: int, negatives: int) -> float:
    """Standard deviation of an AUC to be expected (Hanley and McNeil, Radiology 143, 29, 1982)."""
    if not 0 <= auc <= 1 or min(positives, negatives) < 1:
        raise ValueError(
            f"auc must be in [0, 1] with positives and negatives, got {auc}, {positives}, "
            f"{negatives}"
        )
    q1, q2 = auc / (2.0 - auc), 2.0 * auc**2 / (1.0 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return math.sqrt(variance / (positives * negatives))


def detectable_auc_difference(
    auc: float,
    positives: int,
    negatives: int,
    correlation: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """Least difference of the AUC of two classifiers that judge the same images.

    Normal approximation, two-sided: (z(1 - alpha / 2) + z(power)) sqrt(2 (1 - correlation)) times
    `hanley_mcneil_sd` (Hanley and McNeil, Radiology 148, 839, 1983).

    Args:
        auc: To be expected.
        positives: Images with the finding.
        negatives: Images without.
        correlation: Between the two estimates, as both judge the same images.
        alpha: Level of the test.
        power: Chance to find the difference.
    """
    if not 0 <= correlation < 1:
        raise ValueError(f"correlation must be in [0, 1), got {correlation}")
    z = scipy_stats.norm.ppf([1.0 - alpha / 2.0, power]).sum()
    sd = hanley_mcneil_sd(auc, positives, negatives)
    return float(z * math.sqrt(2.0 * (1.0 - correlation)) * sd)


def auc_sample_size(
    auc: float,
    difference: float,
    negatives_per_positive: float = 1.0,
    correlation: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Positives that show a difference of the AUC, the inverse of `detectable_auc_difference`."""
    if difference <= 0 or negatives_per_positive <= 0:
        raise ValueError(
            f"difference and ratio must be positive, got {difference}, {negatives_per_positive}"
        )

    def shown(positives):
        negatives = max(1, round(negatives_per_positive * positives))
        least = detectable_auc_difference(auc, positives, negatives, correlation, alpha, power)
        return least <= difference

    high = 1
    while not shown(high):
        high *= 2
    low = high // 2  # too few
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high
