"""How many rounds the budgets of sites allow: their own accounting, and what a run says of it."""

import logging
from concurrent import futures

import grpc
import numpy as np
import pytest
import tiny_federations
import tiny_records

from federated import (
    budget_forecast,
    clients,
    local,
    privacy,
    private_site,
    private_sites,
    quorum,
    rounds,
    site_budget,
    sites,
)

pytest.importorskip("dp_accounting")

_IMAGES = 100
_NOISE = 0.4  # its accounting takes the least time
_TIMES = quorum.QuorumConfig(connect_timeout=60.0, site_timeout=600.0)


def _settings(**changes):
    return tiny_federations.private_settings(
        **{
            "num_clients": 2,
            "client_share": 1.0,
            "held_out_fold": "",
            "rounds": 30,
            "dp_noise_multiplier": _NOISE,
            **changes,
        }
    )


def _limit(answers, images=_IMAGES):
    """A limit that so many answers just fit into."""
    rate = privacy.sampling_rate(4, images)
    epsilon = privacy.example_epsilon(_NOISE, rate, 4 * answers, 1e-5)
    return site_budget.Limit(1.0001 * epsilon, 1e-5)


def test_a_budget_allows_as_many_answers_as_it_says(tmp_path):
    budget, chosen = site_budget.Budget(tmp_path, _limit(5)), _settings()
    for wanted, left in ((1, 1), (4, 4), (5, 5), (6, 5), (30, 5)):
        assert budget.answers_left(chosen, _IMAGES, wanted) == left
    assert budget.answers == 0 and "null" in (tmp_path / "budget.json").read_text()
    for left in (4, 3, 2, 1, 0):
        budget.spend(chosen, _IMAGES)
        assert budget.answers_left(chosen, _IMAGES, 30) == left
    with pytest.raises(site_budget.BudgetError, match="is spent"):
        budget.spend(chosen, _IMAGES)
    with pytest.raises(site_budget.BudgetError, match="which its budget is for"):
        budget.answers_left(_settings(dp_noise_multiplier=8.0), _IMAGES, 30)
    for wrong in (0, -1, 2.5, "3"):
        with pytest.raises(ValueError, match="a number of rounds from 1 on, got"):
            budget.answers_left(chosen, _IMAGES, wrong)


def test_an_epsilon_that_is_no_number_allows_nothing(tmp_path, monkeypatch):
    budget = site_budget.Budget(tmp_path, _limit(5))
    monkeypatch.setattr(privacy, "example_epsilon", lambda *_: float("nan"))
    assert budget.answers_left(_settings(), _IMAGES, 30) == 0


class _Connector:
    """Sites that allow five rounds, each of which may raise something instead."""

    def __init__(self, answers=0, **errors):
        self.answers, self.errors, self.asked = answers, errors, {}

    def holdings(self, site, resolution):
        return None

    def budget(self, site, settings, num_rounds):
        self.asked[site.name] = num_rounds
        if site.name in self.errors:
            raise self.errors[site.name]
        return private_sites.BudgetLeft(min(5, num_rounds), self.answers, 8.0, 1e-5)


def _sites(*names):
    return [
        sites.Site(k, name, f"localhost:{k + 1}", "/r", "train") for k, name in enumerate(names)
    ]


def test_what_is_said_of_sites():
    connector = _Connector(
        south=quorum.SiteRefusalError("its 3 answers had batch_size = 8"),
        west=quorum.SiteError("no answer within 20 s"),
    )
    found = budget_forecast.ask(connector, _sites("north", "south", "west"), _settings())
    assert [forecast.lasts for forecast in found] == [False] * 3
    north, south, west = (forecast.text for forecast in found)
    assert north == (
        "north: its privacy budget (epsilon 8 at delta 1e-05, 0 answers so far) allows 5 of the 30 "
        "rounds that ask it, then it refuses. Give fewer --rounds, a higher --dp_noise_multiplier, "
        "or a --quorum that goes on without it"
    )
    assert "south: its privacy budget allows none of the 30 rounds that ask it: its 3 ans" in south
    assert "west: whether its privacy budget allows all 30" in west and "not known: no ans" in west
    [continued] = budget_forecast.ask(connector, _sites("north"), _settings(), first_round=25)
    assert continued.lasts and "0 answers so far) allows all 5 rounds" in continued.text
    # What a budget is for cannot be changed any more.
    [begun] = budget_forecast.ask(_Connector(answers=7), _sites("north"), _settings())
    assert "7 answers so far" in begun.text and "--dp_noise_multiplier" not in begun.text


def test_rounds_that_do_not_ask_a_site_need_no_budget():
    names, connector = ("a", "b", "c", "d"), _Connector()
    chosen = _settings(client_share=0.25, rounds=3)
    found = budget_forecast.ask(connector, _sites(*names), chosen)
    drawn = [names[clients.sample(chosen, 4, number)[0]] for number in range(3)]
    assert connector.asked == {name: drawn.count(name) for name in drawn}
    assert [forecast.lasts for forecast in found] == [True] * 4
    [idle] = {*names} - {*drawn}
    assert found[names.index(idle)].text.startswith(f"{idle}: no round asks it")


def test_a_run_says_it_once_before_its_first_round(caplog):
    chosen = _settings(num_clients=1)
    weights = local.LocalTrainer(chosen).initial_weights()

    class Training(_Connector):
        def train(self, site, settings, values, round_number):
            update = [np.zeros_like(v) for v in values]
            losses, told = np.zeros(len(local.LOSS_NAMES), np.float32), {}
            return rounds.Returned(site.number, site.name, update, 10, losses, told)

        def holdings(self, site, resolution):
            return holdings

    holdings = sites.Holdings("a", (), {}, "real", "raw", 1, "f", 10, "g")
    found, asked = _sites("a"), [rounds.Participant(0, "a", None)]
    engine = private_sites.PrivateRounds(chosen, found, [holdings], Training(), _TIMES)
    with caplog.at_level(logging.INFO):
        engine.run(weights, [], asked, 20)
        engine.run(weights, [], asked, 21)
    [said] = [record for record in caplog.records if "privacy budget" in record.message]
    assert said.levelno == logging.WARNING and "allows 5 of the 10 rounds" in said.message
    engine = private_sites.PrivateRounds(
        chosen, found, [holdings], Training(), _TIMES, stopped=lambda: True
    )
    with pytest.raises(quorum.StoppedError):
        engine.run(weights, [], asked, 20)


def test_a_site_says_it_and_spends_nothing(tmp_path):
    records = tiny_records.build(tmp_path / "north")
    size = records.fold_size("train")
    budget = site_budget.Budget(tmp_path / "budget", _limit(5, size))
    site = private_site.PrivateSite(records, "train", budget, allow_test_seed=True)
    connector = private_sites.Connector(_TIMES, 10)
    with private_site.serving(site, 0, 10) as port:
        path = str(records.path.absolute())
        north = sites.Site(0, "north", f"localhost:{port}", path, "train")
        assert connector.budget(north, _settings(), 30) == (5, 0, budget.limit.epsilon, 1e-5)
        # What it would not answer later is refused now.
        with pytest.raises(quorum.SiteConfigurationError, match="--dp_clip_norm must be in"):
            connector.budget(north, _settings(dp_clip_norm=1e30), 30)
        with pytest.raises(quorum.SiteConfigurationError, match="a number of rounds from 1 on"):
            connector.budget(north, _settings(), 0)
        assert budget.answers == 0
        budget.spend(_settings(), size)
        with pytest.raises(quorum.SiteRefusalError, match="1 answers had batch_size = 4, which"):
            connector.budget(north, _settings(batch_size=8), 30)
        assert connector.budget(north, _settings(), 30)[:2] == (4, 1)


def test_a_program_that_cannot_say_it_is_named():
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("localhost:0")
    server.start()
    site = sites.Site(0, "north", f"localhost:{port}", "/r", "train")
    with pytest.raises(quorum.SiteConfigurationError, match="no tools/run_private_site.py of this"):
        private_sites.Connector(_TIMES, 10).budget(site, _settings(), 30)
    server.stop(None)
