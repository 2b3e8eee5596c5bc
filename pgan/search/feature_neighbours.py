"""The nearest vectors by Euclidean distance, exactly."""

from collections.abc import Sequence

import numpy as np

# Distances, or values of the vectors that are looked at more closely, in memory at a time.
_BLOCK_VALUES = 2**24


def nearest_features(
    x: np.ndarray,
    y: np.ndarray,
    k: int = 3,
    x_groups: Sequence[str] | None = None,
    y_groups: Sequence[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest of many vectors, in float64 and in blocks.

    A product of matrices gives all distances, but loses digits where they are small. So the
    distances of all vectors that can be among the nearest, by what it may be wrong, are computed
    once more from the differences.

    Args:
        x: [Q, D], finite.
        y: [M, D], finite.
        k: Neighbours per vector.
        x_groups: Patient of each x; its own y are left out.
        y_groups: Patient of each y.

    Returns:
        int64 [Q, k] places in y, nearest first and of equally near ones the first, and
        float64 [Q, k] distances.

    Raises:
        ValueError: If shapes, k and groups do not go together, or a value is not finite.
    """
    x, y = np.asarray(x), np.asarray(y)
    _check(x, y, k, x_groups, y_groups)
    # Without what all have in common, the product loses fewer digits.
    centre = y.mean(axis=0, dtype=np.float64)
    centred = y - centre
    lengths = np.square(centred).sum(axis=1)
    # Rounding of a sum of D products and of the centring, of vectors of length 1, and some more.
    rounding = 2 * (y.shape[1] + 4) * np.finfo(np.float64).eps
    members: dict[str, list[int]] = {}
    if x_groups is not None:
        for position, group in enumerate(y_groups):
            members.setdefault(group, []).append(position)
    positions = np.empty((len(x), k), np.int64)
    distances = np.empty((len(x), k), np.float64)
    step = max(1, _BLOCK_VALUES // len(y))
    for start in range(0, len(x), step):
        queries = x[start : start + step] - centre
        # The square of the distance, but for what is the same for all y.
        scores = lengths - 2 * queries @ centred.T
        for row, query in enumerate(range(start, start + len(scores))):
            own = members.get(x_groups[query], []) if x_groups is not None else []
            scores[row, own] = np.inf
            error = rounding * (lengths + queries[row] @ queries[row])
            farthest = np.partition(scores[row] + error, k - 1)[k - 1]
            chosen = np.flatnonzero(scores[row] - error <= farthest)
            squares = _squares(x[query], y, chosen)
            order = np.argsort(squares, kind="stable")[:k]
            positions[query], distances[query] = chosen[order], np.sqrt(squares[order])
    return positions, distances


def _squares(x, y, chosen):
    """Squared distances of a vector to some of y, a few at a time: all may be equally near."""
    step = max(1, _BLOCK_VALUES // y.shape[1])
    parts = [chosen[start : start + step] for start in range(0, len(chosen), step)]
    return np.concatenate([np.square(y[part].astype(np.float64) - x).sum(axis=1) for part in parts])


def _check(x, y, k, x_groups, y_groups) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        raise ValueError(f"x and y must be [Q, D] and [M, D], got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("x and y must be finite")
    if (x_groups is None) != (y_groups is None):
        raise ValueError("give the groups of both x and y, or of neither")
    least = len(y)
    if x_groups is not None:
        if (len(x_groups), len(y_groups)) != (len(x), len(y)):
            raise ValueError(
                f"{len(x_groups)} and {len(y_groups)} groups of {len(x)} and {len(y)} vectors"
            )
        members = dict(zip(*np.unique(np.asarray(y_groups), return_counts=True), strict=True))
        least -= max(members.get(group, 0) for group in set(x_groups))
    if not 1 <= k <= least:
        raise ValueError(f"k must be 1 to {least}, the vectors to choose from; got {k}")
