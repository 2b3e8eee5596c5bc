"""The automatic look at a generator: fires on broken ones, not on ordinary ones."""

import dataclasses
import json
import re
import unittest.mock

import numpy as np
import pytest
import tensorflow as tf
import tiny_federations
import tiny_records

from federated import clients, generator_check, rounds, server, simulation
from pgan import checkpoints, run_folder


def _ordinary(count=8):
    return np.random.default_rng(0).uniform(-1, 1, (count, 8, 8, 1)).astype(np.float32)


def test_ordinary_images_raise_no_alarm():
    assert generator_check.judge(_ordinary()) == []
    assert generator_check.judge(_ordinary(1)) == []
    # One of five is below the share that matters.
    images = _ordinary(5)
    images[0] = 0.3
    assert generator_check.judge(images) == []


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda x: np.where(np.arange(8)[:, None, None, None] == 3, np.nan, x), "1 of 8 .*finite"),
        (lambda x: np.where(np.arange(8)[:, None, None, None] < 2, 0.3, x), "25% .*one grey"),
        (lambda x: np.sign(x), "100% .*black and white"),
        (lambda x: np.repeat(x[:1], 8, axis=0), "all images are alike"),
    ],
)
def test_broken_images_do(spoil, message):
    [alarm] = generator_check.judge(spoil(_ordinary()))
    assert re.search(message, alarm)


@pytest.mark.parametrize(
    "value, best, factor, fires",
    [
        (2.0, 1.0, 2.0, True),
        (1.9, 1.0, 2.0, False),
        (9.0, None, 2.0, False),
        (9.0, 1.0, 0.0, False),
        (float("nan"), None, 0.0, True),
    ],
)
def test_distance(value, best, factor, fires):
    assert bool(generator_check.judge_distance(value, best, factor)) == fires


def test_a_generator_is_looked_at_without_being_changed():
    chosen = tiny_federations.settings()
    state = server.ServerState(chosen)
    before = rounds.flat(state.weights())
    check = generator_check.GeneratorCheck(state, chosen, np.zeros((20, 2), np.float32))
    assert check.look() == []
    for a, b in zip(before, rounds.flat(state.weights()), strict=True):
        np.testing.assert_array_equal(a, b)
    never = generator_check.GeneratorCheck(state, chosen, np.zeros((0, 2), np.float32))
    assert never.look() == []
    state.replace([0 * w for w in before], [])
    assert any("one grey" in alarm for alarm in check.look())


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny")


def _simulate(records, folder, spoil=lambda update: update, **changes):
    """Simulates with updates of the second round spoilt."""
    function = rounds.train_client

    def call(*arguments):
        client = function(*arguments)
        return client._replace(update=spoil(client.update)) if arguments[3] == 1 else client

    chosen = tiny_federations.settings(rounds=2, **changes)
    with unittest.mock.patch.object(rounds, "train_client", side_effect=call):
        simulation.simulate(chosen, records, str(folder), show_progress=False)
    reader = tf.train.load_checkpoint(checkpoints.latest(str(folder)))
    names = [n for n in reader.get_variable_to_shape_map() if n.startswith("state/generator/")]
    weights = {name: reader.get_tensor(name) for name in names if "OBJECT_GRAPH" not in name}
    return weights, run_folder.RunFolder(folder).read_stats()


def test_a_broken_round_is_logged_and_taken_back(records, tmp_path):
    def explode(update):
        return [1e6 * a for a in update]

    plain, rows = _simulate(records, tmp_path / "plain")
    assert [row["alarms"] for row in rows] == [[], []]
    unseen, rows = _simulate(records, tmp_path / "unseen", explode, check_images=0)
    assert [row["alarms"] for row in rows] == [[], []]
    reverted, rows = _simulate(records, tmp_path / "reverted", explode, on_alarm="revert")
    assert rows[1]["alarms"] and len(rows) == 2
    text = (tmp_path / "reverted/log.txt").read_text()
    assert "round 1: the generator looks broken" in text
    assert "round 1: back to the networks before the round" in text
    assert list((tmp_path / "reverted").glob("fakes*.png"))
    assert max(np.abs(value).max() for value in unseen.values()) > 1e3
    assert max(np.abs(value).max() for value in reverted.values()) < 10
    # Nothing else than the second round's step is missing.
    for name, value in plain.items():
        np.testing.assert_allclose(reverted[name], value, atol=0.2)


def test_a_distance_that_jumps_goes_back_to_the_best(records, tmp_path):
    with unittest.mock.patch.object(
        generator_check, "judge_distance", side_effect=[[], ["its distance is bad"]]
    ):
        reverted, rows = _simulate(
            records, tmp_path / "run", on_alarm="revert", metric_every_rounds=1,
            metric_images=8, critic_images=8,
        )  # fmt: skip
    assert [row["alarms"] for row in rows] == [[], ["its distance is bad"]]
    assert "round 1: back to the networks of" in (tmp_path / "run/log.txt").read_text()
    [first] = (tmp_path / "run/checkpoints").glob("ckpt-16.index")
    reader = tf.train.load_checkpoint(str(first.with_suffix("")))
    for name, value in reverted.items():
        np.testing.assert_array_equal(reader.get_tensor(name), value)


def test_a_distance_of_another_name_is_no_yardstick(records, tmp_path):
    """A run that is continued with fewer images measures something else."""
    measured = {"metric_every_rounds": 1, "critic_images": 8}
    _simulate(records, tmp_path / "run", metric_images=8, **measured)
    best = tmp_path / "run/checkpoints/best/best.json"
    facts = json.loads(best.read_text())
    best.write_text(json.dumps({**facts, "value": 1e-9}))
    chosen = tiny_federations.settings(rounds=3, metric_images=4, **measured)
    simulation.simulate(chosen, records, str(tmp_path / "run"), show_progress=False)
    assert run_folder.RunFolder(tmp_path / "run").read_stats()[-1]["alarms"] == []
    best.write_text(json.dumps({**json.loads(best.read_text()), "value": 1e-9}))
    again = dataclasses.replace(chosen, rounds=4)
    simulation.simulate(again, records, str(tmp_path / "run"), show_progress=False)
    [alarm] = run_folder.RunFolder(tmp_path / "run").read_stats()[-1]["alarms"]
    assert "1e-09 at best" in alarm


def test_with_privacy_it_is_drawn_for_no_patients_labels(records):
    members = {"client_00": range(10)}
    for chosen, own in (
        (tiny_federations.settings(), True),
        (tiny_federations.private_settings(), False),
    ):
        labels = simulation._check_labels(
            chosen, records, clients.Clients(chosen, records, members)
        )
        real = records.condition_matrix("all")[:10]
        assert np.array_equal(labels[:10], real) == own
        if not own:
            assert (labels.sum(axis=1) == 1).all() and (labels.sum(axis=0) > 0).all()
