"""The loop over rounds: resume, refusal, what the folder holds, arms."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest.mock

import numpy as np
import pytest
import tensorflow as tf
import tiny_federations
import tiny_records

from federated import config, local, rounds, server, simulation
from pgan import checkpoints, run_folder, synthesis, train


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny")


def _simulate(records, folder, stop=None, init_from=None, **changes):
    chosen = tiny_federations.settings(**changes)
    return simulation.simulate(
        chosen, records, str(folder), init_from, show_progress=False, stop=stop
    )


def _content(folder):
    """Weights and all else of the last checkpoint, and the rows without times."""
    reader = tf.train.load_checkpoint(checkpoints.latest(folder))
    names = [name for name in reader.get_variable_to_shape_map() if "save_counter" not in name]
    values = {name: reader.get_tensor(name) for name in names if "OBJECT_GRAPH" not in name}
    rows = run_folder.RunFolder(folder).read_stats()
    for row in rows:
        del row["timestamp"], row["training/seconds_per_round"]
    return values, rows


def _assert_same(first, second):
    assert first[0].keys() == second[0].keys()
    for name, value in first[0].items():
        np.testing.assert_array_equal(value, second[0][name], err_msg=name)
    assert first[1] == second[1]


_MEASURED = {
    "metric_every_rounds": 2,
    "metric_images": 8,
    "critic_images": 8,
    "grid_every_rounds": 1,
}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"server_optimizer": "adam", **_MEASURED}, id="fedadam"),
        pytest.param(
            {"arm": "centralized", "optimizer": "sgd"}, id="centralized", marks=pytest.mark.slow
        ),
    ],
)
def test_an_interrupted_simulation_is_as_if_never_interrupted(records, tmp_path, changes):
    result = _simulate(records, tmp_path / "whole", **changes)
    assert (result.rounds_done, result.rounds_run, result.finished) == (3, 3, True)
    # Ended in order after the first round, then killed before the checkpoint of the third.
    result = _stopped_at_once(records, tmp_path / "parts", **changes)
    assert (result.rounds_run, result.finished, result.signal) == (1, False, signal.SIGTERM)
    save = checkpoints.Checkpoints.save

    def killed(self):
        if int(self._state.images_shown.numpy()) == 3 * 16:
            raise RuntimeError("killed")
        return save(self)

    with unittest.mock.patch.object(checkpoints.Checkpoints, "save", killed):
        with pytest.raises(RuntimeError, match="killed"):
            _simulate(records, tmp_path / "parts", **changes)
    assert len(run_folder.RunFolder(tmp_path / "parts").read_stats()) == 3
    result = _simulate(records, tmp_path / "parts", **changes)
    assert (result.rounds_done, result.rounds_run) == (3, 1)
    _assert_same(_content(tmp_path / "whole"), _content(tmp_path / "parts"))


def _stopped_at_once(records, folder, **changes):
    stop, function = train.StopRequest(), rounds.train_client

    def call(*arguments):
        if stop.signal is None:
            signal.raise_signal(signal.SIGTERM)
        return function(*arguments)

    with unittest.mock.patch.object(rounds, "train_client", side_effect=call):
        return _simulate(records, folder, stop, **changes)


_DIES_IN_THE_SECOND_ROUND = """
import os, runpy, signal, sys
from federated import rounds

del sys.argv[0]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
train, calls = rounds.train_client, []

def train_client(*arguments):
    calls.append(arguments)
    if len(calls) == 4:  # two clients in a round
        os.kill(os.getpid(), signal.SIGKILL)
    return train(*arguments)

rounds.train_client = train_client
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_a_process_killed_in_mid_round_is_as_if_it_never_was(records, tmp_path):
    tool = pathlib.Path(__file__).parents[1] / "tools/simulate_federated.py"

    def start(folder, *script):
        command = [
            sys.executable, *script, str(tool), f"--records={records.path}",
            f"--run_dir={tmp_path / folder}", "--resolution=8", "--fmap_base=32", "--fmap_max=4",
            "--latent_size=4", "--num_clients=3", "--images_per_client=0", "--client_share=0.5",
            "--rounds=3", "--generator_steps=2", "--critic_steps=2", "--batch_size=4",
            "--learning_rate=0.01", "--server_optimizer=adam", "--metric_every_rounds=0",
            "--grid_every_rounds=0",
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(tool.parents[1])}
        return subprocess.run(command, env=environment, check=False).returncode

    assert start("whole") == 0
    assert start("parts", "-c", _DIES_IN_THE_SECOND_ROUND) == -signal.SIGKILL
    assert [row["round"] for row in run_folder.RunFolder(tmp_path / "parts").read_stats()] == [1]
    assert start("parts") == 0
    assert "after 1 rounds" in (tmp_path / "parts/log.txt").read_text()
    _assert_same(_content(tmp_path / "whole"), _content(tmp_path / "parts"))


@pytest.mark.slow
def test_one_client_is_the_centralised_arm(records, tmp_path):
    """No bit of the weights differs, as both average one update; a kept optimizer would differ."""
    _simulate(records, tmp_path / "one", num_clients=1, client_share=1.0, rounds=2)
    centralised = {"arm": "centralized", "num_clients": 1, "rounds": 2}
    _simulate(records, tmp_path / "all", optimizer_memory="fresh", **centralised)
    _simulate(records, tmp_path / "kept", optimizer_memory="kept", **centralised)
    one, united, kept = (_content(tmp_path / name) for name in ("one", "all", "kept"))
    for rows, name in ((one[1], "client_00"), (united[1], "all")):
        assert [row["clients"][0].pop("client") for row in rows] == [name, name]
        assert [row["clients"][0]["examples"] for row in rows] == [42, 42]
    _assert_same(one, united)
    names = [name for name in one[0] if name.startswith("state/generator/")]
    assert max(np.abs(one[0][name] - kept[0][name]).max() for name in names) > 1e-4


def test_what_the_folder_holds(records, tmp_path):
    _simulate(records, tmp_path / "run", **_MEASURED)
    rows = run_folder.RunFolder(tmp_path / "run").read_stats()
    assert [(row["round"], row["images_shown"]) for row in rows] == [(1, 16), (2, 32), (3, 48)]
    for row in rows:
        names = [client["client"] for client in row["clients"]]
        assert len(names) == 2 and names == sorted(names)
        assert all(client["rejected"] is None for client in row["clients"])
        sizes = [client["examples"] for client in row["clients"]]
        losses = [client["discriminator/wasserstein"] for client in row["clients"]]
        mean = np.average(losses, weights=sizes)
        assert row["discriminator/wasserstein"] == pytest.approx(mean, rel=1e-5, abs=1e-6)
    measured = [name for name in rows[1] if name not in rows[0]]
    assert set(rows[2]) == set(rows[1])
    critic = {"critic/negative_loss_train", "critic/negative_loss_held_out"}
    critic |= {"critic/labels_real_train", "critic/labels_real_held_out"}
    assert all(critic <= set(row) for row in rows)
    assert any(name.startswith("monitor/") for name in measured)
    assert (tmp_path / "run/checkpoints/best/best.json").exists()
    assert len(list((tmp_path / "run").glob("fakes*.png"))) == 3  # a round shows 16 images
    assert (tmp_path / "run/reals.png").exists()
    tags = set()
    for path in (tmp_path / "run").glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in event.summary.value}
    assert {"discriminator/wasserstein", "client_00/update_norm", "fakes"} <= tags
    kept = json.loads((tmp_path / "run/federation.json").read_text())
    assert config.FederatedConfig.from_dict(kept) == tiny_federations.settings(**_MEASURED)


def test_the_generator_is_read_like_any_other(records, tmp_path):
    _simulate(records, tmp_path / "run", rounds=1, aggregation="median")
    # Two clients in a round.
    assert "withstands nothing" in (tmp_path / "run/log.txt").read_text()
    generator, info = checkpoints.load_generator(str(tmp_path / "run"))
    assert (info.finished, info.alpha, info.resolution) == (True, None, 8)
    federation = info.records["federation"]
    assert len(federation.pop("fingerprint")) == 64
    assert federation == {"arm": "federated", "clients": 3, "images": 42}
    before = local.LocalTrainer(tiny_federations.settings()).generator.active_variables(3, False)
    after = generator.active_variables(3, False)
    moved = [np.abs(a - b).max() for a, b in zip(before, after, strict=True)]
    assert min(moved) > 0


def test_the_generator_is_exported_like_any_other(records, tmp_path, run_tool, capsys):
    _simulate(records, tmp_path / "run", arm="single", rounds=1)
    arguments = (f"--run_dir={tmp_path / 'run'}", f"--output={tmp_path / 'exports'}")
    assert run_tool("export_generator", *arguments, "--name=united") == 0, capsys.readouterr().err
    drawn = synthesis.load(str(tmp_path / "exports/united/1"))
    labels = np.eye(2, dtype=np.float32)
    pixels = np.stack(list(drawn.stream(labels, np.array([5, 5]), np.arange(2))))
    assert pixels.shape == (2, 8, 8) and pixels.dtype == np.uint8
    trained_on = drawn.card["training_records"]
    (row,) = run_folder.RunFolder(tmp_path / "run").read_stats()
    assert trained_on["fold_size"] == trained_on["federation"]["images"]
    assert trained_on["fold_size"] == row["clients"][0]["examples"] < 42


def test_other_images_of_the_clients_are_refused(records, tmp_path):
    unwanted = tmp_path / "unwanted.csv"
    ids = records.record_ids("train")
    unwanted.write_text(f"image_id\n{ids[0]}\n")
    changes = {"leave_out": str(unwanted)}
    _simulate(records, tmp_path / "run", rounds=1, **changes)
    unwanted.write_text(f"image_id\n{ids[0]}\n{ids[1]}\n")
    with pytest.raises(run_folder.ConfigurationMismatchError, match="other images than when"):
        _simulate(records, tmp_path / "run", rounds=2, **changes)
    unwanted.write_text(f"image_id\n{ids[0]}\n")
    assert _simulate(records, tmp_path / "run", rounds=2, **changes).rounds_run == 1


def test_arms_start_alike_and_can_start_from_a_run(records, tmp_path):
    states = [
        server.ServerState(tiny_federations.settings(arm=arm)).weights() for arm in config.ARMS
    ]
    for state in states[1:]:
        for a, b in zip(rounds.flat(states[0]), rounds.flat(state), strict=True):
            np.testing.assert_array_equal(a, b)
    _simulate(records, tmp_path / "first", rounds=1, arm="single")
    (row,) = run_folder.RunFolder(tmp_path / "first").read_stats()
    assert [client["client"] for client in row["clients"]] == ["client_00"]
    # A step size too small to move a weight: what a run starts from is what it ends with.
    tiny = {"rounds": 1, "learning_rate": 1e-30}
    _simulate(records, tmp_path / "second", init_from=str(tmp_path / "first"), **tiny)
    first, second = _content(tmp_path / "first")[0], _content(tmp_path / "second")[0]
    shared = [name for name in second if name.startswith("state/generator/")]
    assert shared
    for name in shared:
        np.testing.assert_allclose(first[name], second[name], atol=1e-6)
    with pytest.raises(ValueError, match="--init_from starts a new run"):
        _simulate(records, tmp_path / "second", init_from=str(tmp_path / "first"))
    # What cannot be started from leaves no run behind that would begin otherwise.
    wider = dataclasses.replace(tiny_federations.settings().network, fmap_max=8)
    with pytest.raises(ValueError, match="the same findings, --resolution"):
        _simulate(records, tmp_path / "other", init_from=str(tmp_path / "first"), network=wider)
    assert not (tmp_path / "other").exists()
    # Killed in its first round and continued, it still starts from there.
    with unittest.mock.patch.object(rounds, "train_client", side_effect=RuntimeError("killed")):
        with pytest.raises(RuntimeError, match="killed"):
            _simulate(records, tmp_path / "third", init_from=str(tmp_path / "first"), **tiny)
    _simulate(records, tmp_path / "third", **tiny)
    third = _content(tmp_path / "third")[0]
    for name in shared:
        np.testing.assert_array_equal(second[name], third[name])


def test_other_flags_are_refused(records, tmp_path):
    folder = tmp_path / "run"
    _simulate(records, folder, rounds=1)
    with pytest.raises(run_folder.ConfigurationMismatchError, match="critic_steps: 2 in .* 3 now"):
        _simulate(records, folder, critic_steps=3)
    with pytest.raises(ValueError, match="learning_rate: 0.01 in"):
        _simulate(records, folder, learning_rate=0.02)
    other = tiny_records.build(tmp_path / "other", split=None)
    with pytest.raises(ValueError):
        _simulate(other, folder)
    assert _simulate(records, folder, rounds=2, grid_columns=4).rounds_run == 1
    (folder / "federation.json").unlink()
    with pytest.raises(ValueError, match="holds a run of tools/train_pgan.py"):
        _simulate(records, folder)


def test_a_client_that_breaks_is_left_out_by_name(records, tmp_path, caplog):
    def spoil(function):
        def call(*arguments):
            client = function(*arguments)
            update = [np.full_like(a, np.nan) for a in client.update]
            return client._replace(update=update) if client.number == 1 else client

        return call

    with unittest.mock.patch.object(rounds, "train_client", side_effect=spoil(rounds.train_client)):
        _simulate(records, tmp_path / "run", client_share=1.0, rounds=1)
    (row,) = run_folder.RunFolder(tmp_path / "run").read_stats()
    assert [bool(client["rejected"]) for client in row["clients"]] == [False, True, False]
    assert row["training/rejected"] == 1 and np.isfinite(row["scores/real"])
    text = (tmp_path / "run/log.txt").read_text()
    assert "round 0: the update of client_01 is rejected: its update is not finite" in text


@pytest.mark.slow
def test_the_same_with_tff(records, tmp_path):
    pytest.importorskip("tensorflow_federated")
    _simulate(records, tmp_path / "plain", rounds=2)
    _simulate(records, tmp_path / "tff", rounds=2, engine="tff")
    first, second = _content(tmp_path / "plain"), _content(tmp_path / "tff")
    assert first[0].keys() == second[0].keys()
    for name, value in first[0].items():
        np.testing.assert_allclose(value, second[0][name], atol=1e-4, err_msg=name)
    for a, b in zip(first[1], second[1], strict=True):
        assert a["scores/real"] == pytest.approx(b["scores/real"], abs=1e-3)
        assert [c["client"] for c in a["clients"]] == [c["client"] for c in b["clients"]]
    assert (tmp_path / "tff/tff_worker.log").exists()


@pytest.mark.slow
def test_a_continued_run_with_tff_is_as_if_never_interrupted(records, tmp_path):
    pytest.importorskip("tensorflow_federated")
    changes = {"engine": "tff", "server_optimizer": "adam"}
    _simulate(records, tmp_path / "whole", rounds=3, **changes)
    assert _simulate(records, tmp_path / "parts", rounds=2, **changes).rounds_run == 2
    assert _simulate(records, tmp_path / "parts", rounds=3, **changes).rounds_run == 1
    # To the last bit: of two clients, the order of the sum makes no difference.
    _assert_same(_content(tmp_path / "whole"), _content(tmp_path / "parts"))


@pytest.mark.slow
def test_a_continued_run_goes_on_with_the_norm_that_clipping_has_found(records, tmp_path):
    pytest.importorskip("tensorflow_federated")
    changes = {
        "engine": "tff", "aggregation": "mean", "clip_norm": 1000.0,
        "client_dp_noise_multiplier": 0.1, "client_dp_clipping": "adaptive",
    }  # fmt: skip
    _simulate(records, tmp_path / "run", rounds=2, **changes)
    assert _simulate(records, tmp_path / "run", rounds=3, **changes).rounds_run == 1
    norms = [
        row["privacy/clip_norm"] for row in run_folder.RunFolder(tmp_path / "run").read_stats()
    ]
    # No update is as long: each round shortens the norm by exp(-0.2 / 2), but for its noise.
    expected = 1000 * np.exp(-0.1 * np.arange(1, 4))
    np.testing.assert_allclose(norms, expected, rtol=0.07)
    values, _ = _content(tmp_path / "run")
    [kept] = [value for name, value in values.items() if "clip_norm" in name]
    assert kept == np.float32(norms[-1])
