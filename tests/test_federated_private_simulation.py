"""Private federations as simulated: what is told every round, and counted over a crash."""

import json
import math
import unittest.mock

import numpy as np
import pytest
import tiny_federations
import tiny_records

from federated import privacy, rounds, simulation
from pgan import run_folder

pytest.importorskip("dp_accounting")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny")


def _simulate(records, folder, **changes):
    chosen = tiny_federations.private_settings(**changes)
    simulation.simulate(chosen, records, str(folder), show_progress=False)
    return run_folder.RunFolder(folder).read_stats()


def test_epsilon_of_every_round_is_told_and_stored(records, tmp_path):
    rows = _simulate(records, tmp_path / "run", dp_noise_multiplier=2.0)
    log = (tmp_path / "run/log.txt").read_text()
    answers, most = {}, 0.0
    for number, row in enumerate(rows):
        for client in row["clients"]:
            name = client["client"]
            answers[name] = answers.get(name, 0) + 1
            rate = privacy.sampling_rate(4, client["examples"])
            one, all_ = (
                privacy.example_epsilon(2.0, rate, 4 * n, 1e-5) for n in (1, answers[name])
            )
            assert client["privacy/answers"] == answers[name]
            assert (client["privacy/epsilon_answer"], client["privacy/epsilon"]) == (one, all_)
            assert client["privacy/delta"] == 1e-5
            assert "scores/real" not in client and client["rejected"] is None
            assert f"round {number}: {name} spent epsilon {one:.4g} at delta 1e-05 for" in log
            most = max(most, all_)
        assert row["privacy/epsilon"] == most and row["privacy/delta"] == 1e-5
        assert "scores/real" not in row and np.isfinite(row["generator/adversarial"])
    assert json.loads((tmp_path / "run/privacy.json").read_text()) == answers
    assert sum(answers.values()) == 6 and max(answers.values()) > 1
    assert "--dp_test_seed=7: whoever knows it can subtract the noise" in log


@pytest.mark.slow
def test_an_answer_that_a_crash_lost_counts(records, tmp_path):
    def crash(rows, *_):
        raise RuntimeError("killed")

    folder = tmp_path / "run"
    with unittest.mock.patch.object(rounds, "aggregate", side_effect=crash):
        with pytest.raises(RuntimeError, match="killed"):
            _simulate(records, folder, rounds=1, dp_noise_multiplier=0.0)
    (row,) = _simulate(records, folder, rounds=1, dp_noise_multiplier=0.0)
    assert [client["privacy/answers"] for client in row["clients"]] == [2.0, 2.0]
    assert row["privacy/epsilon"] == math.inf  # no noise, no privacy


def test_without_privacy_nothing_is_told(records, tmp_path):
    folder = tmp_path / "run"
    chosen = tiny_federations.settings(rounds=1)
    simulation.simulate(chosen, records, str(folder), show_progress=False)
    (row,) = run_folder.RunFolder(folder).read_stats()
    assert not [name for name in (*row, *row["clients"][0]) if name.startswith("privacy/")]
    assert not (folder / "privacy.json").exists()
    assert "scores/real" in row
