"""Gaussian statistics of features and the Frechet distance between them, float64 NumPy.

The distance between N(m1, C1) and N(m2, C2) is (Dowson & Landau, J. Multivar. Anal. 12, 1982; for
images: Heusel et al. 2017, https://arxiv.org/abs/1706.08500)

    |m1 - m2|^2 + Tr(C1) + Tr(C2) - 2 Tr((C1 C2)^(1/2)).

It is biased upwards, by an amount that falls with the number of samples, so that only distances
over the same counts compare.
"""

import dataclasses
import math

import numpy as np

# A distance this far below zero, as a share of its terms, is rounding; further is a mistake.
_ROUNDING = 1e-3


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Mean and covariance of features.

    Attributes:
        mean: float64 [D].
        covariance: float64 [D, D], divisor N - 1.
        count: N, samples that were seen.
    """

    mean: np.ndarray
    covariance: np.ndarray
    count: int

    def first(self, entries: int) -> "Statistics":
        """Statistics of the first entries of the features alone."""
        return Statistics(self.mean[:entries], self.covariance[:entries, :entries], self.count)


class Accumulator:
    """Collects statistics batch by batch.

    Sums are taken of the differences to the mean of the first batch, so that a large common mean
    does not drown the differences between the samples.
    """

    def __init__(self):
        """Nothing seen yet."""
        self._shift: np.ndarray | None = None
        self._count = 0

    def add(self, features: np.ndarray) -> None:
        """Adds a batch.

        Args:
            features: float [N, D].

        Raises:
            ValueError: If the shape is another, D differs from earlier batches, or a value is not
                finite.
        """
        features = np.asarray(features, np.float64)
        if features.ndim != 2:
            raise ValueError(f"features must have shape [N, D], got {features.shape}")
        if not np.isfinite(features).all():
            raise ValueError("features are not finite")
        if not len(features):
            return
        if self._shift is None:
            self._shift = features.mean(axis=0)
            self._sum = np.zeros_like(self._shift)
            self._products = np.zeros((len(self._shift), len(self._shift)))
        if features.shape[1] != len(self._shift):
            raise ValueError(
                f"features have {features.shape[1]} entries, earlier ones {len(self._shift)}"
            )
        centred = features - self._shift
        self._sum += centred.sum(axis=0)
        self._products += centred.T @ centred
        self._count += len(features)

    def statistics(self) -> Statistics:
        """Statistics of all batches so far.

        Raises:
            ValueError: If fewer than two samples were seen.
        """
        if self._count < 2:
            raise ValueError(f"a covariance needs at least 2 samples, got {self._count}")
        offset = self._sum / self._count
        covariance = self._products - self._count * np.outer(offset, offset)
        covariance /= self._count - 1
        return Statistics(self._shift + offset, covariance, self._count)


def statistics(features: np.ndarray) -> Statistics:
    """Statistics of features [N, D] that are all in memory; errors as in `Accumulator`."""
    accumulator = Accumulator()
    accumulator.add(features)
    return accumulator.statistics()


def distance(a: Statistics, b: Statistics) -> float:
    """Frechet distance between two sets of features.

    With S the symmetric root of C1, (C1 C2)^(1/2) has the trace of (S C2 S)^(1/2), which is
    symmetric and positive semidefinite: real eigenvalues at any rank, no regularisation.

    Args:
        a: Statistics of one set.
        b: Of the other; the order does not matter.

    Returns:
        The distance, squared as is customary, at least 0.

    Raises:
        ValueError: If the sets have features of different dimension.
        ArithmeticError: If the result is negative by more than rounding explains.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"features of {len(a.mean)} and {len(b.mean)} entries cannot be compared; both sets "
            "need the same extractor"
        )
    difference = a.mean - b.mean
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    product = root @ b.covariance @ root
    values = np.linalg.eigvalsh((product + product.T) / 2)
    overlap = np.sqrt(np.maximum(values, 0.0)).sum()
    total = difference @ difference + np.trace(a.covariance) + np.trace(b.covariance)
    result = float(total - 2.0 * overlap)
    if result < -_ROUNDING * total:
        raise ArithmeticError(
            f"the Frechet distance came out as {result:g} where its terms sum to {total:g}; "
            "the covariances are not positive semidefinite"
        )
    return max(result, 0.0)


def joint_distance(a: Statistics, reference: Statistics, labels: int) -> float:
    """Frechet joint distance: of images together with the labels that they should show.

    It sees images that are good but have nothing to do with their labels, which the distance of
    the images alone cannot (DeVries et al. 2019, https://arxiv.org/abs/1907.08175). Labels are
    multiplied so that they are as long as the features; lengths are root mean squares over the
    reference, where the paper has means.

    Args:
        a: Statistics of vectors of features and, at their end, labels.
        reference: The same of real images.
        labels: Entries that are labels, at least 1.

    Returns:
        The distance; that of the features alone if no label occurs in the reference.

    Raises:
        ValueError, ArithmeticError: As `distance`.
    """
    square = np.diag(reference.covariance) + reference.mean**2
    of_labels = square[-labels:].sum()
    scale = np.ones(len(square))
    scale[-labels:] = math.sqrt(square[:-labels].sum() / of_labels) if of_labels else 0.0

    def scaled(one):
        if len(one.mean) != len(scale):
            return one  # `distance` says what is wrong
        return Statistics(one.mean * scale, one.covariance * np.outer(scale, scale), one.count)

    return distance(scaled(a), scaled(reference))
