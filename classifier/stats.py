"""Statistics of a judge's decisions: a classifier's or, where they apply, a reader's.

NumPy and SciPy only. Scores are float [N], higher for what looks positive; labels are float or
bool [N], 1 present, 0 absent, NaN unknown, and images of unknown label are left out. What is not
defined, such as an AUC without positives, is NaN and not a number that looks like one.
"""

import dataclasses
import math

import numpy as np
from scipy import stats as scipy_stats

RATES = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")


def known(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leaves out images of unknown label.

    Args:
        labels: [N], 1, 0 or NaN.
        scores: float [N].

    Returns:
        Positives as bool [M], and their scores, float64 [M].

    Raises:
        ValueError: If a score of a known label is not finite, or a label is another number.
    """
    labels, scores = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise ValueError(
            f"labels and scores must have the same shape [N], got {labels.shape} and {scores.shape}"
        )
    kept = ~np.isnan(labels)
    labels, scores = labels[kept], scores[kept]
    if not np.isin(labels, (0.0, 1.0)).all():
        raise ValueError("labels must be 0, 1 or NaN for unknown")
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).sum())
        raise ValueError(
            f"{bad} of {len(scores)} scores are not finite; the classifier that gave them is broken"
        )
    return labels == 1.0, scores


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores higher, a tie counting half.

    Exact by ranks (Mann and Whitney 1947). NaN without positives or negatives.
    """
    positive, scores = known(labels, scores)
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return math.nan
    ranks = scipy_stats.rankdata(scores)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall curve as the sum of precision times gain of recall.

    Images of equal score enter at once; nothing is interpolated. NaN without positives.
    """
    positive, scores = known(labels, scores)
    if not positive.any():
        return math.nan
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    precision = hits[last] / (last + 1)
    gains = np.diff(hits[last], prepend=0) / hits[-1]
    return float((precision * gains).sum())


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of the ROC curve, one for each different score.

    Returns:
        False positive rate and sensitivity from (0, 0) to (1, 1), and the thresholds from infinity
        down: an image is positive when its score is at least the threshold. float64 [K].
    """
    positive, scores = known(labels, scores)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(positive[order])[last]
    alarms = last + 1 - hits
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = np.append(0.0, hits / positive.sum())
        alarm_rate = np.append(0.0, alarms / (~positive).sum())
    return alarm_rate, sensitivity, np.append(np.inf, scores[order][last])


def corner_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """Threshold whose point of the ROC curve is nearest to the corner of no error.

    Least (1 - specificity)^2 + (1 - sensitivity)^2, the paper's rule; of equally near ones the
    highest. It lies half-way to the next lower score, so that it does not hang on one image. To be
    fitted on validation images, never on those that are then judged.

    Returns:
        The threshold, NaN without positives or negatives. Positive is a score of at least that.
    """
    alarm_rate, sensitivity, thresholds = roc_curve(labels, scores)
    distance = alarm_rate**2 + (1.0 - sensitivity) ** 2
    if np.isnan(distance).any():
        return math.nan
    best = int(np.argmin(distance))
    if best == 0:
        return float(np.nextafter(thresholds[1], np.inf))
    below = thresholds[best + 1] if best + 1 < len(thresholds) else thresholds[best]
    return float((thresholds[best] + below) / 2.0)


def rates(tp, fp, tn, fn) -> dict[str, np.ndarray]:
    """Rates of a table of decisions, in the order of RATES; NaN where a denominator is zero.

    Args:
        tp: True positives, any shape, counts or weights.
        fp: False positives, as well.
        tn: True negatives.
        fn: False negatives.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "accuracy": (tp + tn) / (tp + fp + tn + fn),
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "f1": 2.0 * tp / (2.0 * tp + fp + fn),
        }


def decisions(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """Rates at a threshold; a score of at least the threshold is a positive."""
    positive, scores = known(labels, scores)
    called = scores >= threshold
    table = [
        float(np.sum(p & c)) for p, c in ((positive, called), (~positive, called),
                                          (~positive, ~called), (positive, ~called))
    ]  # fmt: skip
    return {name: float(value) for name, value in rates(*np.array(table)).items()}


def placements(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each image contributes to the AUC, whose variance is that of these shares.

    DeLong et al. (Biometrics 44, 837, 1988), by ranks (Sun and Xu 2014).

    Args:
        labels: [N], 1, 0 or NaN.
        scores: float [N].

    Returns:
        For each positive the share of negatives that score lower, and for each negative the share
        of positives that score higher, ties counting half: float64 [P] and [M - P] of the M images
        of known label, in their order. The mean of either is the AUC.
    """
    return _placements(*known(labels, scores))


def _placements(positive, scores):
    together = scipy_stats.rankdata(scores)
    above = together[positive] - scipy_stats.rankdata(scores[positive])
    below = together[~positive] - scipy_stats.rankdata(scores[~positive])
    return above / (~positive).sum(), 1.0 - below / positive.sum()


@dataclasses.dataclass(frozen=True)
class DeLong:
    """Two AUCs on the same images.

    Attributes:
        first: AUC of the first classifier.
        second: AUC of the second.
        covariance: Of the two, float64 [2, 2].
        p_value: Two-sided, of no difference.
    """

    first: float
    second: float
    covariance: np.ndarray
    p_value: float


def delong(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> DeLong:
    """Test of DeLong et al. (Biometrics 44, 837, 1988) for two classifiers on the same images.

    Images are taken as independent; where patients have several, the resampling by patient of
    `classifier.resampling` is the right test.

    Args:
        labels: [N], 1, 0 or NaN.
        first: Scores of one classifier, float [N].
        second: Scores of the other.

    Raises:
        ValueError: If there are fewer than two positives or negatives.
    """
    positive, first = known(labels, first)
    second = known(labels, second)[1]
    count, others = int(positive.sum()), int((~positive).sum())
    if min(count, others) < 2:
        raise ValueError(
            f"DeLong's test needs two positives and two negatives, got {count} and {others}"
        )
    of_positives, of_negatives = zip(
        *(_placements(positive, scores) for scores in (first, second)), strict=True
    )
    covariance = np.cov(of_positives) / count + np.cov(of_negatives) / others
    aucs = [float(np.mean(values)) for values in of_positives]
    variance = covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]
    difference = aucs[0] - aucs[1]
    # The difference of equal classifiers has no variance; rounding must not make one.
    if variance <= 1e-18:
        p_value = 1.0 if abs(difference) < 1e-12 else 0.0
    else:
        p_value = float(2.0 * scipy_stats.norm.sf(abs(difference) / math.sqrt(variance)))
    return DeLong(*aucs, covariance, p_value)


def holm(p_values: np.ndarray) -> np.ndarray:
    """P values adjusted for their number (Holm, Scand. J. Statist. 6, 65, 1979).

    Args:
        p_values: float [K] in [0, 1]; NaN, which is no test, stays NaN and is not counted.

    Returns:
        float64 [K], at least the given ones and at most 1.
    """
    p_values = np.asarray(p_values, np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
