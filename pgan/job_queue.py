"""Runs commands that may depend on one another, some at a time, each on its share of the cores."""

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

import tqdm

from pgan import run_folder

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
_ASKED = ".asked.json"
_FLAG_FILES = ("--flagfile=", "--train_flags=")


@dataclasses.dataclass(frozen=True)
class Job:
    """A command with a result that shows whether it has run.

    Attributes:
        name: For messages and for `needs`.
        command: Program and arguments.
        share_done: How much of its result is there, of 1 (or True) when it is whole; it is not
            started then.
        log: File that its output is added to; what was asked for is kept beside it.
        needs: Names of the jobs that have to be done before.
    """

    name: str
    command: Sequence[str]
    share_done: Callable[[], float]
    log: pathlib.Path
    needs: Sequence[str] = ()


def run(
    jobs: Sequence[Job],
    at_a_time: int = 1,
    on_look: Callable[[set[str], list[str]], None] = lambda done, running: None,
) -> None:
    """Runs what is not done, in the order given as far as dependencies allow.

    If a command fails, what does not need its result is run all the same. If the caller is
    interrupted (Ctrl-C or SIGTERM), the commands are asked to end (SIGTERM) and waited for.

    Args:
        jobs: The jobs.
        at_a_time: How many run together; the process's cores are dealt among them.
        on_look: Called every second with the names of the jobs that are done and that run.

    Raises:
        ValueError: If a job needs one that is not there, or was done by another command. (One that
            was only begun is continued or refused by the command itself.)
        RuntimeError: After all others have run, if commands failed or ended without their results.
    """
    names = {job.name for job in jobs}
    for job in jobs:
        if missing := set(job.needs) - names:
            raise ValueError(f"the job {job.name!r} needs {', '.join(sorted(missing))}")
    done = {job.name for job in jobs if job.share_done() >= 1}
    if changes := [text for job in jobs if job.name in done for text in _changes(job)]:
        raise ValueError(
            "the results that are there were asked for in another way: "
            + "; ".join(changes)
            + ". Give another --output, or the flags that it was started with. "
            f"({_asked_path(jobs[0]).parent}/*{_ASKED} say what was asked for.)"
        )
    waiting = [job for job in jobs if job.name not in done]
    failures: list[str] = []
    cores = sorted(os.sched_getaffinity(0))
    share = max(len(cores) // at_a_time, 1)
    free = [set(cores[i * share : (i + 1) * share] or cores) for i in range(at_a_time)]
    running: list[tuple[subprocess.Popen, Job, set[int]]] = []
    before = _raise_on_sigterm()
    try:
        while waiting or running:
            for job in list(waiting):
                if free and done.issuperset(job.needs):
                    waiting.remove(job)
                    running.append(_start(job, free.pop()))
            if not running:
                break
            on_look(done, [job.name for _, job, _ in running])
            with contextlib.suppress(subprocess.TimeoutExpired):
                running[0][0].wait(_POLL_SECONDS)
            for entry in [entry for entry in running if entry[0].poll() is not None]:
                running.remove(entry)
                child, job, mine = entry
                free.append(mine)
                if failure := _failure(child, job):
                    _LOG.error("%s", failure)
                    failures.append(failure)
                else:
                    done.add(job.name)
        on_look(done, [])
    finally:
        for child, _, _ in running:
            child.terminate()
        for child, _, _ in running:
            child.wait()
        if before is not None:
            signal.signal(signal.SIGTERM, before)
    left = ", ".join(job.name for job in waiting)
    if failures:
        raise RuntimeError(
            "\n".join(failures)
            + (f"\nNot begun without it: {left}." if left else "")
            + "\nThe same command as before continues."
        )
    if left:
        raise ValueError(f"these jobs wait for one another: {left}")


def _raise_on_sigterm():
    """Makes SIGTERM an exception, since by default it would leave the commands running alone.

    Returns:
        The handler before; None outside the main thread, where Python permits none.
    """
    if threading.current_thread() is not threading.main_thread():
        return None

    def stop(number, _):
        raise SystemExit(128 + number)

    return signal.signal(signal.SIGTERM, stop)


def run_with_bar(jobs: Sequence[Job], at_a_time: int, title: str) -> None:
    """`run`, with a progress bar of the shares that are done and the names of what runs."""
    with tqdm.tqdm(total=100 * len(jobs), unit="%", desc=title) as bar:

        def look(done, running):
            bar.update(sum(int(100 * job.share_done()) for job in jobs) - bar.n)
            bar.set_postfix_str(", ".join(running))

        run(jobs, at_a_time, look)


def _asked(job):
    """What a job's command asks for: its arguments and the text of its flag files."""
    # Folders may be moved together: what lies beside the log is named from there.
    root = str(job.log.parent.parent.absolute())
    arguments = [argument.replace(root, "...") for argument in job.command[2:]]
    files = [a.partition("=")[2] for a in job.command if a.startswith(_FLAG_FILES)]
    there = [file for file in map(pathlib.Path, files) if file.is_file()]  # else the command tells
    texts = {str(file).replace(root, "..."): file.read_text() for file in there}
    return {"arguments": arguments, "files": texts}


def _asked_path(job):
    return job.log.with_name(f"{job.log.name}{_ASKED}")


def _flags(text):
    """A flag file's flags by name, as absl reads them: the last of a name holds."""
    lines = [line.strip() for line in text.splitlines() if not line.startswith(("#", "//"))]
    flags = [f"--{line.lstrip('-')}" for line in lines if line]
    return {flag.partition("=")[0]: flag for flag in flags}


def _differences(before, now):
    """["had ..., has ... now"] of two flag files; empty if they mean the same."""
    before, now = _flags(before), _flags(now)
    had = [line for name, line in before.items() if now.get(name) != line]
    has = [line for name, line in now.items() if before.get(name) != line]
    parts = [f"had {' '.join(had)}"] if had else []
    return parts + ([f"has {' '.join(has)} now"] if has else [])


def _changes(job):
    """How a job's command differs from the one that its results were begun with."""
    if not _asked_path(job).exists():
        return []
    before, now = json.loads(_asked_path(job).read_text()), _asked(job)
    gone = [a for a in before["arguments"] if a not in now["arguments"]]
    come = [a for a in now["arguments"] if a not in before["arguments"]]
    parts = [f"had {' '.join(gone)}"] if gone else []
    parts += [f"has {' '.join(come)} now"] if come else []
    if not parts and before["arguments"] != now["arguments"]:
        parts = ["had its arguments in another order"]
    for file, text in before["files"].items():
        if file in now["files"]:
            if changes := _differences(text, now["files"][file]):
                parts.append(f"{file} {', '.join(changes)}")
        elif not gone:
            parts.append(f"{file} is missing")
    return [f"{job.name} {', '.join(parts)}"] if parts else []


def _start(job, cores):
    job.log.parent.mkdir(parents=True, exist_ok=True)
    run_folder.write_atomically(_asked_path(job), json.dumps(_asked(job)) + "\n")
    with open(job.log, "a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%F %T')} {' '.join(job.command)}\n")
        file.flush()
        child = subprocess.Popen(job.command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    os.sched_setaffinity(child.pid, cores)
    return child, job, cores


def _failure(child, job):
    """What went wrong with a command that has ended, "" if nothing did."""
    if child.returncode:
        return (
            f"{job.name} ended with status {child.returncode}; its output is in {job.log}:\n"
            f"{_end_of(job.log)}"
        )
    if job.share_done() < 1:
        return f"{job.name} ended without its result; its output is in {job.log}"
    return ""


def _end_of(path, lines=5):
    text = path.read_bytes()[-4000:].decode("utf-8", "replace").replace("\r", "\n")
    return "\n".join(text.rstrip().splitlines()[-lines:])
