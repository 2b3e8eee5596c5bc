import io

import numpy as np
import pytest
from PIL import Image

from pgan.data import pyramid


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def test_resolutions():
    assert pyramid.resolutions(32) == (4, 8, 16, 32)


@pytest.mark.parametrize("size", [0, 2, 3, 48, -8])
def test_resolutions_are_powers_of_two(size):
    with pytest.raises(ValueError, match=f"power of two.*got {size}"):
        pyramid.resolutions(size)


def test_box_filter_of_cut_pixels_by_hand():
    # Three pixels onto two: each output covers one and a half.
    image = np.tile(np.float32([0, 30, 90]), (3, 1))
    expected = [(0 + 15) / 1.5, (15 + 90) / 1.5]
    np.testing.assert_allclose(pyramid.box_filter(image, 2), [expected, expected], rtol=1e-6)


@pytest.mark.parametrize("source", [20, 27, 33])
def test_box_filter_is_the_mean_of_an_enlarged_image(source):
    image = noise(source, source).astype(np.float32)
    large = image.repeat(16, 0).repeat(16, 1)  # integer factors both ways
    expected = large.reshape(16, source, 16, source).mean((1, 3))
    np.testing.assert_allclose(pyramid.box_filter(image, 16), expected, rtol=1e-5)


def test_levels_come_from_the_original_and_are_rounded_once():
    image = noise(32, 32)
    levels = pyramid.levels(image, (4, 8, 16, 32), 32)
    for size, pixels in levels.items():
        factor = 32 // size
        exact = image.reshape(size, factor, size, factor).astype(float).mean((1, 3))
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, np.rint(exact))
    stepwise = np.rint(levels[8].reshape(4, 2, 4, 2).mean((1, 3)))
    assert (levels[4] != stepwise).any()  # which rounding level by level would give


def test_one_level_is_any_size_and_the_same_as_that_of_a_set():
    image = noise(60, 47)
    for geometry in pyramid.GEOMETRIES:
        level = pyramid.levels(image, (16,), 32, geometry)[16]
        np.testing.assert_array_equal(pyramid.one_level(image, 16, geometry), level)
    # There is no level of 64 px of so small an image.
    exact = pyramid.box_filter(image.astype(np.float32), 40)
    np.testing.assert_array_equal(pyramid.one_level(image, 40, "stretch"), np.rint(exact))
    with pytest.raises(ValueError, match="47x60 px, less than the 48"):
        pyramid.one_level(image, 48, "crop")


def test_sizes_between_levels_are_made_of_the_level_above():
    assert [pyramid.level_above(side) for side in (3, 4, 5, 64, 65, 224)] == [4, 4, 8, 64, 128, 256]
    image = noise(130, 110)
    stored = pyramid.levels(image, (64,), 128)[64]
    exact = stored.repeat(40, 0).repeat(40, 1).reshape(40, 64, 40, 64).mean((1, 3))
    small = pyramid.scale_down(stored, 40)
    # A mean half-way between two levels may be rounded either way.
    assert small.dtype == np.uint8 and np.abs(small - exact).max() <= 0.5 + 1e-4
    np.testing.assert_array_equal(pyramid.one_level(image, 40), small)
    both = pyramid.scale_down(np.stack([stored, stored[::-1]]), 40)
    np.testing.assert_array_equal(both[0], small)
    assert both.shape == (2, 40, 40) and (both[1] != small).any()
    assert pyramid.scale_down(stored, 64) is stored


def test_float_images_keep_their_fractions_until_the_end():
    image = np.full((8, 8), 10.25, np.float32)
    image[:, ::2] += 0.5  # mean 10.5 is not 10
    image[0, 0] += 8
    assert pyramid.levels(image, (4,), 8)[4][0, 0] == np.rint(10.5 + 2)


def test_images_that_are_not_square_are_centred_on_black():
    image = np.full((8, 4), 200, np.uint8)
    expected = np.zeros((8, 8))
    expected[:, 2:6] = 200
    np.testing.assert_array_equal(pyramid.levels(image, (8,), 8)[8], expected)


@pytest.mark.parametrize(
    "image, message",
    [
        (np.zeros((8, 8), np.uint8), "8x8 px, less than the 16"),
        (np.zeros((16, 16, 3), np.uint8), "grey image"),
        (np.full((16, 16), 256.0), "0, 255"),
        (np.full((16, 16), np.nan), "finite"),
    ],
)
def test_levels_refuse(image, message):
    with pytest.raises(ValueError, match=message):
        pyramid.levels(image, (16,), 16)


def test_encodings_are_lossless():
    pixels = noise(16, 16)
    raw, png = pyramid.encode(pixels, "raw"), pyramid.encode(pixels, "png")
    np.testing.assert_array_equal(np.frombuffer(raw, np.uint8).reshape(16, 16), pixels)
    np.testing.assert_array_equal(Image.open(io.BytesIO(png)), pixels)


def test_geometries_by_hand():
    """A black, a grey and a light third, side by side."""
    wide = np.zeros((4, 12), np.uint8)
    wide[:, 4:8] = 100
    wide[:, 8:] = 200
    np.testing.assert_array_equal(
        pyramid.levels(wide, (4,), 4, "stretch")[4], np.tile([0, 67, 133, 200], (4, 1))
    )
    np.testing.assert_array_equal(pyramid.levels(wide, (4,), 4, "crop")[4], np.full((4, 4), 100))
    padded = pyramid.levels(wide, (4,), 4, "pad")[4]
    assert padded[0].tolist() == [0] * 4 and padded[-1].tolist() == [0] * 4
    # Rows 4 to 7 of 12 hold the image; an output row covers three of them.
    assert padded[1].tolist() == [0, 44, 89, 133]


def test_stretching_is_the_mean_of_an_enlarged_image():
    image = noise(20, 33).astype(np.float32)
    large = image.repeat(16, 0).repeat(16, 1)
    expected = large.reshape(16, 20, 16, 33).mean((1, 3))
    np.testing.assert_allclose(pyramid.box_filter(image, 16), expected, rtol=1e-5)


@pytest.mark.parametrize("geometry", ["crop", "stretch"])
def test_no_side_is_enlarged(geometry):
    with pytest.raises(ValueError, match="16x8 px, less than the 16 px asked for"):
        pyramid.levels(noise(8, 16), (4,), 16, geometry)
