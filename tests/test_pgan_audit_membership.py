"""ROC of membership attacks against scikit-learn and by hand; intervals; pairs of patients."""

import collections

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from pgan.audit import membership


def _attack(members, others, member_patients=None, other_patients=None, seed=0, **settings):
    """Every image is of a patient of its own unless said otherwise."""
    if member_patients is None:
        member_patients = [f"m{i}" for i in range(len(members))]
    if other_patients is None:
        other_patients = [f"o{i}" for i in range(len(others))]
    rng = np.random.default_rng(seed)
    return membership.attack(
        "test", members, others, member_patients, other_patients, rng, **settings
    )


# The curve


@pytest.mark.parametrize("values", [None, 4, 1])  # no ties, many ties, nothing but ties
def test_auc_is_that_of_scikit_learn(values):
    rng = np.random.default_rng(1)
    members, others = rng.normal(0.4, 1, 57), rng.normal(0, 1, 83)
    if values:
        members, others = (np.round(part * values / 4) for part in (members, others))
    if values == 1:
        members, others = members * 0, others * 0
    truth = np.repeat([1, 0], [57, 83])
    expected = metrics.roc_auc_score(truth, np.concatenate([members, others]))
    assert _attack(members, others, resamples=10).auc == pytest.approx(expected, abs=1e-12)
    swapped = _attack(-others, -members, resamples=10)
    assert swapped.auc == pytest.approx(expected, abs=1e-12)


def test_auc_of_resamples_is_that_of_scikit_learn():
    """Of weighted images, with ties."""
    rng = np.random.default_rng(1)
    members, others = rng.integers(0, 5, 20) + 1.0, rng.integers(0, 5, 30) + 0.0
    weights = rng.integers(0, 4, (3, 20)), rng.integers(0, 4, (3, 30))
    found = membership._Curve(members, others).auc(*weights)
    truth, scores = np.repeat([1, 0], [20, 30]), np.concatenate([members, others])
    for row, *both in zip(found, *weights, strict=True):
        expected = metrics.roc_auc_score(truth, scores, sample_weight=np.concatenate(both))
        assert row == pytest.approx(expected, abs=1e-12)


def test_tpr_by_hand():
    # Of 1000 others 10 may be above the threshold: those with 991 to 1000.
    others = np.arange(1, 1001)
    members = np.array([990, 990.5, 991, 2000.0])
    assert _attack(members, others, resamples=10).tpr == 0.75
    # An other image at the threshold itself cannot be parted from members there: with eleven
    # equal ones at the top, no threshold is low enough to take any member with them.
    tied = np.append(np.arange(989), np.full(11, 1000.0))
    assert _attack(np.full(4, 1000.0), tied, resamples=10).tpr == 0.0
    assert _attack(np.array([1000, 1001, 1002, 3.0]), tied, resamples=10).tpr == 0.5
    # Of 599 others 1 % are 5.99, so that five may be above it and six may not.
    others = np.arange(599)
    assert _attack(np.array([593.5, 592.5]), others, resamples=10).tpr == 0.5


def test_tpr_is_that_of_scikit_learn():
    rng = np.random.default_rng(2)
    for scores in (rng.normal(size=1500), rng.integers(0, 300, 1500)):
        members, others = scores[:500] + 1, scores[500:]
        fpr, tpr, _ = metrics.roc_curve(
            np.repeat([1, 0], [500, 1000]),
            np.concatenate([members, others]),
            drop_intermediate=False,
        )
        expected = tpr[fpr <= 0.01].max()
        assert _attack(members, others, resamples=10).tpr == pytest.approx(expected, abs=1e-12)


def test_tpr_at_luck_and_at_certainty():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=8000)
    by_luck = _attack(scores[:4000], scores[4000:], resamples=200)
    assert by_luck.tpr == pytest.approx(0.01, abs=0.008)
    assert by_luck.tpr_interval.low < 0.01 < by_luck.tpr_interval.high
    # Sure of one member in twenty and ignorant of the others.
    scores[:200] += 100
    few = _attack(scores[:4000], scores[4000:], resamples=200)
    assert few.auc < 0.55 and few.tpr == pytest.approx(0.06, abs=0.01)
    assert few.tpr_interval.low > 0.04


def test_tpr_needs_500_others():
    rng = np.random.default_rng(0)
    found = _attack(rng.normal(size=300), rng.normal(size=499), resamples=10)
    assert found.tpr is None and found.tpr_interval is None
    assert found.reason == "not resolvable: 1 % of 499 others are 5.0 images; 500 are needed"
    found = _attack(rng.normal(size=3), rng.normal(size=500), resamples=10)
    assert found.tpr is not None and found.tpr_interval is not None and found.reason == ""


# Intervals


def _studies(images_per_patient, count):
    """Attacks on 40 members and 40 others by pure luck, whose scores belong to patients."""
    for number in range(count):
        rng = np.random.default_rng([11, number])
        patients = np.arange(40) // images_per_patient
        scores = rng.normal(size=(2, 40 // images_per_patient))[:, patients]
        names = [[f"{side}{i}" for i in patients] for side in "mo"]
        yield *scores, *names


@pytest.mark.parametrize("images_per_patient", [1, 4])
def test_the_interval_covers_as_often_as_it_says(images_per_patient):
    """Percentiles of a bootstrap of ten patients are somewhat too narrow."""
    intervals = [
        _attack(*study, resamples=200).auc_interval for study in _studies(images_per_patient, 150)
    ]
    covered = np.mean([interval.low <= 0.5 <= interval.high for interval in intervals])
    # A share of 0.95 of 150 has a standard deviation of 0.018.
    assert 0.86 < covered < 0.995


def test_images_of_a_patient_are_no_independent_evidence():
    narrow, wide = [], []
    for members, others, *patients in _studies(4, 10):
        wide.append(_attack(members, others, *patients, resamples=200).auc_interval)
        narrow.append(_attack(members, others, resamples=200).auc_interval)
    widths = [np.mean([one.high - one.low for one in found]) for found in (narrow, wide)]
    assert widths[1] > 1.5 * widths[0]


def test_intervals_depend_on_the_seed_alone():
    (study,) = _studies(4, 1)
    first = _attack(*study, seed=1, resamples=100)
    assert _attack(*study, seed=1, resamples=100) == first
    assert _attack(*study, seed=2, resamples=100).auc_interval != first.auc_interval


def test_facts_of_an_attack():
    found = _attack(np.arange(4.0), np.arange(6.0), list("aabb"), list("ccdeff"), resamples=10)
    assert (found.name, found.members, found.others) == ("test", 4, 6)
    assert (found.member_patients, found.other_patients) == (2, 4)


@pytest.mark.parametrize("successes, trials", [(0, 20), (19, 20), (20, 20), (48, 96), (1, 1)])
def test_the_exact_interval_of_a_share(successes, trials):
    found = membership.share_interval(successes, trials)
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    if not successes:
        assert found.high == pytest.approx(1 - 0.025 ** (1 / trials))


def test_wrong_scores():
    good = np.arange(3.0)
    for arguments, message in (
        ((good[:0], good), "0 scores of images with 0 patients"),
        ((good, good, ["a"]), "3 scores of images with 1 patients"),
        ((np.array([0, np.nan, 1]), good), "scores of test are not finite"),
        ((good, np.array([0, np.inf, 1])), "scores of test are not finite"),
        ((good, good, ["a", "b", "c"], ["d", "c", "b"]), "2 patients are members and others.* b"),
    ):
        with pytest.raises(ValueError, match=message):
            _attack(*arguments)


# Pairs


def _patients(prefix, sizes, seed):
    """A patient for each size, whose images stand in any order."""
    names = np.repeat([f"{prefix}{i}" for i in range(len(sizes))], sizes)
    return np.random.default_rng(seed).permutation(names)


@pytest.mark.parametrize("most", [10_000, 100])
def test_pairs_have_equally_many_images(most):
    rng = np.random.default_rng(0)
    patients = _patients("m", rng.integers(1, 9, 120), 1), _patients("o", rng.integers(1, 6, 50), 2)
    pairs = membership.pair_patients(*patients, most, np.random.default_rng(3))
    positions, numbers = (pairs.members, pairs.others), (pairs.member_pairs, pairs.other_pairs)
    assert len(pairs.members) == len(pairs.others) <= most
    assert pairs.count == 50 if most == 10_000 else 15 < pairs.count < 50
    sizes = []
    for side in (0, 1):
        assert (np.diff(positions[side]) > 0).all()  # sorted, and none twice
        owners = collections.defaultdict(set)
        for position, number in zip(positions[side], numbers[side], strict=True):
            owners[number].add(patients[side][position])
        assert sorted(owners) == list(range(pairs.count))
        assert all(len(names) == 1 for names in owners.values())
        assert len(set.union(*owners.values())) == pairs.count  # every patient in one pair
        sizes.append(np.bincount(numbers[side]))
    np.testing.assert_array_equal(*sizes)
    if most == 100:
        assert len(pairs.members) > 90


def test_patients_are_paired_by_their_numbers_of_images():
    """So that few images are left out: here none but one of a patient with three."""
    patients = np.repeat(["a", "b", "c"], [1, 5, 3]), np.repeat(["d", "e", "f"], [2, 1, 5])
    pairs = membership.pair_patients(*patients, 100, np.random.default_rng(0))
    assert len(pairs.members) == 1 + 5 + 2
    matched = {
        (patients[0][i], patients[1][j])
        for i, one in zip(pairs.members, pairs.member_pairs, strict=True)
        for j, other in zip(pairs.others, pairs.other_pairs, strict=True)
        if one == other
    }
    assert matched == {("a", "e"), ("b", "f"), ("c", "d")}


def test_pairs_depend_on_the_seed():
    patients = np.repeat([f"m{i}" for i in range(40)], 3), np.repeat([f"o{i}" for i in range(9)], 2)

    def members(seed):
        rng = np.random.default_rng(seed)
        return membership.pair_patients(*patients, 100, rng).members.tolist()

    assert members(1) == members(1) != members(2)
