"""The tool: what it refuses, and that its worker ends with it."""

import os
import signal
import socket
import sys

import pytest
import remote_sites

pytest.importorskip("tensorflow_federated")

_SMALL = ("--resolution=8", "--allow_root")


def _run(run_tool, records, *arguments):
    return run_tool("run_site", f"--records={records.path}", *_SMALL, *arguments)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--records=/nowhere",), "There is no record set /nowhere"),
        (("--resolution=64",), "has no r0064 shards"),
        (("--fold=nowhere",), "has no fold 'nowhere'"),
    ],
)
def test_messages(run_tool, phantom_records, capsys, arguments, message):
    port = f"--port={remote_sites.free_port()}"
    assert _run(run_tool, phantom_records, port, *arguments) == 1
    assert message in capsys.readouterr().err


def test_a_port_that_is_used_is_refused(run_tool, phantom_records, capsys):
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        assert _run(run_tool, phantom_records, f"--port={port}") == 1
    assert f"--port={port} cannot be used (Address already in use)" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused")
def test_root_is_refused(run_tool, phantom_records, capsys):
    assert _run(run_tool, phantom_records, "--noallow_root") == 1
    error = capsys.readouterr().err
    assert "must not be root" in error and "sudo -u USER python" in error


def test_without_tff_it_says_what_to_install(run_tool, phantom_records, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_federated", None)
    # Imported before, it would be found in both places.
    monkeypatch.delitem(sys.modules, "federated.tff_workers", raising=False)
    monkeypatch.delattr("federated.tff_workers", raising=False)
    assert _run(run_tool, phantom_records, f"--port={remote_sites.free_port()}") == 1
    assert "install requirements.lock" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, "worker"])
def test_nothing_is_left_over(phantom_records, tmp_path, how):
    """Ended in order, killed, and with its worker killed."""
    port, log = remote_sites.free_port(), tmp_path / "worker.log"
    arguments = (f"--records={phantom_records.path}", f"--port={port}", f"--log={log}", *_SMALL)
    site = remote_sites.start_tool("run_site", *arguments)
    try:
        text = remote_sites.await_line(site, "listens on port")
        assert f"address = localhost:{port}" in text
        assert f"records = {phantom_records.path}" in text
        assert "this user may write to" in text
        (worker,) = remote_sites.children(site.pid)
        os.kill(worker if how == "worker" else site.pid, signal.SIGKILL if how == "worker" else how)
        status = site.wait(remote_sites.WAIT_SECONDS)
    finally:
        site.kill()
        site.wait()
    assert remote_sites.gone(worker)
    # Nobody holds its output open any more.
    rest = site.stdout.read()
    if how == "worker":
        assert status == 1 and "the worker has ended (exit status -9" in rest
    else:
        assert status == (0 if how == signal.SIGTERM else -9)
    assert log.exists()
