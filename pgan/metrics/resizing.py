"""Grey images to the input of an Inception network, in the two ways that published numbers use.

The way of resizing changes a distance by more than most generators differ, so each has its name,
which is part of the name of a number:

* `clean`: bicubic with antialiasing, not rounded to grey levels afterwards, clipped to [0, 255].
  What Pillow does with float images, and the default of clean-fid (Parmar et al. 2022,
  https://arxiv.org/abs/2104.11222).
* `legacy_tf`: bilinear as in TensorFlow 1, without antialiasing and without the half-pixel offset
  of the sample grid. What the Inception graph of 2015 does itself, so what the first FID code
  (Heusel et al. 2017) and PGGAN measured. It aliases: at 1024 px it looks at every third pixel.

Images come as uint8, so that real and synthetic ones were rounded alike, and the grey level is
repeated to three channels.
"""

import tensorflow as tf

INCEPTION_SIZE = 299  # px


def clean(images: tf.Tensor, size: int = INCEPTION_SIZE) -> tf.Tensor:
    """Antialiased bicubic resizing.

    Args:
        images: uint8 [N, H, W].
        size: Side of the result in px.

    Returns:
        float32 [N, size, size, 3] in [0, 255].

    Raises:
        ValueError: If the images are not uint8 [N, H, W].
    """
    resized = tf.image.resize(_with_channel(images), (size, size), "bicubic", antialias=True)
    # A bicubic kernel overshoots at edges.
    return _three_channels(tf.clip_by_value(resized, 0.0, 255.0))


def legacy_tf(images: tf.Tensor, size: int = INCEPTION_SIZE) -> tf.Tensor:
    """Bilinear resizing of TensorFlow 1: pixel i samples the image at i * (old side / new side).

    Args:
        images: uint8 [N, H, W].
        size: Side of the result in px.

    Returns:
        float32 [N, size, size, 3] in [0, 255].

    Raises:
        ValueError: If the images are not uint8 [N, H, W].
    """
    resized = tf.raw_ops.ResizeBilinear(
        images=_with_channel(images),
        size=(size, size),
        align_corners=False,
        half_pixel_centers=False,
    )
    return _three_channels(resized)


def unresized(images: tf.Tensor) -> tf.Tensor:
    """Images at their own size, for a network that resizes them.

    Args:
        images: uint8 [N, H, W].

    Returns:
        float32 [N, H, W, 3] in [0, 255].

    Raises:
        ValueError: If the images are not uint8 [N, H, W].
    """
    return _three_channels(_with_channel(images))


def _with_channel(images: tf.Tensor) -> tf.Tensor:
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8 or images.shape.rank != 3:
        raise ValueError(
            f"images must be uint8 [N, H, W], got {images.dtype.name} {images.shape}; round to "
            "grey levels before resizing"
        )
    return tf.cast(images, tf.float32)[..., tf.newaxis]


def _three_channels(images: tf.Tensor) -> tf.Tensor:
    return tf.repeat(images, 3, axis=-1)
