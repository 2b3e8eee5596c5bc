"""Planted copies: each kind changes what it says, and nothing else."""

import numpy as np
import pytest
import tiny_chests

from pgan.audit import planted


@pytest.fixture(scope="module")
def images():
    return tiny_chests.chests()[0][:6]


def test_exact_copies(images):
    copies = planted.plant(images, "exact", 0)
    np.testing.assert_array_equal(copies, images)
    assert not np.shares_memory(copies, images)


def test_shifted_copies(images):
    copies = planted.plant(images, "shifted", 0)
    np.testing.assert_array_equal(copies[:, 2:, 2:], images[:, :-2, :-2])
    # What comes in is the edge.
    np.testing.assert_array_equal(copies[:, 0, 2:], images[:, 0, :-2])
    np.testing.assert_array_equal(copies[:, 2:, 1], images[:, :-2, 0])


def test_copies_of_another_contrast():
    image = np.array([[0, 100, 127, 128, 255]], np.uint8)
    # 0.8 (v - 127.5) + 127.5 + 10
    copy = planted.plant(image[np.newaxis], "contrast", 0)
    assert copy.tolist() == [[[36, 116, 137, 138, 240]]]


def test_noisy_copies():
    images = np.full((40, 64, 64), 128, np.uint8)
    copies = planted.plant(images, "noise", 0)
    difference = copies.astype(float) - 128
    # Rounding adds 1 / 12 to the variance.
    assert difference.std() == pytest.approx(np.sqrt(64 + 1 / 12), rel=0.01)
    assert abs(difference.mean()) < 0.1
    white = planted.plant(np.full((1, 64, 64), 255, np.uint8), "noise", 0)
    assert white.max() == 255 and white.min() > 200  # cut off and not wrapped around


def test_jpeg_copies(images):
    copies = planted.plant(images, "jpeg", 0)
    difference = copies.astype(float) - images
    assert 1 < difference.std() < 12
    # Blocks of 8 px keep their means.
    blocks = difference.reshape(-1, 8, 8, 8, 8).mean(axis=(2, 4))
    assert blocks.std() < 0.3 * difference.std()


@pytest.mark.parametrize("kind", planted.KINDS)
def test_all_kinds_keep_form_and_depend_on_the_seed_alone(kind, images):
    copies = planted.plant(images, kind, 3)
    assert copies.dtype == np.uint8 and copies.shape == images.shape
    np.testing.assert_array_equal(planted.plant(images, kind, 3), copies)
    # An image's noise does not depend on those behind it.
    np.testing.assert_array_equal(planted.plant(images[:2], kind, 3), copies[:2])
    changes = not np.array_equal(planted.plant(images, kind, 4), copies)
    assert changes == (kind == "noise")
    assert planted.plant(images[:0], kind, 3).shape == (0, 64, 64)
    assert 0 < planted.KINDS[kind].required <= 1 and planted.KINDS[kind].text


def test_images_have_noise_of_their_own(images):
    copies = planted.plant(np.full((2, 64, 64), 128, np.uint8), "noise", 0).astype(float)
    assert abs(np.corrcoef(copies[0].ravel(), copies[1].ravel())[0, 1]) < 0.1


def test_wrong_images_and_kinds(images):
    with pytest.raises(ValueError, match="exact, shifted, contrast, noise, jpeg, got 'rotated'"):
        planted.plant(images, "rotated", 0)
    with pytest.raises(ValueError, match=r"uint8 \[N, H, W\], got float64 \(6, 64, 64\)"):
        planted.plant(images / 255, "exact", 0)
    with pytest.raises(ValueError, match=r"got uint8 \(64, 64\)"):
        planted.plant(images[0], "exact", 0)


def test_originals_are_of_different_patients():
    patients = np.random.default_rng(0).permutation(np.repeat(list("abcdefgh"), 5))
    chosen = planted.choose(patients, 6, np.random.default_rng(1))
    assert (np.diff(chosen) > 0).all()
    assert len(set(patients[chosen])) == 6
    again = planted.choose(patients, 6, np.random.default_rng(1))
    np.testing.assert_array_equal(again, chosen)
    assert sorted(patients[planted.choose(patients, 8, np.random.default_rng(1))]) == list(
        "abcdefgh"
    )
    with pytest.raises(ValueError, match="9 images of different patients .* there are 8 patients"):
        planted.choose(patients, 9, np.random.default_rng(1))


def test_patients_are_drawn_and_not_images():
    """One with most of the images is chosen no more often."""
    patients = np.array(["a"] * 96 + ["b", "c", "d", "e"])
    rng = np.random.default_rng(0)
    drawn = [patients[planted.choose(patients, 1, rng)[0]] for _ in range(500)]
    # A fifth of 500 is 100, with a standard deviation of 9.
    assert 60 < drawn.count("a") < 140
