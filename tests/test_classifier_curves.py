"""The histogram metric against exact values, and the curves that TensorBoard gets."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

from classifier import curves


@pytest.fixture
def scores():
    random = np.random.default_rng(0)
    labels = (random.random((400, 3)) < (0.5, 0.05, 0.2)).astype(np.float32)
    logits = (random.normal(size=(400, 3)) + 1.5 * labels - (0, 4, 1)).astype(np.float32)
    labels[:30, 2] = np.nan
    return labels, logits


def _filled(labels, logits):
    metric = curves.ScoreHistogram(labels.shape[1])
    for part in np.array_split(np.arange(len(labels)), 3):
        metric.update_state(labels[part], logits[part])
    return metric


def test_its_result_is_the_mean_auc_of_the_known_labels(scores):
    labels, logits = scores
    expected = []
    for column in range(3):
        known = ~np.isnan(labels[:, column])
        expected.append(metrics.roc_auc_score(labels[known, column], logits[known, column]))
    assert float(_filled(*scores).result()) == pytest.approx(np.mean(expected), abs=2e-3)


def test_findings_without_positives_do_not_count_and_none_is_nan(scores):
    labels, logits = scores
    without = labels.copy()
    without[:, 1] = 0
    kept = _filled(labels[:, ::2], logits[:, ::2]).result()
    assert float(_filled(without, logits).result()) == pytest.approx(float(kept))
    metric = _filled(np.zeros_like(labels), logits)
    assert np.isnan(metric.result())
    metric.reset_state()
    assert float(tf.reduce_sum(metric.counts)) == 0


def test_precision_and_recall_are_those_of_scikit_learn(scores):
    labels, logits = scores
    found = curves.precision_recall(_filled(*scores).counts.numpy())
    assert found.shape == (3, 6, curves.THRESHOLDS)
    thresholds = np.linspace(0, 1, curves.THRESHOLDS)
    for column in range(3):
        known = ~np.isnan(labels[:, column])
        truth = labels[known, column]
        chances = 1 / (1 + np.exp(-logits[known, column]))
        for place in (0, 3, 60, 100, 140):
            alarms = chances >= thresholds[place]
            tp, fp = (alarms & (truth == 1)).sum(), (alarms & (truth == 0)).sum()
            # Scores within a bin of the threshold may fall on its other side.
            assert found[column, 0, place] == pytest.approx(tp, abs=3)
            assert found[column, 1, place] == pytest.approx(fp, abs=3)
            if alarms.sum() > 40:
                assert found[column, 4, place] == pytest.approx(
                    metrics.precision_score(truth, alarms), abs=0.03
                )
        np.testing.assert_allclose(found[column, :4].sum(axis=0), known.sum())
        # At threshold 1 there are no alarms, at 0 all are.
        assert found[column, 5, 0] == 1 and found[column, 5, -1] == 0
        assert found[column, 4, -1] == 1


def test_tensorboard_reads_the_curves(scores, tmp_path):
    from tensorboard.backend.event_processing import event_accumulator

    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        curves.write(_filled(*scores).counts.numpy(), ("Mass", "Hernia", "Edema"), step=2)
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert events.PluginTagToContent("pr_curves").keys() == {
        "precision_recall/Mass",
        "precision_recall/Hernia",
        "precision_recall/Edema",
    }
    (event,) = events.Tensors("precision_recall/Hernia")
    assert event.step == 2
    values = tf.make_ndarray(event.tensor_proto)
    np.testing.assert_allclose(
        values, curves.precision_recall(_filled(*scores).counts.numpy())[1], rtol=1e-6
    )
