"""Precision, recall, density and coverage, against points on a line and brute force."""

import numpy as np
import pytest

from pgan.metrics import manifold


def _points(count, dimension=6, seed=0, mean=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    return scale * rng.standard_normal((count, dimension)) + mean


def _radius(points, index, k):
    others = [np.sum((points[index] - p) ** 2) for j, p in enumerate(points) if j != index]
    return sorted(others)[k - 1]


def _brute_force(real, fake, k, compare):
    """Loops over pairs: balls of reals around fakes [M], balls of fakes around reals [N], and
    fakes in the balls of reals [N]."""
    around_fakes, around_reals = np.zeros(len(fake), int), np.zeros(len(real), int)
    held = np.zeros(len(real), int)
    radii = [[_radius(points, i, k) for i in range(len(points))] for points in (real, fake)]
    for i, r in enumerate(real):
        for j, f in enumerate(fake):
            distance = np.sum((r - f) ** 2)
            around_fakes[j] += compare(distance, radii[0][i])
            held[i] += compare(distance, radii[0][i])
            around_reals[i] += compare(distance, radii[1][j])
    return around_fakes, around_reals, held


def _line(*values):
    return np.array(values, float)[:, np.newaxis]


def test_points_on_a_line_by_hand():
    # Radii for k = 1: of the reals 1, 1, 2, 7; of the fakes 1.5, 1.5, 13.
    real, fake = _line(0, 1, 3, 10), _line(0.5, 2, 15)
    # 0.5 and 2 lie in balls of reals, and so does 15: at 5 <= 7 from 10.
    # 0, 1, 3 lie within 1.5 of a fake, and 10 within 13 of 15.
    assert manifold.precision_recall(real, fake, k=1) == (1.0, 1.0)
    # Reals' balls: 0.5 lies in those of 0 and 1; 2 in that of 3, and on the border of that of 1;
    # 15 in that of 10; the ball of 10 ends at 3 and holds neither 2 nor 0.5.
    density, coverage = manifold.density_coverage(real, fake, k=1)
    assert density == pytest.approx((2 + 1 + 1) / 3)
    assert coverage == 1.0
    assert manifold.precision_recall(real, _line(40, 41), k=1) == (0.0, 0.0)
    assert manifold.density_coverage(real, _line(40, 41), k=1) == (0.0, 0.0)


def test_the_radius_leaves_the_point_itself_out():
    # Were a point its own first neighbour, all radii would be 0.
    real, fake = _line(0, 4), _line(3, -1, 100)
    assert manifold.precision_recall(real, fake, k=1)[0] == pytest.approx(2 / 3)
    # For k = 2 the reals' radii would have to reach a second other point.
    with pytest.raises(ValueError, match="real set has 2 points, of which each has 1 neigh"):
        manifold.precision_recall(real, fake, k=2)


def test_borders_belong_to_precision_but_not_to_density():
    real = _line(0, 1)  # Radius 1 each.
    fake = _line(2, -1)  # Both exactly on a border.
    assert manifold.precision_recall(real, fake, k=1)[0] == 1.0
    assert manifold.density_coverage(real, fake, k=1) == (0.0, 0.0)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_agrees_with_loops(k):
    real, fake = _points(60, seed=1), _points(45, seed=2, mean=0.4, scale=1.3)
    around_fakes, around_reals, _ = _brute_force(real, fake, k, np.less_equal)
    assert manifold.precision_recall(real, fake, k) == (
        np.mean(around_fakes > 0),
        np.mean(around_reals > 0),
    )
    around_fakes, _, held = _brute_force(real, fake, k, np.less)
    assert manifold.density_coverage(real, fake, k) == (
        np.sum(around_fakes) / (k * 45),
        np.mean(held > 0),
    )


@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_ties_are_decided_exactly(mean):
    # Few values in few dimensions: most distances occur many times, many points are copies.
    rng = np.random.default_rng(4)
    real, fake = rng.integers(0, 3, (70, 3)) * 0.1, rng.integers(0, 3, (50, 3)) * 0.1
    real, fake = real + mean, fake + mean
    for k in (1, 3):
        around_fakes, around_reals, _ = _brute_force(real, fake, k, np.less_equal)
        expected = np.mean(around_fakes > 0), np.mean(around_reals > 0)
        assert manifold.precision_recall(real, fake, k) == expected
        around_fakes, _, held = _brute_force(real, fake, k, np.less)
        expected = np.sum(around_fakes) / (k * 50), np.mean(held > 0)
        assert manifold.density_coverage(real, fake, k) == expected


def test_copies_of_the_reals_lie_on_the_borders():
    # Each real's own copy is in its ball, k - 1 copies of neighbours are, and the k-th lies exactly
    # on the border, where a product's rounding would decide.
    for dtype in (np.float32, np.float64):
        real = _points(200, 64, seed=3, mean=100.0).astype(dtype)
        assert manifold.precision_recall(real, real.copy()) == (1.0, 1.0)
        density, coverage = manifold.density_coverage(real, real.copy())
        assert (density, coverage) == (1.0, 1.0)


def test_equal_points_have_no_radius():
    same = np.full((20, 5), 0.1)
    assert manifold.precision_recall(same, same) == (1.0, 1.0)
    assert manifold.precision_recall(same, same + 1e-9) == (0.0, 0.0)
    assert manifold.density_coverage(same, same) == (0.0, 0.0)


def test_small_distances_survive_a_large_common_mean():
    # In the plain formula |a|^2 of 1e16 leaves nothing of squared distances of about 1.
    real, fake = _points(80, seed=1), _points(80, seed=2, mean=0.5)
    far = [np.round(z * 2**20) / 2**20 for z in (real, fake)]  # So that the sum is exact.
    shifted = [z + 2.0**26 for z in far]
    assert manifold.precision_recall(*shifted) == manifold.precision_recall(*far)
    assert manifold.density_coverage(*shifted) == manifold.density_coverage(*far)


def test_small_distances_survive_between_far_clusters():
    # No common mean to take away: products leave nothing of the distances inside a cluster.
    sets = [_points(40, seed=seed) for seed in (1, 2)]
    for points in sets:
        points[::2] += 1e9
    around_fakes, around_reals, _ = _brute_force(*sets, 3, np.less_equal)
    expected = np.mean(around_fakes > 0), np.mean(around_reals > 0)
    assert manifold.precision_recall(*sets) == expected
    assert 0 < min(expected) and max(expected) < 1
    around_fakes, _, held = _brute_force(*sets, 3, np.less)
    expected = np.sum(around_fakes) / (3 * 40), np.mean(held > 0)
    assert manifold.density_coverage(*sets, k=3) == expected


def test_a_collapsed_set_is_precise_and_recalls_little():
    real = _points(300, 8, seed=1)
    collapsed = np.repeat(real[:5], 60, axis=0) + _points(300, 8, seed=2, scale=0.01)
    precision, recall = manifold.precision_recall(real, collapsed)
    assert precision > 0.95 and recall < 0.1
    assert manifold.precision_recall(collapsed, real) == (recall, precision)
    _, coverage = manifold.density_coverage(real, collapsed)
    assert coverage < 0.25


def test_a_too_wide_set_recalls_and_is_imprecise():
    real, wide = _points(300, 8, seed=1), _points(300, 8, seed=2, scale=3.0)
    precision, recall = manifold.precision_recall(real, wide)
    assert precision < 0.3 and recall > 0.9


def test_density_of_equal_distributions_is_about_one():
    density, coverage = manifold.density_coverage(_points(400, seed=1), _points(400, seed=2))
    assert density == pytest.approx(1.0, abs=0.1)
    # Naeem et al., equation 11: 1 - prod_(i = 1..k) of (N - i) / (2N - i), about 1 - 2^-k.
    assert coverage == pytest.approx(1 - 2**-5, abs=0.03)


@pytest.mark.parametrize("block", [1, 100, 1700])
def test_blocks_and_order_do_not_matter(block, monkeypatch):
    real, fake = _points(70, seed=1), _points(60, seed=2, mean=0.3)
    expected = manifold.precision_recall(real, fake), manifold.density_coverage(real, fake)
    monkeypatch.setattr(manifold, "_BLOCK", block)
    monkeypatch.setattr(manifold, "_PAIRS", block)
    rng = np.random.default_rng(1)
    real, fake = real[rng.permutation(70)], fake[rng.permutation(60)]
    found = manifold.precision_recall(real, fake), manifold.density_coverage(real, fake)
    assert found == expected


def test_bad_input_is_refused():
    real = _points(10)
    with pytest.raises(ValueError, match="fake set has 3 points, .* got 3"):
        manifold.precision_recall(real, real[:3])
    with pytest.raises(ValueError, match="k must be from 1 to that, got 0"):
        manifold.density_coverage(real, real, k=0)
    with pytest.raises(ValueError, match=r"fake must have shape \[N, D\], got \(6,\)"):
        manifold.precision_recall(real, real[0])
    with pytest.raises(ValueError, match="real is not finite"):
        manifold.density_coverage(np.where(real > 0, np.inf, real), real)
    with pytest.raises(ValueError, match="same extractor"):
        manifold.density_coverage(real, real[:, :3])
    # One synthetic point is enough for density and coverage.
    assert manifold.density_coverage(real, real[:1])[1] > 0
