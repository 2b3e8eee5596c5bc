"""Features of SavedModels: what their signature is given, and which signatures are refused."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from pgan.metrics import extractors, names, saved_model


def _images(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size), np.uint8)


def _save(folder, function, shape=(None, None, None, 1), dtype=tf.uint8, name="features"):
    module = tf.Module()
    module.weight = tf.Variable([[1.0, 2.0, 3.0]])
    compiled = tf.function(
        lambda images: function(images, module.weight),
        input_signature=[tf.TensorSpec(shape, dtype, name="images")],
    )
    tf.saved_model.save(module, str(folder), signatures={name: compiled})
    return folder


def _means(images, weight):
    return tf.reduce_mean(tf.cast(images, tf.float32), axis=(1, 2)) @ weight


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32])
def test_a_saved_model_is_given_grey_levels(tmp_path, dtype):
    folder = _save(tmp_path / "My net", _means, dtype=dtype)
    extractor = extractors.make(f"saved_model:{folder}")
    images = _images(4, 20)
    means = images.mean(axis=(1, 2))[:, np.newaxis]
    found = extractor(images)
    np.testing.assert_allclose(found, means * [1, 2, 3], rtol=1e-5)
    assert found.dtype == np.float32
    assert extractor.dimension == 3
    assert extractor(images[:0]).shape == (0, 3)
    assert extractor.name == f"my_net_{extractor.fingerprint[:8]}"
    assert extractor.facts == {
        "network": "my_net",
        "sha256": extractor.fingerprint,
        "variant": "signature features",
    }
    assert names.metric_name("fd", 4, extractor) == f"fd4_{extractor.name}"


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    folder = _save(tmp_path / "net" / "1", _means)
    first = extractors.make(f"saved_model:{folder}")
    assert first.name.startswith("net_1_")
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "notes.txt").write_text("of no consequence")
    second = saved_model.SavedModelExtractor(copy, first.fingerprint)
    assert second.name == f"copy_{first.fingerprint[:8]}"
    weights = next((copy / "variables").glob("*.data*"))
    weights.write_bytes(weights.read_bytes().replace(b"\x00\x00\x40\x40", b"\x00\x00\x80\x40"))
    with pytest.raises(ValueError, match=f"wanted is {first.fingerprint}"):
        saved_model.SavedModelExtractor(copy, first.fingerprint)


def test_other_signatures_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no saved_model.pb"):
        extractors.make(f"saved_model:{tmp_path}")
    folder = _save(tmp_path / "named", _means, name="serving_default")
    with pytest.raises(ValueError, match=r"no signature 'features', only \['serving_default'\]"):
        extractors.make(f"saved_model:{folder}")


@pytest.mark.parametrize(
    "function, shape, dtype",
    [
        (_means, (None, None, None, 1), tf.int32),
        (lambda x, w: tf.reduce_mean(x[..., :1], axis=(1, 2)) @ w, (None, 8, 8, 3), tf.float32),
        (_means, (1, None, None, 1), tf.uint8),
        (lambda images, w: tf.cast(images, tf.float32), (None, 8, 8, 1), tf.uint8),
        (lambda images, w: tf.argmax(images, axis=1)[:, 0], (None, 8, 8, 1), tf.uint8),
        (lambda x, w: {"a": _means(x, w), "b": _means(x, w)}, (None, 8, 8, 1), tf.uint8),
    ],
    ids=["int32", "three channels", "one image", "maps", "indices", "two outputs"],
)
def test_signatures_of_another_form_are_refused(tmp_path, function, shape, dtype):
    folder = _save(tmp_path / "net", function, shape, dtype)
    with pytest.raises(ValueError, match=r"must take one uint8 or float32 \[N, H, W, 1\]"):
        extractors.make(f"saved_model:{folder}")


def test_features_that_are_not_finite_are_refused(tmp_path):
    folder = _save(tmp_path / "net", lambda x, w: tf.math.log(_means(x, w) - 100.0))
    extractor = extractors.make(f"saved_model:{folder}")
    assert np.isfinite(extractor(np.full((2, 8, 8), 200, np.uint8))).all()
    with pytest.raises(ValueError, match="not finite"):
        extractor(np.stack([np.full((8, 8), level, np.uint8) for level in (200, 50)]))


def test_features_of_changing_number_are_refused(tmp_path):
    def flattened(images, weight):
        return tf.reshape(tf.cast(images, tf.float32), (tf.shape(images)[0], -1)) + weight[0, 0]

    extractor = extractors.make(f"saved_model:{_save(tmp_path / 'net', flattened)}")
    assert extractor.dimension is None
    assert extractor(_images(2, 8)).shape == (2, 64)
    assert extractor.dimension == 64
    with pytest.raises(ValueError, match="returned 81 entries, before that 64"):
        extractor(_images(2, 9))


def test_features_that_lose_images_are_refused(tmp_path):
    folder = _save(tmp_path / "net", lambda x, w: _means(x, w)[:1])
    with pytest.raises(ValueError, match=r"shape \[1, 3\] for 2 images"):
        extractors.make(f"saved_model:{folder}")(_images(2, 8))


def test_a_size_that_the_signature_does_not_take_is_refused(tmp_path):
    folder = _save(tmp_path / "net", _means, shape=(None, 16, 16, 1))
    extractor = extractors.make(f"saved_model:{folder}")
    assert extractor(_images(2, 16)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"images of \[16, 16\] px, got \[32, 32\]"):
        extractor(_images(2, 32))


def test_what_the_signature_itself_refuses_is_told(tmp_path):
    def narrow(images, weight):
        tf.debugging.Assert(tf.shape(images)[1] >= 16, ["less than 16 px high:", tf.shape(images)])
        return _means(images, weight)

    extractor = extractors.make(f"saved_model:{_save(tmp_path / 'net', narrow)}")
    assert extractor(_images(2, 16)).shape == (2, 3)
    with pytest.raises(
        ValueError, match=r"refuses images of \[8, 8\] px: .*assertion failed.*less than 16 px high"
    ):
        extractor(_images(2, 8))


def test_only_grey_images_are_taken(tmp_path):
    extractor = extractors.make(f"saved_model:{_save(tmp_path / 'net', _means)}")
    for images in (np.zeros((1, 8, 8), np.float32), np.zeros((1, 8, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match="must be uint8"):
            extractor(images)
