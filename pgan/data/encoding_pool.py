"""Loads and encodes radiographs in several processes, results in order.

The processes import NumPy and Pillow and no TensorFlow, so they start in a fraction of a second
and stay small; the TFRecord files are written by the one process that asked.
"""

import collections
import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from pgan.data import pyramid

# Tasks per process that are under way or waiting to be written. Bounds memory.
_TASKS_AHEAD = 4

Task = tuple[str, Callable[[], np.ndarray] | np.ndarray, Mapping[int, str]]


def encode_all(tasks: Iterable[Task], max_resolution: int, workers: int) -> Iterator[dict]:
    """Encodes images in the order of the tasks.

    Args:
      tasks: (image id, its pixels or a function that loads them, {resolution: encoding wanted}).
      max_resolution: of the pyramid.
      workers: processes; 0 does the work in this process.

    Yields:
      {resolution: bytes} per task.

    Raises:
      ValueError: an image cannot be loaded or used; the message names it.
      RuntimeError: a process ended, for instance for want of memory.
    """
    if not workers:
        for task in tasks:
            yield _encode(task, max_resolution)
        return
    executor = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker
    )
    pending = collections.deque()
    try:
        for task in tasks:
            pending.append(executor.submit(_encode, task, max_resolution))
            if len(pending) >= _TASKS_AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except concurrent.futures.process.BrokenProcessPool:
        raise RuntimeError(
            "A process that reads images ended abruptly; most often the machine was out of "
            "memory. Run the same command again with fewer --workers."
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def _encode(task: Task, max_resolution: int) -> dict:
    image_id, source, encodings = task
    try:
        pixels = source() if callable(source) else source
        return pyramid.encode_levels(pixels, encodings, max_resolution)
    except ValueError as error:
        raise ValueError(f"{image_id}: {error}") from error


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group; only the parent answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If the parent is killed, nobody closes the pool's queues and its processes would wait on.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
