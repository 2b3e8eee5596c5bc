"""Work in several processes, results in order.

The processes import what the work needs and no TensorFlow, so they start in a fraction of a second
and stay small.
"""

import collections
import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

# Tasks per process that are under way or waiting to be taken. Bounds memory.
_TASKS_AHEAD = 4

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def map_in_order(
    work: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int
) -> Iterator[_Result]:
    """Yields work(task) for every task, in their order.

    Args:
        work: a function at module level, or a partial of one, so that it pickles.
        tasks: they pickle too.
        workers: processes; 0 works in this process.

    Raises:
        RuntimeError: a process ended, for instance for want of memory.
    """
    if not workers:
        yield from map(work, tasks)
        return
    executor = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker
    )
    pending = collections.deque()
    try:
        for task in tasks:
            pending.append(executor.submit(work, task))
            if len(pending) >= _TASKS_AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except concurrent.futures.process.BrokenProcessPool:
        raise RuntimeError(
            "A process that works on images ended abruptly; most often the machine was out of "
            "memory. Run the same command again with fewer --workers."
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group; only the parent answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If the parent is killed, nobody closes the pool's queues and its processes would wait on.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
