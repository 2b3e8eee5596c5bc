"""Why a run ended before its end, for a person: what happened, what is lost, what to type."""

import contextlib
import logging
import shlex
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from pgan import checkpoints, config, distribute, losses, run_folder
from pgan.data import record_set

_LOG = logging.getLogger(__name__)


class TrainingDivergedError(RuntimeError):
    """A loss is no longer finite."""


class WorkerLostError(RuntimeError):
    """Another worker of the cluster has ended or cannot be reached."""


def check_finite(values: Mapping[str, float], first: int, shown: int) -> None:
    """Ends a run whose losses are no longer finite.

    Args:
        values: Means of a step's statistics, by name.
        first: Images shown before them.
        shown: Images shown after them.

    Raises:
        TrainingDivergedError: If one is not; names it and the images.
    """
    for name, value in values.items():
        # Gradient norms may overflow where steps are skipped; losses may not.
        if name in losses.TERM_NAMES and not np.isfinite(value):
            raise TrainingDivergedError(
                f"{name} is not finite between {first:,} and {shown:,} images."
            )


@contextlib.contextmanager
def explained(
    records: record_set.RecordSet, settings: config.TrainConfig, folder: run_folder.RunFolder
) -> Iterator[None]:
    """Says of errors within the block what they mean for a run, and what to type.

    Args:
        records: What is trained on.
        settings: Configuration of the run.
        folder: Folder of the run.

    Raises:
        TrainingDivergedError: If a loss is not finite.
        RuntimeError: If the records are damaged or memory has run out.
        WorkerLostError: If another worker of the cluster is gone.
    """
    try:
        yield
    except TrainingDivergedError as error:
        message = f"{error} {_after_divergence(settings, folder)}"
        _LOG.error("%s", message)
        raise TrainingDivergedError(message) from None
    except tf.errors.DataLossError as error:
        raise RuntimeError(
            f"the records of {records.path} are damaged ({error.message.splitlines()[0]}). "
            "What was saved is not lost: tools/verify_records.py names the file, "
            "tools/build_records.py with its first command makes it anew, and the same "
            "command continues"
        ) from error
    except tf.errors.ResourceExhaustedError as error:
        raise RuntimeError(
            f"memory ran out ({error.message.splitlines()[0]}). What was saved is not lost: "
            "the same command continues where there is more; smaller passes, such as "
            "--micro_batch=512:4,1024:2,0, are another run"
        ) from error
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        if settings.strategy != "multi_worker":
            raise
        # TensorFlow cannot go on without a worker, nor take it back into a running process.
        what = distribute.cause_of(error)
        _LOG.error("another worker was lost: %s", what)
        raise WorkerLostError(
            f"another worker was lost ({what}). Nothing that was saved is lost: start all "
            "workers again with the same commands, and they continue from the last checkpoint; "
            "but if one of them says that a loss is not finite, as that one says"
        ) from error


def _after_divergence(settings: config.TrainConfig, folder: run_folder.RunFolder) -> str:
    flag_file = folder.path / "flags.txt"
    if not flag_file.exists():  # a run of another tool, without such flags
        return "The last checkpoint, if there is one, is from before."
    try:
        newest = checkpoints.latest(folder.path)
    except FileNotFoundError:
        newest = None
    rates = config.per_resolution(settings.learning_rate).items()
    halved = ",".join(f"{size}:{rate / 2:g}" if size else f"{rate / 2:g}" for size, rate in rates)
    command = ["python", "tools/train_pgan.py", f"--flagfile={flag_file}"]
    state = (
        f"The checkpoint {newest} is from before. Continue from it"
        if newest
        else "No checkpoint was written yet. Start again"
    )
    text = (
        f"{state} with a lower learning rate, such as half of it:\n"
        f"  {shlex.join([*command, f'--learning_rate={halved}'])}\n"
    )
    if settings.strategy == "multi_worker":
        text += "on all workers, each with its TF_CONFIG.\n"
    text += (
        f"From then on --flagfile={flag_file} continues at that rate; the command that began the "
        "run would set the old one again.\n"
    )
    if newest:
        # Losses are finite for some steps after the weights have begun to run away.
        text += (
            "If that ends in the same way, remove this checkpoint first, so that the run continues "
            "from the one before (from the start, if there is none):\n"
            f"  rm {shlex.quote(newest)}.*\n"
        )
    other = "" if settings.precision == "float32" else ", or --precision=float32,"
    return f"{text}Another --seed{other} makes another run: give it another --run_dir as well."
