"""Differentiable augmentation for small collections (Zhao et al. 2020, arxiv.org/abs/2006.10738).

When the discriminator sees real and synthetic images only through the same random, differentiable
changes, it cannot memorise a few hundred reals, and the generator does not learn the changes.

Images are never mirrored: a flipped radiograph shows the heart on the wrong side, and the side is a
finding.
"""

import zlib

import tensorflow as tf

BLACK = -1.0  # An unexposed border, as a collimated radiograph has.
MAX_SHIFT = 8  # Translation by at most 1/8 of the side.
MAX_BRIGHTENING = 0.5  # A quarter of the range [-1, 1].
CUTOUT_SIDE = 2  # The square is 1/2 of the side.

# Named, and used for integers only: then XLA draws the same numbers as plain TensorFlow, which it
# does not with the default algorithm or for floats.
RANDOM_ALGORITHM = "philox"


def translate(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shifts every image by whole pixels, up to 1/8 of the side each way; fills with black.

    Args:
        images: float32 [N, H, W, C].
        seed: int [2].

    Returns:
        float32 [N, H, W, C].
    """
    batch, (_, height, width, _) = _batch_size(images), images.shape
    rows, columns = height // MAX_SHIFT, width // MAX_SHIFT
    padding = [[0, 0], [rows, rows], [columns, columns], [0, 0]]
    x = tf.pad(images, padding, constant_values=BLACK)
    # Gathering whole rows and columns has gradients of every order; image-resize and image-warp
    # operations do not.
    first_row = _integers(seed, 0, [batch, 1], 2 * rows + 1)
    x = tf.gather(x, first_row + tf.range(height), axis=1, batch_dims=1)
    first_column = _integers(seed, 1, [batch, 1], 2 * columns + 1)
    return tf.gather(x, first_column + tf.range(width), axis=2, batch_dims=1)


def change_brightness(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds one number, uniform in [-0.5, 0.5], to every image.

    Args:
        images: float32 [N, H, W, C].
        seed: int [2].

    Returns:
        float32 [N, H, W, C].
    """
    steps = 2**24
    uniform = tf.cast(_integers(seed, 0, [_batch_size(images), 1, 1, 1], steps), images.dtype)
    return images + MAX_BRIGHTENING * (2.0 * uniform / steps - 1.0)


def cut_out(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Blackens one square of half the side, centred anywhere and cut off at the border.

    Args:
        images: float32 [N, H, W, C].
        seed: int [2].

    Returns:
        float32 [N, H, W, C].
    """
    batch, (_, height, width, _) = _batch_size(images), images.shape
    rows = _span(seed, 0, batch, height)
    columns = _span(seed, 1, batch, width)
    inside = (rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :])[..., tf.newaxis]
    return tf.where(inside, tf.constant(BLACK, images.dtype), images)


AUGMENTATIONS = {
    "translation": translate,
    "brightness": change_brightness,
    "cutout": cut_out,
}


def augment(images: tf.Tensor, policy: tuple[str, ...], seed: tf.Tensor) -> tf.Tensor:
    """Applies the augmentations of a policy one after the other, each image on its own.

    Args:
        images: float32 [N, H, W, C] in [-1, 1].
        policy: names of AUGMENTATIONS in the order of application; empty for none.
        seed: int32 or int64 [2]. The result is a function of images, policy and seed; the draws of
            one augmentation do not depend on which others are applied.

    Returns:
        float32 [N, H, W, C], differentiable in `images` to any order.

    Raises:
        ValueError: for an unknown name.
    """
    for name in policy:
        if name not in AUGMENTATIONS:
            raise ValueError(
                f"Unknown augmentation {name!r}; choose of {', '.join(AUGMENTATIONS)}."
            )
        images = AUGMENTATIONS[name](images, _fold_in(seed, zlib.crc32(name.encode())))
    return images


def _integers(seed, stream, shape, limit):
    seed = _fold_in(seed, stream)
    return tf.random.stateless_uniform(
        shape, seed, minval=0, maxval=limit, dtype=tf.int32, alg=RANDOM_ALGORITHM
    )


def _span(seed, stream, batch, size):
    """Which of `size` positions the square covers along one axis, bool [N, size]."""
    side = size // CUTOUT_SIDE
    first = _integers(seed, stream, [batch, 1], size) - side // 2
    position = tf.range(size)
    return (position >= first) & (position < first + side)


def _fold_in(seed, data):
    return tf.random.experimental.stateless_fold_in(seed, data, alg=RANDOM_ALGORITHM)


def _batch_size(images):
    return images.shape[0] if images.shape[0] is not None else tf.shape(images)[0]
