"""Intervals and tests by resampling whole patients, for all findings and metrics at once.

Every statistic here is one of weighted images: a bootstrap weighs a patient's images with how often
the patient was drawn, a jackknife with 0 for one patient, a permutation gives each patient's images
of two classifiers to the one arm or the other. So there is one engine, `Cases`: it sorts once, and
each redraw costs sums of weights. Between two positives in the order of the scores only the total
weight of the negatives counts; a sparse matrix takes patients to these totals.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import sparse, special
from scipy import stats as scipy_stats

from classifier import stats

METRICS = ("auc", "average_precision", *stats.RATES, "brier")
_CHUNK_BYTES = 64 * 2**20


class _Finding:
    """One finding of `Cases`."""

    def __init__(self, labels, scores, units, num_units, threshold):
        kept = ~np.isnan(labels)
        units = np.asarray(units)[kept]
        positive, scores = stats.known(labels, scores)
        self.defined = bool(positive.any())
        # Different scores of positives, from the highest; negatives fall between or on them.
        levels = np.unique(scores[positive])[::-1]
        level_of = len(levels) - 1 - np.searchsorted(levels[::-1], scores[positive])
        self._positives = _count_matrix(level_of, units[positive], len(levels), num_units)
        ascending, negatives = levels[::-1], scores[~positive]
        # Row 2k: negatives above level k and below level k - 1; row 2k + 1: those on level k.
        right = np.searchsorted(ascending, negatives, side="right")
        left = np.searchsorted(ascending, negatives, side="left")
        row = 2 * (len(levels) - right) + (right > left)
        self._negatives = _count_matrix(row, units[~positive], 2 * len(levels) + 1, num_units)
        called = scores >= threshold if not np.isnan(threshold) else None
        rows = np.zeros((6, num_units))
        if called is not None:
            kinds = (
                (positive, called),
                (~positive, called),
                (~positive, ~called),
                (positive, ~called),
            )
            for i, (truth, call) in enumerate(kinds):
                rows[i] = np.bincount(units[truth & call], minlength=num_units)
        self._called = called is not None
        errors = (np.clip(scores, 0.0, 1.0) - positive) ** 2
        in_range = scores.size == 0 or (scores.min() >= 0 and scores.max() <= 1)
        rows[4] = np.bincount(units, weights=errors, minlength=num_units)
        rows[5] = np.bincount(units, minlength=num_units)
        self._rows, self._probabilities = rows, in_range

    def evaluate(self, weights):
        """Weights float64 [units, B] to {metric: float64 [B]}."""
        nothing = np.full(weights.shape[1], np.nan)
        results = dict.fromkeys(METRICS, nothing)
        tp, fp, tn, fn, error, total = self._rows @ weights
        if self._called:
            results.update(stats.rates(tp, fp, tn, fn))
        with np.errstate(invalid="ignore", divide="ignore"):
            if self._probabilities:
                results["brier"] = error / total
            if not self.defined:
                return results
            gained = self._positives @ weights  # [levels, B]
            negatives = self._negatives @ weights
            above, on = negatives[0:-1:2], negatives[1::2]
            beyond = np.cumsum(above, axis=0)
            beyond[1:] += np.cumsum(on, axis=0)[:-1]  # negatives that score higher than a level
            positives = gained.sum(axis=0)
            all_negatives = negatives.sum(axis=0)
            lost = (gained * (beyond + on / 2.0)).sum(axis=0)
            results["auc"] = 1.0 - lost / (positives * all_negatives)
            hits = np.cumsum(gained, axis=0)
            reached = hits + beyond + on
            precision = np.divide(hits, reached, out=np.zeros_like(hits), where=reached > 0)
            results["average_precision"] = (gained * precision).sum(axis=0) / positives
        return results


def _count_matrix(rows, units, num_rows, num_units):
    ones = np.ones(len(rows))
    return sparse.csr_matrix((ones, (rows, units)), shape=(num_rows, num_units))


class Cases:
    """Images of patients with labels and scores of several findings, ready to be reweighed.

    Attributes:
        num_units: Number of units (patients).
    """

    def __init__(
        self,
        labels: np.ndarray,
        scores: np.ndarray,
        units: np.ndarray,
        thresholds: np.ndarray,
        num_units: int | None = None,
    ):
        """Sorts the images.

        Args:
            labels: [N, L], 1, 0 or NaN for unknown.
            scores: float [N, L]; Brier scores are NaN unless all are in [0, 1].
            units: int [N] from 0, which unit each image belongs to.
            thresholds: float [L]; a score of at least that is a positive. NaN: no decisions.
            num_units: Number of units; by default one more than the largest.

        Raises:
            ValueError: For shapes that do not fit, or scores that are not finite.
        """
        labels, scores = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
        units = np.asarray(units)
        if labels.shape != scores.shape or labels.ndim != 2 or len(units) != len(labels):
            raise ValueError(
                "labels and scores must be [N, L] and units [N], got "
                f"{labels.shape}, {scores.shape}, {units.shape}"
            )
        self.num_units = int(units.max()) + 1 if num_units is None else num_units
        self._findings = [
            _Finding(labels[:, i], scores[:, i], units, self.num_units, thresholds[i])
            for i in range(labels.shape[1])
        ]

    def evaluate(self, weights: np.ndarray) -> np.ndarray:
        """Metrics of reweighed images.

        Args:
            weights: float [units, B], at least 0; column b weighs the units for result b.

        Returns:
            float64 [len(METRICS), L, B].
        """
        results = [finding.evaluate(weights) for finding in self._findings]
        return np.array([[found[name] for found in results] for name in METRICS])

    def chunk(self) -> int:
        """Columns of weights that fit the caches and memory at a time."""
        return max(1, min(512, _CHUNK_BYTES // (8 * max(self.num_units, 1))))


def with_mean(values: np.ndarray) -> np.ndarray:
    """Adds the mean over the findings, where all of them are defined, as one more finding.

    Args:
        values: float64 [M, L, B].

    Returns:
        float64 [M, L + 1, B].
    """
    return np.concatenate([values, values.mean(axis=1, keepdims=True)], axis=1)


def evaluate_mean(runs: Sequence[Cases], weights: np.ndarray) -> np.ndarray:
    """Mean over runs of one kind (seeds), with the mean over findings: float64 [M, L + 1, B]."""
    return with_mean(sum(cases.evaluate(weights) for cases in runs) / len(runs))


def by_patient(patients: np.ndarray) -> tuple[np.ndarray, int]:
    """Numbers patients from 0 in the order of their names; returns int [N] and their number."""
    names, units = np.unique(np.asarray(patients), return_inverse=True)
    return units, len(names)


@dataclasses.dataclass(frozen=True)
class Interval:
    """Estimates with their uncertainty, each float64 [len(METRICS), L].

    Attributes:
        estimate: Of the images as they are.
        sd: Standard deviation of the redraws.
        low: Lower end by percentiles.
        high: Upper end.
        bca_low: Lower end, bias-corrected and accelerated (Efron, J. Am. Stat. Assoc. 82, 171,
            1987).
        bca_high: Upper end.
        redraws: Number of redraws.
    """

    estimate: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bca_low: np.ndarray
    bca_high: np.ndarray
    redraws: int


def bootstrap(
    evaluate: Callable[[np.ndarray], np.ndarray],
    num_units: int,
    generator: np.random.Generator,
    redraws: int = 10_000,
    level: float = 0.95,
    chunk: int = 256,
    on_chunk: Callable[[int], object] = lambda done: None,
) -> Interval:
    """Draws as many units as there are, with replacement, again and again.

    A redraw in which a metric is not defined is left out for that metric.

    Args:
        evaluate: Weights float64 [units, B] to values [..., B], such as `Cases.evaluate` or a
            difference of two.
        num_units: Number of units.
        generator: Randomness.
        redraws: Number of redraws.
        level: Coverage of the intervals.
        chunk: Redraws at a time.
        on_chunk: Called with the number of redraws of each chunk.

    Returns:
        The intervals, in the shape of the values without their last axis.
    """
    estimate = evaluate(np.ones((num_units, 1)))[..., 0]
    values = np.concatenate(
        list(_drawn(evaluate, num_units, generator, redraws, chunk, on_chunk)), axis=-1
    )
    tails = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    with np.errstate(all="ignore"):
        low, high = _quantiles(values, np.broadcast_to(tails, (*estimate.shape, 2)))
        bca = _quantiles(values, _bca_shares(evaluate, num_units, estimate, values, tails, chunk))
        sd = _nan(np.nanstd, values)
    return Interval(estimate, sd, low, high, *bca, redraws)


def _drawn(evaluate, num_units, generator, redraws, chunk, on_chunk) -> Iterator[np.ndarray]:
    for start in range(0, redraws, chunk):
        size = min(chunk, redraws - start)
        # Counts of draws from equal chances; row-wise so that a seed gives the same at any chunk.
        drawn = generator.integers(0, num_units, (size, num_units))
        drawn += num_units * np.arange(size)[:, np.newaxis]
        counts = np.bincount(drawn.ravel(), minlength=size * num_units)
        yield evaluate(np.ascontiguousarray(counts.reshape(size, num_units).T, np.float64))
        on_chunk(size)


def _bca_shares(evaluate, num_units, estimate, values, tails, chunk):
    """Shares of the redraws at which a bias-corrected and accelerated interval ends, [..., 2]."""
    left_out = []
    for start in range(0, num_units, chunk):
        size = min(chunk, num_units - start)
        weights = np.ones((num_units, size))
        weights[np.arange(start, start + size), np.arange(size)] = 0.0
        left_out.append(evaluate(weights))
    jackknife = np.concatenate(left_out, axis=-1)
    deviation = _nan(np.nanmean, jackknife)[..., np.newaxis] - jackknife
    squares = np.nansum(deviation**2, axis=-1)
    acceleration = np.nansum(deviation**3, axis=-1) / (6.0 * squares**1.5)
    acceleration = np.where(squares > 0, acceleration, 0.0)
    defined = np.sum(~np.isnan(values), axis=-1)
    below = np.sum(values < estimate[..., np.newaxis], axis=-1)
    ties = np.sum(values == estimate[..., np.newaxis], axis=-1)
    bias = special.ndtri((below + ties / 2.0) / defined)
    z = bias[..., np.newaxis] + special.ndtri(tails)
    return special.ndtr(bias[..., np.newaxis] + z / (1.0 - acceleration[..., np.newaxis] * z))


def _quantiles(values, shares):
    """Quantiles of [..., B] at shares [..., 2] of their own, NaN values left out."""
    flat, wanted = values.reshape(-1, values.shape[-1]), shares.reshape(-1, 2)
    found = np.full((len(flat), 2), np.nan)
    for i, (row, share) in enumerate(zip(flat, wanted, strict=True)):
        row = row[~np.isnan(row)]
        if row.size and not np.isnan(share).any():
            found[i] = np.quantile(row, share)
    found = found.reshape(shares.shape)
    return found[..., 0], found[..., 1]


def _nan(function, values):
    """A NumPy function that skips NaN, without its warning where all are NaN."""
    result = np.full(values.shape[:-1], np.nan)
    some = ~np.isnan(values).all(axis=-1)
    result[some] = function(values[some], axis=-1)
    return result


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A second kind of classifier beside a first, on the same images.

    Attributes:
        difference: Second minus first, float64 [len(METRICS), L + 1]; the last of the findings is
            their mean. Of several runs of a kind, their mean.
        interval: Of the difference, by redraws of patients.
        each: The differences of the runs, float64 [runs, len(METRICS), L + 1].
        p_value: Two-sided, of patients whose two sets of predictions (for AUC and average
            precision: ranks) were exchanged, (k + 1) / (n + 1); NaN where a metric is not defined.
        permutations: n.
    """

    difference: np.ndarray
    interval: Interval
    each: np.ndarray
    p_value: np.ndarray
    permutations: int


def compare(
    labels: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    patients: np.ndarray,
    thresholds: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    generator: np.random.Generator,
    redraws: int = 10_000,
    permutations: int = 10_000,
) -> Comparison:
    """Compares two kinds of classifiers on the same images by patient.

    Args:
        labels: [N, L], 1, 0 or NaN.
        first: Scores of the runs (seeds) of one kind, each float [N, L].
        second: Of as many runs of the other.
        patients: [N], names or numbers.
        thresholds: Of the runs of each kind, each float [L]. Decisions go with their run when
            predictions are exchanged.
        generator: Randomness.
        redraws: Number of redraws for the interval.
        permutations: Number of exchanges for the p value.

    Raises:
        ValueError: If there are not as many runs of the one as of the other.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"as many runs of both are needed, got {len(first)} and {len(second)}")
    units, count = by_patient(patients)
    one, other = (
        [
            Cases(labels, scores, units, limits, count)
            for scores, limits in zip(runs, own_limits, strict=True)
        ]
        for runs, own_limits in zip((first, second), thresholds, strict=True)
    )
    chunk = one[0].chunk()
    interval = bootstrap(
        lambda weights: evaluate_mean(other, weights) - evaluate_mean(one, weights),
        count, generator, redraws, chunk=chunk,
    )  # fmt: skip
    observed = interval.estimate
    alone = np.ones((count, 1))
    each = np.array(
        [
            (evaluate_mean([b], alone) - evaluate_mean([a], alone))[..., 0]
            for a, b in zip(one, other, strict=True)
        ]
    )
    exchanges = [
        _Exchange(labels, first[i], second[i], units, count, (thresholds[0][i], thresholds[1][i]))
        for i in range(len(first))
    ]
    hits = np.zeros(observed.shape)
    for start in range(0, permutations, chunk):
        size = min(chunk, permutations - start)
        exchanged = generator.integers(0, 2, (size, count)).T.astype(np.float64)
        difference = with_mean(sum(e.difference(exchanged) for e in exchanges) / len(exchanges))
        # Rounding must not part equal differences.
        limit = np.abs(observed)[..., np.newaxis] * (1 - 1e-9) - 1e-12
        # What is not defined counts against a difference, too.
        hits += np.sum(~(np.abs(difference) < limit), axis=-1)
    p_value = np.where(np.isnan(observed), np.nan, (hits + 1.0) / (permutations + 1.0))
    return Comparison(observed, interval, each, p_value, permutations)


def _midranks(labels, scores):
    """Ranks of the scores among images with a known label, in [0, 1], each finding by itself.

    Two classifiers are then on one scale. Their scores are not exchangeable as they are if one
    calls everything likelier; but that is nothing that AUC and average precision tell, which ask
    for the order alone (Bandos et al., Stat. Med. 24, 2873, 2005).
    """
    ranks = np.zeros(scores.shape)
    for k in range(scores.shape[1]):
        known = ~np.isnan(labels[:, k])
        ranks[known, k] = scipy_stats.rankdata(scores[known, k]) / max(known.sum(), 1)
    return ranks


class _Exchange:
    """Both classifiers' predictions as one pool of units (patient, classifier)."""

    def __init__(self, labels, first, second, units, count, thresholds):
        self._decisions = [
            np.where(scores >= threshold, 1.0, 0.0)
            for scores, threshold in zip((first, second), thresholds, strict=True)
        ]
        pooled_units = np.concatenate([units, units + count])
        twice = np.concatenate([labels, labels])
        ranks = np.concatenate([_midranks(labels, scores) for scores in (first, second)])
        scores = np.concatenate([first, second])
        decided = np.concatenate(self._decisions)
        # Decisions come from each classifier's own threshold.
        none, half = np.full(labels.shape[1], np.nan), np.full(labels.shape[1], 0.5)
        self._ranked = Cases(twice, ranks, pooled_units, none, 2 * count)
        self._decided = Cases(twice, decided, pooled_units, half, 2 * count)
        self._no_threshold = np.isnan(np.asarray(thresholds)).any(axis=0)
        errors = np.nan_to_num((scores - twice) ** 2)
        by_unit = sparse.csr_matrix(
            (np.ones(len(twice)), (pooled_units, np.arange(len(twice)))), (2 * count, len(twice))
        )
        self._errors, self._known = (by_unit @ errors).T, (by_unit @ ~np.isnan(twice)).T
        self._probabilities = ((scores >= 0) & (scores <= 1)).all(axis=0)

    def difference(self, exchanged):
        """Exchanged float64 [patients, B], 1 where a patient's predictions are, to [M, L, B]."""
        arms = []
        for own in (exchanged, 1.0 - exchanged):
            weights = np.concatenate([1.0 - own, own])
            values = self._ranked.evaluate(weights)
            decided = self._decided.evaluate(weights)
            for i, name in enumerate(METRICS):
                if name in stats.RATES:
                    values[i] = np.where(self._no_threshold[:, np.newaxis], np.nan, decided[i])
            brier = METRICS.index("brier")
            with np.errstate(invalid="ignore"):
                values[brier] = (self._errors @ weights) / (self._known @ weights)
            values[brier] = np.where(self._probabilities[:, np.newaxis], values[brier], np.nan)
            arms.append(values)
        return arms[1] - arms[0]
