"""Attacks by hand, what they do to each aggregator, and that the rows say who attacked."""

import numpy as np
import pytest
import tensorflow as tf
import tiny_federations
import tiny_records

from federated import attacks, averaging, rounds, simulation
from pgan import run_folder

_UPDATE = [np.float32([1, -2]), np.float32([[2]])]  # norm 3


def _poisoned(attack, scale=1.0, client=0, round_number=0):
    chosen = tiny_federations.settings(attack=attack, attack_scale=scale)
    return attacks.poison_update(chosen, _UPDATE, round_number, client)


def _assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_attacks_on_updates_by_hand():
    _assert_equal(_poisoned("sign_flip", 2.0), [[-2, 4], [[-4]]])
    _assert_equal(_poisoned("scale", 10.0), [[10, -20], [[20]]])
    for attack in ("none", "label_flip", "garbage"):
        _assert_equal(_poisoned(attack, 5.0), _UPDATE)
    _assert_equal(_poisoned("sign_flip", client=1), _UPDATE)  # honest


def test_noise_has_the_norm_of_the_update_and_is_repeated():
    update = [np.ones((100, 100), np.float32), 2 * np.ones(5000, np.float32)]
    chosen = tiny_federations.settings(attack="noise", attack_scale=3.0)
    first = attacks.poison_update(chosen, update, 4, 0)
    assert averaging.norm(first) == pytest.approx(3 * averaging.norm(update), rel=0.03)
    assert [a.dtype for a in first] == [np.float32] * 2
    _assert_equal(first, attacks.poison_update(chosen, update, 4, 0))
    assert np.abs(first[0] - attacks.poison_update(chosen, update, 5, 0)[0]).max() > 1


def test_attacks_on_data():
    honest = tiny_federations.make_batches(tiny_federations.settings())
    honest = honest._replace(labels=tf.where(honest.labels > 0, np.nan, honest.labels))
    chosen = tiny_federations.settings(attack="label_flip")
    flipped = attacks.poison_batches(chosen, honest, 0, 0)
    np.testing.assert_array_equal(flipped.images, honest.images)
    np.testing.assert_array_equal(flipped.labels, 1 - honest.labels.numpy())
    np.testing.assert_array_equal(flipped.generator_labels, 1 - honest.generator_labels.numpy())
    assert np.isnan(flipped.labels).any()
    chosen = tiny_federations.settings(attack="garbage")
    garbage = attacks.poison_batches(chosen, honest, 0, 0)
    assert garbage.images.shape == honest.images.shape and garbage.images.dtype == tf.uint8
    assert (garbage.images.numpy() != honest.images.numpy()).mean() > 0.9
    assert attacks.poison_batches(chosen, honest, 0, 1) is honest


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"aggregation": "mean"}, 0.5),  # (-1 + 1 + 1 + 1) / 4
        ({"aggregation": "median"}, 1.0),
        ({"aggregation": "trimmed_mean", "trim_share": 0.25}, 1.0),
    ],
)
def test_a_flipped_sign_moves_the_mean_but_neither_median_nor_trimmed_mean(changes, expected):
    chosen = tiny_federations.settings(attack="sign_flip", **changes)
    updates = [
        attacks.poison_update(chosen, [np.ones(3, np.float32)], 0, client) for client in range(4)
    ]
    _assert_equal(averaging.combine(updates, [10] * 4, chosen), [[expected] * 3])


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, (100 + 1 + 1 + 1) / 4),
        ({"clip_norm": 1.0}, 1.0),
        ({"reject_norm": 2.0}, 1.0),
    ],
)
def test_a_scaled_update_against_norms(changes, expected):
    chosen = tiny_federations.settings(attack="scale", attack_scale=100.0, **changes)
    returned = []
    for client in range(4):
        update = attacks.poison_update(chosen, [np.ones(1, np.float32)], 0, client)
        returned.append(rounds.Returned(client, str(client), update, 10, np.zeros(_LOSSES)))
    outcome = rounds.aggregate([np.zeros(1, np.float32)], [], returned, 0, chosen)
    np.testing.assert_allclose(outcome.weights, [[expected]])


_LOSSES = len(rounds.local.LOSS_NAMES)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny")


def test_a_run_is_attacked_and_says_by_whom(records, tmp_path):
    runs = {}
    for attack in ("none", "scale"):
        chosen = tiny_federations.settings(
            client_share=1.0, rounds=1, attack=attack, attack_scale=10.0
        )
        simulation.simulate(chosen, records, str(tmp_path / attack), show_progress=False)
        [runs[attack]] = run_folder.RunFolder(tmp_path / attack).read_stats()
    assert [row["attacker"] for row in runs["none"]["clients"]] == [False] * 3
    assert [row["attacker"] for row in runs["scale"]["clients"]] == [True, False, False]
    honest, poisoned = (
        [row["update_norm"] for row in runs[name]["clients"]] for name in ("none", "scale")
    )
    assert poisoned == pytest.approx([10 * honest[0], *honest[1:]], rel=1e-4)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"attack": "scale", "arm": "single"}, "--arm=single has one training set"),
        ({"attack": "scale", "attackers": 3}, "below --num_clients=3, got 3"),
        ({"attack": "noise", "engine": "tff"}, "give --engine=in_process"),
        ({"check_distance_factor": 0.5}, "--check_distance_factor must be above 1"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_federations.settings(**changes)
