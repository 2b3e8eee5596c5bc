"""How the strength of a finding that is drawn moves the probabilities of a classifier.

A generator draws one finding at a random strength, others absent; Pearson's r of the strength and
each of a classifier's probabilities is a column of a matrix (Han et al. 2020, Fig 5D). Its diagonal
tells how well each finding is drawn, its other cells what comes with it. Everything here is a
function of arrays; matrices are float64 [outputs of the classifier, findings of the generator],
NaN where r is not defined because all probabilities are the same.
"""

import dataclasses
import math

import numpy as np
from scipy import stats as scipy_stats
from scipy.cluster import hierarchy

from pgan.data import labels as labels_lib


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Correlations of strengths and probabilities.

    Attributes:
        outputs: Names of the rows, findings of the classifier.
        findings: Names of the columns, findings of the generator.
        values: float64 [rows, columns] in [-1, 1], NaN where not defined.
    """

    outputs: tuple[str, ...]
    findings: tuple[str, ...]
    values: np.ndarray

    def __post_init__(self):
        """Checks the shape.

        Raises:
            ValueError: If names and values do not fit.
        """
        if self.values.shape != (len(self.outputs), len(self.findings)):
            raise ValueError(
                f"{len(self.outputs)} outputs and {len(self.findings)} findings do not name a "
                f"matrix of {list(self.values.shape)}"
            )

    def diagonal(self) -> dict[int, int]:
        """{column: row} where generator and classifier mean the same finding."""
        rows = {labels_lib.common_name(name): row for row, name in enumerate(self.outputs)}
        names = map(labels_lib.common_name, self.findings)
        return {column: rows[name] for column, name in enumerate(names) if name in rows}

    def cells(self) -> dict[tuple[str, str], float]:
        """{(output, finding), names across collections: value} of the defined cells."""
        return {
            (labels_lib.common_name(output), labels_lib.common_name(finding)): float(value)
            for output, row in zip(self.outputs, self.values, strict=True)
            for finding, value in zip(self.findings, row, strict=True)
            if not math.isnan(value)
        }


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Pearson's r with its uncertainty, each float64 [L], NaN where not defined.

    Attributes:
        value: r.
        low: Lower end of the interval.
        high: Upper end.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def correlate(strengths: np.ndarray, scores: np.ndarray, level: float = 0.95) -> Estimate:
    """Pearson's r of the strength of a finding and each probability, with intervals.

    The interval is symmetric in Fisher's z = artanh r. Its standard error is not Fisher's
    1 / sqrt(N - 3), which holds for normal pairs only, while strengths are uniform and
    probabilities skewed, but that of the influence of each image,
    x y - r (x^2 + y^2) / 2 for standardised x, y (Devlin, Gnanadesikan and Kettenring, Biometrika
    62, 531, 1975), over 1 - r^2. It holds for any independent images, and agrees with a bootstrap
    of many. As in MacKinnon and White's HC3 (J. Econometrics 29, 305, 1985) influences are divided
    by 1 minus the leverage of their image, here the larger one of x and y; of a few hundred images
    with rare high probabilities, a bootstrap covers the truth too seldom without.

    Args:
        strengths: float [N].
        scores: float [N, L].
        level: Coverage of the intervals.

    Raises:
        ValueError: If there are fewer than 3 images, shapes do not fit, values are not finite, or
            all strengths are the same.
    """
    x, y = np.asarray(strengths, np.float64), np.asarray(scores, np.float64)
    if x.ndim != 1 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"strengths [N] and scores [N, L] are needed, got {x.shape} and {y.shape}")
    if len(x) < 3:
        raise ValueError(f"a correlation with an interval needs 3 images, got {len(x)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("strengths or scores are not finite")
    if np.ptp(x) == 0:
        raise ValueError(f"all strengths are {x[0]:g}; they have to differ")
    # The mean of equal numbers can differ from them by rounding, and r would be noise.
    varies = np.ptp(y, axis=0) > 0
    x, y = _standardised(x[:, np.newaxis]), _standardised(np.where(varies, y, x[:, np.newaxis]))
    r = np.clip((x * y).mean(axis=0), -1.0, 1.0)
    rest = 1.0 - (1.0 + np.maximum(x**2, y**2)) / len(x)
    influence = (x * y - r * (x**2 + y**2) / 2.0) / np.maximum(rest, 1e-9)
    error = np.sqrt((influence**2).mean(axis=0) / len(x))
    exact = 1.0 - r**2 < 1e-15  # all images on a line
    with np.errstate(all="ignore"):
        margin = scipy_stats.norm.ppf((1.0 + level) / 2.0) * error / (1.0 - r**2)
        low, high = (
            np.where(exact, r, np.tanh(np.arctanh(r) + sign * margin)) for sign in (-1.0, 1.0)
        )
    return Estimate(*(np.where(varies, found, np.nan) for found in (r, low, high)))


def _standardised(values):
    centred = values - values.mean(axis=0)
    return centred / np.sqrt((centred**2).mean(axis=0))


@dataclasses.dataclass(frozen=True)
class Clustering:
    """Which findings of a generator move a classifier alike.

    Attributes:
        order: Columns in the order of the leaves.
        linkage: As SciPy has it, float64 [columns - 1, 4].
        blocks: Columns of each block, in the order of the leaves.
        outputs_left_out: Rows that were not compared, as a cell of theirs is not defined.
    """

    order: tuple[int, ...]
    linkage: np.ndarray
    blocks: tuple[tuple[int, ...], ...]
    outputs_left_out: tuple[int, ...]

    def rows(self, matrix: Matrix) -> list[int]:
        """Rows in the order of the columns that mean the same; what has no column comes last."""
        diagonal = matrix.diagonal()
        matched = [diagonal[column] for column in self.order if column in diagonal]
        return matched + [row for row in range(len(matrix.outputs)) if row not in matched]


def cluster(matrix: Matrix, blocks: int = 6) -> Clustering | None:
    """Groups the findings of a generator by average linkage of Euclidean distances of columns.

    These are the settings of the paper's figure, which clusters the generator's axis only. The
    paper drew its blocks by hand; 6 blocks of its matrix are those of its text.

    Args:
        matrix: Correlations.
        blocks: How many groups, at most the number of findings.

    Returns:
        None if there are fewer than 2 findings, or no row without an undefined cell.
    """
    defined = ~np.isnan(matrix.values).any(axis=1)
    if len(matrix.findings) < 2 or not defined.any():
        return None
    linkage = hierarchy.linkage(matrix.values[defined].T, method="average", metric="euclidean")
    order = hierarchy.leaves_list(linkage).tolist()
    # Not by fcluster, which with "maxclust" may return fewer groups than there can be.
    groups = hierarchy.cut_tree(linkage, min(blocks, len(order))).ravel()
    found = tuple(
        tuple(column for column in order if groups[column] == group)
        for group in dict.fromkeys(groups[order].tolist())
    )
    return Clustering(tuple(order), linkage, found, tuple(np.flatnonzero(~defined).tolist()))


@dataclasses.dataclass(frozen=True)
class DoseResponse:
    """Probabilities by the strength of a finding, the same latents at each.

    Attributes:
        mean: float64 [K, L] over the latents.
        error: float64 [K, L], standard error of the mean.
        change: float64 [L], mean of last minus first level.
        change_low: float64 [L], lower end of its 95 % interval, by Student's t of the differences
            of the same latents.
        change_high: float64 [L], upper end.
        rising: float64 [L], share of the latents whose probability is higher at the last level
            than at the first; half of those where it is equal.
    """

    mean: np.ndarray
    error: np.ndarray
    change: np.ndarray
    change_low: np.ndarray
    change_high: np.ndarray
    rising: np.ndarray


def dose_response(scores: np.ndarray) -> DoseResponse:
    """Summarises probabilities at levels of strength.

    Args:
        scores: float [K, D, L]: levels from the lowest up, latents, outputs.

    Raises:
        ValueError: If there are fewer than 2 levels or latents, or scores are not finite.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 3 or min(scores.shape[:2]) < 2:
        raise ValueError(
            "scores [levels, latents, outputs] of at least 2 levels and 2 latents are needed, got "
            f"{list(scores.shape)}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores are not finite")
    latents = scores.shape[1]
    difference = scores[-1] - scores[0]
    change = difference.mean(axis=0)
    spread = difference.std(axis=0, ddof=1) / math.sqrt(latents)
    margin = scipy_stats.t.ppf(0.975, latents - 1) * spread
    return DoseResponse(
        scores.mean(axis=1),
        scores.std(axis=1, ddof=1) / math.sqrt(latents),
        change,
        change - margin,
        change + margin,
        (difference > 0).mean(axis=0) + (difference == 0).mean(axis=0) / 2.0,
    )


@dataclasses.dataclass(frozen=True)
class Likeness:
    """How alike some cells of two matrices are.

    Attributes:
        cells: Number of cells that both have.
        rank_correlation: Spearman's; NaN of fewer than 3 cells, or where all are equal.
        mean_difference: Mean of |first - second|; NaN without cells.
    """

    cells: int
    rank_correlation: float
    mean_difference: float


def compare(first: Matrix, second: Matrix) -> dict[str, Likeness]:
    """Compares two matrices in the cells that both have, by name.

    Cells are no independent draws, so there is no interval or p value here.

    Returns:
        {"diagonal", "off diagonal", "all"}.
    """
    own, other = first.cells(), second.cells()
    shared = [cell for cell in own if cell in other]
    chosen = {
        "diagonal": [cell for cell in shared if cell[0] == cell[1]],
        "off diagonal": [cell for cell in shared if cell[0] != cell[1]],
        "all": shared,
    }
    return {
        name: _likeness(np.array([own[c] for c in cells]), np.array([other[c] for c in cells]))
        for name, cells in chosen.items()
    }


def _likeness(own, other):
    rank = math.nan
    if len(own) >= 3 and np.ptp(own) > 0 and np.ptp(other) > 0:
        rank = float(scipy_stats.spearmanr(own, other)[0])
    return Likeness(len(own), rank, float(np.abs(own - other).mean()) if len(own) else math.nan)
