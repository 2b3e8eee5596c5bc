"""What a person is told when a run ends before its end."""

import types

import pytest
import tensorflow as tf

from pgan import training_errors

RECORDS = types.SimpleNamespace(path="records/nih")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            tf.errors.DataLossError(None, None, "corrupted record at 12\nmore"),
            RuntimeError,
            r"records of records/nih are damaged \(corrupted record at 12\).*verify_records",
        ),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
            RuntimeError,
            r"memory ran out \(OOM when allocating\).*--micro_batch",
        ),
        (
            tf.errors.UnavailableError(None, None, "x\nCollective ops is aborted by: gone"),
            training_errors.WorkerLostError,
            r"another worker was lost \(gone\).*start all workers again",
        ),
    ],
)
def test_errors_of_tensorflow_are_explained(error, kind, message):
    with pytest.raises(kind, match=message) as caught:
        with training_errors.explained(RECORDS, "multi_worker"):
            raise error
    assert caught.value.__cause__ is error


def test_without_other_workers_none_was_lost():
    error = tf.errors.AbortedError(None, None, "why")
    with pytest.raises(tf.errors.AbortedError) as caught:
        with training_errors.explained(RECORDS, "mirrored"):
            raise error
    assert caught.value is error


def test_losses_must_be_finite_and_gradients_need_not():
    nan = float("nan")
    training_errors.check_finite(
        {"scores/real": 1.0, "discriminator/gradient_norm": nan}, 1000, 2000
    )
    with pytest.raises(
        training_errors.TrainingDivergedError,
        match="scores/fake is not finite between 1,000 and 2,000 images",
    ):
        training_errors.check_finite({"scores/real": 1.0, "scores/fake": nan}, 1000, 2000)
