"""Sites that train privately: the round is that of one process, and the site holds the budget."""

import contextlib
import json
import os
import threading

import numpy as np
import pytest
import tiny_federations
import tiny_records

from federated import (
    clients,
    coordination,
    local,
    privacy,
    private_site,
    private_sites,
    quorum,
    remote_rounds,
    rounds,
    site_budget,
    site_messages,
    sites,
)
from pgan import run_folder

pytest.importorskip("dp_accounting")

_TIMES = quorum.QuorumConfig(
    retry_seconds=0.1, connect_timeout=60.0, site_timeout=600.0, patience=600.0
)
_MEGABYTES = 10
_LIMIT = site_budget.Limit(epsilon=1000.0, delta=1e-5)


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    """Two record sets of other sizes."""
    folder = tmp_path_factory.mktemp("hospitals")
    return [
        tiny_records.build(folder / "north", images=tiny_records.radiographs(30)),
        tiny_records.build(folder / "south"),
    ]


@contextlib.contextmanager
def _running(hospitals, folder, limits=(_LIMIT, _LIMIT)):
    """Sites whose noise can be drawn again; yields them as the coordinator knows them."""
    with contextlib.ExitStack() as stack:
        found = []
        for number, (records, limit) in enumerate(zip(hospitals, limits, strict=True)):
            budget = site_budget.Budget(folder / f"budget_{records.name}", limit)
            site = private_site.PrivateSite(records, "train", budget, allow_test_seed=True)
            port = stack.enter_context(private_site.serving(site, 0, _MEGABYTES))
            path = str(records.path.absolute())
            found.append(sites.Site(number, records.name, f"localhost:{port}", path, "train"))
        yield found


def _engine(chosen, found, times=_TIMES):
    connector = private_sites.Connector(times, _MEGABYTES)
    holdings = [connector.holdings(site, tiny_federations.PIXELS) for site in found]
    return private_sites.PrivateRounds(chosen, found, holdings, connector, times)


def _settings(**changes):
    return tiny_federations.private_settings(
        **{"num_clients": 2, "client_share": 1.0, "held_out_fold": "", **changes}
    )


def _participants(found):
    return [rounds.Participant(site.number, site.name, None) for site in found]


def _in_process(chosen, hospitals, weights, number):
    """The same round in this process, with the batches of a simulation."""
    participants = []
    for client, records in enumerate(hospitals):
        places = np.flatnonzero(records.fold_mask("train"))
        names = {str(k): places for k in range(client + 1)}  # a client's number is its place
        batches = clients.Clients(chosen, records, names).batches(client, number)
        participants.append(rounds.Participant(client, records.name, batches))
    return rounds.InProcess(chosen).run(weights, [], participants, number)


def test_a_port_that_another_program_has_is_told():
    with (
        private_site.serving(None, 0, _MEGABYTES) as port,
        pytest.raises(ValueError, match=f"--port={port} cannot be used; end the program"),
        private_site.serving(None, port, _MEGABYTES),
    ):
        pass


def test_rounds_are_those_of_one_process_with_the_same_secret(hospitals, tmp_path):
    chosen = _settings(dp_noise_multiplier=2.0)
    weights = rounds.InProcess(chosen).trainer.initial_weights()
    with _running(hospitals, tmp_path) as found:
        engine = _engine(chosen, found)
        first = engine.run(weights, [], _participants(found), 0)
        again = engine.run(weights, [], _participants(found), 1)
    expected = _in_process(chosen, hospitals, weights, 0)
    for a, b, old in zip(first.weights, expected.weights, rounds.flat(weights), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.abs(a - old).max() > 1e-4
    for row, later, mine in zip(first.clients, again.clients, expected.clients, strict=True):
        spent = {name: row.pop(name) for name in list(row) if name.startswith("privacy/")}
        assert row == mine and "scores/real" not in row
        rate = privacy.sampling_rate(4, row["examples"])
        assert spent == {
            "privacy/answers": 1.0,
            "privacy/epsilon_answer": privacy.example_epsilon(2.0, rate, 4, 1e-5),
            "privacy/epsilon": privacy.example_epsilon(2.0, rate, 4, 1e-5),
            "privacy/delta": 1e-5,
            "privacy/limit": 1000.0,
        }
        # Another round is another answer.
        assert later["privacy/epsilon"] == privacy.example_epsilon(2.0, rate, 8, 1e-5)


def test_without_a_test_seed_every_answer_has_noise_of_its_own(hospitals, tmp_path):
    chosen = _settings(dp_test_seed=-1)
    weights = rounds.InProcess(chosen).trainer.initial_weights()
    outcomes = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        with _running(hospitals, folder) as found:
            outcomes.append(
                _engine(chosen, found[:1]).run(weights, [], _participants(found[:1]), 0)
            )
    first, second = outcomes
    assert any(np.any(a != b) for a, b in zip(first.weights, second.weights, strict=True))


def test_the_same_request_gets_the_same_answer_and_spends_nothing(hospitals, tmp_path):
    """As after a lost tunnel; also when the site's program was started again meanwhile."""
    chosen = _settings(dp_test_seed=-1)
    weights = rounds.InProcess(chosen).trainer.initial_weights()

    def ask(number):
        with _running(hospitals, tmp_path) as found:
            return _engine(chosen, found[:1]).run(weights, [], _participants(found[:1]), number)

    first, again, later, before = ask(0), ask(0), ask(1), ask(0)
    for a, b in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.clients == again.clients
    answers = [o.clients[0]["privacy/answers"] for o in (first, again, later, before)]
    assert answers == [1, 1, 2, 3]  # only the last one is kept
    assert any(np.any(a != b) for a, b in zip(first.weights, before.weights, strict=True))
    kept = tmp_path / "budget_north/last_answer.bin"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1])  # not the answer that was given
    assert ask(0).clients[0]["privacy/answers"] == 4


@pytest.mark.slow
def test_a_run_ends_when_a_budget_is_spent_and_a_quorum_goes_on(hospitals, tmp_path, caplog):
    """The second site allows one answer; its count outlives its program and the run."""
    chosen = _settings(dp_noise_multiplier=2.0)
    size = hospitals[1].fold_size("train")
    one = privacy.example_epsilon(2.0, privacy.sampling_rate(4, size), 4, 1e-5)
    limits = _LIMIT, site_budget.Limit(1.01 * one, 1e-5)

    def federate(found, folder, times):
        holdings = coordination.find_holdings(found, str(folder), 8, times, private=True)
        return coordination.federate(
            chosen, found, holdings, times, str(folder), show_progress=False
        )

    with _running(hospitals, tmp_path, limits) as found:
        with pytest.raises(quorum.QuorumError, match="south: its privacy budget is spent: 1 answ"):
            federate(found, tmp_path / "run", _TIMES)
    rows = run_folder.RunFolder(tmp_path / "run").read_stats()
    assert len(rows) == 1
    spent = [client["privacy/epsilon"] for client in rows[0]["clients"]]
    assert spent[1] == pytest.approx(one) and rows[0]["privacy/epsilon"] == max(spent)
    assert "round 0: south spent epsilon" in (tmp_path / "run/log.txt").read_text()
    budget = json.loads((tmp_path / "budget_south/budget.json").read_text())
    assert budget["answers"] == 1 and (tmp_path / "budget_south").stat().st_mode & 0o077 == 0
    # The sites have other ports now.
    with _running(hospitals, tmp_path, limits) as found:
        half = quorum.QuorumConfig(site_timeout=600.0, quorum=0.5)
        assert federate(found, tmp_path / "run", half).finished
    rows = run_folder.RunFolder(tmp_path / "run").read_stats()
    assert [client["client"] for client in rows[-1]["clients"]] == ["north"]
    told = json.loads((tmp_path / "run/privacy.json").read_text())
    assert told["south"]["privacy/epsilon"] == pytest.approx(one)
    assert rows[-1]["privacy/epsilon"] == max(each["privacy/epsilon"] for each in told.values())
    # The answer for round 1, given before the other site refused, is given again.
    assert told["north"]["privacy/answers"] == 3.0


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"dp_clip_norm": 0.0}, "with differential privacy only: --dp_clip_norm must be in"),
        ({"dp_clip_norm": 1e30}, "--dp_clip_norm must be in"),
        ({"dp_noise_multiplier": 0.0}, "noise only: --dp_noise_multiplier must be in"),
        ({"dp_noise_multiplier": 1e-160}, "--dp_noise_multiplier must be in"),
        ({"dp_noise_multiplier": 1e300}, "--dp_noise_multiplier must be in"),
        ({"dp_test_seed": 7}, "this site draws its own noise"),
    ],
)
def test_what_is_not_private_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        site_budget.check_settings(_settings(**{"dp_test_seed": -1, **changes}))


def test_a_budget_is_for_one_mechanism(tmp_path):
    budget = site_budget.Budget(tmp_path / "budget", _LIMIT)
    budget.spend(_settings(), 100)
    for changes, images in (({"dp_noise_multiplier": 8.0}, 100), ({}, 99)):
        with pytest.raises(site_budget.BudgetError, match="which its budget is for"):
            budget.spend(_settings(**changes), images)
    # What epsilon does not depend on may change, and another run counts in the same budget.
    budget = site_budget.Budget(tmp_path / "budget", _LIMIT)
    spent = budget.spend(_settings(learning_rate=0.5, seed=3), 100)
    assert spent["privacy/answers"] == 2.0 and budget.answers == 2


def test_a_refused_answer_does_not_count(tmp_path):
    budget = site_budget.Budget(tmp_path / "budget", site_budget.Limit(1e-6, 1e-5))
    with pytest.raises(site_budget.BudgetError, match="0 answers came to epsilon 0 at"):
        budget.spend(_settings(), 100)
    assert site_budget.Budget(tmp_path / "budget", _LIMIT).answers == 0


def test_an_epsilon_that_is_no_number_is_not_within_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(privacy, "example_epsilon", lambda *_: float("nan"))
    budget = site_budget.Budget(tmp_path / "budget", _LIMIT)
    with pytest.raises(site_budget.BudgetError):
        budget.spend(_settings(), 100)
    assert budget.answers == 0


def test_an_answer_is_counted_on_the_disk_before_it_is_given(tmp_path, monkeypatch):
    """A rename that is not synced may be gone after a power cut, and the answer counted never."""
    budget, done = site_budget.Budget(tmp_path / "budget", _LIMIT), []
    sync, replace = os.fsync, os.replace
    name = lambda f: os.path.basename(os.readlink(f"/proc/self/fd/{f}"))  # noqa: E731
    monkeypatch.setattr(os, "fsync", lambda f: (done.append(name(f)), sync(f)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replaced"), replace(a, b)))
    budget.spend(_settings(), 100)
    assert done == ["budget.json.tmp", "replaced", "budget"]


def test_two_requests_at_once_do_not_share_the_last_answer(tmp_path):
    size, settings = 100, _settings()
    one = privacy.example_epsilon(1.0, privacy.sampling_rate(4, size), 4, 1e-5)
    budget = site_budget.Budget(tmp_path / "budget", site_budget.Limit(1.01 * one, 1e-5))
    outcomes = []

    def ask():
        try:
            outcomes.append(budget.spend(settings, size))
        except site_budget.BudgetError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1 and len(outcomes) == 8
    assert site_budget.Budget(tmp_path / "budget", _LIMIT).answers == 1


def test_a_damaged_budget_is_not_begun_anew(tmp_path):
    (tmp_path / "budget.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged .*nobody knows what was spent"):
        site_budget.Budget(tmp_path, _LIMIT)


def test_fingerprints_are_disguised_and_still_tell_of_changes(hospitals, tmp_path):
    with _running(hospitals, tmp_path) as found:
        connector = private_sites.Connector(_TIMES, _MEGABYTES)
        first, again = (connector.holdings(found[0], 8) for _ in range(2))
    real = hospitals[0].manifest["fingerprint"]
    assert first == again and real not in json.dumps(first.to_dict())
    mine = site_budget.Budget(tmp_path / "budget_north", _LIMIT)
    other = site_budget.Budget(tmp_path / "other", _LIMIT)
    assert mine.disguise(real) == first.fingerprint
    assert len({mine.disguise(real), mine.disguise(real + "1"), other.disguise(real)}) == 3


def test_what_a_site_answers(hospitals, tmp_path):
    chosen = _settings()
    with _running(hospitals, tmp_path) as found:
        connector = private_sites.Connector(_TIMES, _MEGABYTES)
        with pytest.raises(quorum.SiteConfigurationError, match="has no r0064 shards"):
            connector.holdings(found[0], 64)
        lost = sites.Site(0, "north", found[0].address, "/no", "train")
        with pytest.raises(quorum.SiteConfigurationError, match="the site has records = .*not /no"):
            connector.holdings(lost, 8)
        with pytest.raises(quorum.SiteConfigurationError, match="12 bytes of weights where"):
            connector.train(found[0], chosen, [np.zeros(3, np.float32)], 0)
        large = [np.zeros(4_000_000, np.float32)]
        with pytest.raises(quorum.SiteConfigurationError, match="too large .*--max_message_mb=10"):
            connector.train(found[0], chosen, large, 0)
    # None of these was an answer.
    assert site_budget.Budget(tmp_path / "budget_north", _LIMIT).answers == 0
    brief = private_sites.Connector(quorum.QuorumConfig(connect_timeout=0.5), _MEGABYTES)
    with pytest.raises(quorum.SiteError, match="no answer from localhost:.* within 0.5 s"):
        brief.holdings(found[0], 8)


@pytest.mark.parametrize("kind", [RuntimeError, KeyError, ValueError])
def test_a_failure_tells_nothing_but_the_log(hospitals, tmp_path, monkeypatch, caplog, kind):
    def fail(*_):
        raise kind("image 7 of patient 3")

    monkeypatch.setattr(private_site.PrivateSite, "_batches", fail)
    chosen = _settings()
    values = rounds.flat(local.LocalTrainer(chosen).initial_weights())
    with _running(hospitals, tmp_path) as found:
        connector = private_sites.Connector(_TIMES, _MEGABYTES)
        with pytest.raises(quorum.SiteConfigurationError, match="^it failed; the site's log says"):
            connector.train(found[0], chosen, values, 0)
    assert "image 7 of patient 3" in caplog.text
    # Counted before: nobody knows how far it came.
    assert site_budget.Budget(tmp_path / "budget_north", _LIMIT).answers == 1


class _Impostor:
    """Answers whatever it is told to."""

    def __init__(self, answer):
        self._answer = answer

    def describe(self, request):
        return self._answer

    def train(self, request, wanted):
        return self._answer


_TOLD = dict.fromkeys(private_sites._SPENT, 1.0)
_ARRAYS = [np.zeros(3), np.zeros(len(local.LOSS_NAMES))]


@pytest.mark.parametrize(
    "answer",
    [
        b"no message",
        site_messages.pack([1]),
        site_messages.pack({"examples": 3, "spent": _TOLD}),
        site_messages.pack({"examples": 3, "spent": {}}, _ARRAYS),
        site_messages.pack({"examples": 1e999, "spent": _TOLD}, _ARRAYS),
    ],
    ids=["text", "list", "short", "nothing told", "endless"],
)
def test_an_answer_that_is_none_is_a_fault_of_that_site_alone(answer):
    with private_site.serving(_Impostor(answer), 0, _MEGABYTES) as port:
        site = sites.Site(0, "north", f"localhost:{port}", "/records", "train")
        connector = private_sites.Connector(_TIMES, _MEGABYTES)
        with pytest.raises(quorum.SiteConfigurationError, match="its answer cannot be read"):
            connector.train(site, _settings(), [np.zeros(3, np.float32)], 0)
        with pytest.raises(quorum.SiteConfigurationError, match="its answer cannot be read"):
            connector.holdings(site, 8)


def test_a_site_tells_of_its_spending_and_nothing_else():
    head = {"examples": 3, "spent": {**_TOLD, "client": "south", "rejected": None}}
    answer = site_messages.pack(head, _ARRAYS)
    with private_site.serving(_Impostor(answer), 0, _MEGABYTES) as port:
        site = sites.Site(0, "north", f"localhost:{port}", "/records", "train")
        connector = private_sites.Connector(_TIMES, _MEGABYTES)
        returned = connector.train(site, _settings(), [np.zeros(3, np.float32)], 0)
    assert returned.spent == _TOLD and returned.name == "north"


def test_a_request_that_was_given_up_is_not_answered(hospitals, tmp_path):
    budget = site_budget.Budget(tmp_path, _LIMIT)
    site = private_site.PrivateSite(hospitals[0], "train", budget, allow_test_seed=True)
    chosen = _settings()
    request = {
        "records": str(hospitals[0].path.absolute()), "fold": "train",
        "settings": chosen.to_dict(), "round": 0, "number": 0,
    }  # fmt: skip
    values = rounds.flat(local.LocalTrainer(chosen).initial_weights())
    with pytest.raises(ValueError, match="was given up"):
        site.train(site_messages.pack(request, values), wanted=lambda: False)
    assert budget.answers == 0


def test_messages_hold_what_was_packed():
    values = [np.arange(6, dtype=np.float32).reshape(2, 3), np.float32(7.0), np.zeros(0)]
    head, body = site_messages.unpack(site_messages.pack({"a": 1, "b": "\n"}, values))
    assert head == {"a": 1, "b": "\n"}
    read = site_messages.arrays(body, [(2, 3), (), (0,)])
    for a, b in zip(read, values, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="28 bytes of weights where 24 were expected"):
        site_messages.arrays(body, [(2, 3)])
    with pytest.raises(ValueError):
        site_messages.unpack(b"no message")


def test_messages_fit_both_networks():
    chosen = _settings()
    values = rounds.flat(local.LocalTrainer(chosen).initial_weights())
    request = site_messages.pack({"settings": chosen.to_dict()}, values)
    assert len(request) < remote_rounds.message_megabytes(chosen) * remote_rounds.MB
