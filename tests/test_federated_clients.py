"""Clients of a record set, and who takes part."""

import dataclasses

import numpy as np
import pytest
import tiny_federations
import tiny_records

from federated import clients
from pgan.data import clients as client_draws
from pgan.data import pool as pool_lib
from pgan.data import splits


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """60 images of 20 patients, 42 to train on; image i is flat grey i."""
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny")


def _ids(drawn, records):
    ids = records.record_ids("all")
    return [[ids[place] for place in places] for places in drawn._places]


def test_clients_share_no_patient(records):
    drawn = clients.draw(tiny_federations.settings(), records)
    patient = dict(zip(records.record_ids("all"), records.patient_ids("all"), strict=True))
    seen = [{patient[i] for i in ids} for ids in _ids(drawn, records)]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert drawn.names == ["client_00", "client_01", "client_02"]
    assert sum(drawn.sizes) == records.fold_size("train")
    assert max(drawn.sizes) - min(drawn.sizes) <= 3


def test_sizes(records):
    def sizes(**changes):
        return clients.draw(tiny_federations.settings(**changes), records).sizes

    assert sizes(images_per_client=5) == [5, 5, 5]
    unequal = sizes(images_per_client=10, client_sizes="random")
    assert sum(unequal) == 30 and len(set(unequal)) > 1
    assert unequal == sizes(images_per_client=10, client_sizes="random")
    assert sum(sizes(client_sizes="random", seed=3)) == records.fold_size("train")
    assert sizes(num_clients=1) == [records.fold_size("train")]
    assert sum(sizes(dirichlet=0.3)) == records.fold_size("train")


def test_arms_have_the_same_images(records):
    def drawn(arm):
        return clients.draw(tiny_federations.settings(images_per_client=5, arm=arm), records)

    several = _ids(drawn("federated"), records)
    assert _ids(drawn("centralized"), records) == [sum(several, [])]
    assert _ids(drawn("single"), records) == several[:1]


def test_batches_hold_the_clients_own_images_with_their_labels(records):
    chosen = tiny_federations.settings()
    drawn = clients.draw(chosen, records)
    for number, ids in enumerate(_ids(drawn, records)):
        data = drawn.batches(number, 2)
        assert data.images.shape == (2, 2, 4, 8, 8, 1) and data.images.dtype == "uint8"
        assert data.labels.shape == (2, 2, 4, 2) and data.generator_labels.shape == (2, 4, 2)
        assert int(data.num_examples) == len(ids)
        grey = data.images.numpy()[..., 0, 0, 0]
        # The pseudonyms of the records hide the grey, but the second label tells it.
        np.testing.assert_array_equal(grey, np.round(100 * data.labels.numpy()[..., 1]))
        own = {round(100 * row[1]) for row in records.label_matrix("all")[drawn._places[number]]}
        assert set(grey.ravel()) <= own
        assert {round(100 * v) for v in data.generator_labels.numpy()[..., 1].ravel()} <= own


def test_sampling_is_a_function_of_seed_and_round(records):
    chosen = tiny_federations.settings(num_clients=5, client_share=0.4)
    drawn = clients.draw(chosen, records)
    rounds = [drawn.sample(number) for number in range(200)]
    assert rounds == [clients.draw(chosen, records).sample(number) for number in range(200)]
    assert all(len(chosen) == len(set(chosen)) == 2 for chosen in rounds)
    counts = np.bincount(np.concatenate(rounds), minlength=5)
    assert counts.min() > 55 and counts.max() < 105
    few = clients.draw(tiny_federations.settings(client_share=0.01), records)
    assert all(len(few.sample(number)) == 1 for number in range(5))
    other = clients.draw(
        tiny_federations.settings(num_clients=5, client_share=0.4, seed=1), records
    )
    assert rounds != [other.sample(number) for number in range(200)]


def test_stored_split(records):
    pool = pool_lib.Pool.of_records(records, "train")
    split = client_draws.draw(pool, 2, 1, images_per_client=[9, 21])
    splits.store(records, "sites", split)
    drawn = clients.draw(tiny_federations.settings(client_split="sites"), records)
    assert (drawn.names, drawn.sizes) == (["client_00", "client_01"], [9, 21])
    assert [set(ids) for ids in _ids(drawn, records)] == [set(v) for v in split.folds.values()]
    facts = drawn.describe(records)
    assert (facts["fold"], facts["fold_size"]) == ("train", 30)
    single = tiny_federations.settings(client_split="sites", arm="single")
    facts = clients.draw(single, records).describe(records)
    assert (facts["fold"], facts["fold_size"]) == ("sites/client_00", 9)
    assert facts["fold_fingerprint"] == records.fold_fingerprint("sites/client_00")


def test_images_trained_on_are_those_of_the_arm(records):
    def described(**changes):
        return clients.draw(tiny_federations.settings(**changes), records).describe(records)

    whole = described()
    assert whole["fold_size"] == records.fold_size("train") == 42
    assert whole["fold_fingerprint"] == records.fold_fingerprint("train")
    assert described(arm="single")["fold_size"] < 42
    assert described(images_per_client=5)["fold_size"] == 15
    # A split of another fold has nothing to do with the training fold.
    pool = pool_lib.Pool.of_records(records, "val")
    splits.store(records, "others", client_draws.draw(pool, 2, 1))
    with pytest.raises(ValueError, match="outside of --train_fold=train"):
        described(client_split="others", held_out_fold="test")
    other = described(client_split="others", held_out_fold="test", train_fold="val")
    assert other["fold_fingerprint"] == records.fold_fingerprint("val")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"images_per_client": 50}, "3 clients want 150 images"),
        ({"num_clients": 40}, "would have no patient"),
        ({"attack": "noise", "attackers": 2, "client_split": "sites"}, "none of 2 clients honest"),
        ({"train_fold": "all"}, "patients of .* are also in"),
        ({"client_split": "nowhere"}, "has no split 'nowhere'"),
        ({"num_clients": 1, "images_per_client": 5}, "--num_clients=1 takes all images"),
    ],
)
def test_refused(records, changes, message):
    with pytest.raises(ValueError, match=message):
        clients.draw(tiny_federations.settings(**changes), records)


def test_other_vocabulary_or_geometry(records):
    network = tiny_federations.settings().network
    other = dataclasses.replace(network, findings=("Mass", "Nodule"))
    with pytest.raises(ValueError, match="made with another vocabulary"):
        clients.draw(tiny_federations.settings(network=other), records)
    larger = dataclasses.replace(network, resolution=64)
    with pytest.raises(ValueError, match="has no r0064 shards"):
        clients.draw(tiny_federations.settings(network=larger), records)
    with pytest.raises(ValueError, match="south of .* would have no images"):
        clients.Clients(tiny_federations.settings(), records, {"north": [1], "south": []})
