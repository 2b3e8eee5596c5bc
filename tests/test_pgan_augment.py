import numpy as np
import pytest
import tensorflow as tf

from pgan import augment, config

SEED = tf.constant([3, 4], tf.int32)
ALL = tuple(augment.AUGMENTATIONS)


def _images(batch=16, size=16):
    """Pixels in (-0.9, 0.9), all different, so that none is black and places can be told."""
    pixels = np.linspace(-0.9, 0.9, batch * size * size, dtype=np.float32)
    order = np.random.default_rng(0).permutation(pixels.size)
    return tf.constant(pixels[order].reshape(batch, size, size, 1))


def _shift(image, rows, columns):
    """What `image` [H, W] looks like after moving down and right, black coming in."""
    padded = np.pad(image, 8, constant_values=-1.0)
    height, width = image.shape
    return padded[8 - rows : 8 - rows + height, 8 - columns : 8 - columns + width]


def test_translation_moves_each_image_by_up_to_an_eighth():
    images = _images(batch=64)
    moved = augment.augment(images, ("translation",), SEED).numpy()
    steps = range(-2, 3)
    shifts = []
    for before, after in zip(images.numpy()[..., 0], moved[..., 0], strict=True):
        found = [
            (rows, columns)
            for rows in steps
            for columns in steps
            if np.array_equal(_shift(before, rows, columns), after)
        ]
        assert len(found) == 1
        shifts += found
    assert {rows for rows, _ in shifts} == set(steps) == {columns for _, columns in shifts}


def test_four_pixels_cannot_be_translated():
    images = _images(size=4)
    np.testing.assert_array_equal(augment.augment(images, ("translation",), SEED), images)


def test_brightness_adds_one_number_per_image():
    images = _images(batch=64)
    change = (augment.augment(images, ("brightness",), SEED) - images).numpy().reshape(64, -1)
    np.testing.assert_allclose(change, np.repeat(change[:, :1], 256, axis=1), atol=1e-6)
    assert np.abs(change).max() <= 0.5 + 1e-6
    assert change[:, 0].min() < -0.3 and change[:, 0].max() > 0.3


def test_cutout_blackens_one_square_of_half_the_side():
    images = _images(batch=64)
    after = augment.augment(images, ("cutout",), SEED).numpy()[..., 0]
    black = after == -1.0
    np.testing.assert_array_equal(after[~black], images.numpy()[..., 0][~black])
    areas = set()
    for mask in black:
        rows, columns = mask.any(axis=1), mask.any(axis=0)
        np.testing.assert_array_equal(mask, rows[:, None] & columns[None])  # A rectangle ...
        for line in (rows, columns):
            assert np.abs(np.diff(line.astype(int))).sum() <= 2  # ... in one piece,
            assert 4 <= line.sum() <= 8  # of 8x8 px, at most half beyond the border.
        areas.add(mask.sum())
    assert max(areas) == 64 and len(areas) > 3


def test_result_depends_on_the_seed_only():
    images = _images()
    first = augment.augment(images, ALL, SEED)
    np.testing.assert_array_equal(first, augment.augment(images, ALL, SEED))
    assert not np.array_equal(first, augment.augment(images, ALL, tf.constant([3, 5])))


def test_draws_do_not_depend_on_the_rest_of_the_policy():
    images = _images()
    together = augment.augment(images, ("translation", "cutout"), SEED)
    one_by_one = augment.augment(images, ("translation",), SEED)
    one_by_one = augment.augment(one_by_one, ("cutout",), SEED)
    np.testing.assert_array_equal(together, one_by_one)


def test_empty_policy_changes_nothing():
    images = _images()
    np.testing.assert_array_equal(augment.augment(images, (), SEED), images)


def test_unknown_augmentation_is_refused():
    with pytest.raises(ValueError, match="'flip'.*translation, brightness, cutout"):
        augment.augment(_images(), ("flip",), SEED)


def test_names_are_those_of_the_configuration():
    assert config.AUGMENTATIONS == ALL


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_result_is_the_same(jit_compile):
    images = _images()
    compiled = tf.function(lambda x, seed: augment.augment(x, ALL, seed), jit_compile=jit_compile)
    result = compiled(images, SEED)
    assert result.shape == images.shape
    np.testing.assert_allclose(result, augment.augment(images, ALL, SEED), atol=1e-6)


def test_seed_may_be_int64_and_batch_unknown():
    images = _images()
    wide = tf.cast(SEED, tf.int64)
    function = tf.function(
        lambda x: augment.augment(x, ALL, wide),
        input_signature=[tf.TensorSpec([None, 16, 16, 1])],
    )
    np.testing.assert_allclose(function(images), augment.augment(images, ALL, wide), atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_first_and_second_derivatives(name):
    images = _images()
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(images)
        with tf.GradientTape(persistent=True) as inner:
            inner.watch(images)
            result = augment.augment(images, (name,), SEED)
            kept_sum, cubes = tf.reduce_sum(result), tf.reduce_sum(result**3)
        first = inner.gradient(cubes, images)
    # 1 where the pixel is still in the image, 0 where it has been moved out or blackened.
    kept = inner.gradient(kept_sum, images).numpy()
    assert set(np.unique(kept)) <= {0.0, 1.0} and 0.3 < kept.mean() <= 1.0
    shift = result - images if name == "brightness" else 0.0
    second = outer.gradient(first, images)
    np.testing.assert_allclose(first, 3 * kept * (images + shift) ** 2, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(second, 6 * kept * (images + shift), rtol=1e-4, atol=1e-6)
