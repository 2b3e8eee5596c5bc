"""The kernel distance, against hand numbers, moments and scikit-learn's kernel."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import pairwise

from pgan.metrics import kernel


def _features(count, dimension=4, seed=0, mean=0.0):
    return np.random.default_rng(seed).standard_normal((count, dimension)) + mean


def _rng(seed=5):
    return np.random.default_rng(seed)


def test_two_samples_by_hand():
    x, y = np.array([[1.0], [2.0]]), np.array([[0.0], [-1.0]])
    # Within: (1*2 + 1)^3 = 27 and (0 + 1)^3 = 1. Between: 1, 1, (1 - 1)^3 = 0, (1 - 2)^3 = -1.
    expected = 27 + 1 - 2 * (1 + 1 + 0 - 1) / 4
    assert kernel.squared_mmd(x, y) == pytest.approx(expected, rel=1e-14)
    mean, spread = kernel.kid(x, y, subsets=3, subset_size=2, rng=_rng())
    assert mean == pytest.approx(expected, rel=1e-14)
    assert spread == pytest.approx(0.0, abs=1e-12)


def test_agrees_with_scikit_learns_kernel():
    x, y = _features(40, 7, seed=1), _features(30, 7, seed=2, mean=0.5)
    options = {"degree": 3, "gamma": 1 / 7, "coef0": 1}
    within = [pairwise.polynomial_kernel(z, **options) for z in (x, y)]
    means = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in within]
    between = pairwise.polynomial_kernel(x, y, **options).mean()
    expected = sum(means) - 2 * between
    assert kernel.squared_mmd(x, y) == pytest.approx(expected, rel=1e-12)


def test_it_is_the_difference_of_the_moments_of_the_distributions():
    # In one dimension (a b + 1)^3 = 1 + 3 ab + 3 a^2 b^2 + a^3 b^3, so that the discrepancy is
    # 3 d1^2 + 3 d2^2 + d3^2 with the differences of the moments: N(0, 1) has 0, 1, 0 and N(1, 1)
    # has 1, 2, 4.
    x, y = _features(20_000, 1, seed=1), _features(20_000, 1, seed=2, mean=1.0)
    mean, spread = kernel.kid(x, y, subsets=200, subset_size=200, rng=_rng())
    assert mean == pytest.approx(3 + 3 + 16, abs=4 * spread / np.sqrt(200))
    assert spread < 10


def test_it_is_unbiased_at_any_subset_size():
    x, y = _features(6, seed=1), _features(6, seed=2)
    whole = kernel.squared_mmd(x, y)
    for size in (2, 3, 5):
        chosen = [list(rows) for rows in itertools.combinations(range(6), size)]
        values = [kernel.squared_mmd(x[i], y[j]) for i in chosen for j in chosen]
        assert np.mean(values) == pytest.approx(whole, rel=1e-10)
    mean, spread = kernel.kid(x, y, subsets=2000, subset_size=3, rng=_rng())
    assert mean == pytest.approx(whole, abs=4 * spread / np.sqrt(2000))


def test_half_of_the_distances_of_equal_distributions_are_negative():
    pool = _features(3000, seed=3)
    values = [
        kernel.kid(pool[:1500], pool[1500:], subsets=1, subset_size=20, rng=_rng(seed))[0]
        for seed in range(200)
    ]
    assert 60 < np.sum(np.array(values) < 0) < 160
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)


def test_subsets_are_drawn_without_replacement_from_all_samples():
    # Rows (0, ..., v, ...): with replacement a pair of the same row adds (v^2 / D + 1)^3.
    x = 100.0 * np.eye(12)
    mean, _ = kernel.kid(x, x, subsets=200, subset_size=4, rng=_rng())
    # Different rows are orthogonal: 1 within. Between, a pair is equal with probability 1 / 12.
    equal = (100.0**2 / 12 + 1) ** 3
    assert mean == pytest.approx(2 - 2 * (equal + 11) / 12, rel=0.1)
    assert kernel.squared_mmd(x, -x) == pytest.approx(2 - 2 * (11 + (1 - 1e4 / 12) ** 3) / 12)


def test_mean_and_spread_follow_the_drawn_subsets():
    x, y = _features(30, seed=1), _features(25, seed=2)
    rng, values = _rng(8), []
    for _ in range(7):
        rows, columns = rng.choice(30, 9, replace=False), rng.choice(25, 9, replace=False)
        values.append(kernel.squared_mmd(x[rows], y[columns]))
    found = kernel.kid(x, y, subsets=7, subset_size=9, rng=_rng(8))
    np.testing.assert_allclose(found, [np.mean(values), np.std(values)], rtol=1e-12)
    assert found == kernel.kid(x, y, subsets=7, subset_size=9, rng=_rng(8))
    assert found != kernel.kid(x, y, subsets=7, subset_size=9, rng=_rng(9))


def test_order_and_single_precision_do_not_matter():
    x, y = _features(50, 16, seed=1), _features(50, 16, seed=2, mean=0.3)
    value, _ = kernel.kid(x, y, subsets=1, subset_size=50, rng=_rng())
    shuffled = _rng(1).permutation(50)
    assert kernel.kid(x[shuffled], y, 1, 50, rng=_rng())[0] == pytest.approx(value, rel=1e-10)
    assert kernel.kid(y, x, 1, 50, rng=_rng())[0] == pytest.approx(value, rel=1e-10)
    single = kernel.squared_mmd(x.astype(np.float32), y.astype(np.float32))
    assert single == pytest.approx(value, rel=1e-5)
    assert single == kernel.squared_mmd(*(np.float64(np.float32(z)) for z in (x, y)))


def test_too_few_samples_are_refused_with_what_would_fit():
    x, y = _features(70), _features(50)
    with pytest.raises(ValueError, match="sets of 70 and 50; the largest .* fits is 50"):
        kernel.kid(x, y, rng=_rng())
    kernel.kid(x, y, subsets=1, subset_size=50, rng=_rng())
    with pytest.raises(ValueError, match="fits is 50"):
        kernel.kid(x, y, subset_size=51, rng=_rng())
    with pytest.raises(ValueError, match="at least 2, got 1"):
        kernel.kid(x, y, subset_size=1, rng=_rng())
    with pytest.raises(ValueError, match="at least 1, got 0"):
        kernel.kid(x, y, subsets=0, subset_size=10, rng=_rng())


def test_bad_features_are_refused():
    x = _features(10)
    with pytest.raises(ValueError, match=r"y must have shape \[N, D\]"):
        kernel.kid(x, np.zeros(4), rng=_rng())
    with pytest.raises(ValueError, match="same extractor"):
        kernel.kid(x, _features(10, 5), rng=_rng())
    with pytest.raises(ValueError, match="x is not finite"):
        kernel.kid(np.where(x > 0, np.nan, x), x, rng=_rng())
