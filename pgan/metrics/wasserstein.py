"""Sliced Wasserstein distance between the patches of two sets of grey images, scale by scale.

After Karras et al. 2018 (https://arxiv.org/abs/1710.10196, section 5): each image becomes a
Laplacian pyramid down to 16 px; at each level 7x7 patches are cut out, 128 of an image at random
places; the patches of a set are standardised by the mean and the standard deviation of all their
pixels; and the distance between the two clouds in 49 dimensions is

    1000 * mean over 4 * 128 random directions d of mean_i |sort(P d)_i - sort(Q d)_i|.

The finest level sees noise and edges, the coarsest, a 16 px image, sees layout. As each set is
standardised by itself, brightness and contrast do not count.

The original is of colour images, whose patches have three channels. These are patches of one
channel, so that values compare with other values of this kind only, which names say.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from pgan.metrics import grey_images, names

COARSEST = 16  # px
PATCH = 7  # px
PATCHES_PER_IMAGE = 128
REPEATS = 4
DIRECTIONS = 128  # Of each repeat.

# Patches kept of each level: all of 1024 images. 26 MB a level, 180 MB for images of 1024 px.
CAPACITY = 2**17

_FILTER = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0


class Accumulator:
    """Collects patches of images that come in batches.

    Which patches are cut out and kept is a function of the seed and an image's number in the
    sequence, so that the result does not depend on how the batches are cut. Beyond `capacity`
    patches a level, a uniform random sample of all that were cut out is kept: each has a random
    number, and the smallest stay. Images that have none among them are passed over quickly.

    Attributes:
        resolution: Side of the images in px.
        sizes: Sides of the levels in px, the finest first.
        count: Images so far.
    """

    def __init__(self, resolution: int, seed: int, capacity: int = CAPACITY):
        """Nothing seen yet.

        Args:
            resolution: Side of the images in px, 16 times a power of two.
            seed: Of places and sample, at least 0. Two sets that are compared may share it.
            capacity: Patches to keep of each level.

        Raises:
            ValueError: If the images have another size, or nothing would be kept.
        """
        ratio = resolution // COARSEST
        if ratio * COARSEST != resolution or ratio < 1 or ratio & (ratio - 1):
            raise ValueError(
                f"images must have {COARSEST} px times a power of two a side, got {resolution}"
            )
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.resolution = resolution
        self.count = 0
        self._seed = seed
        self._capacity = capacity
        self.sizes = tuple(resolution >> level for level in range(ratio.bit_length()))
        self._keys = np.empty(0)
        self._patches = {size: np.empty((0, PATCH**2), np.float32) for size in self.sizes}
        self._waiting: list[tuple[np.ndarray, dict[int, np.ndarray]]] = []
        self._waiting_count = 0
        self._limit = np.inf  # No larger key can stay.

    def add(self, images: np.ndarray) -> None:
        """Adds a batch.

        Args:
            images: uint8 [N, R, R], grey.

        Raises:
            ValueError: If dtype or shape is another.
        """
        for image in grey_images.require(images, self.resolution):
            self._add(image)

    def descriptors(self, size: int) -> np.ndarray:
        """The patches of a level, standardised: float64 [P, 49], mean 0 and deviation 1 over all.

        Raises:
            ValueError: If there are no patches, or all their pixels are equal.
        """
        self._settle()
        patches = self._patches[size].astype(np.float64)
        if not len(patches):
            raise ValueError("no images were added")
        patches -= patches.mean()
        spread = patches.std()
        if spread == 0:
            raise ValueError(f"the images do not vary at {size} px; nothing is to be compared")
        patches /= spread
        return patches

    def _add(self, image):
        sequence = np.random.SeedSequence(self._seed, spawn_key=(self.count,))
        rng = np.random.default_rng(sequence)
        self.count += 1
        keys = rng.random(PATCHES_PER_IMAGE)
        corners = {
            size: rng.integers(0, size - PATCH + 1, (PATCHES_PER_IMAGE, 2)) for size in self.sizes
        }
        stays = keys < self._limit
        if not stays.any():
            return
        levels = dict(zip(self.sizes, laplacian_pyramid(image), strict=True))
        cut = {
            size: _patches(levels[size], corners[size][stays]).astype(np.float32)
            for size in self.sizes
        }
        self._waiting.append((keys[stays], cut))
        self._waiting_count += int(stays.sum())
        if self._waiting_count >= self._capacity:  # So that at most twice as many are held.
            self._settle()

    def _settle(self):
        """Joins what waits to what is kept, up to the capacity."""
        if not self._waiting:
            return
        keys = np.concatenate([self._keys, *(keys for keys, _ in self._waiting)])
        # In order of the keys: no trace of when the patches were joined.
        order = np.argsort(keys, kind="stable")[: self._capacity]
        for size in self.sizes:
            parts = [self._patches[size], *(cut[size] for _, cut in self._waiting)]
            self._patches[size] = np.concatenate(parts)[order]
        self._keys = keys[order]
        self._waiting, self._waiting_count = [], 0
        if len(order) == self._capacity:
            self._limit = self._keys[-1]


@dataclasses.dataclass(frozen=True)
class Distance:
    """Distances between two sets.

    Attributes:
        levels: Side of a level in px -> distance.
        mean: Of the levels.
    """

    levels: dict[int, float]
    mean: float


def distance(a: Accumulator, b: Accumulator, rng: np.random.Generator) -> Distance:
    """Sliced Wasserstein distances, times 1000; see above.

    Args:
        a: Patches of one set.
        b: Of the other; the order does not matter.
        rng: Draws the directions, other ones for each level.

    Raises:
        ValueError: If the sets have other sizes, counts or capacities, or no variation.
    """
    if a.sizes != b.sizes:
        raise ValueError(
            f"images of {a.resolution} and {b.resolution} px cannot be compared; bring to one size"
        )
    if a.count != b.count:
        raise ValueError(
            f"sets of {a.count} and {b.count} images cannot be compared; add "
            f"{min(a.count, b.count)} of each"
        )
    levels = {
        size: 1000.0 * sliced_distance(a.descriptors(size), b.descriptors(size), rng)
        for size in a.sizes
    }
    return Distance(levels, float(np.mean(list(levels.values()))))


def sliced_distance(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> float:
    """Mean over 4 * 128 directions of the Wasserstein-1 distance between projections.

    Args:
        x: float64 [P, D].
        y: float64 [P, D], as many.
        rng: Draws the directions.
    """
    if x.shape != y.shape:
        raise ValueError(f"as many descriptors are needed of both sets, got {x.shape}, {y.shape}")
    total = 0.0
    for _ in range(REPEATS):
        directions = rng.standard_normal((x.shape[1], DIRECTIONS))
        directions /= np.linalg.norm(directions, axis=0)
        for few in np.split(directions.T, DIRECTIONS // 8):  # Memory for 8 rows, not for 128.
            total += np.abs(np.sort(few @ x.T) - np.sort(few @ y.T)).mean(axis=1).sum()
    return float(total / (REPEATS * DIRECTIONS))


def name(count: int, resolution: int) -> str:
    """Name of a distance over so many images of each set, such as `swd10k_grey_256px`."""
    return f"swd{names.number(count)}_grey_{resolution}px"


def laplacian_pyramid(image: np.ndarray) -> list[np.ndarray]:
    """Laplacian pyramid (Burt & Adelson, IEEE Trans. Commun. 31, 1983) down to 16 px.

    Filter (1 4 6 4 1) / 16 in both directions; images go on as mirrored about their outer pixels.

    Args:
        image: [R, R].

    Returns:
        float64 [R, R], [R / 2, R / 2] ...: what each halving takes away; last, 16 px, what remains.
    """
    levels, current = [], image.astype(np.float64)
    while len(current) > COARSEST:
        smaller = _halved(_halved(current, 0), 1)
        levels.append(current - _doubled(_doubled(smaller, 0), 1))
        current = smaller
    return [*levels, current]


def _halved(image, axis):
    filtered = ndimage.correlate1d(image, _FILTER, axis=axis, mode="mirror")
    return filtered[::2] if axis == 0 else filtered[:, ::2]


def _doubled(image, axis):
    """Puts zeros between pixels and fills them; of the filter, half falls on the zeros."""
    stuffed = np.insert(image, np.arange(1, image.shape[axis] + 1), 0.0, axis=axis)
    return 2.0 * ndimage.correlate1d(stuffed, _FILTER, axis=axis, mode="mirror")


def _patches(level, corners):
    """Patches whose upper left corners are given, float64 [P, 49]."""
    windows = np.lib.stride_tricks.sliding_window_view(level, (PATCH, PATCH))
    return windows[corners[:, 0], corners[:, 1]].reshape(-1, PATCH**2)
