"""Power and sample sizes by hand, by simulation, and both ways."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from classifier import power, stats


def test_power_by_hand_and_both_ways():
    assert power.binomial_sd(0.5, 100) == pytest.approx(0.05)
    difference = power.detectable_difference(0.6, 300)
    assert difference == pytest.approx((1.959964 + 0.841621) * math.sqrt(0.24 / 300), rel=1e-6)
    assert power.sample_size(0.6, difference) in (300, 301)
    with pytest.raises(ValueError, match="difference must be positive"):
        power.sample_size(0.5, 0.0)


def test_expected_spread_of_an_auc_in_a_simulation():
    # Exponential scores, for which Hanley and McNeil's formula is exact; P(x > y) = 0.75.
    generator = np.random.default_rng(0)
    labels = np.repeat([1, 0], [30, 60])
    aucs = [
        stats.roc_auc(
            labels, np.concatenate([generator.exponential(3.0, 30), generator.exponential(1.0, 60)])
        )
        for _ in range(2000)
    ]
    assert np.mean(aucs) == pytest.approx(0.75, abs=0.005)
    assert np.std(aucs) == pytest.approx(power.hanley_mcneil_sd(0.75, 30, 60), rel=0.05)


def test_auc_sample_size_is_the_inverse_and_has_the_power_it_says():
    least = power.detectable_auc_difference(0.75, 120, 240, 0.0)
    assert power.auc_sample_size(0.75, least, 2.0, 0.0) == 120
    assert power.auc_sample_size(0.75, 0.99 * least, 2.0, 0.0) > 120
    # Two binormal classifiers with uncorrelated scores, tested by DeLong's method.
    random = np.random.default_rng(0)
    found, runs = 0, 400
    labels = np.repeat((1, 0), (120, 240))
    shifts = [
        np.sqrt(2) * scipy_stats.norm.ppf(auc) for auc in (0.75 - least / 2, 0.75 + least / 2)
    ]
    for _ in range(runs):
        first, second = (random.normal(size=360) + shift * labels for shift in shifts)
        found += stats.delong(labels, first, second).p_value < 0.05
    # Three standard errors of a share of 0.8 are 0.06; Hanley and McNeil's SD is an approximation.
    assert 0.72 < found / runs < 0.9
    with pytest.raises(ValueError, match="correlation must be in"):
        power.detectable_auc_difference(0.75, 10, 10, 1.0)
    with pytest.raises(ValueError, match="must be positive"):
        power.auc_sample_size(0.75, 0.0)
