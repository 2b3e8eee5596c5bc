"""When does an image count as a copy of a training image? A rule with a measured false alarm rate.

Two images are compared after what a copy may have gone through: the one is moved by up to 2 px
against the other to where they agree best, its mean and standard deviation are made those of the
other, and both are smoothed (sigma 1.5 px) before their SSIM is taken, so that noise and JPEG
blocks do not hide what is below them. Images above 128 px are compared at 128 px.

An image's *similarity* s is the largest one to any training image; r is the largest one to an image
of any other patient than that one. Both rules look at a number that grows without limit for copies:

* near: -ln(1 - s). Nearer to a training image than real images of other patients are.
* alone: ln((1 - r) / (1 - s)). Much nearer to one patient than to all others. Blurred images are
  rather similar to many patients at once, which is not copying; this rule does not mind them.

What values occur without any copying is measured on real images: held-out ones, and training
images whose own patient is left out. The threshold of a rule is the larger of their largest value
and of the value that one of N synthetic images would exceed with a probability of 2.5 % if their
upper tail, the largest tenth, goes on as an exponential. So a generator that copies nothing, and
whose images are no more alike to training images than real ones are, sets off one of the two rules
in at most about one of twenty audits, whatever N is and however few real images there are.

The images that are compared at all are found by correlation at 32 px, after the same moves, over
all training images: of each of the eight patients with the highest one, the image that has it.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from pgan.metrics import similarity

LARGEST_SIZE = 128  # px
SMALLEST_SIZE = 32  # px
MAX_SHIFT = 2  # px
CANDIDATES = 8  # patients
FALSE_ALARMS = 0.05  # of a whole audit, both rules
FEWEST_REALS = 40

RULES = ("near", "alone")
VERSION = 2  # Raise whenever a change alters a score: an ended audit does not go on with others.

_CORRELATION_SIZE = 32  # px
_SIGMA = 1.5  # px
# 1 - s of equal images. Rounding to grey levels makes smaller differences meaningless.
_FLOOR = 1e-3
_PAIRS = 64  # compared at once
_QUERIES = 16  # correlated at once
_BLOCK = 4096  # reference images of a matrix product
_AVERAGED = 64  # at once


@dataclasses.dataclass(frozen=True)
class Scores:
    """What the rules look at, for each image.

    Attributes:
        near: float64 [N], -ln(1 - s).
        alone: float64 [N], ln((1 - r) / (1 - s)); 0 where no other patient was compared.
        nearest: int64 [N], position of the most similar training image.
    """

    near: np.ndarray
    alone: np.ndarray
    nearest: np.ndarray

    @property
    def similarity(self) -> np.ndarray:
        """s, float64 [N]."""
        return 1.0 - np.exp(-self.near)

    def __getitem__(self, part) -> "Scores":
        """Those of some images."""
        return Scores(self.near[part], self.alone[part], self.nearest[part])

    @classmethod
    def join(cls, parts: Sequence["Scores"]) -> "Scores":
        """Those of all parts, one after the other."""
        columns = zip(*(dataclasses.astuple(part) for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Above which value a rule calls an image a suspected copy.

    Attributes:
        value: The threshold.
        largest: Largest value of the real images.
        extrapolated: What the tail of the real images gives, see the module's text.
        reals: Number of real images; nothing rarer than one of them was seen, the rest is
            extrapolated.
        images: Number of images that the false alarm rate is for.
        false_alarms: Probability that one of them exceeds the threshold without copying.
    """

    value: float
    largest: float
    extrapolated: float
    reals: int
    images: int
    false_alarms: float


def tail_threshold(values: np.ndarray, images: int, false_alarms: float) -> Threshold:
    """Extrapolates the upper tail of what real images reach.

    The k largest of n values exceed the next, u, by b on average. If what is beyond u is
    exponential, the exponential case of the peaks over threshold method (Pickands, Ann. Statist. 3,
    1975), an image exceeds u + y with the probability

        (k + 1) / (n + 1) (1 + y / (k b))^-k

    on average over all such samples, for k b is a Gamma variable of shape k: b itself in
    exp(-y / b) would leave out that few values tell little about a tail, and give several times as
    many false alarms. Solved for false_alarms / images. Bounded tails have fewer.

    Args:
        values: float [n], of real images.
        images: How many images will be judged.
        false_alarms: Probability that any of them exceeds the threshold by chance.

    Raises:
        ValueError: If there are fewer than 40 values, or one is not finite.
    """
    values = np.sort(np.asarray(values, np.float64))
    if len(values) < FEWEST_REALS:
        raise ValueError(
            f"a threshold needs at least {FEWEST_REALS} real images to be compared with, got "
            f"{len(values)}"
        )
    if not np.isfinite(values).all():
        raise ValueError("similarities of real images are not finite")
    count = max(10, len(values) // 10)
    start = values[-count - 1]
    excess = float((values[-count:] - start).mean())
    rarer = (count + 1) / (len(values) + 1) * images / false_alarms
    extrapolated = start + excess * count * (rarer ** (1 / count) - 1)
    largest = float(values[-1])
    value = max(float(extrapolated), largest)
    return Threshold(value, largest, float(extrapolated), len(values), images, false_alarms)


class Reference:
    """Training images that others may be copies of."""

    def __init__(self, images: np.ndarray, patients: Sequence[str]):
        """Prepares the correlation.

        Args:
            images: uint8 [T, S, S] of 32, 64, 96 or 128 px, an array or a memory map.
            patients: Patient of each image.

        Raises:
            ValueError: If the images have another type or size, or there are fewer than two
                patients.
        """
        size = images.shape[1]
        if images.dtype != np.uint8 or images.shape[1:] != (size, size):
            raise ValueError(f"images must be uint8 [N, S, S], got {images.dtype} {images.shape}")
        if not SMALLEST_SIZE <= size <= LARGEST_SIZE or size % _CORRELATION_SIZE:
            raise ValueError(
                f"copies are looked for at {SMALLEST_SIZE} to {LARGEST_SIZE} px, a multiple of "
                f"{_CORRELATION_SIZE}; got {size} px"
            )
        self._images, self._size = images, size
        names, patient_of = np.unique(np.asarray(patients), return_inverse=True)
        if len(names) < 2:
            raise ValueError("the training images are of a single patient; at least 2 are needed")
        self._names = names
        # Images of a patient stand together, so that the best of each is a reduction over parts.
        self._order = np.argsort(patient_of, kind="stable")
        self._starts = np.searchsorted(patient_of[self._order], np.arange(len(names)))
        self._factor = size // _CORRELATION_SIZE
        # Of the small images, what is left when they are moved.
        edge = -(-MAX_SHIFT // self._factor)
        inside = slice(edge, _CORRELATION_SIZE - edge)
        self._edge = edge * self._factor
        self._vectors = np.concatenate(
            [
                _standardized(_averaged(images[part], _CORRELATION_SIZE)[:, inside, inside])
                for part in np.split(self._order, range(_BLOCK, len(images), _BLOCK))
            ]
        )

    def score(
        self,
        queries: np.ndarray,
        own_patients: Sequence[str] | None = None,
        on_progress: Callable[[int], None] = lambda count: None,
    ) -> Scores:
        """Compares images with the training images.

        Args:
            queries: uint8 [N, S, S].
            own_patients: Patient of each image, whose training images are left out.
            on_progress: Is called with the number of images done since the last call.

        Raises:
            ValueError: If the images have another type or size.
        """
        if queries.dtype != np.uint8 or queries.shape[1:] != (self._size, self._size):
            raise ValueError(
                f"images must be uint8 [N, {self._size}, {self._size}], got {queries.dtype} "
                f"{queries.shape}"
            )
        parts = []
        for start in range(0, len(queries), _QUERIES):
            images = queries[start : start + _QUERIES]
            own = None if own_patients is None else own_patients[start : start + _QUERIES]
            parts.append(self._score(images, self._candidates(images, own)))
            on_progress(len(images))
        empty = Scores(np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
        return Scores.join([empty, *parts])

    def _candidates(self, images, own):
        """Positions int64 [Q, C] of one image of each of the nearest patients; -1 for none."""
        # Moved before they are made small: correlation does not forgive half a pixel of 32.
        moves = range(-MAX_SHIFT, MAX_SHIFT + 1)
        first, last = self._edge, self._size - self._edge
        moved = [
            images[:, first + down : last + down, first + right : last + right]
            for down in moves
            for right in moves
        ]
        side = (last - first) // self._factor
        vectors = _standardized(_averaged(np.concatenate(moved), side))
        correlations = np.empty((len(images), len(self._vectors)), np.float32)
        for start in range(0, len(self._vectors), _BLOCK):
            block = self._vectors[start : start + _BLOCK]
            product = (vectors @ block.T).reshape(len(moved), len(images), len(block))
            correlations[:, start : start + _BLOCK] = product.max(axis=0)
        by_patient = np.maximum.reduceat(correlations, self._starts, axis=1)
        if own is not None:
            numbers = np.searchsorted(self._names, np.asarray(own))
            for i, number in enumerate(numbers):
                if number < len(self._names) and self._names[number] == own[i]:
                    by_patient[i, number] = -np.inf
        wanted = min(CANDIDATES, len(self._names))
        chosen = np.argpartition(-by_patient, wanted - 1, axis=1)[:, :wanted]
        ends = np.append(self._starts[1:], len(self._vectors))
        result = np.full(chosen.shape, -1, np.int64)
        for i, j in np.ndindex(chosen.shape):
            patient = chosen[i, j]
            if np.isfinite(by_patient[i, patient]):
                part = slice(self._starts[patient], ends[patient])
                result[i, j] = self._order[part][np.argmax(correlations[i, part])]
        return result

    def _score(self, images, candidates):
        queries, columns = np.nonzero(candidates >= 0)
        positions = candidates[queries, columns]
        similarities = np.full(candidates.shape, -1.0)
        for start in range(0, len(queries), _PAIRS):
            part = slice(start, start + _PAIRS)
            similarities[queries[part], columns[part]] = aligned_similarity(
                images[queries[part]], self._images[positions[part]]
            )
        # Candidates are of different patients, so the second best is the best of the others.
        order = np.argsort(-similarities, axis=1, kind="stable")
        ranked = np.take_along_axis(similarities, order, axis=1)
        apart = np.maximum(1.0 - ranked[:, 0], _FLOOR)
        nearest = candidates[np.arange(len(images)), order[:, 0]]
        others = (candidates >= 0).sum(axis=1) > 1
        second = np.maximum(1.0 - ranked[:, 1], _FLOOR) if ranked.shape[1] > 1 else apart
        alone = np.where(others, np.log(second / apart), 0.0)
        return Scores(-np.log(apart), alone, nearest)


def aligned_similarity(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """SSIM of smoothed images after moving the one and taking over the other's grey levels.

    Args:
        images: uint8 [N, S, S].
        references: uint8 [N, S, S], at least 15x15 px.

    Returns:
        float64 [N], at most 1.
    """
    x, y = (_smoothed(part) for part in (images, references))
    side = x.shape[1] - 2 * MAX_SHIFT
    inside = y[:, MAX_SHIFT : MAX_SHIFT + side, MAX_SHIFT : MAX_SHIFT + side]
    target = _standardized(inside)
    best = np.full(len(x), -np.inf)
    moved = np.empty_like(inside)
    for down in range(2 * MAX_SHIFT + 1):
        for right in range(2 * MAX_SHIFT + 1):
            window = x[:, down : down + side, right : right + side]
            agreement = np.einsum("ni,ni->n", _standardized(window), target)
            better = agreement > best
            best[better] = agreement[better]
            moved[better] = window[better]
    return similarity.ssim(_with_grey_levels_of(inside, moved), inside)


def reduced(images: np.ndarray, size: int) -> np.ndarray:
    """Averages of square parts, rounded: uint8 [N, R, R] to uint8 [N, size, size].

    Raises:
        ValueError: If the size does not divide R.
    """
    if images.shape[1] % size:
        raise ValueError(f"images of {images.shape[1]} px cannot be averaged to {size} px")
    result = np.empty((len(images), size, size), np.uint8)
    for start in range(0, len(images), _AVERAGED):
        part = slice(start, start + _AVERAGED)
        result[part] = np.rint(_averaged(images[part], size))
    return result


def _averaged(images, size):
    factor = images.shape[1] // size
    parts = images.reshape(-1, size, factor, size, factor)
    return parts.mean(axis=(2, 4), dtype=np.float32)


def _smoothed(images):
    return ndimage.gaussian_filter(images.astype(np.float32), (0, _SIGMA, _SIGMA))


def _standardized(images):
    """Vectors of mean 0 and length 1, float32 [N, pixels]; 0 for an image of one grey level."""
    vectors = images.reshape(len(images), -1).astype(np.float32)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 1e-3, lengths, np.inf)


def _with_grey_levels_of(references, images):
    """Images with mean and standard deviation of the references, where both have any contrast."""
    axes = {"axis": (1, 2), "keepdims": True}
    have, want = images.std(**axes), references.std(**axes)
    usable = (have > 1.0) & (want > 1.0)
    scale = np.where(usable, want / np.maximum(have, 1.0), 1.0)
    mean = np.where(usable, references.mean(**axes), images.mean(**axes))
    return np.clip((images - images.mean(**axes)) * scale + mean, 0.0, 255.0)


@dataclasses.dataclass(frozen=True)
class Criterion:
    """Both rules with their thresholds.

    Attributes:
        near: Of the rule "near".
        alone: Of the rule "alone".
    """

    near: Threshold
    alone: Threshold

    @classmethod
    def from_reals(cls, scores: Scores, images: int) -> "Criterion":
        """Thresholds by what real images reach without copying; errors as `tail_threshold`."""
        share = FALSE_ALARMS / len(RULES)
        return cls(
            tail_threshold(scores.near, images, share),
            tail_threshold(scores.alone, images, share),
        )

    def suspected(self, scores: Scores) -> np.ndarray:
        """Bool [N], whether a rule is broken."""
        return (scores.near > self.near.value) | (scores.alone > self.alone.value)
