"""Workers end with what started them."""

import os
import signal
import subprocess
import sys
import unittest.mock

import numpy as np
import pytest
import remote_sites

tff = pytest.importorskip("tensorflow_federated")

from federated import tff_workers  # noqa: E402


def _workers(parent):
    return remote_sites.children(parent, "worker_bin")


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
    assert set(_workers(os.getpid())) == before and remote_sites.gone(worker)


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
    assert remote_sites.gone(worker)
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
