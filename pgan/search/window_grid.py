"""What of an image SSIM looks at, in a form that can be searched: local statistics at a grid.

SSIM is a mean over windows of (2 a b + c) / (a^2 + b^2 + c), once for the local means and once for
the local deviations. With a' = sqrt(a^2 + c / 2) such a fraction is the cosine of (a, sqrt(c / 2))
and (b, sqrt(c / 2)) times sech(log a' - log b'), and sech of a difference is a positive definite
kernel. So SSIM is an inner product of vectors that depend on one image each, and a shortlist of
the images nearest to another can be had by a matrix product. Three things make the vectors short:

- windows at a grid instead of at every pixel, and of the structure inside a window its gradient
  only (`WindowGrid`),
- sech by its first eigenfunctions under the distribution of its argument in the images,
- and of all this its principal components (`Projection`).

That is an approximation, for a shortlist; `pgan.search.pair_ssim` computes what is reported.
"""

import atexit
import dataclasses
import functools
import math

import numpy as np

from pgan.search.pair_ssim import C1, C2, OFFSET, WEIGHTS, ratio

# Windows along a side of a large image, about: 31 at 256 px, 27 at 64 px.
_CELLS = 32
# Of a window: mean, variance, and gradient across and down, in units that make the variance the sum
# of their squares where there is no finer structure.
STATISTICS = 4
# Images that are worked on at a time, a few tens of MB.
BATCH = 64
_DEVIATION_FUNCTIONS, _MEAN_FUNCTIONS = 2, 4
# What the components do not hold of two images is unknown, and counts as if alike to this degree.
# So an unusual image is looked for among the unusual ones too, of which the components know little.
_REST_ALIKE = 0.3


class WindowGrid:
    """Local statistics at a grid of SSIM's windows.

    Attributes:
        size: (height, width) of the images in px.
        windows: Number of windows.
    """

    def __init__(self, size: tuple[int, int]):
        """Places the windows.

        Raises:
            ValueError: If no window fits into the images.
        """
        if min(size) < len(WEIGHTS):
            raise ValueError(
                f"images of {size[0]}x{size[1]} px are smaller than SSIM's window of "
                f"{len(WEIGHTS)} px"
            )
        self.size = tuple(size)
        self._rows, self._columns = (_filters(side) for side in size)
        self.windows = self._rows.shape[1] * self._columns.shape[1]

    def statistics(self, images: np.ndarray) -> np.ndarray:
        """Computes the statistics of images, uint8 [N, H, W].

        Returns:
            float32 [N, STATISTICS, windows]: mean, variance, gradient across and down.
        """
        result = np.empty((len(images), STATISTICS, self.windows), np.float32)
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH].astype(np.float32) - OFFSET
            smooth, slope = self._columns[0].T, self._columns[1].T
            rows = self._rows[0] @ part
            mean = rows @ smooth
            variance = self._rows[0] @ (part * part) @ smooth - mean * mean
            gradient = rows @ slope, self._rows[1] @ part @ smooth
            for number, values in enumerate((mean + OFFSET, np.maximum(variance, 0), *gradient)):
                result[start : start + len(part), number] = values.reshape(len(part), -1)
        return result


def _filters(side: int) -> np.ndarray:
    """SSIM's window along one side, and its slope: polynomials orthonormal under the window.

    Returns:
        float32 [2, windows, side], rows that take a line of the image to its coefficients.
    """
    taps = len(WEIGHTS)
    places = np.arange(taps) - taps // 2
    powers = np.sqrt(WEIGHTS) * np.stack([places**order for order in range(2)])
    orthonormal, triangle = np.linalg.qr(powers.T)
    kernels = (orthonormal * np.sign(np.diag(triangle))).T * np.sqrt(WEIGHTS)
    stride = max(1, round(side / _CELLS))
    count = (side - taps) // stride + 1
    first = (side - taps - (count - 1) * stride) // 2
    filters = np.zeros((2, count, side), np.float32)
    for window in range(count):
        start = first + window * stride
        filters[:, window, start : start + taps] = kernels
    return filters


def ssim(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Estimates SSIM by its formula at the windows of the grid, with the gradients' covariance.

    Args:
        one: Statistics of an image, float32 [STATISTICS, windows].
        others: Statistics of others, float16 [N, STATISTICS, windows].

    Returns:
        float32 [N].
    """
    return _window_ssim()(one, others)


@functools.cache
def _window_ssim():
    import tensorflow as tf

    # What outlives TensorFlow's own modules complains when the interpreter ends.
    atexit.register(_window_ssim.cache_clear)
    signature = [
        tf.TensorSpec([STATISTICS, None], tf.float32),
        tf.TensorSpec([None, STATISTICS, None], tf.float16),
    ]

    @tf.function(input_signature=signature, jit_compile=True)
    def values(one, others):
        mean, variance, *gradient = tf.unstack(tf.cast(others, tf.float32), axis=1)
        covariance = one[2] * gradient[0] + one[3] * gradient[1]
        return ratio(one[0], mean, one[1] + variance, covariance)

    return lambda one, others: tf.reduce_mean(values(one, others), axis=1).numpy()


def _sech_functions(sample: np.ndarray, functions: int) -> tuple[np.ndarray, np.ndarray]:
    """sech(s - t) as an inner product of few functions of s and of t.

    They are the first eigenfunctions of the kernel under the distribution of the sample.

    Returns:
        Arguments [300], ascending, and values [functions, 300].
    """
    edges = np.linspace(sample.min() - 0.1, sample.max() + 0.1, 301)
    grid = (edges[1:] + edges[:-1]) / 2
    share = np.histogram(sample, edges)[0] / sample.size
    root = np.sqrt(share + 1e-3 / len(share))
    kernel = 1 / np.cosh(grid[:, np.newaxis] - grid)
    values, vectors = np.linalg.eigh(root[:, np.newaxis] * kernel * root)
    chosen = slice(len(values) - functions, None)
    return grid, (vectors[:, chosen] * np.sqrt(values[chosen]) / root[:, np.newaxis]).T


@dataclasses.dataclass(frozen=True)
class Projection:
    """Short vectors of images whose inner products are near to SSIM.

    Attributes:
        deviation_grid, deviation_table: Functions of the logarithm of the local deviation.
        mean_grid, mean_table: The same of the local mean.
        centre: float32 [features], mean of the features.
        basis: float32 [features, components].
    """

    deviation_grid: np.ndarray
    deviation_table: np.ndarray
    mean_grid: np.ndarray
    mean_table: np.ndarray
    centre: np.ndarray
    basis: np.ndarray

    @classmethod
    def fit(cls, sample: np.ndarray, components: int) -> "Projection":
        """Fits a projection.

        Args:
            sample: Statistics of some of the images to be found, float32 [N, STATISTICS, windows].
            components: Number of principal components; no more than N - 1 are used.
        """
        tables = (
            *_sech_functions(_log_deviation(sample), _DEVIATION_FUNCTIONS),
            *_sech_functions(_log_mean(sample), _MEAN_FUNCTIONS),
        )
        nothing = np.zeros(0, np.float32)
        features = cls(*tables, nothing, nothing)._features(sample)
        centre = features.mean(axis=0, dtype=np.float64).astype(np.float32)
        features -= centre
        values, vectors = np.linalg.eigh((features @ features.T).astype(np.float64))
        components = max(1, min(components, len(sample) - 1))
        values, vectors = values[-components:], vectors[:, -components:]
        # A component without variance, as of equal images, would be divided by zero.
        smallest = max(1e-6 * values[-1], 1e-12)
        scale = np.where(values > smallest, 1 / np.sqrt(np.maximum(values, smallest)), 0)
        return cls(*tables, centre, features.T @ (vectors * scale).astype(np.float32))

    def arrays(self) -> dict[str, np.ndarray]:
        """Arguments that make the projection again."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        return self.basis.shape[1] + 2

    def references(self, statistics: np.ndarray) -> np.ndarray:
        """Vectors of images to be found, float32 [N, dimensions]."""
        return self._project(statistics, of_query=False)

    def queries(self, statistics: np.ndarray) -> np.ndarray:
        """Vectors of images to search for, float32 [N, dimensions]."""
        return self._project(statistics, of_query=True)

    def _project(self, statistics: np.ndarray, of_query: bool) -> np.ndarray:
        result = np.empty((len(statistics), self.dimensions), np.float32)
        for start in range(0, len(statistics), BATCH):
            features = self._features(statistics[start : start + BATCH])
            part = result[start : start + len(features)]
            # <q, r> is <q - m, r - m> + <r, m> and what does not depend on r. The mean m is not
            # among the components: it tells how typical an image is.
            part[:, 0] = 1.0 if of_query else features @ self.centre
            features -= self.centre
            np.matmul(features, self.basis, out=part[:, 2:])
            rest = np.square(features).sum(axis=1) - np.square(part[:, 2:]).sum(axis=1)
            part[:, 1] = np.sqrt(_REST_ALIKE * np.maximum(rest, 0))
        return result

    def _features(self, statistics: np.ndarray) -> np.ndarray:
        """Vectors before the principal components, float32 [N, features]."""
        count, _, windows = statistics.shape
        deviation = _log_deviation(statistics)
        structure = np.empty((count, 3, windows), np.float32)
        structure[:, 0] = math.sqrt(C2 / 2)
        structure[:, 1:] = statistics[:, 2:]
        structure /= np.sqrt(np.float32(windows)) * np.exp(deviation)[:, np.newaxis]
        means = _interpolate(_log_mean(statistics), self.mean_grid, self.mean_table)
        deviations = _interpolate(deviation, self.deviation_grid, self.deviation_table)
        functions = [m * d for m in means for d in deviations]
        result = np.empty((count, len(functions), 3, windows), np.float32)
        for number, values in enumerate(functions):
            np.multiply(structure, values[:, np.newaxis], out=result[:, number])
        return result.reshape(count, -1)


def _log_mean(statistics: np.ndarray) -> np.ndarray:
    return 0.5 * np.log(statistics[:, 0] ** 2 + np.float32(C1 / 2))


def _log_deviation(statistics: np.ndarray) -> np.ndarray:
    return 0.5 * np.log(statistics[:, 1] + np.float32(C2 / 2))


def _interpolate(values: np.ndarray, grid: np.ndarray, table: np.ndarray) -> list[np.ndarray]:
    return [np.interp(values, grid, row).astype(np.float32) for row in table]
