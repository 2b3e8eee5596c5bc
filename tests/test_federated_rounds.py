"""Rounds: one client is centralised training, order, equal clients, screening."""

import logging
import re

import numpy as np
import pytest
import tiny_federations

from federated import averaging, local, rounds


@pytest.fixture(scope="module")
def trained():
    """Settings, global weights, and what three clients with 10, 10 and 30 images returned."""
    chosen = tiny_federations.settings()
    trainer = local.LocalTrainer(chosen)
    weights = trainer.initial_weights()
    returned = []
    for number, count in enumerate((10, 10, 30)):
        data = tiny_federations.make_batches(chosen, 0, number, count)
        participant = rounds.Participant(number, f"client_{number:02d}", data)
        returned.append(rounds.train_client(trainer, weights, participant, 0))
    return chosen, trainer, weights, returned


def _aggregate(trained, returned, **changes):
    weights = rounds.flat(trained[2])
    chosen = tiny_federations.settings(**changes)
    return rounds.aggregate(weights, [], returned, 7, chosen)


def _same(first, second, rtol=0.0, atol=0.0):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def test_one_client_is_centralised_training(trained):
    """Rounds with one client's updates added up are local training that goes on with its weights.

    That local training is a plain loop over the same batches is in test_federated_local.py.
    """
    chosen, trainer, weights, _ = trained
    engine = rounds.InProcess(chosen)
    federated, centralised = weights, weights
    for number in range(2):
        data = tiny_federations.make_batches(chosen, number)
        participants = [rounds.Participant(0, "all", data)]
        outcome = engine.run(federated, [], participants, number)
        split = len(weights.generator)
        federated = local.Weights(outcome.weights[:split], outcome.weights[split:])
        trainer.train(centralised, data, *tiny_federations.numbers(number, 0))
        variables = local.active(trainer.generator, trainer.discriminator)
        centralised = local.Weights(*([v.numpy() for v in part] for part in variables))
        # Subtracting and adding the old weights rounds.
        _same(rounds.flat(federated), rounds.flat(centralised), atol=1e-6)
    assert outcome.clients[0].items() >= outcome.means.items()


def test_order_of_clients_does_not_matter(trained):
    returned = trained[3]
    for aggregation in ("weighted_mean", "mean", "median", "trimmed_mean"):
        first = _aggregate(trained, returned, aggregation=aggregation)
        second = _aggregate(trained, returned[::-1], aggregation=aggregation)
        _same(first.weights, second.weights)
        assert first.clients == second.clients and first.means == second.means
    assert [row["client"] for row in first.clients] == ["client_00", "client_01", "client_02"]


def test_equal_clients_have_the_same_weighted_and_plain_mean(trained):
    returned = trained[3]
    equal = [_aggregate(trained, returned[:2], aggregation=a) for a in ("weighted_mean", "mean")]
    _same(equal[0].weights, equal[1].weights, rtol=1e-6, atol=1e-9)
    unequal = [_aggregate(trained, returned, aggregation=a) for a in ("weighted_mean", "mean")]
    change = [np.abs(a - b).max() for a, b in zip(*(o.weights for o in unequal), strict=True)]
    assert max(change) > 1e-4


def test_weights_of_the_mean_are_the_images(trained):
    returned = trained[3]
    outcome = _aggregate(trained, returned)
    expected = [
        w + (10 * a + 10 * b + 30 * c) / 50
        for w, a, b, c in zip(
            rounds.flat(trained[2]), *(client.update for client in returned), strict=True
        )
    ]
    _same(outcome.weights, expected, atol=1e-6)
    losses = np.stack([client.losses for client in returned])
    assert outcome.means["scores/real"] == pytest.approx(
        (losses.T @ [0.2, 0.2, 0.6])[local.LOSS_NAMES.index("scores/real")], rel=1e-5
    )


def _spoilt(client, kind):
    if kind == "nan":
        update = [a.copy() for a in client.update]
        update[3].flat[0] = np.nan
        return client._replace(update=update)
    if kind == "large":
        return client._replace(update=[1e3 * a for a in client.update])
    if kind == "losses":
        return client._replace(losses=np.full_like(client.losses, np.inf))
    if kind == "empty":
        return client._replace(num_examples=0)
    if kind == "shapes":
        return client._replace(update=[client.update[0][:-1], *client.update[1:]])
    return client._replace(update=client.update[:-1])


@pytest.mark.parametrize(
    "kind, message",
    [
        ("nan", "its update is not finite"),
        ("large", "norm .*above --reject_norm=100"),
        ("losses", "its losses are not finite"),
        ("empty", "it has 0 images"),
        ("shapes", r"other shapes \(\(.*\) instead of .*other findings, resolution or widths"),
        ("arrays", "arrays instead of"),
    ],
)
def test_bad_updates_are_rejected_by_name(trained, caplog, kind, message):
    returned = list(trained[3])
    returned[1] = _spoilt(returned[1], kind)
    with caplog.at_level(logging.WARNING, logger="federated"):
        outcome = _aggregate(trained, returned, reject_norm=100.0)
    assert [bool(row["rejected"]) for row in outcome.clients] == [False, True, False]
    assert "round 7: the update of client_01 is rejected" in caplog.text
    without = _aggregate(trained, [returned[0], returned[2]], reject_norm=100.0)
    _same(outcome.weights, without.weights)
    assert outcome.means == without.means
    assert re.search(message, outcome.clients[1]["rejected"])


def test_without_any_accepted_update_nothing_changes(trained, caplog):
    chosen = tiny_federations.settings(server_optimizer="adam")
    weights = rounds.flat(trained[2])
    moments = averaging.initial_moments(weights, chosen)
    outcome = rounds.aggregate(weights, moments, [_spoilt(trained[3][0], "nan")], 7, chosen)
    _same(outcome.weights, weights)
    _same(outcome.moments, moments)
    assert outcome.means == {} and "no update was accepted" in caplog.text


def test_clipping_shortens_the_updates(trained):
    returned = trained[3][:1]
    length = averaging.norm(returned[0].update)
    outcome = _aggregate(trained, returned, clip_norm=length / 2)
    moved = [a - w for a, w in zip(outcome.weights, rounds.flat(trained[2]), strict=True)]
    assert averaging.norm(moved) == pytest.approx(length / 2, rel=1e-4)
    assert outcome.clients[0]["clipped"] and outcome.clients[0]["update_norm"] == length
