"""Features of images: what a distance between sets of images looks at."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from pgan.metrics import frechet

# Pixels of images, or of the networks' inputs of about 300 px, that are in work at once.
_PIXELS_AT_ONCE = 2**22
_INPUT_PIXELS = 300**2


class Extractor(Protocol):
    """A fixed function of images.

    Attributes:
        name: Part of the names of results; another function has another name.
        dimension: Entries of a feature vector.
        facts: JSON types that identify the function: "network", "sha256" of its file (None if it
            has none) and "variant".
    """

    name: str
    dimension: int
    facts: dict[str, Any]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Computes features, each image by itself.

        Args:
            images: uint8 [N, H, W], grey.

        Returns:
            float32 [N, dimension].
        """


def statistics(extractor: Extractor, batches: Iterable[np.ndarray]) -> frechet.Statistics:
    """Statistics of the features of images that come in batches.

    Args:
        extractor: The features.
        batches: uint8 [N, H, W] each; the result does not depend on how they are cut.

    Raises:
        ValueError: If there are fewer than two images, or the extractor refuses them.
    """
    accumulator = frechet.Accumulator()
    for images in batches:
        accumulator.add(extractor(images))
    return accumulator.statistics()


def checked(images: np.ndarray, smallest: int = 1) -> np.ndarray:
    """The images, unless they are something else.

    Raises:
        ValueError: If they are not uint8 [N, H, W] with at least `smallest` pixels a side.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 3 or min(images.shape[1:]) < smallest:
        raise ValueError(
            f"images must be uint8 [N, H, W] of at least {smallest}x{smallest} px, got "
            f"{images.dtype} {list(images.shape)}"
        )
    return images


def in_parts(
    function: Callable[[np.ndarray], np.ndarray], images: np.ndarray, dimension: int | None
) -> np.ndarray:
    """Features by a function that is given few images at once, so that its memory is bounded.

    Args:
        function: Of images uint8 [n, H, W], to float32 [n, D].
        images: uint8 [N, H, W].
        dimension: D, for the result of no images.

    Returns:
        float32 [N, D].

    Raises:
        ValueError: If the images are not as above.
    """
    images = checked(images)
    size = max(1, _PIXELS_AT_ONCE // max(_INPUT_PIXELS, int(np.prod(images.shape[1:]))))
    parts = [function(images[start : start + size]) for start in range(0, len(images), size)]
    return np.concatenate(parts) if parts else np.zeros((0, dimension or 0), np.float32)


class FixedExtractor:
    """A small random network whose weights are a function of one seed, so that it needs no file.

    It is for demonstrations, tests and sites without a network. Random filters see layout,
    brightness and texture, but nothing that is specific to radiographs: its distances tell a
    blurred, noisy or one-sided collection from a good one, and do not replace those of a trained
    network.

    Images are brought to 64x64 by area averages (larger ones) or bilinear interpolation (smaller
    ones), grey levels to [-1, 1]. From each of four scales (64, 32, 16 and 8 px, box-filtered), 16
    orthonormal 5x5 filters, the first of them the mean and the others without a mean, are taken at
    every position; responses are rectified (`|r|`; the mean keeps its sign) and averaged over the
    four quadrants. The amplitude of natural images falls in proportion to their frequency, so the
    finer scales' responses are weighted up by as much. 4 scales x 16 filters x 4 quadrants = 256
    entries.
    """

    name = "fixed"
    dimension = 256

    # All of these, and the seed, are part of the name: changed numbers need another one.
    _SIZE = 64
    _SCALES = 4
    _FILTERS = 16
    _KERNEL = 5
    _SEED = 1888

    def __init__(self):
        """Draws the filters."""
        self.facts = {"network": "fixed", "sha256": None, "variant": f"seed {self._SEED}"}
        self._kernels = [self._draw(scale) for scale in range(self._SCALES)]
        self._function = tf.function(
            self._compute, input_signature=[tf.TensorSpec([None, None, None], tf.uint8)]
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Computes features; see `Extractor`.

        Raises:
            ValueError: If the images are not uint8 [N, H, W] with at least 16 pixels a side.
        """
        return self._function(checked(images, smallest=16)).numpy()

    def _draw(self, scale):
        """Filters of one scale, float32 [5, 5, 1, 16], orthonormal, the first one constant."""
        size = self._KERNEL**2
        noise = tf.random.stateless_normal(
            (size, self._FILTERS), seed=(self._SEED, scale), alg="philox"
        )
        columns = np.asarray(noise, np.float64)
        columns[:, 0] = 1.0
        basis, triangle = np.linalg.qr(columns)
        basis *= np.sign(np.diag(triangle))  # Libraries differ in the signs.
        return tf.constant(basis.reshape(self._KERNEL, self._KERNEL, 1, -1), tf.float32)

    def _compute(self, images):
        x = tf.cast(images, tf.float32)[..., tf.newaxis] / 127.5 - 1.0
        height, width = tf.shape(x)[1], tf.shape(x)[2]
        smaller = tf.minimum(height, width) < self._SIZE
        size = (self._SIZE, self._SIZE)
        x = tf.cond(
            smaller,
            lambda: tf.image.resize(x, size, "bilinear"),
            lambda: tf.image.resize(x, size, "area"),
        )
        x = tf.ensure_shape(x, (None, *size, 1))
        parts = []
        for scale, kernel in enumerate(self._kernels):
            responses = tf.nn.conv2d(x, kernel, strides=1, padding="VALID")
            mean, others = responses[..., :1], responses[..., 1:]
            weight = 2.0 ** (self._SCALES - 1 - scale)
            rectified = tf.concat([mean / self._KERNEL, weight * tf.abs(others)], axis=-1)
            parts.append(self._quadrants(rectified))
            x = tf.nn.avg_pool2d(x, ksize=2, strides=2, padding="VALID")
        return tf.concat(parts, axis=-1)

    def _quadrants(self, x):
        """Means over the four quadrants, float32 [N, 4 * filters]; sides are even."""
        half = x.shape[1] // 2
        pooled = tf.nn.avg_pool2d(x, ksize=half, strides=half, padding="VALID")
        return tf.reshape(pooled, (-1, 4 * x.shape[-1]))
