"""Losses over findings of which some are unknown."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


class MaskedLoss(tf.keras.losses.Loss):
    """Mean loss of the known labels of a batch; NaN marks an unknown label and costs nothing.

    `call` gives float32 [B], for each image the sum over its known labels divided by the mean
    number of known labels of an image, so that the mean over images is the mean over known labels.
    """

    def __init__(
        self,
        focal: bool = False,
        positive_weights: Sequence[float] | None = None,
        negative_weights: Sequence[float] | None = None,
        name: str = "masked_loss",
    ):
        """Initializes the loss.

        Args:
            focal: Focal loss instead of cross-entropy.
            positive_weights: Weight of the positives of each finding, [L]; None for 1.
            negative_weights: Of the negatives.
            name: Name of the loss.
        """
        super().__init__(reduction=tf.keras.losses.Reduction.SUM_OVER_BATCH_SIZE, name=name)
        self._focal = None
        if focal:
            # Seconds to import, for those only who want it.
            import tensorflow_addons as tfa

            # Its own weight of positives, 0.25, would undo weights that are given.
            weighted = positive_weights is not None or negative_weights is not None
            self._focal = tfa.losses.SigmoidFocalCrossEntropy(
                from_logits=True,
                alpha=None if weighted else 0.25,
                reduction=tf.keras.losses.Reduction.NONE,
            )
        self._positive = _weights(positive_weights)
        self._negative = _weights(negative_weights)

    def call(self, y_true, y_pred):
        """Computes the loss.

        Args:
            y_true: float32 [B, L], 1, 0 or NaN.
            y_pred: float [B, L], log odds.
        """
        logits = tf.cast(y_pred, tf.float32)
        is_known = tf.math.is_finite(y_true)
        labels = tf.where(is_known, y_true, tf.zeros_like(y_true))
        if self._focal is None:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        else:
            # The function sums over the last axis, so each label gets one of its own.
            losses = self._focal(labels[..., tf.newaxis], logits[..., tf.newaxis])
        losses *= labels * self._positive + (1.0 - labels) * self._negative
        known = tf.cast(is_known, tf.float32)
        per_image = tf.maximum(tf.reduce_mean(tf.reduce_sum(known, axis=-1)), 1e-6)
        return tf.reduce_sum(losses * known, axis=-1) / per_image


def _weights(values):
    return 1.0 if values is None else tf.constant(np.asarray(values, np.float32))


def balanced_weights(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights by which positives and negatives of a finding count the same, with mean 1.

    Args:
        labels: [N, L], 1, 0 or NaN.

    Returns:
        Of positives and of negatives, float32 [L]; 1 for a finding that has only one of them.
    """
    known = ~np.isnan(labels)
    positives = np.nansum(labels, axis=0)
    total = known.sum(axis=0)
    negatives = total - positives
    both = (positives > 0) & (negatives > 0)
    positive = np.where(both, total / np.maximum(2.0 * positives, 1), 1.0)
    negative = np.where(both, total / np.maximum(2.0 * negatives, 1), 1.0)
    return positive.astype(np.float32), negative.astype(np.float32)
