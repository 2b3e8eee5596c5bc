"""Runs over sites: what a new one asks for, what a continued one must have, and its folder."""

import contextlib
import dataclasses
import json
import signal
import unittest.mock

import numpy as np
import pytest
import tensorflow as tf
import tiny_federations

from federated import coordination, local, private_sites, quorum, rounds, sites
from pgan import checkpoints, run_folder, train

_TIMES = quorum.QuorumConfig(retry_seconds=0.0, patience=0.0)


def _sites(*names):
    return [
        sites.Site(k, name, f"localhost:{k + 1}", "/r", "train") for k, name in enumerate(names)
    ]


def _holding(name, **changes):
    values = {
        "site": name, "findings": tiny_federations.FINDINGS, "preparation": {"geometry": "pad"},
        "origin": "real", "encoding": "raw", "num_shards": 1, "fingerprint": "f", "fold_size": 10,
        "fold_fingerprint": "g", **changes,
    }  # fmt: skip
    return sites.Holdings(**values)


def _look(**changes):
    def look(site, resolution):
        return _holding(site.name, **changes.get(site.name, {}))

    return look


class _Engine:
    """Sites that add 0.01 to all weights and a bit that round and name decide."""

    def __init__(self, found, times=_TIMES, fail=lambda site, number: None, stopped=None):
        self.found, self.times, self.fail = found, times, fail
        self.stopped = stopped or (lambda: False)

    def run(self, weights, moments, participants, number):
        def ask(participant):
            assert participant.batches is None
            self.fail(participant.name, number)
            update = [
                np.full_like(w, 0.01 + number / 100 + participant.number / 1000)
                for w in rounds.flat(weights)
            ]
            losses = np.zeros(len(local.LOSS_NAMES), np.float32)
            return rounds.Returned(participant.number, participant.name, update, 10, losses)

        returned = quorum.gather(
            ask, list(participants), self.times, f"round {number}", lambda p: p.name, self.stopped
        )
        return rounds.aggregate(
            rounds.flat(weights), moments, returned, number, tiny_federations.settings()
        )


def _federate(folder, names=("a", "b"), engine=None, stop=None, look=None, **changes):
    chosen = tiny_federations.settings(
        num_clients=len(names), client_share=1.0, held_out_fold="", **changes
    )
    found = _sites(*names)
    holdings = coordination.find_holdings(found, str(folder), 8, _TIMES, look or _look())

    @contextlib.contextmanager
    def make(*arguments):
        yield engine or _Engine(found)

    with unittest.mock.patch.object(coordination, "_engine", make):
        return coordination.federate(
            chosen, found, holdings, _TIMES, str(folder), show_progress=False, stop=stop
        )


def _content(folder):
    reader = tf.train.load_checkpoint(checkpoints.latest(folder))
    names = [name for name in reader.get_variable_to_shape_map() if "save_counter" not in name]
    rows = run_folder.RunFolder(folder).read_stats()
    for row in rows:
        del row["timestamp"], row["training/seconds_per_round"]
    return {n: reader.get_tensor(n) for n in names if "OBJECT_GRAPH" not in n}, rows


def test_an_interrupted_run_is_as_if_never_interrupted(tmp_path):
    """Ended by a signal while a site is waited for, then by its patience."""
    _federate(tmp_path / "whole")
    stop, found = train.StopRequest(), _sites("a", "b")

    def interrupted(name, number):
        if (name, number) == ("b", 1):
            stop.signal = signal.SIGTERM
            raise quorum.SiteError("it is down")

    patient = dataclasses.replace(_TIMES, patience=600.0)
    engine = _Engine(found, patient, interrupted, lambda: stop.signal is not None)
    result = _federate(tmp_path / "parts", engine=engine, stop=stop)
    assert (result.rounds_done, result.signal, result.finished) == (1, signal.SIGTERM, False)

    def down(name, number):
        if (name, number) == ("b", 2):
            raise quorum.SiteError("it is down")

    # A continued run asks nobody what they have.
    nobody = unittest.mock.Mock(side_effect=AssertionError)
    with pytest.raises(quorum.QuorumError, match="b: it is down"):
        _federate(tmp_path / "parts", engine=_Engine(found, fail=down), look=nobody)
    result = _federate(tmp_path / "parts", look=nobody)
    assert (result.rounds_done, result.rounds_run, result.finished) == (3, 1, True)
    first, second = _content(tmp_path / "whole"), _content(tmp_path / "parts")
    assert first[1] == second[1] and first[0].keys() == second[0].keys()
    for name, value in first[0].items():
        np.testing.assert_array_equal(value, second[0][name], err_msg=name)
    assert "round 2: b: it is down" in (tmp_path / "parts/log.txt").read_text()


def test_what_the_folder_holds(tmp_path):
    _federate(tmp_path / "run", grid_every_rounds=2)
    info = checkpoints.load_generator(str(tmp_path / "run"))[1]
    federation = info.records["federation"]
    del federation["fingerprint"]
    assert federation == {"arm": "federated", "clients": 2, "images": 20}
    assert (info.records["name"], info.records["fold_size"]) == ("a, b", 20)
    assert [row["site"] for row in json.loads((tmp_path / "run/sites.json").read_text())] == [
        "a",
        "b",
    ]
    assert len(list((tmp_path / "run").glob("fakes*.png"))) == 2  # rounds 2 and 3, the last
    row = run_folder.RunFolder(tmp_path / "run").read_stats()[-1]
    assert [client["client"] for client in row["clients"]] == ["a", "b"]


def test_other_flags_and_sites_are_refused(tmp_path):
    _federate(tmp_path / "run", rounds=1)
    with pytest.raises(run_folder.ConfigurationMismatchError, match="critic_steps: 2 in .* 3 now"):
        _federate(tmp_path / "run", critic_steps=3)
    for names in (("b", "a"), ("a", "b", "c")):
        with pytest.raises(run_folder.ConfigurationMismatchError, match="other sites: a, b in the"):
            _federate(tmp_path / "run", names=names)
    (tmp_path / "run/sites.json").unlink()
    with pytest.raises(run_folder.ConfigurationMismatchError, match="not of tools/run_federation"):
        _federate(tmp_path / "run")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"findings": ("Hernia",)}, "a and b have different vocabularies"),
        ({"preparation": {"geometry": "stretch"}}, "geometry is pad at a and stretch at b"),
    ],
)
def test_sites_that_do_not_fit_together_start_nothing(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        _federate(tmp_path / "run", look=_look(b=changes))
    assert not (tmp_path / "run").exists()


def test_a_new_run_waits_for_sites_but_not_for_those_that_cannot_take_part(tmp_path, caplog):
    attempts = []

    def look(site, resolution):
        attempts.append(site.name)
        if attempts.count("b") == 1 and site.name == "b":
            raise quorum.SiteError("it is down")
        return _holding(site.name)

    patient = dataclasses.replace(_TIMES, patience=600.0, quorum=0.1)
    found = coordination.find_holdings(_sites("a", "b"), None, 8, patient, look)
    assert [h.site for h in found] == ["a", "b"] and attempts.count("b") == 2
    assert "the start: b: it is down" in caplog.text

    def refuse(site, resolution):
        raise quorum.SiteConfigurationError("no such path")

    with pytest.raises(ValueError, match="b cannot take part: no such path"):
        coordination.find_holdings(_sites("b"), None, 8, patient, refuse)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"leave_out": "bad.csv"}, "tools/split_records.py --leave_out there makes a fold without"),
        ({"attack": "garbage"}, "attack is of the simulation"),
    ],
)
def test_what_only_a_simulation_has_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        _federate(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


class _Liar:
    """A site that weighs itself more than its record set says."""

    def __init__(self, examples):
        self.examples = examples

    def holdings(self, site, resolution):
        return _look()(site, resolution)

    def budget(self, site, settings, num_rounds):
        return private_sites.BudgetLeft(num_rounds, 0, 1.0, 1e-5)

    def train(self, site, settings, values, number):
        update = [np.ones_like(v) for v in values]
        losses = np.zeros(len(local.LOSS_NAMES), np.float32)
        return rounds.Returned(site.number, site.name, update, self.examples, losses)


def test_a_site_cannot_choose_its_weight():
    chosen = tiny_federations.settings(num_clients=1, client_share=1.0, held_out_fold="")
    weights = local.LocalTrainer(chosen).initial_weights()
    found, holdings = _sites("a"), [_holding("a")]
    asked = [rounds.Participant(0, "a", None)]
    arguments = chosen, found, holdings
    honest = private_sites.PrivateRounds(*arguments, _Liar(10), _TIMES)
    assert honest.run(weights, [], asked, 0).clients[0]["examples"] == 10
    for examples in (10**12, 10**320):
        engine = private_sites.PrivateRounds(*arguments, _Liar(examples), _TIMES)
        with pytest.raises(quorum.QuorumError, match="its record set has 10"):
            engine.run(weights, [], asked, 0)
