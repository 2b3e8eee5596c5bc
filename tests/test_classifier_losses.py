"""Masked cross-entropy and focal loss by hand."""

import numpy as np
import pytest
import tensorflow as tf

from classifier import losses

_LABELS = np.array([[1, 0, np.nan], [0, np.nan, np.nan]], np.float32)
_LOGITS = np.array([[2.0, -1.0, 9.0], [0.5, -7.0, 3.0]], np.float32)


def _entropy(label, logit):
    return np.log1p(np.exp(-logit if label else logit))


def test_unknown_labels_cost_nothing_and_the_mean_is_over_known_ones():
    known = [_entropy(1, 2.0), _entropy(0, -1.0), _entropy(0, 0.5)]
    found = losses.MaskedLoss()(_LABELS, _LOGITS)
    assert float(found) == pytest.approx(np.mean(known), rel=1e-6)


def test_unknown_labels_have_no_gradient():
    logits = tf.constant(_LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = losses.MaskedLoss()(_LABELS, logits)
    gradient = tape.gradient(loss, logits).numpy()
    assert (gradient[np.isnan(_LABELS)] == 0).all()
    assert (gradient[~np.isnan(_LABELS)] != 0).all()


def test_a_batch_of_unknown_labels_is_no_division_by_zero():
    assert float(losses.MaskedLoss()(np.full((2, 1), np.nan, np.float32), np.zeros((2, 1)))) == 0.0


def test_focal_loss_by_hand():
    # Lin et al. 2017: alpha (1 - p)^gamma times the cross-entropy; 0.25 and 2 as in the paper.
    p = 1 / (1 + np.exp(-2.0))
    expected = 0.25 * (1 - p) ** 2 * -np.log(p)
    found = losses.MaskedLoss(focal=True)(np.float32([[1]]), np.float32([[2.0]]))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_with_class_weights_has_no_weight_of_its_own():
    p = 1 / (1 + np.exp(-2.0))
    loss = losses.MaskedLoss(focal=True, positive_weights=[3.0], negative_weights=[1.0])
    positive = loss(np.float32([[1]]), np.float32([[2.0]]))
    assert float(positive) == pytest.approx(3.0 * (1 - p) ** 2 * -np.log(p), rel=1e-5)
    negative = loss(np.float32([[0]]), np.float32([[2.0]]))
    assert float(negative) == pytest.approx(p**2 * -np.log(1 - p), rel=1e-5)


def test_balanced_weights_by_hand():
    labels = np.array([[1, 0], [0, 0], [0, np.nan], [0, 0]], np.float32)
    positive, negative = losses.balanced_weights(labels)
    np.testing.assert_allclose(positive, [2.0, 1.0])
    np.testing.assert_allclose(negative, [2 / 3, 1.0])
    # All positives together now weigh as much as all negatives.
    loss = losses.MaskedLoss(False, positive[:1], negative[:1])
    each = [float(loss(labels[i : i + 1, :1], np.zeros((1, 1), np.float32))) for i in range(4)]
    assert each[0] == pytest.approx(sum(each[1:]))
