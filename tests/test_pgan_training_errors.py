"""What a person is told when a run ends before its end."""

import shlex
import types

import pytest
import tensorflow as tf

from pgan import config, run_folder, training_errors

RECORDS = types.SimpleNamespace(path="records/nih")


def _explained(folder="runs/nih", **changes):
    return training_errors.explained(
        RECORDS, config.TrainConfig(**changes), run_folder.RunFolder(folder)
    )


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
        with _explained(strategy="multi_worker"):
            raise error
    assert caught.value.__cause__ is error


def test_without_other_workers_none_was_lost():
    error = tf.errors.AbortedError(None, None, "why")
    with pytest.raises(tf.errors.AbortedError) as caught:
        with _explained(strategy="mirrored"):
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


def _said_of_divergence(folder, **changes):
    with pytest.raises(training_errors.TrainingDivergedError) as caught:
        with _explained(folder, **changes):
            raise training_errors.TrainingDivergedError("x is not finite.")
    return str(caught.value)


def test_after_a_divergence_half_the_learning_rate_is_advised(tmp_path, caplog):
    folder = tmp_path / "a run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "flags.txt").touch()
    text = _said_of_divergence(folder, learning_rate="0.001,1024:0.0015")
    assert [text.splitlines()[0] for text in caplog.messages] == [text.splitlines()[0]]
    assert "--learning_rate=" in caplog.text
    lines = text.splitlines()
    assert "x is not finite. No checkpoint was written yet. Start again" in lines[0]
    assert shlex.split(lines[1]) == [
        "python", "tools/train_pgan.py", f"--flagfile={folder}/flags.txt",
        "--learning_rate=0.0005,1024:0.00075",
    ]  # fmt: skip
    assert "flags.txt continues at that rate" in lines[2] and "TF_CONFIG" not in text
    assert len(lines) == 4 and "--seed makes another run" in lines[3] and "float32" not in text

    for images in (96, 960, 200):
        (folder / "checkpoints" / f"ckpt-{images}.index").touch()
    lines = _said_of_divergence(folder, precision="mixed_float16").splitlines()
    assert f"The checkpoint {folder}/checkpoints/ckpt-960 is from before. Continue" in lines[0]
    assert lines[1].endswith("--learning_rate=0.0005")
    assert lines[4] == f"  rm '{folder}/checkpoints/ckpt-960'.*"
    assert "--seed, or --precision=float32, makes another run" in lines[5]


def test_without_the_flags_of_the_tool_none_is_advised(tmp_path):
    text = _said_of_divergence(tmp_path)
    assert text == "x is not finite. The last checkpoint, if there is one, is from before."
