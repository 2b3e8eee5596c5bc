"""Precision, recall, density and coverage of features, float64 NumPy.

The region of a set is the union of balls around its points, each as wide as the distance to the
point's k-th nearest other point of the set.

* Precision: share of the synthetic points inside the region of the real ones. Recall: share of the
  real points inside the region of the synthetic ones. k = 3, the border belongs to a ball
  (Kynkaanniemi et al. 2019, https://arxiv.org/abs/1904.06991).
* Density: in how many balls of real points a synthetic point lies on average, divided by k; about 1
  for equal distributions, it can be more. Coverage: share of the real points whose ball holds a
  synthetic point. k = 5, the border does not belong to a ball (Naeem et al. 2020,
  https://arxiv.org/abs/2002.09797).

All depend on the counts and on k, so that only values of the same name compare.

Distances come in blocks from matrix products, |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, which is wrong by
the rounding of large terms that cancel. An image that was copied lies exactly on the border of its
neighbours' balls, where such an error decides. So each product carries a bound of its error, and
what the bound leaves open is decided by the sum of squared differences, which is the same number in
either order of the two points and zero for equal ones.
"""

from collections.abc import Iterator

import numpy as np

_BLOCK = 2**22  # Entries of a block of distances, 32 MB; a few of them exist at a time.
_PAIRS = 2**21  # Entries of a block of differences.


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall; see above.

    Args:
        real: float [N, D].
        fake: float [M, D]; take M = N, as the region of a larger set is finer.
        k: Neighbour that sets the radius of a point.

    Returns:
        Precision and recall, in [0, 1].

    Raises:
        ValueError: If the features do not fit, or a set has no k-th neighbours.
    """
    real, fake = _checked(real, fake)
    limits = _squared_radii(real, k, "real"), _squared_radii(fake, k, "fake")
    precise = np.zeros(len(fake), bool)
    recalled = np.zeros(len(real), bool)
    for rows, block in _blocks(fake, real):
        precise[rows] = block.at_most(limits[0]).any(axis=1)
        recalled |= block.at_most(limits[1][rows, np.newaxis]).any(axis=0)
    return float(precise.mean()), float(recalled.mean())


def density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Density and coverage; see above.

    Args:
        real: float [N, D].
        fake: float [M, D]; take M = N, as coverage grows with M.
        k: Neighbour that sets the radius of a point.

    Returns:
        Density, at least 0 and at most N / k, and coverage, in [0, 1].

    Raises:
        ValueError: If the features do not fit, or `real` has no k-th neighbours.
    """
    real, fake = _checked(real, fake)
    limits = _squared_radii(real, k, "real")
    inside, covered = 0, np.zeros(len(real), bool)
    for _, block in _blocks(fake, real):
        held = block.below(limits)
        inside += np.count_nonzero(held)
        covered |= held.any(axis=0)
    return inside / (k * len(fake)), float(covered.mean())


class _Distances:
    """Squared distances between some rows of one set and all of another.

    Attributes:
        values: float64 [R, M], from products.
        error: float64 [R, M], bound of the difference between `values` and `exact`.
    """

    def __init__(self, a, b, rows, centre):
        self._a, self._b, self._first = a, b, rows.start
        left = a[rows] - centre
        left_norms = np.einsum("ij,ij->i", left, left)
        self.values = np.empty((len(left), len(b)))
        self.error = np.empty_like(self.values)
        # Rounding of a sum of D products, for both ways of computing, with some room.
        relative = 5 * (a.shape[1] + 8) * np.finfo(np.float64).eps / 2
        step = max(1, _PAIRS // a.shape[1])
        for start in range(0, len(b), step):
            columns = slice(start, start + step)
            right = b[columns] - centre
            norms = left_norms[:, np.newaxis] + np.einsum("ij,ij->i", right, right)
            self.values[:, columns] = norms - 2.0 * (left @ right.T)
            self.error[:, columns] = relative * norms

    def exact(self, rows, columns):
        """Squared distances of pairs, float64 [P], as sums of squared differences."""
        result = np.empty(len(rows))
        step = max(1, _PAIRS // self._a.shape[1])
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            left = np.asarray(self._a[self._first + rows[part]], np.float64)
            differences = left - self._b[columns[part]]
            result[part] = np.square(differences, out=differences).sum(axis=1)
        return result

    def at_most(self, limits):
        """Which exact distances are at most `limits` (broadcast to [R, M]), bool [R, M]."""
        return self._compared(limits, np.less_equal)

    def below(self, limits):
        """Which exact distances are less than `limits`."""
        return self._compared(limits, np.less)

    def _compared(self, limits, compare):
        held = compare(self.values, limits)
        rows, columns = np.nonzero(np.abs(self.values - limits) <= self.error)
        wanted = np.broadcast_to(limits, held.shape)[rows, columns]
        held[rows, columns] = compare(self.exact(rows, columns), wanted)
        return held


def _blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, _Distances]]:
    """Yields rows of `a` with their distances to all of `b`."""
    centre = b.mean(axis=0, dtype=np.float64)  # Small norms, small errors.
    step = max(1, _BLOCK // len(b))
    for start in range(0, len(a), step):
        rows = slice(start, min(start + step, len(a)))
        yield rows, _Distances(a, b, rows, centre)


def _squared_radii(points, k, name):
    """Squared distance of each point to its k-th nearest other point, float64 [N]."""
    if not 1 <= k < len(points):
        raise ValueError(
            f"the {name} set has {len(points)} points, of which each has {len(points) - 1} "
            f"neighbours; k must be from 1 to that, got {k}"
        )
    radii = np.empty(len(points))
    for rows, block in _blocks(points, points):
        count = rows.stop - rows.start
        block.values[np.arange(count), np.arange(rows.start, rows.stop)] = np.inf  # Itself.
        # Any k points bound the radius. Only what may be nearer than that bound can change it.
        nearest = np.argpartition(block.values, k - 1, axis=1)[:, :k]
        own = np.repeat(np.arange(count), k)
        found = block.exact(own, nearest.ravel())
        bound = found.reshape(count, k).max(axis=1)
        np.put_along_axis(block.values, nearest, np.inf, axis=1)
        possible = np.maximum(block.values - block.error, 0.0) < bound[:, np.newaxis]
        others, columns = np.nonzero(possible)
        found = np.concatenate([found, block.exact(others, columns)])
        own = np.concatenate([own, others])
        order = np.lexsort((found, own))
        starts = np.searchsorted(own[order], np.arange(count))
        radii[rows] = found[order][starts + k - 1]
    return radii


def _checked(real, fake):
    real, fake = np.asarray(real), np.asarray(fake)
    for features, kind in ((real, "real"), (fake, "fake")):
        if features.ndim != 2 or not len(features):
            raise ValueError(f"{kind} must have shape [N, D], got {features.shape}")
        if not np.isfinite(features).all():
            raise ValueError(f"{kind} is not finite")
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"features of {real.shape[1]} and {fake.shape[1]} entries cannot be compared; both "
            "sets need the same extractor"
        )
    return real, fake
