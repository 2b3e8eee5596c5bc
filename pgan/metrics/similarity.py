"""Structural similarity of pairs of grey images, at one scale and at several, float64 NumPy.

SSIM (Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861) compares two images x and y in a
Gaussian window of 11x11 px, sigma 1.5, at every position where the window lies inside the image:

    l  = (2 mx my + C1) / (mx^2 + my^2 + C1)        luminance
    cs = (2 sxy + C2) / (sx^2 + sy^2 + C2)          contrast and structure

with windowed means m, variances s^2 (divisor: the weights' sum) and covariance sxy, and with
C1 = (0.01 L)^2, C2 = (0.03 L)^2, L = 255. SSIM is the mean of l cs over the positions. It is 1 for
equal images, also for flat ones, and may be negative.

MS-SSIM (Wang, Simoncelli & Bovik 2003, https://doi.org/10.1109/ACSSC.2003.1292216) takes the means
of cs at full size and after each of three halvings by 2x2 averages, and that of l cs after the
fourth:

    cs_1^w1 cs_2^w2 cs_3^w3 cs_4^w4 ssim_5^w5,

each term at least 0. An image whose shorter side is below 176 px has fewer scales. Its value takes
the first weights, divided by their sum, and has a name of its own, since it is another measure.
Values at different sizes do not compare either.
"""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

# As in the second paper, and with the exponents of the radiograph paper's released code.
VARIANTS = ("standard", "paper_code")

_WINDOW = 11
_SIGMA = 1.5
_LARGEST = 255.0  # L
_C1, _C2 = (0.01 * _LARGEST) ** 2, (0.03 * _LARGEST) ** 2
_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])

# Pixels of each side of the pairs that are worked on at a time: several arrays of them fit into a
# core's cache, and memory does not grow with the number of pairs.
_CHUNK = 2**16


def ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Structural similarity of pairs of images.

    Args:
        x: [N, H, W], uint8 or float32/float64 grey levels in [0, 255], at least 11x11 px.
        y: The other image of each pair; the order of the two does not matter.

    Returns:
        float64 [N], at most 1.

    Raises:
        TypeError: If the images have another dtype.
        ValueError: If the shapes differ or are others, or values are not finite or out of range.
    """
    x, y = _checked(x, y)
    parts = [_means(a, b)[0] for a, b in _chunks(x, y)]
    return np.concatenate(parts) if parts else np.zeros(0)


def ms_ssim(x: np.ndarray, y: np.ndarray, variant: str = "standard") -> np.ndarray:
    """Structural similarity of pairs of images over several scales.

    `standard` agrees with `tf.image.ssim_multiscale`, also where a side is odd: its last row or
    column counts twice in the averages.

    `paper_code` repeats a mistake of the code that Han et al. 2020 released: the term of the last
    scale is in each of the four factors, so that its exponent is 4 w5 = 0.5332, not w5 = 0.1333 (of
    n scales: n - 1 times as much), which lowers the values. Do not put its values beside those of
    the paper's figure: of pairs of 28 radiographs of ChestX-ray14 it gives higher ones than the
    figure shows, and the cause was not found. Known differences, which are left out on purpose, are
    that their code

    * took L as 255 or 1 at each scale, by whether the first image exceeds grey 128. Here it is 255.
    * averaged the terms of a batch of pairs before it took powers. Here each pair has its value.
    * gave NaN for a negative term. Here such a term is 0, as in the standard.
    * kept five scales for small images, with smaller windows. Here they have fewer scales.

    Args:
        x: [N, H, W], uint8 or float32/float64 grey levels in [0, 255], at least 11x11 px
            (`paper_code`: 22x22).
        y: The other image of each pair; the order of the two does not matter.
        variant: One of `VARIANTS`.

    Returns:
        float64 [N] in [0, 1]. `ms_ssim_name` says under what name.

    Raises:
        TypeError: If the images have another dtype.
        ValueError: If the shapes differ or are others, values are not finite or out of range, or
            the variant is unknown.
    """
    x, y = _checked(x, y)
    scales = _scales(min(x.shape[1:]), variant)
    weights = _WEIGHTS[:scales]
    if scales < len(_WEIGHTS):  # The five sum to 1.0001 and are customarily left so.
        weights = weights / weights.sum()
    if variant == "paper_code":
        weights = np.append(weights[:-1], (scales - 1) * weights[-1])
    parts = [np.prod(_terms(a, b, scales) ** weights[:, None], axis=0) for a, b in _chunks(x, y)]
    return np.concatenate(parts) if parts else np.zeros(0)


def ms_ssim_name(size: int, variant: str = "standard") -> str:
    """Name of the values of `ms_ssim`: `ms_ssim`, `ms_ssim_4scales`, `ms_ssim_paper_code` ...

    Args:
        size: Shorter side of the images in px.
        variant: One of `VARIANTS`.

    Raises:
        ValueError: If the images are too small or the variant is unknown.
    """
    scales = _scales(size, variant)
    parts = ["ms_ssim"]
    if variant != "standard":
        parts.append(variant)
    if scales < len(_WEIGHTS):
        parts.append(f"{scales}scale{'s' if scales > 1 else ''}")
    return "_".join(parts)


def _scales(size: int, variant: str) -> int:
    """As many halvings as leave room for the window, at most five scales."""
    if variant not in VARIANTS:
        raise ValueError(f"the variants of MS-SSIM are {', '.join(VARIANTS)}; got {variant!r}")
    # In the paper's code the last scale multiplies the others; a single scale has no others.
    fewest = 2 if variant == "paper_code" else 1
    scales = (max(int(size), 0) // _WINDOW).bit_length()
    if scales < fewest:
        raise ValueError(
            f"MS-SSIM ({variant}) needs at least {_WINDOW * fewest} px a side, got {size}"
        )
    return min(scales, len(_WEIGHTS))


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x), np.asarray(y)
    for images in (x, y):
        if images.dtype not in (np.uint8, np.float32, np.float64):
            raise TypeError(
                f"images must be uint8, float32 or float64 grey levels in [0, 255], got "
                f"{images.dtype}"
            )
    if x.ndim != 3 or x.shape != y.shape or min(x.shape[1:]) < _WINDOW:
        raise ValueError(
            f"pairs must be two arrays [N, H, W] of one shape, H and W at least {_WINDOW} px, got "
            f"{list(x.shape)} and {list(y.shape)}"
        )
    for images in (x, y):
        if images.dtype == np.uint8 or not images.size:
            continue
        lowest, highest = images.min(), images.max()  # NaN if one is
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            raise ValueError("images have values that are not finite")
        if lowest < 0 or highest > _LARGEST:
            raise ValueError(
                f"float images must be grey levels in [0, 255], got [{lowest:g}, {highest:g}]; "
                "bring images in [-1, 1] back with plots.to_uint8"
            )
    return x, y


def _chunks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cuts pairs into parts that fit into a cache, float64."""
    step = max(1, _CHUNK // (x.shape[1] * x.shape[2]))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        yield x[part].astype(np.float64), y[part].astype(np.float64)


def _window_means(images: np.ndarray) -> np.ndarray:
    """Gaussian means at the positions inside, [..., H, W] to [..., H - 10, W - 10]."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    inside = slice(_WINDOW // 2, -(_WINDOW // 2))
    rows = ndimage.correlate1d(images, weights, axis=-2)[..., inside, :]
    return ndimage.correlate1d(rows, weights, axis=-1)[..., inside]


def _means(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of l cs and of cs, each float64 [N]."""
    mx, my = _window_means(x), _window_means(y)
    products, squares = mx * my, mx * mx + my * my
    cs = (2.0 * (_window_means(x * y) - products) + _C2) / (
        _window_means(x * x + y * y) - squares + _C2
    )
    similarity = cs * (2.0 * products + _C1) / (squares + _C1)
    return similarity.mean(axis=(1, 2)), cs.mean(axis=(1, 2))


def _terms(x: np.ndarray, y: np.ndarray, scales: int) -> np.ndarray:
    """The terms of the product without their exponents, float64 [scales, N]."""
    terms = []
    for scale in range(scales):
        similarity, cs = _means(x, y)
        last = scale == scales - 1
        terms.append(similarity if last else cs)
        if not last:
            x, y = _halved(x), _halved(y)
    return np.maximum(terms, 0.0)


def _halved(images: np.ndarray) -> np.ndarray:
    """Means of 2x2 px; where a side is odd, its last row or column is taken twice."""
    _, height, width = images.shape
    if height % 2 or width % 2:
        images = np.pad(images, ((0, 0), (0, height % 2), (0, width % 2)), "edge")
    rows = images[:, ::2] + images[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4.0
