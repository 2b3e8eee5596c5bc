"""Order, number at a time, results that are there, failures of a queue of commands."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from pgan import job_queue


def _job(folder, name, code="", needs=(), writes=True):
    result = folder / name
    if writes:
        code += f"\nopen({str(result)!r}, 'w').write('x')"
    return job_queue.Job(
        name, (sys.executable, "-c", code), result.exists, folder / "logs" / f"{name}.log", needs
    )


def test_jobs_wait_for_what_they_need_and_what_is_done_is_left_alone(tmp_path):
    seen = []
    (tmp_path / "made").write_text("kept")
    needs_a = f"assert open({str(tmp_path / 'a')!r}).read() == 'x'"
    jobs = [
        _job(tmp_path, "b", needs_a, needs=("a", "made")),
        _job(tmp_path, "a", "print('spoke')"),
        _job(tmp_path, "made", "raise SystemExit(1)"),
    ]
    job_queue.run(jobs, 2, lambda done, running: seen.append((set(done), list(running))))
    assert seen[0] == ({"made"}, ["a"]) and seen[-1] == ({"a", "b", "made"}, [])
    assert (tmp_path / "made").read_text() == "kept"
    assert "spoke" in (tmp_path / "logs/a.log").read_text()
    job_queue.run(jobs)  # Nothing is left to do.


def test_no_more_run_together_than_asked_for_each_on_its_cores(tmp_path):
    cores = sorted(os.sched_getaffinity(0))
    note = "import os; print('cores', sorted(os.sched_getaffinity(0)))"
    wait = f"{note}\nimport time; time.sleep(0.3)"
    counts = []
    jobs = [_job(tmp_path, name, wait) for name in "abc"]
    job_queue.run(jobs, 2, lambda done, running: counts.append(len(running)))
    assert max(counts) == 2
    logs = [(tmp_path / f"logs/{name}.log").read_text() for name in "abc"]
    shares = {log.rpartition("cores ")[2].strip() for log in logs}
    half = max(len(cores) // 2, 1)
    assert shares <= {str(cores[:half]), str(cores[half : 2 * half] or cores)}


def test_the_bar_shows_shares_and_names(tmp_path, capsys):
    half = dataclasses.replace(_job(tmp_path, "b"), share_done=lambda: 0.5 + 0.5 * made.exists())
    made = tmp_path / "b"
    job_queue.run_with_bar([_job(tmp_path, "a"), half], 1, "two jobs")
    shown = capsys.readouterr().err
    assert "two jobs:  25%" in shown and "two jobs: 100%" in shown and "200/200" in shown
    assert ", a]" in shown


def test_a_failure_holds_up_only_what_needs_it_and_shows_the_end_of_its_log(tmp_path):
    jobs = [
        _job(tmp_path, "broken", "import sys; sys.exit('no space left')"),
        _job(tmp_path, "other", "import time; time.sleep(0.2)"),
        _job(tmp_path, "later", needs=("other",)),
        _job(tmp_path, "needing", needs=("broken", "other")),
    ]
    with pytest.raises(
        RuntimeError,
        match=r"(?s)broken ended with status 1.*no space left.*begun without it: needing",
    ):
        job_queue.run(jobs, 2)
    assert (tmp_path / "later").exists() and not (tmp_path / "needing").exists()


def test_results_of_another_command_are_not_taken_for_those_asked_for(tmp_path):
    flags = tmp_path / "a.flags"
    flags.write_text("--rounds=3")
    job = _job(tmp_path, "a")
    job = dataclasses.replace(job, command=(*job.command, f"--flagfile={flags}", "--scale=1"))
    job_queue.run([job])
    job_queue.run([job])
    other = dataclasses.replace(job, command=(*job.command[:-1], "--scale=2"))
    with pytest.raises(ValueError, match="a had --scale=1, has --scale=2 now"):
        job_queue.run([other])
    flags.write_text("--rounds=4")
    with pytest.raises(ValueError, match="a.flags had --rounds=3, has --rounds=4 now. Give anoth"):
        job_queue.run([job])
    flags.unlink()
    with pytest.raises(ValueError, match="a .*a.flags is missing. Give another --output"):
        job_queue.run([job])
    flags.write_text("--rounds=3")
    moved = tmp_path.with_name(f"{tmp_path.name}_moved")
    tmp_path.rename(moved)
    there = [text.replace(str(tmp_path), str(moved)) for text in job.command]
    log = moved / "logs/a.log"
    job_queue.run([job_queue.Job("a", tuple(there), (moved / "a").exists, log)])
    moved.rename(tmp_path)
    # What came to nothing may be asked for in another way.
    (tmp_path / "a").unlink()
    job_queue.run([other])
    assert (tmp_path / "a").exists()


def test_flag_files_are_compared_by_what_they_mean(tmp_path):
    flags = tmp_path / "a.flags"
    flags.write_text("--rounds=3\n--seed=1\n")
    job = _job(tmp_path, "a")
    job = dataclasses.replace(job, command=(*job.command, f"--train_flags={flags}"))
    job_queue.run([job])
    alike = (
        "# Why.\n\n--rounds=3\n// How.\n--seed=1",
        "-seed=1  \n--rounds=3",
        "--rounds=7\n--seed=1\n--rounds=3\n",  # the last one holds
    )
    for text in alike:
        flags.write_text(text)
        job_queue.run([job])
    for text, message in (
        ("--rounds=3\n# --seed=1\n", "a.flags had --seed=1"),
        ("--rounds=3\n--seed=1\n--arm=single", "a.flags has --arm=single now"),
        ("--rounds=3\n--seed=1\n--rounds=5\n", "a.flags had --rounds=3, has --rounds=5 now"),
    ):
        flags.write_text(text)
        with pytest.raises(ValueError, match=message):
            job_queue.run([job])


def test_sigterm_ends_the_commands_too(tmp_path):
    code = f"""
import pathlib, sys
from pgan import job_queue
started, ended = pathlib.Path({str(tmp_path / "started")!r}), {str(tmp_path / "ended")!r}
command = "import signal, sys, time; end = lambda *_: (open(sys.argv[2], 'w'), sys.exit());"
command += "signal.signal(15, end); open(sys.argv[1], 'w'); time.sleep(600)"
job_queue.run([job_queue.Job("endless", (sys.executable, "-c", command, str(started), ended),
                             lambda: False, pathlib.Path({str(tmp_path / "log")!r}))])
"""
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=_ROOT)
    while not (tmp_path / "started").exists():
        assert caller.poll() is None
        time.sleep(0.05)
    caller.send_signal(signal.SIGTERM)
    assert caller.wait() == 128 + signal.SIGTERM
    assert (tmp_path / "ended").exists()


_ROOT = pathlib.Path(__file__).parents[1]


def test_bad_queues_are_told(tmp_path):
    with pytest.raises(ValueError, match="the job 'a' needs z"):
        job_queue.run([_job(tmp_path, "a", needs=("z",))])
    circle = [_job(tmp_path, "a", needs=("b",)), _job(tmp_path, "b", needs=("a",))]
    with pytest.raises(ValueError, match="wait for one another"):
        job_queue.run(circle)
    with pytest.raises(RuntimeError, match="ended without its result"):
        job_queue.run([_job(tmp_path, "lazy", writes=False)])
