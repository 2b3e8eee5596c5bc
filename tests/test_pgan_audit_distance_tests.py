"""Nearer to training patients than to others? The tests under their null hypothesis, and not."""

import numpy as np
import pytest
from scipy import stats

from pgan.audit import distance_tests


def _nearest(x, y):
    """Place and distance of the nearest of y."""
    distances = np.linalg.norm(x[:, np.newaxis] - y, axis=2)
    return distances.argmin(axis=1), distances.min(axis=1)


def _pool(rng, pairs=30, images=3):
    """Patients in the plane with some images near each other: members, others, and whose."""
    numbers = np.repeat(np.arange(pairs), images)
    sides = [
        rng.normal(size=(pairs, 2))[numbers] + 0.2 * rng.normal(size=(len(numbers), 2))
        for _ in range(2)
    ]
    return *sides, numbers


def _preference(synthetic, members, others, numbers, rng):
    place, _ = _nearest(synthetic, np.concatenate([members, others]))
    pairs = numbers.max() + 1
    return distance_tests.preference(np.tile(numbers, 2)[place], place < len(members), pairs, rng)


# Preference


@pytest.fixture(scope="module")
def null_studies():
    """Tests of 200 generators that know nobody."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distance_tests, "PERMUTATIONS", 400)
        for number in range(200):
            rng = np.random.default_rng([1, number])
            found.append(_preference(rng.normal(size=(200, 2)), *_pool(rng, pairs=15), rng))
    return found


def test_p_values_are_uniform_without_memory(null_studies):
    p_values = np.array([found.p_value for found in null_studies])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    # Never more often small than it says, but for luck: 0.05 of 200 has a deviation of 0.015.
    assert np.mean(p_values <= 0.05) < 0.10


def test_the_interval_of_the_share_holds_one_half_without_memory(null_studies):
    held = [found.interval.low <= 0.5 <= found.interval.high for found in null_studies]
    assert 0.85 < np.mean(held) < 0.995
    assert np.mean([found.share for found in null_studies]) == pytest.approx(0.5, abs=0.02)


def test_images_that_pick_the_same_patient_are_no_independent_evidence(null_studies):
    """Taken as such, luck is found too often: by the binomial test, in more than 5 % of studies."""
    p_values = stats.binom.sf([200 * found.share - 0.5 for found in null_studies], 200, 0.5)
    assert np.mean(p_values <= 0.05) > 0.12


def test_copies_of_members_are_noticed():
    rng = np.random.default_rng(2)
    members, others, numbers = _pool(rng)
    copied = members[rng.integers(0, len(members), 30)]
    copied = copied + 0.01 * rng.normal(size=copied.shape)
    synthetic = np.concatenate([copied, rng.normal(size=(70, 2))])
    found = _preference(synthetic, members, others, numbers, rng)
    assert found.images == 100
    assert found.share > 0.6 and found.interval.low > 0.5
    assert found.p_value < 0.01
    # One-sided: a generator that copies the others is not one that copies members.
    swapped = _preference(synthetic, others, members, numbers, rng)
    assert swapped.share == pytest.approx(1 - found.share)
    assert swapped.p_value > 0.99


def test_a_single_patient_who_is_copied_is_no_significant_preference():
    """By exchange of one pair nothing below one half can be reached."""
    rng = np.random.default_rng(2)
    found = distance_tests.preference(np.full(50, 3), np.full(50, True), 10, rng)
    assert found.share == 1.0
    assert found.p_value == pytest.approx(0.5, abs=0.02)


def test_the_p_value_by_hand():
    """Differences 2, 1 and -1: of eight exchanges 2 + 1 + 1 and both sums of 2 reach theirs."""
    pairs = np.array([0, 0, 1, 2])
    is_member = np.array([True, True, True, False])
    found = distance_tests.preference(pairs, is_member, 3, np.random.default_rng(0))
    assert found.share == 0.75
    assert found.p_value == pytest.approx(3 / 8, abs=0.02)


def test_never_sure():
    """The exchange that is no exchange counts: p is at least 1 / (permutations + 1)."""
    pairs = np.arange(200)
    found = distance_tests.preference(pairs, np.full(200, True), 200, np.random.default_rng(0))
    assert found.p_value == 1 / (distance_tests.PERMUTATIONS + 1)


@pytest.mark.parametrize("images, pairs", [(0, 5), (4, 0)])
def test_nothing_to_compare_is_refused(images, pairs):
    nothing = np.zeros(images, np.int64), np.zeros(images, bool)
    with pytest.raises(ValueError, match=f"{images} images and {pairs} pairs of patients"):
        distance_tests.preference(*nothing, pairs, np.random.default_rng(0))


# Distances to the training images


def _copying(synthetic, held_out, patients=None):
    patients = [f"p{i}" for i in range(len(held_out))] if patients is None else patients
    return distance_tests.copying_test(synthetic, held_out, patients, np.random.default_rng(0))


def test_copying_has_the_sign_of_meehan_et_al():
    """C_T far below 0: data copying; far above 0: underfitting (section 3 of the paper)."""
    rng = np.random.default_rng(3)
    train, held_out = rng.normal(size=(300, 2)), rng.normal(size=(200, 2))
    _, others = _nearest(held_out, train)
    copies = train[:150] + 0.001 * rng.normal(size=(150, 2))
    found = _copying(_nearest(copies, train)[1], others)
    assert found.nearer > 0.9 and found.interval.low > 0.9
    assert found.z < -10
    found = _copying(_nearest(3 * rng.normal(size=(150, 2)), train)[1], others)
    assert found.nearer < 0.3 and found.interval.high < 0.4
    assert found.z > 5
    found = _copying(_nearest(rng.normal(size=(150, 2)), train)[1], others)
    assert found.interval.low < 0.5 < found.interval.high
    assert abs(found.z) < 3


@pytest.mark.parametrize("decimals", [12, 1])  # without ties and with many
def test_z_is_that_of_the_mann_whitney_test(decimals):
    rng = np.random.default_rng(4)
    synthetic = np.round(rng.exponential(1.0, 60), decimals)
    held_out = np.round(rng.exponential(1.3, 45), decimals)
    found = _copying(synthetic, held_out)
    expected = stats.mannwhitneyu(
        synthetic, held_out, use_continuity=False, alternative="less", method="asymptotic"
    )
    assert found.nearer == pytest.approx(1 - expected.statistic / (60 * 45), abs=1e-12)
    assert stats.norm.cdf(found.z) == pytest.approx(expected.pvalue, rel=1e-9)


def test_z_of_ranks_by_hand():
    """Without ties the deviation of the paper, sqrt(mn (m + n + 1) / 12), here sqrt(4)."""
    found = _copying(np.array([1.0, 2.0, 4.0]), np.array([3.0, 5.0]))
    # Five of six pairs have the synthetic image nearer: 2 above the mean of 3.
    assert found.nearer == pytest.approx(5 / 6)
    assert found.z == pytest.approx(-2 / np.sqrt(3 * 2 * 6 / 12))


def test_equal_distances_say_nothing():
    found = _copying(np.ones(5), np.ones(7))
    assert (found.nearer, found.z) == (0.5, 0.0)


def test_held_out_images_of_a_patient_stand_together():
    rng = np.random.default_rng(5)
    synthetic, held_out = rng.normal(10, 1, 500), np.repeat(rng.normal(10, 1, 10), 20)
    alone = _copying(synthetic, held_out).interval
    together = _copying(synthetic, held_out, np.repeat(np.arange(10), 20).astype(str)).interval
    assert together.high - together.low > 2 * (alone.high - alone.low)


# Authenticity


def test_authenticity_is_the_right_way_round():
    """Alaa et al. 2022: authentic is what is farther than the real one's own nearest real one."""
    rng = np.random.default_rng(6)
    train = rng.normal(size=(200, 2))
    apart = np.sort(np.linalg.norm(train[:, np.newaxis] - train, axis=2), axis=1)[:, 1]

    def authenticity(synthetic):
        place, distance = _nearest(synthetic, train)
        return distance_tests.authenticity(distance, apart[place])

    assert authenticity(train + 1e-6) == 0.0
    assert authenticity(train + 20) == 100.0
    assert 30 < authenticity(rng.normal(size=(2000, 2))) < 80


def test_authenticity_by_hand():
    # As far is not farther.
    assert distance_tests.authenticity([1, 2, 3, 0], [0.5, 2, 4, 0]) == 25.0
