"""The tool: what it refuses, and a federation with it from the command line."""

import contextlib
import json
import re
import signal

import pytest
import remote_sites

from pgan.data import record_folder

pytest.importorskip("dp_accounting")

_SMALL = ("--resolution=8",)
_NETWORKS = (
    "--resolution=8", "--fmap_base=32", "--fmap_max=4", "--latent_size=4", "--generator_steps=1",
    "--critic_steps=2", "--batch_size=4", "--grid_every_rounds=0", "--client_share=1",
    "--stddev_group=1", "--dp_clip_norm=1", "--dp_noise_multiplier=2",
)  # fmt: skip


def _run(run_tool, records, budget, *arguments):
    own = (f"--records={records.path}", f"--budget={budget}", "--max_epsilon=8", *_SMALL)
    return run_tool("run_private_site", *own, *arguments)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--records=/nowhere",), "There is no record set /nowhere"),
        (("--resolution=64",), "has no r0064 shards"),
        (("--fold=nowhere",), "has no fold 'nowhere'"),
        (("--max_epsilon=0",), "--max_epsilon must be above 0"),
        (("--delta=1",), "--delta must be in (0, 1)"),
    ],
)
def test_messages(run_tool, phantom_records, tmp_path, capsys, arguments, message):
    assert _run(run_tool, phantom_records, tmp_path / "budget", *arguments) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "budget").exists()


def test_two_programs_do_not_count_in_one_budget(run_tool, phantom_records, tmp_path, capsys):
    with record_folder.claimed(tmp_path):
        assert _run(run_tool, phantom_records, tmp_path) == 1
    assert "Another process is counting in" in capsys.readouterr().err


@contextlib.contextmanager
def _started(name, *arguments):
    process = remote_sites.start_tool(name, *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_a_federation_of_one_site_until_its_budget_is_spent(phantom_records, tmp_path):
    port, budget, run = remote_sites.free_port(), tmp_path / "budget", tmp_path / "run"
    config = tmp_path / "sites.cfg"
    path = phantom_records.path.absolute()
    config.write_text(f"[north]\naddress = localhost:{port}\nrecords = {path}\n")
    site_arguments = (
        f"--records={path}", f"--budget={budget}", "--max_epsilon=0.25", "--delta=0.01",
        f"--port={port}", *_SMALL,
    )  # fmt: skip
    with _started("run_private_site", *site_arguments) as site:
        text = remote_sites.await_line(site, "listens on port")
        assert f"address = localhost:{port}" in text and "0 answers so far" in text
        asked = (f"--sites={config}", *_NETWORKS, "--rounds=30")
        with _started("run_federation", *asked, "--dry_run") as coordinator:
            output = coordinator.communicate()[0]
        assert coordinator.returncode == 0, output
        told = re.search(
            r"Warning: north: its privacy budget \(epsilon 0.25 at delta 0.01, 0 answers so far\) "
            r"allows (\d+) of the 30 rounds that ask it",
            output,
        )
        with _started("run_federation", *asked, f"--run_dir={run}") as coordinator:
            output = coordinator.communicate()[0]
        assert coordinator.returncode == 1, output
        assert "north: its privacy budget is spent" in output
        assert f"allows {told[1]} of the 30 rounds" in (run / "log.txt").read_text()
        site.send_signal(signal.SIGTERM)
        assert "ended" in site.communicate(timeout=remote_sites.WAIT_SECONDS)[0]
        assert site.returncode == 0
    rows = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    answers = json.loads((budget / "budget.json").read_text())["answers"]
    assert 1 < len(rows) == answers == int(told[1]) < 30
    assert [row["clients"][0]["privacy/answers"] for row in rows] == list(range(1, answers + 1))
    assert rows[0]["privacy/epsilon"] < rows[-1]["privacy/epsilon"] <= 0.25


@pytest.mark.slow
def test_sites_of_the_other_kind_are_named(phantom_records, tmp_path):
    """A coordinator without --dp_clip_norm learns what it needs."""
    pytest.importorskip("tensorflow_federated")
    port, config = remote_sites.free_port(), tmp_path / "sites.cfg"
    path = phantom_records.path.absolute()
    config.write_text(f"[north]\naddress = localhost:{port}\nrecords = {path}\n")
    arguments = (f"--records={path}", f"--budget={tmp_path / 'budget'}", "--max_epsilon=1")
    with _started("run_private_site", *arguments, f"--port={port}", *_SMALL) as site:
        remote_sites.await_line(site, "listens on port")
        asked = remote_sites.start_tool("run_federation", f"--sites={config}", "--dry_run", *_SMALL)
        output = asked.communicate(timeout=remote_sites.WAIT_SECONDS)[0]
        assert asked.returncode == 1 and "need --dp_clip_norm here" in output
        assert site.poll() is None
