"""Pairs of the same finding, and their mean similarity and its error."""

import itertools

import numpy as np
import pytest

from pgan.metrics import diversity, similarity

FINDINGS = ("Mass", "Hernia", "Edema")


def textures(count, size=32, seed=0, alike=0.0):
    """Smooth random images uint8 [N, H, W] of which so much is the same in all."""
    rng = np.random.default_rng(seed)
    coarse = (1 - alike) * rng.random((count, 8, 8)) + alike * rng.random((8, 8))
    return np.kron(255 * coarse, np.ones((size // 8, size // 8))).astype(np.uint8)


class Images:
    """A fetch function that remembers what it was asked for."""

    def __init__(self, images):
        self.images, self.asked = images, []

    def __call__(self, indices):
        self.asked.append(indices)
        return self.images[indices]


def source(name="ours", count=40, patients=True, **settings):
    """Mass in all images, Hernia in the first three, Edema in none; two images of a patient."""
    labels = np.zeros((count, 3), np.float32)
    labels[:, 0], labels[:3, 1] = 1, 1
    owners = [f"p{i // 2}" for i in range(count)] if patients else None
    return diversity.Source(name, labels, Images(textures(count, **settings)), owners)


# Pairs


def test_all_pairs_of_different_patients_are_drawn_once():
    labels = np.array([[1], [0.5], [0.49], [np.nan], [1], [1], [1]])
    patients = ["a", "b", "c", "c", "a", "d", "b"]
    pairs = diversity.draw_pairs(labels, patients, 0, 100, np.random.default_rng(0))
    # Images 0 and 4 are of a, 1 and 6 of b, 5 of d; 2 and 3 do not have the finding.
    expected = {(0, 1), (0, 6), (4, 1), (4, 6), (0, 5), (4, 5), (1, 5), (6, 5)}
    assert pairs.dtype == np.int64
    assert sorted(map(sorted, pairs.tolist())) == sorted(map(sorted, expected))
    assert diversity.count_pairs(labels, patients, 0) == 8
    assert diversity.count_pairs(labels, None, 0) == 5 * 4 // 2


@pytest.mark.parametrize("with_patients", [True, False])
def test_pairs_of_many_images(with_patients):
    rng = np.random.default_rng(3)
    labels = (rng.random((5000, 3)) < 0.5).astype(np.float32)
    patients = [f"p{i}" for i in rng.integers(0, 900, 5000)] if with_patients else None
    pairs = diversity.draw_pairs(labels, patients, 1, 1000, np.random.default_rng(7))
    assert pairs.shape == (1000, 2)
    assert labels[pairs, 1].all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert len(np.unique(np.sort(pairs, axis=1), axis=0)) == 1000
    if with_patients:
        assert all(patients[a] != patients[b] for a, b in pairs)
    again = diversity.draw_pairs(labels, patients, 1, 1000, np.random.default_rng(7))
    other = diversity.draw_pairs(labels, patients, 1, 1000, np.random.default_rng(8))
    np.testing.assert_array_equal(pairs, again)
    assert not np.array_equal(pairs, other)


def test_pairs_are_equally_likely():
    """Also where nearly all images are one patient's: pairs are drawn, not patients."""
    labels = np.ones((9, 1))
    patients = ["a"] * 6 + ["b", "b", "c"]
    rng = np.random.default_rng(0)
    pairs = itertools.combinations(range(9), 2)
    counts = {pair: 0 for pair in pairs if patients[pair[0]] != patients[pair[1]]}
    assert len(counts) == 20
    for _ in range(4000):
        for pair in diversity.draw_pairs(labels, patients, 0, 5, rng).tolist():
            counts[tuple(sorted(pair))] += 1
    drawn = np.array(list(counts.values()))
    # 5 of 20 in 4000 draws: 1000 expected, SD sqrt(4000 / 4 * 3 / 4) = 27.
    assert drawn.sum() == 20000 and abs(drawn - 1000).max() < 4 * 27


def test_draws_that_are_impossible():
    labels = np.array([[1, 0], [1, 1], [1, np.nan]])
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="no pair of images of different patients: 3 images have"):
        diversity.draw_pairs(labels, ["a", "a", "a"], 0, 10, rng)
    with pytest.raises(ValueError, match="no pair of images: 1 images have"):
        diversity.draw_pairs(labels, None, 1, 10, rng)
    with pytest.raises(ValueError, match="no pair"):
        diversity.draw_pairs(labels[:0], None, 1, 10, rng)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        diversity.draw_pairs(labels, None, 0, 0, rng)
    with pytest.raises(ValueError, match=r"shape \[3, 2\] have no column 2"):
        diversity.draw_pairs(labels, None, 2, 10, rng)
    with pytest.raises(ValueError, match="3 images need as many patients, got 2"):
        diversity.draw_pairs(labels, ["a", "b"], 0, 10, rng)
    with pytest.raises(ValueError, match="patients of some images are unknown"):
        diversity.draw_pairs(labels, ["a", "", "b"], 0, 10, rng)


# Error of the mean


def test_standard_error_of_pairs_without_common_owner():
    values = np.array([0.1, 0.5, 0.3, 0.8])
    owners = np.arange(8).reshape(4, 2)
    # T_i is a pair's deviation for both its owners: sum T_i^2 = 2 S, S the sum of squares.
    squares = np.sum((values - values.mean()) ** 2)
    expected = np.sqrt((8 * 7 / 6**2 * 2 - 1) * squares) / 4
    assert diversity.standard_error(values, owners) == pytest.approx(expected, rel=1e-12)
    many = np.random.default_rng(0).random(2000)
    found = diversity.standard_error(many, np.arange(4000).reshape(-1, 2))
    assert found == pytest.approx(many.std() / np.sqrt(2000), rel=2e-3)


def test_standard_error_of_all_pairs_by_hand():
    # Owners 0, 1, 2, 3; deviations -3, -1, 0, 0, 1, 3 of 01 02 03 12 13 23.
    owners = np.array([[0, 1], [0, 2], [3, 0], [1, 2], [1, 3], [3, 2]])
    values = np.array([7.0, 9, 10, 10, 11, 13])
    by_owner = np.array([-4, -2, 2, 4])
    expected = 4 * 3 / 2**2 * np.sum(by_owner**2) - (9 + 1 + 1 + 9)
    assert expected == 100
    assert diversity.standard_error(values, owners) == pytest.approx(10 / 6)
    assert diversity.standard_error(values[:1], owners[:1]) is None  # two owners


@pytest.mark.parametrize("images_per_owner", [1, 3])
def test_standard_error_is_that_of_repeated_studies(images_per_owner):
    """Values that depend on whose images they are of: 40 owners, 400 of their pairs."""
    rng = np.random.default_rng(5)
    owners_of = np.arange(40 * images_per_owner) // images_per_owner
    labels, names = np.ones((len(owners_of), 1)), [str(owner) for owner in owners_of]
    means, errors, naive = [], [], []
    for _ in range(400):
        owners = owners_of[diversity.draw_pairs(labels, names, 0, 400, rng)]
        values = rng.normal(0, 0.5, 40)[owners].sum(axis=1) + rng.normal(0, 1, 400)
        means.append(values.mean())
        errors.append(diversity.standard_error(values, owners))
        naive.append(values.std() / np.sqrt(400))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(means), rel=0.12)
    assert np.mean(naive) < 0.5 * np.std(means)


# The study


def test_rows_hold_what_can_be_computed_by_hand():
    real, synthetic = source("NIH"), source("GAN", 30, patients=False, seed=1)
    rows = diversity.compare(real, synthetic, FINDINGS, 200, seed=4, show_progress=False)
    assert [row["finding"] for row in rows] == list(FINDINGS)
    mass, hernia, edema = rows
    assert {mass[key] for key in ("real", "synthetic")} == {"NIH", "GAN"}
    assert (mass["metric"], mass["resolution"], mass["seed"]) == ("ms_ssim_2scales", 32, 4)
    assert (mass["real_pairs"], mass["real_pairs_existing"]) == (200, 40 * 39 // 2 - 20)
    assert (mass["synthetic_pairs"], mass["synthetic_images"]) == (200, 30)

    # Three images, of which the first two are of one patient.
    images = real.fetch.images
    values = similarity.ms_ssim(images[[0, 1]], images[[2, 2]])
    assert hernia["real_mean"] == pytest.approx(values.mean(), rel=1e-12)
    assert hernia["real_sd"] == pytest.approx(values.std(ddof=1), rel=1e-12)
    assert (hernia["real_pairs"], hernia["real_images"]) == (2, 3)
    assert hernia["real_standard_error"] is None  # two patients
    assert hernia["synthetic_pairs"] == 3
    difference = hernia["synthetic_mean"] - hernia["real_mean"]
    assert hernia["difference"] == pytest.approx(difference)
    assert hernia["difference_standard_error"] is None
    errors = mass["real_standard_error"], mass["synthetic_standard_error"]
    assert mass["difference_standard_error"] == pytest.approx(np.hypot(*errors))

    assert (edema["real_pairs"], edema["real_images"], edema["real_mean"]) == (0, 0, None)
    assert edema["difference"] is None
    assert diversity.notes(rows) == [
        "Fewer pairs than 200, in NIH: Hernia (2 of 3 images), Edema (0 of 0 images).",
        "Fewer pairs than 200, in GAN: Hernia (3 of 3 images), Edema (0 of 0 images).",
    ]


def test_images_are_fetched_in_small_numbers_and_only_once_at_a_time():
    real = source()
    diversity.compare(real, source(), FINDINGS, 300, show_progress=False)
    assert len(real.fetch.asked) == 10 + 1  # 300 pairs of Mass, 2 of Hernia
    for indices in real.fetch.asked:
        assert (np.diff(indices) > 0).all() and len(indices) <= 64


def test_numbers_depend_on_the_seed_and_not_on_other_findings():
    def measure(columns, seed):
        sources = [source("NIH"), source("GAN", patients=False, seed=1)]
        sources = [
            diversity.Source(one.name, one.labels[:, columns], one.fetch, one.patients)
            for one in sources
        ]
        findings = [FINDINGS[column] for column in columns]
        rows = diversity.compare(*sources, findings, 50, seed=seed, show_progress=False)
        return {row["finding"]: row for row in rows}

    first = measure([0, 1], 0)
    assert measure([2, 1, 0], 0)["Mass"] == first["Mass"]
    assert measure([0], 1)["Mass"]["real_mean"] != first["Mass"]["real_mean"]


@pytest.mark.parametrize("variant", similarity.VARIANTS)
def test_a_collapsed_generator_is_less_diverse(variant):
    collapsed = source("collapsed", patients=False, alike=0.8, seed=1)
    diverse = source("diverse", patients=False, seed=2)
    rows = {
        made.name: diversity.compare(source(), made, FINDINGS, 100, variant, show_progress=False)[0]
        for made in (collapsed, diverse)
    }
    assert rows["collapsed"]["difference"] > 10 * rows["collapsed"]["difference_standard_error"]
    assert abs(rows["diverse"]["difference"]) < 4 * rows["diverse"]["difference_standard_error"]
    name = "ms_ssim_2scales" if variant == "standard" else "ms_ssim_paper_code_2scales"
    assert rows["diverse"]["metric"] == name


def test_sources_that_do_not_fit():
    ours = source()

    def compare(synthetic, findings=FINDINGS, **settings):
        diversity.compare(ours, synthetic, findings, 10, show_progress=False, **settings)

    with pytest.raises(ValueError, match=r"labels of ours have shape \[40, 3\]; 1 findings"):
        compare(source(), ["Mass"])
    with pytest.raises(
        ValueError, match=r"theirs has images of \[16, 16\] px, others have \[32, 3"
    ):
        compare(source("theirs", size=16))
    with pytest.raises(ValueError, match="no finding has pairs of images both in ours and in none"):
        compare(diversity.Source("none", np.zeros((5, 3)), ours.fetch))
    with pytest.raises(
        ValueError, match=r"short: 17 images \[B, H, W\] were asked for, got \[16, "
    ):
        broken = diversity.Source("short", np.ones((40, 3)), lambda at: textures(len(at) - 1))
        diversity.compare(ours, broken, FINDINGS, 10, seed=1, show_progress=False)
    with pytest.raises(ValueError, match="got 'paper'"):
        compare(source(), variant="paper")
