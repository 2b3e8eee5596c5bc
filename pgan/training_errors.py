"""Why a run ended before its end, for a person: what happened, what is lost, what to type."""

import contextlib
import logging
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from pgan import distribute, losses
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
            message = (
                f"{name} is not finite between {first:,} and {shown:,} images; the last "
                "checkpoint is from before. A lower --learning_rate or another --seed may "
                "help; --precision=float32 if it was not."
            )
            _LOG.error(message)
            raise TrainingDivergedError(message)


@contextlib.contextmanager
def explained(records: record_set.RecordSet, strategy: str) -> Iterator[None]:
    """Says of TensorFlow's errors within the block what they mean for a run.

    Args:
        records: What is trained on.
        strategy: Name of the strategy, one of config.STRATEGIES.

    Raises:
        RuntimeError: If the records are damaged or memory has run out.
        WorkerLostError: If another worker of the cluster is gone.
    """
    try:
        yield
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
        if strategy != "multi_worker":
            raise
        # TensorFlow cannot go on without a worker, nor take it back into a running process.
        what = distribute.cause_of(error)
        _LOG.error("another worker was lost: %s", what)
        raise WorkerLostError(
            f"another worker was lost ({what}). Nothing that was saved is lost: start all "
            "workers again with the same commands, and they continue from the last checkpoint"
        ) from error
