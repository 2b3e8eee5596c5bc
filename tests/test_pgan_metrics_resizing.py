"""Both ways of resizing, against Pillow and against TensorFlow 1's grid written out in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pgan.metrics import resizing


def _smooth(size):
    x = np.linspace(0, 1, size)
    waves = np.sin(17 * x[:, np.newaxis] + 5 * x) + np.cos(23 * x * x[:, np.newaxis])
    return np.clip(np.rint(127.5 + 63.75 * waves), 0, 255).astype(np.uint8)


def _noise(size):
    return np.random.default_rng(size).integers(0, 256, (size, size), np.uint8)


def _bars(size):
    """Black and white only: the kernel overshoots at every edge."""
    return np.where(np.arange(size) // 5 % 2, 255, 0).astype(np.uint8) * np.ones(
        (size, 1), np.uint8
    )


def _pillow(image, size):
    grey = Image.fromarray(image.astype(np.float32))
    assert grey.mode == "F"
    return np.asarray(grey.resize((size, size), Image.Resampling.BICUBIC)).clip(0, 255)


def _grid_of_tensorflow_1(image, size):
    image = image.astype(np.float64)

    def interpolated(values):
        place = np.arange(size) * (len(values) / size)
        low = place.astype(int)
        high = np.minimum(low + 1, len(values) - 1)
        share = (place - low)[:, np.newaxis]
        return values[low] * (1 - share) + values[high] * share

    return interpolated(interpolated(image).T).T


@pytest.mark.parametrize("size", [64, 128, 256, 299, 300, 512, 1024])
@pytest.mark.parametrize("draw", [_smooth, _noise, _bars])
def test_clean_is_pillows_bicubic_of_floats(draw, size):
    image = draw(size)
    found = resizing.clean(image[np.newaxis]).numpy()
    assert found.shape == (1, 299, 299, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, ..., 0], _pillow(image, 299), atol=0.01)


@pytest.mark.parametrize("size", [64, 256, 299, 1024])
def test_legacy_is_the_grid_of_tensorflow_1(size):
    image = _noise(size)
    found = resizing.legacy_tf(image[np.newaxis]).numpy()
    assert found.shape == (1, 299, 299, 3)
    np.testing.assert_allclose(found[0, ..., 0], _grid_of_tensorflow_1(image, 299), atol=0.02)


def test_images_need_not_be_square():
    image = _noise(256)[:200]
    found = resizing.clean(image[np.newaxis]).numpy()
    np.testing.assert_allclose(found[0, ..., 0], _pillow(image, 299), atol=0.01)


def test_two_pixels_by_hand():
    image = np.array([[[0, 100], [0, 100]]], np.uint8)
    # Twice as wide: samples at 0, 0.5, 1 and 1.5, the last held at the border.
    np.testing.assert_allclose(resizing.legacy_tf(image, 4)[0, 0, :, 0], [0, 50, 100, 100])


@pytest.mark.parametrize("resize", [resizing.clean, resizing.legacy_tf])
def test_images_of_the_wanted_size_stay_what_they_are(resize):
    image = _noise(299)[np.newaxis]
    np.testing.assert_array_equal(resize(image), resizing.unresized(image))


def test_legacy_aliases_and_clean_does_not():
    # Every other column white: grey to anything that averages.
    image = np.tile(np.array([0, 255], np.uint8), (598, 299))[np.newaxis]
    assert resizing.clean(image).numpy()[:, :, 5:-5].std() < 1
    assert resizing.legacy_tf(image).numpy().max() == 0


def test_results_are_clipped_but_not_rounded():
    found = resizing.clean(_bars(64)[np.newaxis]).numpy()
    assert (found.min(), found.max()) == (0, 255)
    assert (found != np.rint(found)).mean() > 0.1


def test_channels_are_the_grey_levels():
    image = _noise(8)[np.newaxis]
    for found in (
        resizing.clean(image),
        resizing.legacy_tf(image),
        resizing.unresized(image),
    ):
        np.testing.assert_array_equal(found[..., 0], found[..., 1])
        np.testing.assert_array_equal(found[..., 0], found[..., 2])
    assert resizing.unresized(image).numpy()[0, 3, 5, 1] == image[0, 3, 5]


def test_resizing_in_a_graph_gives_the_same():
    image = _noise(128)[np.newaxis]
    compiled = tf.function(
        resizing.clean, input_signature=[tf.TensorSpec([None, None, None], tf.uint8)]
    )
    np.testing.assert_allclose(compiled(image), resizing.clean(image), atol=1e-3)


@pytest.mark.parametrize("resize", [resizing.clean, resizing.legacy_tf, resizing.unresized])
@pytest.mark.parametrize(
    "images", [np.zeros((1, 8, 8), np.float32), np.zeros((1, 8, 8, 1), np.uint8)]
)
def test_only_grey_levels_are_taken(resize, images):
    with pytest.raises(ValueError, match="round to grey levels"):
        resize(images)
