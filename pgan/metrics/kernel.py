"""Kernel distance between two sets of features (KID), float64 NumPy.

The squared maximum mean discrepancy under the kernel k(a, b) = (a . b / D + 1)^3, estimated without
bias from m samples of each set (Gretton et al., JMLR 13, 2012, lemma 6; for images: Binkowski et
al. 2018, https://arxiv.org/abs/1801.01401):

    sum_(i != j) k(x_i, x_j) / (m (m - 1)) + sum_(i != j) k(y_i, y_j) / (m (m - 1))
        - 2 sum_(i, j) k(x_i, y_j) / m^2.

It is the mean over random subsets of m = 1000 samples that is customary. Its expectation does not
depend on the count, unlike the Frechet distance's. For two sets of the same distribution it is
zero on average, so that about half of such distances are negative; they are left so.
"""

import numpy as np

SUBSETS = 100
SUBSET_SIZE = 1000


def kid(
    x: np.ndarray,
    y: np.ndarray,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    *,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Kernel distance between two sets of features.

    Each subset is drawn from each set without replacement and independently of other subsets, so
    that a sample may be in several. The spread over the subsets is therefore not a standard error
    of the mean: it falls to zero as the subset size reaches the counts.

    Args:
        x: float [N, D].
        y: float [M, D]; the order of the two matters for the draw only.
        subsets: How many subsets.
        subset_size: Samples of a subset, at most N and M.
        rng: Draws the subsets, first that of `x`, then that of `y`.

    Returns:
        Mean over the subsets, which may be negative, and their standard deviation (divisor
        `subsets`).

    Raises:
        ValueError: If the features do not fit, or the sets are smaller than a subset.
    """
    x, y = _checked(x, "x"), _checked(y, "y")
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"features of {x.shape[1]} and {y.shape[1]} entries cannot be compared; both sets "
            "need the same extractor"
        )
    if subsets < 1:
        raise ValueError(f"subsets must be at least 1, got {subsets}")
    if subset_size < 2:
        raise ValueError(f"subset_size must be at least 2, got {subset_size}")
    largest = min(len(x), len(y))
    if subset_size > largest:
        raise ValueError(
            f"subsets of {subset_size} samples are wanted of sets of {len(x)} and {len(y)}; the "
            f"largest subset_size that fits is {largest}"
        )
    values = np.empty(subsets)
    for i in range(subsets):
        rows = rng.choice(len(x), subset_size, replace=False)
        columns = rng.choice(len(y), subset_size, replace=False)
        values[i] = squared_mmd(x[rows], y[columns])
    return float(values.mean()), float(values.std())


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate above, of all samples at once.

    Args:
        x: float [N, D], N at least 2.
        y: float [M, D], M at least 2.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    within = _mean_of_pairs(x) + _mean_of_pairs(y)
    return float(within - 2.0 * _kernel(x @ y.T, x.shape[1]).mean())


def _kernel(products, dimension):
    return (products / dimension + 1.0) ** 3


def _mean_of_pairs(x):
    """Mean of the kernel over pairs of different samples."""
    values = _kernel(x @ x.T, x.shape[1])
    np.fill_diagonal(values, 0.0)
    return values.sum() / (len(x) * (len(x) - 1))


def _checked(features, name):
    features = np.asarray(features)
    if features.ndim != 2:
        raise ValueError(f"{name} must have shape [N, D], got {features.shape}")
    if not np.isfinite(features).all():
        raise ValueError(f"{name} is not finite")
    return features
