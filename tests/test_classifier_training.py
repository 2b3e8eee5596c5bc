"""Training with a small network: resume, early stopping, thresholds, attacks."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tiny_classifiers import tiny_backbone  # noqa: F401

from classifier import adversarial, config, image_table, losses, model, pipeline, stats, training
from pgan.data import labels, phantom, record_plan, record_set, record_writer, splits

pytestmark = pytest.mark.usefixtures("tiny_backbone")

_SETTINGS = config.ClassifierConfig(
    resolution=32,
    weights="random",
    max_epochs=4,
    patience=4,
    batch_size=8,
    learning_rate=0.1,
    augment=("translation", "contrast"),
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "phantom"
    images = list(phantom.read(64, seed=1, size=32))
    plan = record_plan.make_plan(
        images, labels.NIH_14, 32, source="phantom", origin="phantom", split=splits.draw(images, 1)
    )
    record_writer.write_record_set(folder, plan, progress=False)
    return record_set.RecordSet.open(folder)


@pytest.fixture(scope="module")
def tables(records):
    return [
        image_table.of_fold(records, fold, 32, ("Infiltration", "Hernia"))
        for fold in ("train", "test")
    ]


def _train(tables, folder, **changes):
    settings = dataclasses.replace(_SETTINGS, **changes)
    return training.train(settings, *tables, folder, verbose=0)


def _weights(trained):
    return trained.classifier.get_weights()


def test_weights_to_begin_with_are_tried_before_anything_is_trained(tmp_path):
    path = tmp_path / "own.weights.h5"
    model.Classifier(["Hernia"], _SETTINGS).backbone.save_weights(str(path))
    settings = dataclasses.replace(_SETTINGS, weights=str(path), precision="mixed_bfloat16")
    training.check_initial_weights(settings, ["Effusion", "Mass"])
    assert tf.keras.mixed_precision.global_policy().name == "float32"
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="own.weights.h5 holds no weights of DenseNet-121"):
        training.check_initial_weights(settings, ["Effusion", "Mass"])


def test_a_training_is_resumed_to_the_bit_and_then_not_repeated(tables, tmp_path, monkeypatch):
    whole = _train(tables, tmp_path / "whole")
    # Killed in the third epoch, before it was noted.
    write, calls = training.run_folder.write_atomically, []

    def killed(path, text):
        calls.append(path.name)
        if calls.count("history.json") == 3:
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(training.run_folder, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        _train(tables, tmp_path / "killed")
    monkeypatch.undo()
    # undo also takes back the small network.
    from tiny_classifiers import _tiny

    monkeypatch.setattr(tf.keras.applications, "DenseNet121", _tiny)
    assert len(json.loads((tmp_path / "killed/history.json").read_text())) == 2
    # What a kill in the middle of a write leaves.
    (tmp_path / "killed/resume/epoch-9_temp").mkdir()
    (tmp_path / "killed/resume/epoch-9_temp/part").touch()
    resumed = _train(tables, tmp_path / "killed")
    for a, b in zip(_weights(whole), _weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumed.facts["history"] == whole.facts["history"]
    # Once more: loaded, not trained.
    monkeypatch.setattr(model.Classifier, "fit", None)
    again = _train(tables, tmp_path / "killed")
    np.testing.assert_array_equal(_weights(again)[0], _weights(whole)[0])
    np.testing.assert_array_equal(again.thresholds, whole.thresholds)


def test_a_trained_classifier_is_loaded_from_its_folder_alone(tables, tmp_path):
    trained = _train(tables, tmp_path / "run", max_epochs=2)
    loaded = training.load(tmp_path / "run")
    np.testing.assert_array_equal(
        training.predict(loaded.classifier, tables[1]),
        training.predict(trained.classifier, tables[1]),
    )
    assert loaded.classifier.findings == ("Infiltration", "Hernia")
    np.testing.assert_array_equal(loaded.thresholds, trained.thresholds)
    assert loaded.facts["history"] == trained.facts["history"]
    (tmp_path / "run" / "best.weights.h5").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="best.weights.h5 holds no weights of this classifier"):
        training.load(tmp_path / "run")
    (tmp_path / "run" / "classifier.json").unlink()
    with pytest.raises(
        ValueError, match=r"run holds no trained classifier \(classifier.json is mi"
    ):
        training.load(tmp_path / "run")


def test_best_epoch_is_kept_and_thresholds_are_of_the_validation_images(tables, tmp_path):
    trained = _train(tables, tmp_path / "run")
    history = trained.facts["history"]
    best = int(np.argmin([row["val_loss"] for row in history]))
    assert trained.facts["best_epoch"] == best + 1
    assert trained.facts["preparation"] == tables[0].folds[0].records.preparation
    assert trained.facts["preparation"]["geometry"] == "pad"
    seen = [(facts["name"], facts["fold"]) for facts in trained.facts["seen"]]
    assert seen == [("phantom", "train"), ("phantom", "test")]
    scores = training.predict(trained.classifier, tables[1])
    logits = np.log(scores / (1 - scores))
    loss = float(losses.MaskedLoss()(tables[1].labels, logits.astype(np.float32)))
    # What is watched has no weight decay in it.
    assert loss == pytest.approx(history[best]["val_loss"], rel=1e-3)
    expected = stats.corner_threshold(tables[1].labels[:, 0], scores[:, 0])
    assert np.isfinite(expected) and trained.thresholds[0] == pytest.approx(expected)
    # No validation image has a hernia: there is nothing to fit.
    assert not tables[1].labels[:, 1].any() and np.isnan(trained.thresholds[1])


def test_training_ends_when_nothing_gets_better_and_drops_its_step_before(tables, tmp_path):
    trained = _train(tables, tmp_path / "run", max_epochs=30, patience=2, learning_rate=3.0)
    history = [row["val_loss"] for row in trained.facts["history"]]
    assert len(history) == int(np.argmin(history)) + 3 < 30


def test_a_folder_of_another_training_is_refused(tables, tmp_path):
    _train(tables, tmp_path / "run", max_epochs=1)
    with pytest.raises(ValueError, match="holds the training of another classifier"):
        _train(tables, tmp_path / "run", max_epochs=1, learning_rate=0.2)
    with pytest.raises(ValueError, match="validation images with Infiltration"):
        other = tables[1].folds[0].records
        training.train(
            _SETTINGS, tables[0], image_table.of_fold(other, "test", 32, ("Infiltration",)),
            tmp_path / "other", verbose=0,
        )  # fmt: skip


def test_a_step_size_that_is_too_large_is_told(tables, tmp_path):
    with pytest.raises(ValueError, match="the loss is not finite in epoch 1.*--learning_rate"):
        _train(tables, tmp_path / "run", learning_rate=1e30)
    # Nothing unusable is left to continue from.
    assert not (tmp_path / "run" / "history.json").exists()
    shutil.rmtree(tmp_path / "run")


def test_order_and_augmentation_are_functions_of_seed_and_epoch(tables):
    def batch(**arguments):
        batches = pipeline.Batches(tables[0], 8, augment=("translation",), **arguments)
        return np.asarray(batches[0][0])

    first = batch(seed=1, first_epoch=2)
    np.testing.assert_array_equal(first, batch(seed=1, first_epoch=2))
    assert np.any(first != batch(seed=2, first_epoch=2))
    later = pipeline.Batches(tables[0], 8, seed=1, first_epoch=1, augment=("translation",))
    dataset = later.dataset()
    # As Keras does it: as many batches as there are, and never to the end.
    epochs = [[images.numpy() for images, _ in dataset.take(len(later))] for _ in range(3)]
    assert np.any(epochs[0][0] != first) and np.any(epochs[2][0] != first)
    np.testing.assert_array_equal(epochs[1][0], first)
    with pytest.raises(ValueError, match="--batch_size=100 is more than the"):
        pipeline.Batches(tables[0], 100, seed=1)


@pytest.mark.parametrize("name", config.AUGMENTATIONS)
def test_augmentations_change_images_within_their_range(tables, name):
    images = tables[0].read(range(8))[..., np.newaxis].astype(np.float32)
    changed, again = (
        np.asarray(pipeline.augmenter((name,), seed=3)(images, training=True)) for _ in range(2)
    )
    np.testing.assert_array_equal(changed, again)
    assert changed.shape == images.shape
    assert 0 <= changed.min() and changed.max() <= 255.0
    assert np.abs(changed - images).max() > 1.0
    if name != "flip":  # Left stays left: the picture is still nearest to itself, not its mirror.
        own = np.abs(changed - images).mean()
        assert own < np.abs(changed - images[:, :, ::-1]).mean()


@pytest.mark.parametrize("kind", ["fgsm", "pgd"])
def test_attacks_stay_within_epsilon_and_raise_the_loss(tables, tmp_path, kind):
    network = _train(tables, tmp_path / "run", max_epochs=2).classifier
    images = tf.constant(tables[0].read(range(16))[..., np.newaxis], tf.float32)
    truth = tf.constant(tables[0].labels[:16])
    attacked = adversarial.attack(network, images, truth, kind, 4.0, steps=5, seed=(0, 1))
    assert float(tf.reduce_max(tf.abs(attacked - images))) <= 4.0 + 1e-4
    assert 0 <= float(tf.reduce_min(attacked)) and float(tf.reduce_max(attacked)) <= 255.0
    loss = losses.MaskedLoss()
    assert float(loss(truth, network(attacked))) > float(loss(truth, network(images)))
    with pytest.raises(ValueError, match="attacks are fgsm, pgd, got 'cw'"):
        adversarial.attack(network, images, truth, "cw", 4.0)


def test_a_continued_training_under_pgd_attacks_alike(tables, tmp_path):
    """Its random start is a function of seed, step and device."""
    chosen = {"attack": "pgd", "attack_epsilon": 8.0, "attack_steps": 2, "max_epochs": 2}
    first, second = (
        _train(tables, tmp_path / name, **chosen).classifier.get_weights() for name in "ab"
    )
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_under_attack_gives_a_classifier_that_attacks_harm_less(tables, tmp_path):
    harm = []
    for attack in ("none", "fgsm"):
        network = _train(
            tables, tmp_path / attack, attack=attack, attack_epsilon=16.0, max_epochs=8, patience=8
        ).classifier
        images = tf.constant(tables[0].read(range(32))[..., np.newaxis], tf.float32)
        truth = tf.constant(tables[0].labels[:32])
        attacked = adversarial.attack(network, images, truth, "fgsm", 16.0)
        loss = losses.MaskedLoss()
        harm.append(float(loss(truth, network(attacked)) - loss(truth, network(images))))
    assert harm[1] < harm[0]
