"""The Frechet distance, against closed forms and SciPy's matrix root."""

import numpy as np
import pytest
from scipy import linalg

from pgan.metrics import frechet


def _features(count, dimension=8, seed=0, mean=0.0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((dimension, dimension))
    return rng.standard_normal((count, dimension)) @ mixing + mean


def _gaussian(mean, variances):
    return frechet.Statistics(np.array(mean, float), np.diag(np.array(variances, float)), 100)


def test_statistics_of_three_samples_by_hand():
    found = frechet.statistics(np.array([[1.0, 0.0], [2.0, 0.0], [6.0, 3.0]]))
    assert found.count == 3
    np.testing.assert_allclose(found.mean, [3.0, 1.0])
    # Divisor N - 1: sums of squares 4 + 1 + 9 and 1 + 1 + 4, of products 2 + 1 + 6.
    np.testing.assert_allclose(found.covariance, [[7.0, 4.5], [4.5, 3.0]])


@pytest.mark.parametrize("sizes", [[1] * 60, [60], [7, 50, 3], [1, 0, 59]])
def test_statistics_do_not_depend_on_the_batches(sizes):
    features = _features(60)
    accumulator = frechet.Accumulator()
    for batch in np.split(features, np.cumsum(sizes)[:-1]):
        accumulator.add(batch)
    found = accumulator.statistics()
    np.testing.assert_allclose(found.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(features, rowvar=False), atol=1e-12)


def test_a_large_common_mean_does_not_drown_the_covariance():
    small, large = _features(200), _features(200, mean=1e7)
    np.testing.assert_allclose(
        frechet.statistics(large).covariance, frechet.statistics(small).covariance, rtol=1e-6
    )


def test_distance_of_gaussians_with_diagonal_covariances():
    # |m1 - m2|^2 + sum (s1 - s2)^2 = 3^2 + 4^2 + (2 - 1)^2 + (3 - 5)^2
    a, b = _gaussian([0, 0], [4, 9]), _gaussian([3, 4], [1, 25])
    assert frechet.distance(a, b) == pytest.approx(30.0, rel=1e-12)
    assert frechet.distance(b, a) == pytest.approx(30.0, rel=1e-12)


def test_distance_agrees_with_scipys_matrix_root():
    a = frechet.statistics(_features(100, seed=1))
    b = frechet.statistics(_features(100, seed=2) * np.linspace(0.5, 2, 8) + 0.3)
    root = linalg.sqrtm(a.covariance @ b.covariance).real
    expected = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance + b.covariance - 2 * root)
    assert frechet.distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_distance_of_fewer_samples_than_dimensions():
    a = frechet.statistics(_features(5, dimension=32, seed=1))
    b = frechet.statistics(_features(6, dimension=32, seed=2))
    # Independent of the route: Tr (C1 C2)^(1/2) is the nuclear norm of X1 X2' for C = X' X.
    factors = [
        (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
        for x in (_features(5, 32, seed=1), _features(6, 32, seed=2))
    ]
    overlap = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    expected = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance + b.covariance) - 2 * overlap
    # Zero eigenvalues come out of eigh at about 1e-16 of the largest, their roots at 1e-8.
    assert frechet.distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_distance_to_itself_is_zero_and_never_negative():
    for count in (10, 300):
        statistics = frechet.statistics(_features(count, dimension=64))
        scale = np.trace(statistics.covariance)
        assert 0 <= frechet.distance(statistics, statistics) < 1e-6 * scale


def test_a_clearly_negative_distance_is_refused():
    # No covariance: its negative trace makes the sum negative.
    broken = frechet.Statistics(np.zeros(2), np.array([[1.0, 0.0], [0.0, -0.9]]), 10)
    with pytest.raises(ArithmeticError, match="not positive semidefinite"):
        frechet.distance(_gaussian([0, 0], [1, 0.01]), broken)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"\[N, D\]"):
        frechet.statistics(np.zeros(3))
    with pytest.raises(ValueError, match="not finite"):
        frechet.statistics(np.array([[0.0], [np.nan]]))
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        frechet.statistics(np.zeros((1, 3)))
    accumulator = frechet.Accumulator()
    accumulator.add(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="4 entries, earlier ones 3"):
        accumulator.add(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="same extractor"):
        frechet.distance(_gaussian([0], [1]), _gaussian([0, 0], [1, 1]))


def test_joint_distance_by_hand():
    """Independent entries: a label of variance 4 and mean 0, so half as long as the feature."""
    real = frechet.Statistics(np.array([0.0, 0.0]), np.diag([16.0, 4.0]), 10)
    moved = frechet.Statistics(np.array([1.0, 3.0]), np.diag([16.0, 4.0]), 10)
    # The label is doubled: 1^2 + (2 * 3)^2.
    assert frechet.joint_distance(moved, real, 1) == pytest.approx(37)
    silent = frechet.Statistics(np.array([0.0, 0.0]), np.diag([16.0, 0.0]), 10)
    assert frechet.joint_distance(moved, silent, 1) == pytest.approx(1)


def test_joint_distance_sees_labels_that_belong_to_other_images():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, (4000, 1)).astype(float)
    features = generator.standard_normal((4000, 3)) + labels
    right = frechet.statistics(np.hstack([features, labels]))
    wrong = frechet.statistics(np.hstack([features, 1 - labels]))
    assert frechet.distance(right.first(3), wrong.first(3)) == pytest.approx(0, abs=1e-9)
    # E of |shift|^2 over the labels, 3, is what it approaches for labels of much weight.
    assert 1 < frechet.joint_distance(wrong, right, 1) < 4
    assert frechet.joint_distance(right, right, 1) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="cannot be compared"):
        frechet.joint_distance(right.first(3), right, 1)
