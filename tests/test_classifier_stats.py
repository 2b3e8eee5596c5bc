"""Point statistics against scikit-learn, SciPy and brute force."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import metrics

from classifier import stats


def _case(seed, count=300, ties=False, unknown=0):
    generator = np.random.default_rng(seed)
    labels = (generator.random(count) < 0.3).astype(float)
    scores = 1 / (1 + np.exp(-generator.normal(labels - 0.5)))
    if ties:
        scores = np.round(scores, 1)
    labels[:unknown] = np.nan
    return labels, scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_areas_equal_scikit_learn(seed, ties):
    labels, scores = _case(seed, ties=ties)
    assert stats.roc_auc(labels, scores) == pytest.approx(
        metrics.roc_auc_score(labels, scores), abs=1e-12
    )
    assert stats.average_precision(labels, scores) == pytest.approx(
        metrics.average_precision_score(labels, scores), abs=1e-12
    )


def test_auc_counts_pairs_and_a_tie_as_half():
    # Pairs of (positive, negative): 0.8 beats 0.1 and 0.5; 0.5 beats 0.1 and ties with 0.5.
    assert stats.roc_auc([1, 1, 0, 0], [0.8, 0.5, 0.5, 0.1]) == 3.5 / 4


def test_unknown_labels_are_left_out():
    labels, scores = _case(1, unknown=50)
    assert stats.roc_auc(labels, scores) == stats.roc_auc(labels[50:], scores[50:])


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], [np.nan, 0, 0]])
def test_what_is_not_defined_is_nan_and_not_a_half(labels):
    assert math.isnan(stats.roc_auc(labels, [0.1, 0.2, 0.3]))
    assert math.isnan(stats.corner_threshold(labels, [0.1, 0.2, 0.3]))


def test_broken_scores_and_labels_are_refused():
    with pytest.raises(ValueError, match="1 of 2 scores are not finite"):
        stats.roc_auc([0, 1], [0.5, np.nan])
    with pytest.raises(ValueError, match="labels must be 0, 1 or NaN"):
        stats.roc_auc([0, 0.5], [0.5, 0.5])
    with pytest.raises(ValueError, match="same shape"):
        stats.roc_auc([0, 1, 1], [0.5, 0.5])
    # The score of an image of unknown label does not matter.
    assert stats.roc_auc([0, 1, np.nan], [0.1, 0.9, np.nan]) == 1.0


def test_roc_curve_equals_scikit_learn():
    labels, scores = _case(4, ties=True)
    for ours, theirs in zip(
        stats.roc_curve(labels, scores),
        metrics.roc_curve(labels, scores, drop_intermediate=False),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_threshold_is_nearest_to_the_corner_of_all_cuts(ties):
    labels, scores = _case(5, ties=ties)
    threshold = stats.corner_threshold(labels, scores)

    def distance(cut):
        found = stats.decisions(labels, scores, cut)
        return (1 - found["specificity"]) ** 2 + (1 - found["sensitivity"]) ** 2

    cuts = np.linspace(-0.01, 1.01, 2001)
    assert distance(threshold) <= min(distance(cut) for cut in cuts) + 1e-12
    assert not np.isin(threshold, scores)


def test_threshold_of_a_hopeless_classifier_is_still_one():
    # The corner is nearest where nothing is called or everything is.
    assert np.isfinite(stats.corner_threshold([1, 0], [0.2, 0.7]))


def test_decisions_equal_scikit_learn():
    labels, scores = _case(6)
    found, called = stats.decisions(labels, scores, 0.4), scores >= 0.4
    expected = {
        "accuracy": metrics.accuracy_score(labels, called),
        "sensitivity": metrics.recall_score(labels, called),
        "specificity": metrics.recall_score(labels, called, pos_label=0),
        "ppv": metrics.precision_score(labels, called),
        "npv": metrics.precision_score(labels, called, pos_label=0),
        "f1": metrics.f1_score(labels, called),
    }
    assert tuple(found) == stats.RATES == tuple(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def test_a_score_on_the_threshold_is_a_positive_and_zero_over_zero_nothing():
    assert stats.decisions([1, 0], [0.5, 0.4], 0.5)["accuracy"] == 1.0
    assert math.isnan(stats.decisions([1, 0], [0.5, 0.4], 0.9)["ppv"])


@pytest.mark.parametrize("ties", [False, True])
def test_delong_equals_brute_force(ties):
    labels, first = _case(7, count=60, ties=ties)
    second = np.clip(first + np.random.default_rng(1).normal(0, 0.3, 60), 0, 1)
    if ties:
        second = np.round(second, 1)
    found = stats.delong(labels, first, second)
    kernels = []
    for scores in (first, second):
        x, y = scores[labels == 1][:, None], scores[labels == 0][None]
        kernels.append((x > y) + 0.5 * (x == y))
    kernels = np.array(kernels)
    s10 = np.cov(kernels.mean(axis=2)) / kernels.shape[1]
    s01 = np.cov(kernels.mean(axis=1)) / kernels.shape[2]
    np.testing.assert_allclose(found.covariance, s10 + s01, atol=1e-12)
    np.testing.assert_allclose([found.first, found.second], kernels.mean(axis=(1, 2)), atol=1e-12)
    variance = np.array([1, -1]) @ (s10 + s01) @ np.array([1, -1])
    z = (found.first - found.second) / math.sqrt(variance)
    assert found.p_value == pytest.approx(2 * scipy_stats.norm.sf(abs(z)), abs=1e-12)


def test_delong_of_a_classifier_with_itself():
    labels, scores = _case(8)
    assert stats.delong(labels, scores, scores).p_value == 1.0
    with pytest.raises(ValueError, match="two positives and two negatives, got 1 and 2"):
        stats.delong([1, 0, 0], [1, 2, 3], [1, 2, 3])


def test_holm_by_hand():
    # 0.01 * 4, then 0.02 * 3, then 0.03 * 2 = 0.06 is not below the one before, then 0.04 * 1.
    adjusted = stats.holm([0.04, 0.01, np.nan, 0.03, 0.02])
    np.testing.assert_allclose(adjusted, [0.06, 0.04, np.nan, 0.06, 0.06])
    np.testing.assert_allclose(stats.holm([0.9, 0.8]), [1.0, 1.0])
