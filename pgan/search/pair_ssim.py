"""SSIM of very many pairs of images, in float64.

Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
Similarity", IEEE Trans. Image Process. 13(4), 2004, with the paper's Gaussian window of 11 px and
sigma 1.5, K1 = 0.01, K2 = 0.03, L = 255, over windows that lie in the image.

The constants need no TensorFlow; the functions load it when they are first called.
"""

import atexit
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_TAPS = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
WEIGHTS = _TAPS / _TAPS.sum()
# Taken off the grey levels first, so that variances are not small differences of large numbers.
OFFSET = 128
# Images that one is compared with at a time; each number would be compiled anew, so there are two.
BATCH = 8
_MANY, _MANY_PIXELS = 128, 2**19  # of small images more, where calls would cost more than SSIM


class Terms(NamedTuple):
    """What depends on one image: tensors float64 [1, ...] of centred pixels, means, variances."""

    centred: object
    mean: object
    variance: object


def terms(image: np.ndarray) -> Terms:
    """Computes what depends on one image, uint8 [H, W] of at least 11 px a side."""
    compiled = _compiled()
    centred, *sums = compiled.of_one(image[np.newaxis])
    return Terms(centred, *compiled.moments(*sums))


def scores(one: Terms, others: np.ndarray) -> np.ndarray:
    """Computes SSIM of an image with others, uint8 [N, H, W], as float64 [N]."""
    compiled = _compiled()
    result = np.empty(len(others), np.float64)
    start, most = 0, many(others.shape[1:])
    while start < len(others):
        size = most if len(others) - start >= most else BATCH
        part = others[start : start + size]
        padded = np.concatenate([part, part[:1].repeat(size - len(part), axis=0)])
        sums = compiled.of_pairs(padded, one.centred)
        values = compiled.ssim(*sums, one.mean, one.variance)
        # The mean outside: XLA adds up one number after the other.
        result[start : start + len(part)] = compiled.mean(values)[: len(part)]
        start += size
    return result


def many(shape: tuple[int, int]) -> int:
    """How many images of a shape (height, width) are best compared at a time."""
    return min(_MANY, max(BATCH, _MANY_PIXELS // (shape[0] * shape[1])))


class _Compiled(NamedTuple):
    of_one: Callable
    moments: Callable
    of_pairs: Callable
    ssim: Callable
    mean: Callable


@functools.cache
def _compiled() -> _Compiled:
    """Makes the compiled functions, once for all searches.

    Down and across are two functions: in one, XLA would join the two directions and compute the
    first again for every tap of the second.
    """
    import tensorflow as tf

    # What outlives TensorFlow's own modules complains when the interpreter ends.
    atexit.register(_compiled.cache_clear)

    def compiled(function, *dtypes):
        signature = [tf.TensorSpec([None, None, None], dtype) for dtype in dtypes]
        return tf.function(function, signature, jit_compile=True)

    def centre(images):
        return tf.cast(images, tf.float64) - OFFSET

    def of_one(images):
        x = centre(images)
        return x, _down(x), _down(x * x)

    def moments(sums, squares):
        mean = _across(sums)
        return mean, _across(squares) - mean * mean

    def of_pairs(images, one):
        x = centre(images)
        return _down(x), _down(x * x), _down(x * one)

    def ssim(sums, squares, products, one_mean, one_variance):
        mean, variance = moments(sums, squares)
        covariance = _across(products) - one_mean * mean
        return ratio(one_mean + OFFSET, mean + OFFSET, one_variance + variance, covariance)

    double = tf.float64
    return _Compiled(
        compiled(of_one, tf.uint8),
        compiled(moments, double, double),
        compiled(of_pairs, tf.uint8, double),
        compiled(ssim, *[double] * 5),
        lambda values: tf.reduce_mean(values, axis=(1, 2)).numpy(),
    )


def ratio(mean, other_mean, both_variances, covariance):
    """SSIM's formula for one window, of arrays or tensors."""
    upper = (2 * mean * other_mean + C1) * (2 * covariance + C2)
    return upper / ((mean * mean + other_mean * other_mean + C1) * (both_variances + C2))


def _down(x):
    return _filter(lambda start, stop: x[:, start:stop])


def _across(x):
    return _filter(lambda start, stop: x[:, :, start:stop])


def _filter(piece):
    """The window's weights along one axis, which `piece` cuts; both directions of it alike."""
    last = len(WEIGHTS) - 1
    half = last // 2
    result = float(WEIGHTS[half]) * piece(half, -half)
    for tap in range(half):
        both = piece(tap, tap - last) + piece(last - tap, -tap or None)
        result += float(WEIGHTS[tap]) * both
    return result
