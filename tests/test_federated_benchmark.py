"""Rounds by each way: the work is the same, rows and tables say what was measured."""

import dataclasses
import os

import numpy as np
import pytest
import remote_sites
import tiny_federations
import tiny_records

from federated import benchmark

_TINY = benchmark.Case(
    way=benchmark.IN_PROCESS, clients=2, images=30, resolution=8, fmap_base=32, fmap_max=4,
    generator_steps=1, critic_steps=1, batch_size=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "tiny"
    return tiny_records.build(folder, images=tiny_records.radiographs(30))


def _row(**changes):
    row = {
        **dataclasses.asdict(_TINY), "repeats": 3, "seconds_per_round": 2.0, "fastest": 1.5,
        "slowest": 4.0, "local_seconds": 1.0, "local_cores": 1.5, "overhead": 2.25,
        "first_seconds": 30.0, "first_local_seconds": 20.0, "cores": 2,
    }  # fmt: skip
    return {**row, **changes}


def _check(row, rounds_seen):
    assert row["way"] in benchmark.WAYS and row["clients"] == 2 and row["repeats"] == 2
    assert 0 < row["fastest"] <= row["seconds_per_round"] <= row["slowest"]
    assert row["overhead"] > 0 and row["local_seconds"] > 0
    assert row["first_seconds"] > 0 and row["first_local_seconds"] > 0
    assert rounds_seen == 2


def test_a_case_in_this_process(records, tmp_path):
    seen = []
    row = benchmark.measure(_TINY, records, tmp_path, 2, lambda: seen.append(1))
    _check(row, len(seen))


@pytest.mark.slow
@pytest.mark.parametrize("way", [benchmark.TFF, benchmark.REMOTE])
def test_a_case_in_workers_that_end(records, tmp_path, way):
    pytest.importorskip("tensorflow_federated")
    before, seen = remote_sites.children(os.getpid(), "worker_bin"), []
    case = dataclasses.replace(_TINY, way=way)
    row = benchmark.measure(case, records, tmp_path, 2, lambda: seen.append(1))
    _check(row, len(seen))
    assert remote_sites.children(os.getpid(), "worker_bin") == before
    assert len(list(tmp_path.glob("*.log"))) == (1 if way == benchmark.TFF else 2)


def test_settings_have_all_clients_in_every_round():
    settings = _TINY.settings(tiny_federations.FINDINGS)
    assert (settings.num_clients, settings.client_share) == (2, 1.0)
    assert settings.images_per_round == 4 and settings.network.resolution == 8
    with pytest.raises(ValueError, match="--ways must be of in_process, tff, remote, got 'http'"):
        dataclasses.replace(_TINY, way="http")


def test_answers_are_the_newest_rows_of_the_same_case():
    other = dataclasses.replace(_TINY, way=benchmark.REMOTE)
    rows = [_row(overhead=1.0), _row(), _row(repeats=5), _row(batch_size=8)]
    found = benchmark.answers([_TINY, other], 3, rows)
    assert found == {_TINY: rows[1]}


def test_the_table_has_ratios_and_says_what_is_left_out():
    text = benchmark.report([_row(), _row(way="remote", local_cores=0.5)])
    lines = text.splitlines()
    assert "| overhead |" in lines[0]
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == [
        "in_process", "8 px, 32/4", "2 x 1 x 1 x 4", "2", "1.5 to 4", "1", "2.25", "30", "20"
    ]  # fmt: skip
    assert "| 1* " in lines[3]
    assert "two more to warm up are in no other column" in text and "other programs" in text
    assert "other programs" not in benchmark.report([_row()])


def test_the_tool_measures_only_what_is_missing(run_tool, tmp_path, capsys, monkeypatch):
    asked = []

    def measure(case, records, folder, repeats, on_round):
        asked.append(case.way)
        assert len(records.record_ids("all")) == case.images
        assert np.isin(case.resolution, [8])
        return _row(**dataclasses.asdict(case), repeats=repeats)

    monkeypatch.setattr(benchmark, "measure", measure)
    arguments = (
        f"--output={tmp_path / 'rows.jsonl'}", "--images=8", "--resolution=8", "--repeats=2",
    )  # fmt: skip
    assert run_tool("benchmark_federated", "--ways=tff", *arguments) == 0
    assert run_tool("benchmark_federated", "--ways=tff,remote", *arguments) == 0
    assert asked == ["tff", "remote"]
    table = capsys.readouterr().out
    assert table.count("| tff") == 2 and table.count("| remote") == 1
    assert run_tool("benchmark_federated", "--ways=http", *arguments) == 1
    assert "--ways must be of" in capsys.readouterr().err
