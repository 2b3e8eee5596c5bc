"""The nearest vectors, against loops over all pairs."""

import numpy as np
import pytest

from pgan.search import feature_neighbours


def _vectors(count, dimension=8, seed=0):
    return np.random.default_rng(seed).standard_normal((count, dimension))


def _loops(x, y, k, x_groups=None, y_groups=None):
    """By differences in float64; of equally near ones the first."""
    positions, distances = [], []
    for i, query in enumerate(np.asarray(x, np.float64)):
        found = [
            (np.sqrt(np.square(other - query).sum()), j)
            for j, other in enumerate(np.asarray(y, np.float64))
            if x_groups is None or x_groups[i] != y_groups[j]
        ]
        found = sorted(found)[:k]
        positions.append([j for _, j in found])
        distances.append([distance for distance, _ in found])
    return np.array(positions), np.array(distances)


def _assert_as_loops(x, y, k=3, **groups):
    positions, distances = feature_neighbours.nearest_features(x, y, k, *groups.values())
    expected = _loops(x, y, k, *groups.values())
    np.testing.assert_array_equal(positions, expected[0])
    np.testing.assert_allclose(distances, expected[1], rtol=1e-12, atol=0)
    assert positions.dtype == np.int64 and distances.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 3, 50])
def test_agrees_with_loops(dtype, k):
    _assert_as_loops(_vectors(30, seed=1).astype(dtype), _vectors(50, seed=2).astype(dtype), k)


@pytest.mark.parametrize("offset", [1e3, 2.0**40])
def test_small_distances_survive_a_large_common_mean(offset):
    x, y = (np.round(_vectors(30, seed=seed) * 2**8) / 2**8 + offset for seed in (1, 2))
    _assert_as_loops(x, y)


def test_small_distances_survive_between_far_clusters():
    """No common mean to take away: products leave nothing of distances inside a cluster."""
    x, y = (np.round(_vectors(60, seed=seed) * 2**8) / 2**8 for seed in (1, 2))
    x[::2] += 2.0**40
    y[::2] += 2.0**40
    _assert_as_loops(x, y)


def test_of_equally_near_ones_the_first_are_taken():
    rng = np.random.default_rng(3)
    # Few values: most distances occur many times, many vectors are copies.
    x, y = rng.integers(0, 3, (20, 3)) * 0.1, rng.integers(0, 3, (200, 3)) * 0.1
    _assert_as_loops(x, y, 5)
    same = np.repeat(_vectors(1, 64), 300, axis=0)
    positions, distances = feature_neighbours.nearest_features(same[:2], same, 4)
    assert positions.tolist() == [[0, 1, 2, 3]] * 2
    assert (distances == 0).all()


def test_the_own_group_is_left_out():
    y = _vectors(40, seed=1)
    groups = [f"patient {i // 4}" for i in range(40)]
    _assert_as_loops(y, y, 3, x_groups=groups, y_groups=groups)
    # One whom nobody in y is of, has nothing left out.
    _assert_as_loops(y[:2], y, 3, x_groups=["patient 0", "nobody"], y_groups=groups)
    # All that is left, however far.
    few = ["a"] * 37 + ["b"] * 3
    positions, _ = feature_neighbours.nearest_features(y[:1], y, 3, ["a"], few)
    assert sorted(positions[0].tolist()) == [37, 38, 39]


@pytest.mark.parametrize("values", [1, 100, 2**24])
def test_blocks_do_not_matter(values, monkeypatch):
    monkeypatch.setattr(feature_neighbours, "_BLOCK_VALUES", values)
    groups = [f"patient {i // 4}" for i in range(40)]
    _assert_as_loops(
        _vectors(40, seed=1), _vectors(40, seed=2), 3, x_groups=groups, y_groups=groups
    )


def test_wrong_arguments():
    x, y = _vectors(4), _vectors(6)
    groups = list("aabbbc")
    for arguments, message in (
        ((x, y[:, :7]), r"\[Q, D\] and \[M, D\], got \(4, 8\) and \(6, 7\)"),
        ((x[0], y), r"got \(8,\) and \(6, 8\)"),
        ((x, y[:0]), r"got \(4, 8\) and \(0, 8\)"),
        ((x, y, 0), "k must be 1 to 6, the vectors to choose from; got 0"),
        ((x, y, 7), "k must be 1 to 6, the vectors to choose from; got 7"),
        ((x, y, 1, groups[:4]), "give the groups of both x and y, or of neither"),
        ((x, y, 1, None, groups), "give the groups of both x and y, or of neither"),
        ((x, y, 1, groups[:3], groups), "3 and 6 groups of 4 and 6 vectors"),
        ((x, y, 4, groups[:4], groups), "k must be 1 to 3, .* got 4"),
    ):
        with pytest.raises(ValueError, match=message):
            feature_neighbours.nearest_features(*arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
    x, y = _vectors(4), _vectors(6)
    broken = x.copy()
    broken[2, 3] = value
    for arguments in ((broken, y), (y, broken)):
        with pytest.raises(ValueError, match="x and y must be finite"):
            feature_neighbours.nearest_features(*arguments)
