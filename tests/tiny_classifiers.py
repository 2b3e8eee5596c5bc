"""A small network in the place of DenseNet-121, for tests of what is around it."""

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
