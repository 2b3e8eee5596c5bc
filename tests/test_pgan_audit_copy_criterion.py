"""When is an image a copy? Planted ones are caught; other patients' and blurred images are not."""

import dataclasses

import numpy as np
import pytest
import tiny_chests
from scipy import ndimage

from pgan.audit import copy_criterion, planted
from pgan.metrics import similarity

JUDGED = 100  # images that thresholds are for


@dataclasses.dataclass
class World:
    """Phantoms of three groups of patients, and the criterion of the first two."""

    train: np.ndarray
    patients: np.ndarray
    held_out: np.ndarray
    fresh: np.ndarray

    def __post_init__(self):
        self.reference = copy_criterion.Reference(self.train, self.patients)
        self.of_held_out = self.reference.score(self.held_out)
        self.of_train = self.reference.score(self.train, self.patients)
        reals = copy_criterion.Scores.join([self.of_held_out, self.of_train])
        self.criterion = copy_criterion.Criterion.from_reals(reals, JUDGED)


@pytest.fixture(scope="module")
def world():
    """About 150 images for training, 80 held out, and 100 of others."""
    images, patients = tiny_chests.chests()
    names = list(dict.fromkeys(patients))
    edges = [names.index(patients[place]) for place in (150, 230)]
    parts = [
        np.isin(patients, names[part])
        for part in (slice(edges[0]), slice(*edges), slice(edges[1], None))
    ]
    assert [140 < parts[0].sum() <= 150, 70 < parts[1].sum() < 90] == [True, True]
    return World(images[parts[0]], patients[parts[0]], images[parts[1]], images[parts[2]][:100])


# Thresholds


def test_the_tail_threshold_by_hand():
    # The largest tenth of 200 values, 20 of them, exceed 10 by 0.5, 1.5 ... 19.5, on average 10.
    values = np.concatenate([np.linspace(0, 10, 180), 10 + np.arange(20) + 0.5])
    found = copy_criterion.tail_threshold(values[::-1], 1000, 0.05)
    expected = 10 + 20 * 10 * ((21 / 201 * 1000 / 0.05) ** (1 / 20) - 1)
    assert found.extrapolated == pytest.approx(expected)
    assert found.value == found.extrapolated > found.largest == 29.5
    assert (found.reals, found.images, found.false_alarms) == (200, 1000, 0.05)
    # Of few values the ten largest are the tail.
    few = np.concatenate([np.zeros(30), np.arange(1, 11)])
    expected = 10 * 5.5 * ((11 / 41 * 1000 / 0.05) ** (1 / 10) - 1)
    assert copy_criterion.tail_threshold(few, 1000, 0.05).extrapolated == pytest.approx(expected)


def test_the_largest_real_image_is_no_copy():
    """Whatever the tail gives: an outlier among the real ones was seen."""
    values = np.append(np.random.default_rng(0).normal(size=500), 100.0)
    found = copy_criterion.tail_threshold(values, 1, 0.05)
    assert found.extrapolated < 100 and found.value == found.largest == 100.0


@pytest.mark.parametrize("reals, images", [(40, 1000), (400, 10_000)])
@pytest.mark.parametrize("law", ["exponential", "gumbel", "uniform"])
def test_false_alarms_are_as_rare_as_said(reals, images, law):
    """The probability that any of the images exceeds it, over 400 sets of real images."""
    draw = getattr(np.random.default_rng(1), law)
    exceeds = {
        "exponential": lambda x: np.exp(-x),
        "gumbel": lambda x: -np.expm1(-np.exp(-x)),
        "uniform": lambda x: max(0.0, 1 - x),
    }[law]
    wanted = 0.025
    alarms = []
    for _ in range(400):
        found = copy_criterion.tail_threshold(draw(size=reals), images, wanted)
        alarms.append(1 - (1 - exceeds(found.extrapolated)) ** images)
    # Four deviations of a mean of probabilities that may all be 0 or 1.
    assert np.mean(alarms) < wanted + 4 * np.sqrt(wanted / 400)
    if law == "exponential":
        assert np.mean(alarms) > wanted / 3


def test_values_that_give_no_threshold():
    with pytest.raises(ValueError, match="at least 40 real images .* got 39"):
        copy_criterion.tail_threshold(np.arange(39), 10, 0.05)
    with pytest.raises(ValueError, match="not finite"):
        copy_criterion.tail_threshold(np.append(np.arange(50.0), np.nan), 10, 0.05)


def test_both_rules_share_the_false_alarms():
    rng = np.random.default_rng(0)
    scores = copy_criterion.Scores(rng.random(50), rng.random(50), np.zeros(50, np.int64))
    found = copy_criterion.Criterion.from_reals(scores, 30)
    assert found.near == copy_criterion.tail_threshold(scores.near, 30, 0.025)
    assert found.alone == copy_criterion.tail_threshold(scores.alone, 30, 0.025)
    above = np.array([found.near.value, np.nextafter(found.near.value, 9), 0, 0])
    alone = np.array([0, 0, found.alone.value, np.nextafter(found.alone.value, 9)])
    judged = copy_criterion.Scores(above, alone, np.zeros(4, np.int64))
    assert found.suspected(judged).tolist() == [False, True, False, True]


# Similarity after alignment


def test_alignment_undoes_what_copies_go_through():
    images = tiny_chests.chests()[0][:8]
    for down in (-2, 0, 1):
        for right in (-1, 0, 2):
            moved = ndimage.shift(images, (0, down, right), order=0, mode="nearest")
            assert copy_criterion.aligned_similarity(moved, images).min() > 0.99
    far = ndimage.shift(images, (0, 6, 0), order=0, mode="nearest")
    assert copy_criterion.aligned_similarity(far, images).max() < 0.95
    for kind in planted.KINDS:
        copies = planted.plant(images, kind, 0)
        plain = similarity.ssim(copies, images)
        aligned = copy_criterion.aligned_similarity(copies, images)
        assert aligned.min() > 0.95
        assert kind == "exact" or (aligned > plain).all()
    others = copy_criterion.aligned_similarity(images, np.roll(images, 3, axis=0))
    assert others.max() < 0.95


def test_images_without_contrast_are_compared():
    """Flat, saturated and nearly flat ones: no division by 0, and nothing above 1."""
    chest = tiny_chests.chests()[0][0]
    nearly = np.full((64, 64), 90, np.uint8)
    nearly[20:30] = 91
    images = np.stack([np.zeros_like(chest), np.full_like(chest, 255), nearly, chest])
    first, second = (part.ravel() for part in np.indices((4, 4)))
    found = copy_criterion.aligned_similarity(images[first], images[second]).reshape(4, 4)
    assert np.isfinite(found).all() and found.max() <= 1
    np.testing.assert_allclose(np.diag(found), 1.0, atol=1e-6)
    assert found[0, 1] < 0.1 and found[3, :3].max() < 0.9


# The whole criterion


@pytest.mark.parametrize("kind", planted.KINDS)
def test_planted_copies_are_caught_and_named(world, kind):
    chosen = planted.choose(world.patients, 20, np.random.default_rng(0))
    scores = world.reference.score(planted.plant(world.train[chosen], kind, 0))
    caught = world.criterion.suspected(scores) & (scores.nearest == chosen)
    assert caught.mean() >= planted.KINDS[kind].required
    if kind in ("exact", "shifted"):
        np.testing.assert_allclose(scores.similarity, 0.999)  # as near as is told


def test_images_of_other_patients_are_no_copies(world):
    assert len(world.fresh) == 100
    assert world.criterion.suspected(world.reference.score(world.fresh)).sum() <= 1
    assert not world.criterion.suspected(world.of_held_out).any()


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_blurred_images_are_no_copies(world, sigma):
    blurred = ndimage.gaussian_filter(world.fresh[:60].astype(np.float32), (0, sigma, sigma))
    scores = world.reference.score(np.rint(blurred).astype(np.uint8))
    assert not world.criterion.suspected(scores).any()


@pytest.mark.parametrize("count", [4, 20, 100])
def test_means_of_training_images_are_no_copies(world, count):
    rng = np.random.default_rng(1)
    means = [world.train[rng.permutation(len(world.train))[:count]].mean(axis=0) for _ in range(20)]
    scores = world.reference.score(np.rint(np.stack(means)).astype(np.uint8))
    assert not world.criterion.suspected(scores).any()


def test_images_of_one_grey_level_are_no_copies(world):
    flat = np.stack([np.full((64, 64), grey, np.uint8) for grey in (0, 93, 255)])
    scores = world.reference.score(flat)
    assert np.isfinite(scores.near).all() and np.isfinite(scores.alone).all()
    assert not world.criterion.suspected(scores).any()
    # Nor does one among the training images draw others to it.
    train = world.train.copy()
    train[7] = 0
    scores = copy_criterion.Reference(train, world.patients).score(world.held_out)
    assert not (scores.nearest == 7).any()
    np.testing.assert_allclose(scores.near, world.of_held_out.near, atol=0.5)


def test_the_own_patient_is_left_out(world):
    own = world.reference.score(world.train[:20])
    assert own.nearest.tolist() == list(range(20))
    others = world.of_train[:20]
    assert (world.patients[others.nearest] != world.patients[:20]).all()
    assert (others.near < own.near).all()
    # One of whom there is no training image has nothing left out.
    nobody = world.reference.score(world.train[:3], ["nobody", "", "zzz"])
    assert nobody.nearest.tolist() == [0, 1, 2]


def test_the_nearest_by_alignment_is_the_nearest_of_all_pairs(world):
    """Of candidates by correlation, against all: the rule misses no copy that it could find."""
    for number in (0, 30):
        image = np.broadcast_to(world.fresh[number], world.train.shape)
        exact = copy_criterion.aligned_similarity(image, world.train)
        found = world.reference.score(world.fresh[number : number + 1])
        assert found.similarity[0] == pytest.approx(exact.max(), abs=0.02)
        assert exact[found.nearest[0]] == pytest.approx(found.similarity[0])


def test_alone_looks_at_other_patients_only(world):
    """Two copies of an image, of one patient or of two."""
    train = np.concatenate([world.train, world.train[:1]])
    for patient, alone in ((world.patients[0], True), ("another", False)):
        reference = copy_criterion.Reference(train, [*world.patients, patient])
        scores = reference.score(world.train[:1])
        assert scores.similarity[0] == pytest.approx(0.999)
        assert (scores.alone[0] > 1) == alone and (scores.alone[0] == 0) == (not alone)


def test_two_patients_are_enough():
    images = tiny_chests.chests()[0][[0, 1, 200]]
    reference = copy_criterion.Reference(images, ["a", "a", "b"])
    assert reference.score(images).nearest.tolist() == [0, 1, 2]
    others = reference.score(images, ["a", "a", "b"])
    assert others.nearest[:2].tolist() == [2, 2]
    assert (others.alone == 0).all()  # no third patient to compare with


@pytest.mark.parametrize("settings", [{"_QUERIES": 3}, {"_PAIRS": 5}, {"_BLOCK": 40}])
def test_blocks_do_not_matter(world, monkeypatch, settings):
    for name, size in settings.items():
        monkeypatch.setattr(copy_criterion, name, size)
    reference = copy_criterion.Reference(world.train, world.patients)
    done = []
    found = reference.score(world.held_out[:20], on_progress=done.append)
    np.testing.assert_array_equal(found.nearest, world.of_held_out.nearest[:20])
    np.testing.assert_allclose(found.near, world.of_held_out.near[:20], rtol=1e-6)
    assert sum(done) == 20


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("down, right", [(2, 2), (1, -1)])
def test_moved_copies_are_found_at_all_sizes(size, down, right):
    """Also where a move is half a pixel of the images that candidates are found with."""
    images, patients = tiny_chests.chests(40, size=size)
    reference = copy_criterion.Reference(images, patients)
    moved = ndimage.shift(images, (0, down, right), order=0, mode="nearest")
    scores = reference.score(moved)
    assert scores.nearest.tolist() == list(range(40))
    assert scores.similarity.min() > 0.97


def test_no_images_have_no_scores(world):
    empty = world.reference.score(world.train[:0])
    assert len(empty.near) == len(empty.alone) == len(empty.nearest) == 0
    assert empty.nearest.dtype == np.int64


def test_wrong_images(world):
    images = world.train[:4]
    for given, message in (
        (images / 255, "uint8"),
        (images[:, :32, :32], r"must be uint8 \[N, 64, 64\], got uint8 \(4, 32, 32\)"),
    ):
        with pytest.raises(ValueError, match=message):
            world.reference.score(given)
    for given, patients, message in (
        (images[:, :16, :16], list("aabb"), "at 32 to 128 px, a multiple of 32; got 16 px"),
        (images.repeat(4, axis=1).repeat(4, axis=2), list("aabb"), "got 256 px"),
        (images[:, :48, :48], list("aabb"), "a multiple of 32; got 48 px"),
        (images[:, :, :32], list("aabb"), r"uint8 \[N, S, S\], got uint8 \(4, 64, 32\)"),
        (images / 255, list("aabb"), "got float64"),
        (images, list("aaaa"), "of a single patient; at least 2 are needed"),
    ):
        with pytest.raises(ValueError, match=message):
            copy_criterion.Reference(given, patients)


def test_reduced_images_are_averages(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), np.uint8)
    expected = np.rint(images.reshape(5, 2, 4, 2, 4).astype(float).mean(axis=(2, 4)))
    np.testing.assert_array_equal(copy_criterion.reduced(images, 2), expected)
    np.testing.assert_array_equal(copy_criterion.reduced(images, 8), images)
    monkeypatch.setattr(copy_criterion, "_AVERAGED", 2)
    np.testing.assert_array_equal(copy_criterion.reduced(images, 2), expected)
    with pytest.raises(ValueError, match="images of 8 px cannot be averaged to 3 px"):
        copy_criterion.reduced(images, 3)
