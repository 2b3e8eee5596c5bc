"""How much of a map lies in a region, over the region's share of the image.

The energy-based pointing game of Wang et al., "Score-CAM", CVPR Workshops 2020: 1 is what a map
gets that knows nothing of the region.
"""

import dataclasses

import numpy as np

# Share of the largest change of grey from which on a pixel belongs to a region.
EDGE = 0.25


@dataclasses.dataclass(frozen=True)
class Share:
    """How much of a map lies inside a region.

    Attributes:
        inside: Share of the map's positive part in the region, in [0, 1]; NaN for a map without.
        area: Share of the image that the region has, in (0, 1].
    """

    inside: float
    area: float

    @property
    def ratio(self) -> float:
        """Over the area: 1 by chance, at most 1 / area."""
        return self.inside / self.area


def region(change: np.ndarray) -> np.ndarray:
    """Where a change, float [R, R] of at least 0, is `EDGE` of its largest value or more; bool."""
    return change >= EDGE * change.max()


def measure(found: np.ndarray, where: np.ndarray) -> Share:
    """Measures a map.

    Args:
        found: float [R, R]; what is negative counts as 0.
        where: bool [R, R], the region, not empty.

    Raises:
        ValueError: If the region is empty or of another size.
    """
    if found.shape != where.shape or not where.any():
        raise ValueError(
            f"a map of {found.shape} wants a region of this size with a pixel in it, got "
            f"{where.shape} with {int(where.sum())}"
        )
    positive = np.maximum(found, 0.0, dtype=np.float64)
    total = positive.sum()
    inside = float(positive[where].sum() / total) if total > 0 else float("nan")
    return Share(inside, float(where.mean()))
