"""The network around its backbone: preprocessing, weights, checks."""

import hashlib
import unittest.mock

import numpy as np
import pytest
import tensorflow as tf
from tiny_classifiers import tiny_backbone  # noqa: F401

from classifier import config, model

_FINDINGS = ("Mass", "Edema")
_SETTINGS = config.ClassifierConfig(resolution=32, weights="random")


def _images(count=3, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 1)).astype(dtype)


def test_densenet_has_the_parameters_of_the_paper():
    # torchvision's DenseNet-121 with a head of 14: 6,968,206, its moving averages not counted.
    settings = config.ClassifierConfig(resolution=224, weights="random")
    network = model.Classifier(tuple("abcdefghijklmn"), settings)
    assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) == 6_968_206
    assert network.features(np.zeros((1, 224, 224, 1), np.uint8)).shape == (1, model.FEATURES)


def test_grey_levels_are_standardised_as_imagenet_expects():
    black, white = model.Standardize()(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)).numpy()
    np.testing.assert_allclose(black[0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], 1e-6)
    np.testing.assert_allclose(white[0, 0], [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225], 1e-6)


@pytest.mark.usefixtures("tiny_backbone")
def test_initial_weights_are_a_function_of_the_seed_alone():
    tf.random.set_seed(5)
    first = model.Classifier(_FINDINGS, _SETTINGS, seed=1)
    tf.random.uniform(())
    second = model.Classifier(_FINDINGS, _SETTINGS, seed=1)
    other = model.Classifier(_FINDINGS, _SETTINGS, seed=2)
    logits = [network(_images()).numpy() for network in (first, second, other)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert np.abs(logits[0] - logits[2]).max() > 1e-3


@pytest.mark.usefixtures("tiny_backbone")
def test_bytes_and_floats_of_the_same_grey_levels_are_the_same_image():
    network = model.Classifier(_FINDINGS, _SETTINGS)
    np.testing.assert_array_equal(network(_images()), network(_images(dtype=np.float32)))


@pytest.mark.usefixtures("tiny_backbone")
def test_weights_come_from_a_file_whose_checksum_is_kept(tmp_path):
    source = model.Classifier(_FINDINGS, _SETTINGS, seed=7)
    path = tmp_path / "own.weights.h5"
    source.backbone.save_weights(str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    network = model.Classifier(_FINDINGS, _SETTINGS, seed=8)
    settings = config.ClassifierConfig(resolution=32, weights=str(path), weights_sha256=digest)
    origin = model.load_initial_weights(network, settings)
    assert origin == model.WeightsOrigin("own.weights.h5", digest)
    np.testing.assert_array_equal(network.features(_images()), source.features(_images()))
    wrong = config.ClassifierConfig(resolution=32, weights=str(path), weights_sha256="0" * 64)
    with pytest.raises(ValueError, match=f"has the checksum {digest}, not --weights_sha256=000"):
        model.load_initial_weights(network, wrong)


@pytest.mark.usefixtures("tiny_backbone")
def test_missing_broken_and_unreachable_weights_are_told_and_replaced_by_nothing(tmp_path):
    network = model.Classifier(_FINDINGS, _SETTINGS)
    before = network.get_weights()
    broken = tmp_path / "broken.h5"
    broken.write_bytes(b"no weights")
    for weights, message in (
        ("/nowhere.h5", "is no file; give a Keras weight file"),
        (str(broken), "holds no weights of DenseNet-121"),
    ):
        settings = config.ClassifierConfig(resolution=32, weights=weights)
        with pytest.raises(ValueError, match=message):
            model.load_initial_weights(network, settings)
    unreachable = unittest.mock.Mock(side_effect=Exception("URL fetch failure"))
    with unittest.mock.patch.object(tf.keras.applications, "DenseNet121", unreachable):
        with pytest.raises(OSError, match=r"could not be downloaded \(URL fetch failure\).*random"):
            model.load_initial_weights(network, config.ClassifierConfig(resolution=32))
    unreachable.assert_called_once_with(include_top=False, weights="imagenet", pooling="avg")
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.usefixtures("tiny_backbone")
def test_images_of_other_types_and_sizes_are_refused():
    network = model.Classifier(_FINDINGS, _SETTINGS)
    found = model.probabilities(network, _images()[..., 0])
    assert found.shape == (3, 2)
    assert ((found > 0) & (found < 1)).all()
    for images in (
        _images(dtype=np.float32) / 255,
        _images()[:, :16, :16],
        _images()[..., [0] * 3],
    ):
        with pytest.raises(ValueError, match=r"grey images uint8 \[N, 32, 32\].*do not scale them"):
            model.probabilities(network, images)
    network.head.bias.assign([np.nan, 0.0])
    with pytest.raises(ValueError, match="scores of 3 of 3 images are not finite"):
        model.probabilities(network, _images())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 16}, "at least 32 px"),
        ({"batch_size": 0}, "--batch_size must be at least 1"),
        ({"learning_rate": 0.0}, "--learning_rate must be above 0"),
        ({"weight_decay": -1.0}, "--weight_decay must not be negative"),
        ({"loss": "hinge"}, "--loss must be of"),
        ({"augment": ("mixup",)}, "--augment must be of"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config.ClassifierConfig(**changes)
