"""Whether probabilities mean what they say: reliability, Brier score, temperature."""

import dataclasses
import math

import numpy as np
from scipy import optimize, special

from classifier import stats

_SMALLEST = 1e-7  # Probabilities are kept that far from 0 and 1 before their log odds.


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Predicted and observed shares of positives, in bins of the predicted probability.

    Attributes:
        predicted: Mean prediction of each bin, float64 [K]; empty bins are left out.
        observed: Share of positives of each bin.
        counts: Images of each bin, int64 [K].
    """

    predicted: np.ndarray
    observed: np.ndarray
    counts: np.ndarray

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean |observed - predicted| weighed by the images."""
        if not self.counts.size:
            return math.nan
        return float(np.average(np.abs(self.observed - self.predicted), weights=self.counts))


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> Reliability:
    """Bins predictions by equal widths (Guo et al., ICML 2017, use 15).

    Args:
        labels: [N], 1, 0 or NaN.
        probabilities: float [N] in [0, 1].
        bins: Number of bins; the last one holds 1.

    Raises:
        ValueError: If a probability is outside of [0, 1].
    """
    positive, probabilities = _checked(labels, probabilities)
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    kept = counts > 0
    sums = np.bincount(place, weights=probabilities, minlength=bins)[kept]
    hits = np.bincount(place, weights=positive, minlength=bins)[kept]
    return Reliability(sums / counts[kept], hits / counts[kept], counts[kept])


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared difference of probability and label (Brier 1950); NaN without images."""
    positive, probabilities = _checked(labels, probabilities)
    if not len(positive):
        return math.nan
    return float(np.mean((probabilities - positive) ** 2))


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Temperature T by which log odds are divided for the smallest cross-entropy.

    Guo et al., ICML 2017, section 4.2, for one sigmoid output. To be fitted on validation images.

    Args:
        labels: [N], 1, 0 or NaN.
        probabilities: float [N] in [0, 1].

    Returns:
        T in [0.05, 20]; above 1 where the classifier is too sure. NaN without positives or
        negatives.
    """
    positive, probabilities = _checked(labels, probabilities)
    if not positive.any() or positive.all():
        return math.nan
    signed = np.where(positive, 1.0, -1.0) * _log_odds(probabilities)

    def loss(log_temperature):
        return np.mean(np.logaddexp(0.0, -signed * math.exp(-log_temperature)))

    limits = (math.log(0.05), math.log(20.0))
    return math.exp(optimize.minimize_scalar(loss, bounds=limits, method="bounded").x)


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities with their log odds divided by a temperature, float64 of the same shape."""
    return special.expit(_log_odds(np.asarray(probabilities, np.float64)) / temperature)


def _log_odds(probabilities):
    return special.logit(np.clip(probabilities, _SMALLEST, 1.0 - _SMALLEST))


def _checked(labels, probabilities):
    positive, probabilities = stats.known(labels, probabilities)
    if probabilities.size and not (probabilities.min() >= 0 and probabilities.max() <= 1):
        raise ValueError("calibration needs probabilities in [0, 1]")
    return positive, probabilities
