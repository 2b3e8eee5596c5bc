"""Both spaces answer the questions of an audit as loops over all pairs do, and keep the answers."""

import types

import numpy as np
import pytest
import tiny_chests

from pgan.audit import comparison_sets, membership, neighbour_spaces
from pgan.metrics import features, similarity

RECORDS = types.SimpleNamespace(fingerprint="r", fold_fingerprint=lambda fold: f"of {fold}")


def _fold(name, images, patients):
    return comparison_sets.Fold(name, images, images, np.arange(len(images)), patients)


@pytest.fixture(scope="module")
def material():
    """60 training images, 40 of others, 12 synthetic ones and equally many of both."""
    images, patients = tiny_chests.chests()
    edge = np.flatnonzero(patients != patients[60])
    first, second = edge[edge < 60], edge[edge > 60][:40]
    synthetic = tiny_chests.strangers(12)
    train = _fold("train", images[first], patients[first])
    held_out = _fold("test", images[second], patients[second])
    assert not set(train.patients) & set(held_out.patients)
    rng = np.random.default_rng(0)
    pairs = membership.pair_patients(train.patients, held_out.patients, 30, rng)
    return comparison_sets.Material(64, synthetic, synthetic, train, held_out, pairs)


@pytest.fixture(scope="module")
def plants(material):
    return material.train.images[[5, 17]]


@pytest.fixture(params=["ssim", "fixed"])
def space(request, material, plants, tmp_path):
    if request.param == "ssim":
        return neighbour_spaces.SSIMSpace(RECORDS, material, plants, tmp_path, progress=False)
    extractor = features.FixedExtractor()
    return neighbour_spaces.FeatureSpace(extractor, material, plants, tmp_path, progress=False)


def _distances(space, x, y):
    """All pairs, float64 [Q, M]."""
    if space.name == "ssim":
        rows = [similarity.ssim(np.broadcast_to(image, y.shape), y) for image in x]
        return 1.0 - np.stack(rows)
    x, y = (features.FixedExtractor()(images).astype(np.float64) for images in (x, y))
    return np.linalg.norm(x[:, np.newaxis] - y, axis=2)


def _assert_nearest(found, distances, k=1):
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.positions, order)
    expected = np.take_along_axis(distances, order, axis=1)
    np.testing.assert_allclose(found.distances, expected, rtol=1e-5, atol=1e-6)


def test_the_questions_of_an_audit(space, material, plants):
    train, pairs = material.train.images, material.pairs
    members, others = train[pairs.members], material.held_out.images[pairs.others]
    pool = np.concatenate([members, others])
    synthetic = material.synthetic
    with_plants = np.concatenate([synthetic, plants])
    found = space.synthetic_to_train(3)
    _assert_nearest(found, _distances(space, with_plants, train), 3)
    assert found.positions[12:, 0].tolist() == [5, 17]
    _assert_nearest(space.others_to_train(), _distances(space, others, train))
    # Plants are known to nobody but the search for training images.
    _assert_nearest(space.synthetic_to_pool(), _distances(space, synthetic, pool))
    _assert_nearest(space.pool_to_synthetic(), _distances(space, pool, synthetic))
    positions = np.array([0, 7, 30, 55])
    distances = _distances(space, train[positions], train)
    patients = material.train.patients
    distances[patients[positions][:, np.newaxis] == patients] = np.inf
    _assert_nearest(space.train_to_other_patients(positions), distances)


def test_answers_are_kept(space, material, plants, tmp_path, monkeypatch):
    first = space.synthetic_to_pool()
    kind = type(space)
    again = kind.__new__(kind)
    what = RECORDS if space.name == "ssim" else features.FixedExtractor()
    kind.__init__(again, what, material, plants, tmp_path, progress=False)
    monkeypatch.setattr(kind, "_search", None)  # may not be asked for
    np.testing.assert_array_equal(again.synthetic_to_pool().distances, first.distances)


def test_recall_of_the_search(material, plants, tmp_path, monkeypatch):
    space = neighbour_spaces.SSIMSpace(RECORDS, material, plants, tmp_path, progress=False)
    monkeypatch.setattr(neighbour_spaces, "_RECALL_IMAGES", (4, 8))
    assert space.recall(3, seed=0) == {"recall": 1.0, "images": 8}
    # Measured once; of a larger reference with fewer images.
    monkeypatch.setattr(neighbour_spaces, "_RECALL_PIXELS", 0)
    assert space.recall(3, seed=0)["images"] == 8
    fresh = neighbour_spaces.SSIMSpace(RECORDS, material, plants, tmp_path / "new", progress=False)
    assert fresh.recall(3, seed=0)["images"] == 4
