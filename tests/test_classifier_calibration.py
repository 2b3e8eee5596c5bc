"""Reliability, Brier score and temperature by hand, scikit-learn and simulation."""

import math

import numpy as np
import pytest
from scipy import special
from sklearn import calibration as sklearn_calibration
from sklearn import metrics

from classifier import calibration


def _predictions(temperature, count=20_000):
    """Labels drawn from true probabilities, and predictions that are too sure by a factor."""
    generator = np.random.default_rng(0)
    log_odds = generator.normal(0, 1.5, count)
    labels = (generator.random(count) < special.expit(log_odds)).astype(float)
    return labels, special.expit(log_odds * temperature)


def test_bins_equal_scikit_learn():
    labels, probabilities = _predictions(2.0, 1000)
    found = calibration.reliability(labels, probabilities, bins=10)
    observed, predicted = sklearn_calibration.calibration_curve(labels, probabilities, n_bins=10)
    np.testing.assert_allclose(found.observed, observed, atol=1e-12)
    np.testing.assert_allclose(found.predicted, predicted, atol=1e-12)
    assert found.counts.sum() == 1000


def test_expected_error_by_hand():
    # Bin [0, 0.5): predicted 0.2, observed 0.5; bin [0.5, 1]: predicted 0.9, observed 1.
    found = calibration.reliability([0, 1, 1, 1], [0.1, 0.3, 0.8, 1.0], bins=2)
    assert found.expected_error == pytest.approx((2 * 0.3 + 2 * 0.1) / 4)
    assert math.isnan(calibration.reliability([np.nan], [0.5]).expected_error)


def test_brier_score_equals_scikit_learn():
    labels, probabilities = _predictions(1.0, 500)
    expected = metrics.brier_score_loss(labels, probabilities)
    assert calibration.brier_score(labels, probabilities) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_found_and_mends_the_calibration(temperature):
    labels, probabilities = _predictions(temperature)
    found = calibration.fit_temperature(labels, probabilities)
    assert found == pytest.approx(temperature, rel=0.05)
    mended = calibration.apply_temperature(probabilities, found)
    assert calibration.reliability(labels, mended).expected_error < 0.02
    order = np.argsort(probabilities)
    assert (np.diff(mended[order]) >= 0).all()


def test_what_cannot_be_calibrated():
    assert math.isnan(calibration.fit_temperature([0, 0], [0.1, 0.2]))
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\]"):
        calibration.brier_score([0, 1], [0.1, 1.2])
