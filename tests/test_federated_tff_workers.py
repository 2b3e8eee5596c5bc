"""Workers end with what started them."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest.mock

import numpy as np
import pytest

tff = pytest.importorskip("tensorflow_federated")

from federated import tff_workers  # noqa: E402

_WAIT_SECONDS = 20


def _workers(parent):
    """Process ids of the workers whose parent is a process."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")  # name: 15 letters
        except OSError:  # it has just ended
            continue
        if name.startswith("worker_bin") and int(rest.split()[1]) == parent:
            found.append(int(path.parent.name))
    return found


def _ended(pid):
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_a_worker_computes_until_it_ends(tmp_path):
    before = set(_workers(os.getpid()))
    with tff_workers.local_worker(tmp_path / "worker.log") as context:
        (worker,) = set(_workers(os.getpid())) - before

        @tff.tensorflow.computation(np.int32)
        def double(x):
            return 2 * x

        with tff.framework.get_context_stack().install(context):
            assert double(21) == 42
            assert os.getpgid(worker) == worker
            os.kill(worker, signal.SIGKILL)
            with pytest.raises(tff_workers.WorkerError, match=r"has ended \(exit status -9"):
                double(21)
    assert set(_workers(os.getpid())) == before and _ended(worker)


def test_a_worker_ends_when_its_block_fails(tmp_path):
    before = set(_workers(os.getpid()))
    with pytest.raises(RuntimeError, match="mine"):
        with tff_workers.local_worker(tmp_path / "worker.log"):
            raise RuntimeError("mine")
    assert set(_workers(os.getpid())) == before


@pytest.mark.slow
def test_a_worker_ends_with_a_killed_parent(tmp_path):
    script = (
        "import pathlib, time\n"
        "from federated import tff_workers\n"
        f"with tff_workers.local_worker(pathlib.Path({str(tmp_path / 'worker.log')!r})):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert parent.stdout.readline() == "ready\n"
        (worker,) = _workers(parent.pid)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert _ended(worker)
    # Nobody holds the pipe open any more.
    assert parent.stdout.read() == ""


def test_a_worker_that_does_not_start_is_named_with_its_output(tmp_path):
    binary = tmp_path / "worker"
    binary.write_text("#!/bin/sh\necho port taken\nexit 3\n")
    binary.chmod(0o755)
    with unittest.mock.patch.object(tff_workers, "BINARY", binary):
        with pytest.raises(tff_workers.WorkerError, match=r"exit status 3\).*port taken"):
            with tff_workers.local_worker(tmp_path / "worker.log"):
                pass
