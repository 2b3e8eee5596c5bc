"""Curves of a classifier on its validation images, epoch by epoch, without a pass of their own."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# Bins of log odds. Scores of rare findings are all close to 0, where bins of probability are blind.
_LIMIT, _WIDTH = 12.0, 0.02
_BINS = round(2 * _LIMIT / _WIDTH)
THRESHOLDS = 201  # of the precision-recall curves, evenly from 0 to 1


class ScoreHistogram(tf.keras.metrics.Metric):
    """Histograms of the log odds of negatives and positives; its result is the mean AUC.

    Scores within 0.02 log odds count as equal, those beyond -12 and 12 as well. Unknown labels are
    left out, and so are findings without positives or without negatives.
    """

    def __init__(self, num_findings: int, name: str = "auc"):
        """Initializes the metric.

        Args:
            num_findings: L.
            name: In logs.
        """
        super().__init__(name=name, dtype=tf.float32)
        self._findings = num_findings
        self.counts = self.add_weight("counts", (2, num_findings, _BINS), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts a batch.

        Args:
            y_true: float32 [B, L], 1, 0 or NaN.
            y_pred: float [B, L], log odds.
            sample_weight: Not used.
        """
        logits = tf.cast(y_pred, tf.float32)
        bins = tf.cast(tf.floor((logits + _LIMIT) / _WIDTH), tf.int32)
        bins = tf.clip_by_value(bins, 0, _BINS - 1)
        known = tf.math.is_finite(y_true) & tf.math.is_finite(logits)
        positive = tf.cast(y_true >= 0.5, tf.int32)
        columns = tf.broadcast_to(tf.range(self._findings), tf.shape(bins))
        places = tf.stack([positive, columns, bins], axis=-1)
        places = tf.boolean_mask(places, known)
        ones = tf.ones(tf.shape(places)[:1])
        self.counts.assign_add(tf.scatter_nd(places, ones, self.counts.shape))

    def reset_state(self):
        """Forgets all counts."""
        self.counts.assign(tf.zeros_like(self.counts))

    def result(self):
        """Mean AUC over the findings that have one; NaN if none has."""
        negatives, positives = self.counts[0], self.counts[1]
        below = tf.cumsum(negatives, axis=-1, exclusive=True) + negatives / 2.0
        pairs = tf.reduce_sum(negatives, -1) * tf.reduce_sum(positives, -1)
        areas = tf.reduce_sum(positives * below, -1) / pairs
        defined = tf.cast(pairs > 0, tf.float32)
        return tf.reduce_sum(tf.where(pairs > 0, areas, 0.0)) / tf.reduce_sum(defined)


def precision_recall(counts: np.ndarray) -> np.ndarray:
    """Curves of precision and recall from histograms.

    Args:
        counts: float [2, L, bins] of a `ScoreHistogram`.

    Returns:
        float32 [L, 6, T]: true positives, false positives, true negatives, false negatives,
        precision and recall at T thresholds of the score, evenly from 0 to 1.
    """
    thresholds = np.linspace(0.0, 1.0, THRESHOLDS)[1:-1]
    edges = np.rint((np.log(thresholds / (1.0 - thresholds)) + _LIMIT) / _WIDTH).astype(int)
    # From the first bin, from the edges, and from beyond the last.
    edges = np.concatenate([[0], edges, [counts.shape[-1]]])
    above = np.zeros((*counts.shape[:2], counts.shape[-1] + 1))
    above[..., :-1] = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]
    above = above[..., edges]
    totals = counts.sum(axis=-1, keepdims=True)
    (fp, tp), (tn, fn) = above, totals - above
    with np.errstate(invalid="ignore"):
        # Without any alarm there is no false one: TensorBoard draws precision 1 there.
        precision = np.where(tp + fp > 0, tp / (tp + fp), 1.0)
        recall = np.where(tp + fn > 0, tp / (tp + fn), 0.0)
    return np.stack([tp, fp, tn, fn, precision, recall], axis=1).astype(np.float32)


def write(counts: np.ndarray, findings: Sequence[str], step: int) -> None:
    """Writes precision-recall curves to the default summary writer, for TensorBoard's tab of them.

    Args:
        counts: float [2, L, bins] of a `ScoreHistogram`.
        findings: L names.
        step: Epoch.
    """
    from tensorboard.plugins.pr_curve import metadata

    for finding, curve in zip(findings, precision_recall(counts), strict=True):
        facts = metadata.create_summary_metadata(finding, "", THRESHOLDS)
        tf.summary.write(f"precision_recall/{finding}", curve, step, facts)
