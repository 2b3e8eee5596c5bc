"""A small network in the place of DenseNet-121, for tests of what is around it."""

import json
import pathlib
from collections.abc import Sequence

import pytest
import tensorflow as tf


def _tiny(include_top, weights, input_shape=(32, 32, 3), pooling=None):
    assert (include_top, pooling) == (False, "avg")
    assert weights is None, "tests do not download"
    layers = [
        tf.keras.layers.Conv2D(8, 5, strides=4, activation="relu", input_shape=input_shape),
        tf.keras.layers.BatchNormalization(),
        tf.keras.layers.GlobalAveragePooling2D(),
    ]
    return tf.keras.Sequential(layers)


@pytest.fixture
def tiny_backbone(monkeypatch):
    """Lets classifiers have a network of 8 features that compiles at once."""
    monkeypatch.setattr(tf.keras.applications, "DenseNet121", _tiny)


def layered(include_top, weights, input_shape=(32, 32, 3), pooling=None):
    """Two layers to look into, of 1/4 and 1/8 of the image's width."""
    assert (include_top, weights, pooling) == (False, None, "avg")
    layers = [
        tf.keras.layers.Conv2D(6, 4, strides=4, input_shape=input_shape),
        tf.keras.layers.Activation("relu", name="early"),
        tf.keras.layers.Conv2D(8, 3, strides=2, padding="same"),
        tf.keras.layers.BatchNormalization(),
        tf.keras.layers.Activation("relu", name="late"),
        tf.keras.layers.GlobalAveragePooling2D(),
    ]
    return tf.keras.Sequential(layers)


@pytest.fixture
def layered_backbone(monkeypatch):
    """Lets classifiers have a network of two layers that maps can be made of."""
    monkeypatch.setattr(tf.keras.applications, "DenseNet121", layered)


def save_untrained(
    folder: pathlib.Path,
    findings: Sequence[str],
    thresholds: Sequence[float],
    resolution: int = 32,
    seed: int = 1,
) -> pathlib.Path:
    """A folder as that of a finished training, of a classifier that was not trained."""
    from classifier import config, model

    settings = config.ClassifierConfig(resolution=resolution, weights="random", seed=seed)
    folder.mkdir(parents=True)
    model.Classifier(findings, settings).save_weights(str(folder / "best.weights.h5"))
    content = {
        "findings": list(findings),
        "settings": {k: v for k, v in settings.to_dict().items() if k != "strategy"},
        "thresholds": list(thresholds),
    }
    (folder / "classifier.json").write_text(json.dumps(content))
    return folder
