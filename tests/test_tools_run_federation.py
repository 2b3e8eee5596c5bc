"""The tool: messages, and three hospitals under users of their own."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest
import remote_sites
import tiny_records

pytest.importorskip("tensorflow_federated")

_SMALL = (
    "--resolution=8", "--fmap_base=32", "--fmap_max=4", "--latent_size=4", "--generator_steps=2",
    "--critic_steps=2", "--batch_size=4", "--grid_every_rounds=0", "--client_share=1",
)  # fmt: skip


def _write(folder, text):
    path = folder / "sites.cfg"
    path.write_text(text)
    return f"--sites={path}"


@pytest.mark.parametrize(
    "text, arguments, message",
    [
        ("[north]\n", (), "the site [north]"),
        ("[north]\naddress = localhost:1\nrecords = /r\n", ("--quorum=2",), "--quorum must be in"),
        (
            "[north]\naddress = localhost:1\nrecords = /r\n",
            ("--patience=0", "--connect_timeout=0.5"),
            "Missing: north: no worker answers at localhost:1 within 0.5 s",
        ),
    ],
)
def test_messages(run_tool, tmp_path, capsys, text, arguments, message):
    run = f"--run_dir={tmp_path / 'run'}"
    assert run_tool("run_federation", _write(tmp_path, text), run, *_SMALL, *arguments) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


_COORDINATOR, *_HOSPITALS = range(61000, 61004)
_NAMES = ("north", "east", "south")


@pytest.fixture
def public_folder():
    """A folder that other users can look into, which those of pytest are not."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hospitals"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _own(path, uid):
    """Gives a folder to a user, for nobody else to read."""
    for part in (path, *path.rglob("*")):
        os.chown(part, uid, uid)
        part.chmod(0o500 if part.is_dir() else 0o400)


def _can_read(uid, path):
    command = remote_sites.as_user(uid, "cat", str(path))
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for other users")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is missing")
def test_three_hospitals_under_users_of_their_own(public_folder):
    """Ten rounds that all sites take part in, with one that is killed and started again."""
    if remote_sites.python_for(_COORDINATOR) is None:
        pytest.skip("there is no Python that other users may start")
    records, ports = {}, {}
    for name, uid in zip(_NAMES, _HOSPITALS, strict=True):
        path = public_folder / name
        records[name] = tiny_records.build(path)
        _own(path, uid)
        ports[name] = remote_sites.free_port()
    for name in _NAMES:
        shard = records[name].shard_paths(8)[0]
        readers = [uid for uid in (_COORDINATOR, *_HOSPITALS) if _can_read(uid, shard)]
        assert readers == [_HOSPITALS[_NAMES.index(name)]]

    def start(name):
        arguments = (f"--records={public_folder / name}", f"--port={ports[name]}")
        arguments += ("--resolution=8", "--max_message_mb=16")
        uid = _HOSPITALS[_NAMES.index(name)]
        return stack.enter_context(
            _ending(remote_sites.start_tool("run_site", *arguments, uid=uid))
        )

    run = public_folder / "run"
    run.mkdir()
    os.chown(run, _COORDINATOR, _COORDINATOR)
    lines = [
        f"[{name}]\naddress = localhost:{ports[name]}\nrecords = {public_folder / name}\n"
        for name in _NAMES
    ]
    flag = _write(public_folder, "".join(lines))
    with contextlib.ExitStack() as stack:
        started = {name: start(name) for name in _NAMES}
        workers = []
        for site in started.values():
            remote_sites.await_line(site, "listens on port")
            workers += remote_sites.children(site.pid)
        # A worker sent to another site's records is refused by the file system.
        swapped = public_folder / "swapped.cfg"
        swapped.write_text(
            lines[0].replace(str(public_folder / "north"), str(public_folder / "east"))
        )
        refused = remote_sites.start_tool(
            "run_federation", f"--sites={swapped}", "--dry_run", *_SMALL, uid=_COORDINATOR
        )
        text = stack.enter_context(_ending(refused)).communicate()[0]
        assert refused.returncode == 1
        assert "north cannot take part" in text and "Permission denied" in text

        arguments = (flag, f"--run_dir={run}", *_SMALL, "--rounds=10", "--retry_seconds=1")
        coordinator = remote_sites.start_tool("run_federation", *arguments, uid=_COORDINATOR)
        stack.enter_context(_ending(coordinator))
        remote_sites.await_line(coordinator, "3/10")
        started["east"].send_signal(signal.SIGKILL)
        started["east"].wait()
        output = remote_sites.await_line(coordinator, " worker ")
        remote_sites.await_line(start("east"), "listens on port")
        output += coordinator.communicate()[0]
        assert coordinator.returncode == 0, output
    assert "finished after 10 rounds" in output
    rows = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [row["round"] for row in rows] == list(range(1, 11))
    for row in rows:
        assert [client["client"] for client in row["clients"]] == list(_NAMES)
        assert not any(client["rejected"] for client in row["clients"])
    log = (run / "log.txt").read_text()
    assert "east: " in log and "all have answered now" in log
    assert all(remote_sites.gone(worker) for worker in workers)
    assert not any(_owned_processes())


@contextlib.contextmanager
def _ending(process):
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _owned_processes():
    """Processes of the test's users that have not ended."""
    for path in pathlib.Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            fields = dict(
                line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line
            )
            uid = int(fields["Uid"].split()[0])
            if _COORDINATOR <= uid <= _HOSPITALS[-1] and not fields["State"].startswith("Z"):
                yield path
