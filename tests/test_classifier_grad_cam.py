"""Grad-CAM against closed forms, on DenseNet-121 and on a network small enough for a hand."""

import numpy as np
import pytest
import tensorflow as tf

from classifier import config, grad_cam, model

_FINDINGS = ("Mass", "Effusion", "Edema")


def _classifier(resolution, precision="float32"):
    settings = config.ClassifierConfig(resolution=resolution, weights="random", precision=precision)
    old = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(precision)
    network = model.Classifier(_FINDINGS, settings)
    tf.keras.mixed_precision.set_global_policy(old)
    network.head.bias.assign([0.3, -0.2, 0.1])
    return network


@pytest.fixture(scope="module")
def densenet():
    return _classifier(64)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1)).astype(np.uint8)


def _activations(network, images, layer):
    backbone = network.backbone
    part = tf.keras.Model(backbone.inputs, backbone.get_layer(layer).output)
    return part(network.standardize(images), training=False).numpy()


def test_of_the_last_layer_it_is_the_class_activation_map(densenet, images):
    # Zhou et al., CVPR 2016: the head's weights, applied at every place.
    head = densenet.head.kernel.numpy()
    cam = np.einsum("nhwk,kl->nlhw", _activations(densenet, images, "relu"), head)
    found = grad_cam.maps(densenet, images, _FINDINGS, "relu", relu=False)
    assert found.shape == (3, 3, 2, 2) and found.dtype == np.float32
    assert np.abs(cam).min() > 1e-4
    np.testing.assert_allclose(found * 2 * 2, cam, rtol=1e-4, atol=1e-6)
    # All places together are the log odds.
    logits = densenet(images).numpy()
    np.testing.assert_allclose(found.sum((2, 3)) + densenet.head.bias, logits, atol=1e-5)
    positive = grad_cam.maps(densenet, images, _FINDINGS, "relu")
    np.testing.assert_array_equal(positive, np.maximum(found, 0))


def test_of_an_earlier_layer_its_weights_are_the_slopes_of_the_log_odds(densenet, images):
    # A layer's map moved by the same number at all places changes the log odds by h w a_k.
    layer, step = "pool4_relu", 1e-2
    activations = _activations(densenet, images[:1], layer).astype(np.float64)
    rest = tf.keras.Model(densenet.backbone.get_layer(layer).output, densenet.backbone.output)
    k = int(activations.mean((0, 1, 2)).argmax())
    moved = np.repeat(activations, 2, axis=0)
    moved[0, ..., k] += step
    moved[1, ..., k] -= step
    up, down = densenet.head(rest(moved.astype(np.float32), training=False)).numpy()
    slopes = (up - down) / (2 * step) / 16
    alone = np.zeros_like(activations)
    alone[..., k] = activations[..., k]
    with tf.GradientTape() as tape:
        start = tf.constant(activations, tf.float32)
        tape.watch(start)
        logit = densenet.head(rest(start, training=False))[0, 1]
    weights = tf.reduce_mean(tape.gradient(logit, start), (0, 1, 2)).numpy()
    assert weights[k] == pytest.approx(slopes[1], rel=0.05)
    found = grad_cam.maps(densenet, images[:1], ["Effusion"], layer, relu=False)
    np.testing.assert_allclose(found[0, 0], activations[0] @ weights, rtol=1e-3, atol=1e-6)


def test_by_hand(monkeypatch):
    # Two channels, x and 2 x of the first of three equal ones, their means over 16 x 16 pixels,
    # a mixing of channels, a mean: all positive, so that every piece is linear.
    def tiny(include_top, weights, input_shape, pooling):
        layers = [
            tf.keras.layers.Conv2D(2, 1, use_bias=False, input_shape=input_shape),
            tf.keras.layers.AveragePooling2D(4),
            tf.keras.layers.Activation("relu", name="early"),
            tf.keras.layers.AveragePooling2D(4),
            tf.keras.layers.Conv2D(1, 1, use_bias=False),
            tf.keras.layers.Activation("relu", name="late"),
            tf.keras.layers.GlobalAveragePooling2D(),
        ]
        return tf.keras.Sequential(layers)

    monkeypatch.setattr(tf.keras.applications, "DenseNet121", tiny)
    network = _classifier(32)
    first, second = network.backbone.layers[0], network.backbone.layers[4]
    first.kernel.assign([[[[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]]])
    second.kernel.assign([[[[3.0], [0.5]]]])
    network.head.kernel.assign([[2.0, -1.0, 0.0]])
    assert grad_cam.layers(network) == {"early": 8, "late": 2}
    assert grad_cam.choose_layer(network) == ("early", 8)
    image = np.full((1, 32, 32, 1), 150, np.uint8)
    image[0, 8:12, 20:24] = 250
    x = (np.array([150, 250]) / 255 - 0.485) / 0.229
    # y = 2 mean(3 A_1 + A_2 / 2) over 64 places: a = (6, 1) / 64, and A = (x, 2 x).
    expected = np.full((8, 8), x[0] * 8 / 64)
    expected[2, 5] = x[1] * 8 / 64
    found = grad_cam.maps(network, image, ["Mass", "Effusion", "Edema"], relu=False)
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(found[0, 1], -expected / 2, rtol=1e-5)
    np.testing.assert_array_equal(found[0, 2], 0)
    assert not grad_cam.maps(network, image, ["Effusion"]).any()


def test_a_map_does_not_depend_on_the_batch(densenet, images):
    together = grad_cam.maps(densenet, images, ["Mass", "Edema"])
    for batch_size in (1, 2):
        found = grad_cam.maps(densenet, images, ["Mass", "Edema"], batch_size=batch_size)
        np.testing.assert_allclose(found, together, rtol=1e-4, atol=1e-7)
    alone = grad_cam.maps(densenet, images[2:, ..., 0], ["Edema"])
    np.testing.assert_allclose(alone[0, 0], together[2, 1], rtol=1e-4, atol=1e-7)
    assert together[:, :, 0, 0].std() > 0


def test_layers_are_the_ends_of_the_dense_blocks(densenet):
    assert grad_cam.layers(densenet) == {
        "conv1/relu": 32, "pool2_relu": 16, "pool3_relu": 8, "pool4_relu": 4, "relu": 2,
    }  # fmt: skip
    assert grad_cam.choose_layer(densenet) == ("pool3_relu", 8)
    assert grad_cam.choose_layer(densenet, "relu") == ("relu", 2)
    with pytest.raises(ValueError, match=r"no layer 'conv9'.*pool4_relu \(4 x 4\), relu \(2 x 2\)"):
        grad_cam.choose_layer(densenet, "conv9")


@pytest.mark.parametrize(
    "precision",
    ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)],  # slow on CPUs
)
def test_mixed_precision_gives_nearly_the_same_maps(densenet, images, precision):
    mixed = _classifier(64, precision)
    mixed.set_weights(densenet.get_weights())
    exact = grad_cam.maps(densenet, images[:1], ["Mass"], relu=False)
    found = grad_cam.maps(mixed, images[:1], ["Mass"], relu=False)
    assert found.dtype == np.float32
    error = np.abs(found - exact).max() / np.abs(exact).max()
    assert error < (0.1 if precision == "mixed_bfloat16" else 0.02)


def test_findings_have_the_names_of_other_collections(densenet, images):
    own = grad_cam.maps(densenet, images[:1], ["Effusion"])
    np.testing.assert_array_equal(own, grad_cam.maps(densenet, images[:1], ["pleural_effusion"]))
    with pytest.raises(ValueError, match="judges Mass, Effusion, Edema, not 'Hernia'"):
        grad_cam.maps(densenet, images, ["Hernia"])
    with pytest.raises(ValueError, match="do not scale them"):
        grad_cam.maps(densenet, images.astype(np.float32), ["Mass"])


def test_broken_weights_are_told(densenet, images):
    kernel = densenet.head.kernel.numpy()
    densenet.head.kernel.assign(np.full_like(kernel, np.nan))
    try:
        with pytest.raises(ValueError, match="a map is not finite"):
            grad_cam.maps(densenet, images, ["Mass"])
    finally:
        densenet.head.kernel.assign(kernel)


def test_upsampling_keeps_places_where_they_are():
    found = np.zeros((1, 2, 4, 4), np.float32)
    found[0, 1, 1, 2] = 1.0
    large = grad_cam.upsample(found, 32)
    assert large.shape == (1, 2, 32, 32)
    assert not large[0, 0].any()
    rows, columns = np.indices((32, 32))
    # Place (1, 2) covers rows 8 to 15 and columns 16 to 23.
    assert np.average(rows, weights=large[0, 1]) == pytest.approx(11.5)
    assert np.average(columns, weights=large[0, 1]) == pytest.approx(19.5)
    np.testing.assert_allclose(grad_cam.upsample(np.ones((3, 3), np.float32), 8), 1.0)


def test_densities_have_a_mean_of_one():
    rng = np.random.default_rng(1)
    found = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    found[1, 2] = 0
    dense = grad_cam.density(found)
    means = np.abs(dense).mean((2, 3))
    assert means[1, 2] == 0
    np.testing.assert_allclose(np.delete(means.ravel(), 5), 1, rtol=1e-6)
    np.testing.assert_allclose(grad_cam.density(found * 7), dense, rtol=1e-5)
