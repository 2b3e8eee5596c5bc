"""Extractors by name: Inception on a small graph of the same operations, and Keras's network.

The graph of 2015 itself is not part of the repository. The one made here has its operations around
a single convolution, those that newer graphs may not have among them, and its version number.
"""

import hashlib
import logging

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pgan.metrics import extractors, features, names, resizing

_FILTERS = 1024
_STRIDE = 40  # Gives 8x8 positions, as there are before the pooling of the real graph.


def _images(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size), np.uint8)


def _weights(filters=_FILTERS):
    rng = np.random.default_rng(1)
    return {
        "kernel": rng.standard_normal((16, 16, 3, filters)).astype(np.float32) / 28,
        "mean": rng.standard_normal(filters).astype(np.float32) / 4,
        "variance": rng.uniform(0.5, 2, filters).astype(np.float32),
        "beta": rng.standard_normal(filters).astype(np.float32) / 4,
        "gamma": np.ones(filters, np.float32),
    }


def _frozen_graph(
    prefix="", size=299, scale=1 / 128, filters=_FILTERS, resize=(), left_out=(), repeated=False
):
    """A GraphDef with the operations of the 2015 graph, for one image as that."""
    graph = tf.compat.v1.GraphDef()
    graph.versions.producer = 8

    def add(name, op, inputs, **attributes):
        node = graph.node.add(name=prefix + name, op=op)
        for source in inputs:
            control = "^" if source.startswith("^") else ""
            node.input.append(control + prefix + source.removeprefix("^"))
        for key, value in attributes.items():
            if isinstance(value, tf.DType):
                node.attr[key].type = value.as_datatype_enum
            elif isinstance(value, list):
                node.attr[key].list.i.extend(value)
            elif isinstance(value, bool):
                node.attr[key].b = value
            elif isinstance(value, int):
                node.attr[key].i = value
            elif isinstance(value, float):
                node.attr[key].f = value
            elif isinstance(value, bytes):
                node.attr[key].s = value
        return node

    def constant(name, value):
        value = np.asarray(value)
        node = add(name, "Const", [], dtype=tf.as_dtype(value.dtype))
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))

    def shaped(node, *shape):
        node.attr["_output_shapes"].list.shape.add().CopyFrom(tf.TensorShape(shape).as_proto())

    f = tf.float32
    constant("DecodeJpeg", np.zeros((100, 80, 3), np.uint8))
    add("Cast", "Cast", ["DecodeJpeg"], SrcT=tf.uint8, DstT=f)
    constant("ExpandDims/dim", np.int32(0))
    add("ExpandDims", "ExpandDims", ["Cast", "ExpandDims/dim"], T=f)
    constant("ResizeBilinear/size", np.array([size, size], np.int32))
    shaped(
        add(
            "ResizeBilinear",
            "ResizeBilinear",
            ["ExpandDims", "ResizeBilinear/size"],
            T=f,
            **dict.fromkeys(resize, True),
        ),
        *(1, size, size, 3),
    )
    constant("Sub/y", np.float32(128))
    add("Sub", "Sub", ["ResizeBilinear", "Sub/y"], T=f)
    constant("Mul/y", np.float32(scale))
    shaped(add("Mul", "Mul", ["Sub", "Mul/y"], T=f), 1, size, size, 3)
    for name, value in _weights(filters).items():
        constant(f"conv/{name}", value)
    strides = [1, _STRIDE, _STRIDE, 1]
    add("conv/Conv2D", "Conv2D", ["Mul", "conv/kernel"], T=f, strides=strides, padding=b"VALID")
    add(
        "conv/batchnorm",
        "BatchNormWithGlobalNormalization",
        ["conv/Conv2D", *(f"conv/{name}" for name in ("mean", "variance", "beta", "gamma"))],
        T=f,
        variance_epsilon=0.001,
        scale_after_normalization=False,
    )
    add("conv/CheckNumerics", "CheckNumerics", ["conv/batchnorm"], T=f, message=b"not finite")
    add("conv/control_dependency", "Identity", ["conv/batchnorm", "^conv/CheckNumerics"], T=f)
    add("conv", "Relu", ["conv/control_dependency"], T=f)
    add("tower", "Sub", ["Sub/y", "conv"], T=f)
    constant("join/concat_dim", np.int32(3))
    add("join", "Concat", ["join/concat_dim", "conv", "tower"], T=f, N=2)
    for name in ("pool_3", "other/pool_3")[: 1 + repeated]:
        pool = add(
            name, "AvgPool", ["join"], T=f, ksize=[1, 8, 8, 1], strides=[1] * 4, padding=b"VALID"
        )
        shaped(pool, 1, 1, 1, 2 * filters)
    constant("pool_3/_reshape/shape", np.array([1, 2 * filters], np.int32))
    add("pool_3/_reshape", "Reshape", ["pool_3", "pool_3/_reshape/shape"], T=f, Tshape=tf.int32)
    kept = [node for node in graph.node if node.name not in left_out]
    del graph.node[:]
    graph.node.extend(kept)
    return graph.SerializeToString()


def _expected(resized):
    """pool_3 of that graph; resized: [N, 299, 299, 3] in [0, 255]."""
    w = _weights()
    x = tf.nn.conv2d((resized - 128.0) / 128.0, w["kernel"], _STRIDE, "VALID")
    x = tf.nn.relu((x - w["mean"]) / np.sqrt(w["variance"] + 0.001) + w["beta"])
    return tf.reduce_mean(tf.concat([x, 128.0 - x], axis=-1), axis=(1, 2)).numpy()


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "classify_image_graph_def.pb"
    path.write_bytes(_frozen_graph())
    return path


@pytest.fixture(scope="module")
def clean(graph_file):
    return extractors.Inception2015(graph_file)


@pytest.fixture(scope="module")
def legacy(graph_file):
    return extractors.Inception2015(graph_file, variant="legacy_tf")


def test_inception_says_what_it_is(graph_file, clean, legacy):
    sha256 = hashlib.sha256(graph_file.read_bytes()).hexdigest()
    assert clean.sha256 == sha256
    assert clean.facts == {
        "network": "inception-2015-12-05",
        "sha256": sha256,
        "variant": "clean",
    }
    assert legacy.facts == clean.facts | {"variant": "legacy_tf"}
    assert (clean.name, legacy.name) == ("inception2015_clean", "inception2015_legacy_tf")


@pytest.mark.parametrize("size", [64, 400])
def test_clean_features_are_those_of_pillows_bicubic(clean, size):
    images = _images(3, size)
    grey = [
        np.asarray(
            Image.fromarray(image.astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC)
        )
        for image in images
    ]
    resized = np.repeat(np.clip(grey, 0, 255)[..., np.newaxis], 3, axis=-1)
    found = clean(images)
    assert found.shape == (3, clean.dimension) == (3, 2048)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _expected(resized), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [64, 400])
def test_legacy_features_are_those_of_tensorflow_1s_bilinear(legacy, clean, size):
    images = _images(3, size)
    found = legacy(images)
    np.testing.assert_allclose(found, _expected(resizing.legacy_tf(images)), rtol=1e-4, atol=1e-4)
    assert np.abs(found - clean(images)).max() > 0.01


def test_the_graphs_own_resizing_leaves_images_of_its_size_alone(clean, legacy):
    images = _images(2, 299)
    np.testing.assert_array_equal(clean(images), legacy(images))
    np.testing.assert_allclose(
        clean(images), _expected(resizing.unresized(images)), rtol=1e-4, atol=1e-4
    )


def test_a_batch_gives_what_its_images_give_alone(clean, monkeypatch):
    images = _images(5, 100)
    together = clean(images)
    alone = np.concatenate([clean(image[np.newaxis]) for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(features, "_PIXELS_AT_ONCE", 2 * 300**2)
    np.testing.assert_allclose(clean(images), alone, rtol=1e-5, atol=1e-5)
    assert clean(images[:0]).shape == (0, 2048)
    # The graph was written with shapes of one image, which optimizers would believe.
    assert clean._pool.shape.as_list() == [None, 1, 1, 2048]


def test_distances_of_inception_are_fid_and_kid(clean, legacy):
    assert names.metric_name("fd", 10_000, clean) == "fid10k_clean"
    assert names.metric_name("fd", 10_000, legacy) == "fid10k_legacy_tf"
    assert names.metric_name("kd", 10_000, clean) == "kid10k_clean"
    assert names.metric_name("kd", 141, clean, "m50") == "kid141_m50_clean"
    # Other measures have no name that stands for this network.
    assert names.metric_name("pr", 10_000, clean, "k3") == "pr10k_k3_inception2015_clean"


def test_other_features_have_other_names():
    fixed = features.FixedExtractor()
    assert names.metric_name("fd", 141, fixed) == "fd141_fixed"
    assert names.metric_name("kd", 1500, fixed) == "kd1500_fixed"
    assert names.metric_name("pr", 2000, fixed, "k3") == "pr2k_k3_fixed"


def test_a_graph_under_another_name_is_found(tmp_path, clean):
    path = tmp_path / "graph.pb"
    path.write_bytes(_frozen_graph(prefix="FID_Inception_Net/"))
    images = _images(2, 64)
    np.testing.assert_allclose(
        extractors.Inception2015(path)(images), clean(images), rtol=1e-5, atol=1e-5
    )


def test_the_hash_is_compared_or_logged(graph_file, clean, caplog):
    wanted = clean.sha256
    assert extractors.Inception2015(graph_file, wanted.upper()).sha256 == wanted
    with pytest.raises(ValueError, match=f"SHA-256 {wanted}, wanted is {'0' * 64}"):
        extractors.Inception2015(graph_file, "0" * 64)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        extractors.Inception2015(graph_file)
    assert wanted in caplog.text


def test_a_missing_graph_says_where_it_comes_from(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        extractors.make(f"inception:{tmp_path / 'none.pb'}")
    message = str(caught.value)
    assert "none.pb is no file" in message
    assert (
        "http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz" in message
    )
    assert "inception:/path/to/classify_image_graph_def.pb" in message


@pytest.mark.parametrize(
    "content, why",
    [
        (b"\x1f\x8b\x08\x00 an archive that was not unpacked", "no serialized GraphDef"),
        (b"<html>404</html>", "no serialized GraphDef"),
        (b"", "0 operations pool_3"),
        (lambda: _frozen_graph(repeated=True), "2 operations pool_3"),
        (lambda: _frozen_graph(left_out=["Sub"]), "no operation Sub"),
        (lambda: _frozen_graph(left_out=["join"]), "join"),
        (lambda: _frozen_graph(filters=8), r"shape \[2, 1, 1, 16\]"),
        (lambda: _frozen_graph(size=320), "299 px"),
        (lambda: _frozen_graph(scale=1 / 127.5), "299 px"),
        (lambda: _frozen_graph(resize=["half_pixel_centers"]), "299 px"),
        (lambda: _frozen_graph(resize=["align_corners"]), "299 px"),
    ],
)
def test_another_file_is_refused(tmp_path, content, why):
    path = tmp_path / "other.pb"
    path.write_bytes(content if isinstance(content, bytes) else content())
    with pytest.raises(ValueError, match=why) as caught:
        extractors.Inception2015(path)
    assert "is not the Inception graph of 2015" in str(caught.value)
    assert "inception-2015-12-05.tgz" in str(caught.value)


def test_an_unknown_variant_is_refused(graph_file):
    with pytest.raises(ValueError, match="clean or legacy_tf, got 'legacy_pytorch'"):
        extractors.Inception2015(graph_file, variant="legacy_pytorch")


@pytest.mark.slow
def test_keras_inception_is_the_network_of_keras(tmp_path, monkeypatch):
    network = tf.keras.applications.InceptionV3(include_top=False, pooling="avg", weights=None)
    path = tmp_path / "weights.h5"
    network.save_weights(path)
    extractor = extractors.make(f"keras_inception:{path}")
    images = _images(2, 350)
    grey = [
        np.asarray(
            Image.fromarray(image.astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC)
        )
        for image in images
    ]
    colour = np.repeat(np.clip(grey, 0, 255)[..., np.newaxis], 3, axis=-1)
    scaled = tf.keras.applications.inception_v3.preprocess_input(colour)
    expected = network(scaled, training=False).numpy()
    found = extractor(images)
    assert found.shape == (2, extractor.dimension) == (2, 2048)
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    # These are not the weights that Keras gives out, so the name is another.
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert extractor.name == f"keras_inception_{sha256[:8]}"
    assert extractor.facts == {
        "network": "keras-inception-v3",
        "sha256": sha256,
        "variant": "clean",
    }
    assert names.metric_name("fd", 10_000, extractor) == f"fd10k_keras_inception_{sha256[:8]}"
    # As if they were, and came by download.
    monkeypatch.setattr(extractors, "_KERAS_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    monkeypatch.setattr(tf.keras.utils, "get_file", lambda *_, **__: str(path))
    downloaded = extractors.make("keras_inception", sha256)
    assert downloaded.name == "keras_inception"
    np.testing.assert_allclose(downloaded(images), found, rtol=1e-5)
    other = tmp_path / "other.h5"
    tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(3,))]).save_weights(other)
    with pytest.raises(ValueError, match="does not hold weights of InceptionV3"):
        extractors.KerasInception(other)


def test_keras_weights_are_checked_before_anything_is_built(tmp_path):
    with pytest.raises(FileNotFoundError, match="keras_inception:/path/to/inception_v3"):
        extractors.make(f"keras_inception:{tmp_path / 'none.h5'}")
    path = tmp_path / "weights.h5"
    path.write_bytes(b"some")
    with pytest.raises(ValueError, match="wanted is 1234"):
        extractors.make(f"keras_inception:{path}", "1234")


def test_a_failed_download_is_no_reason_for_another_network(monkeypatch):
    def fail(name, url, **options):
        assert url.endswith(name)
        assert options["file_hash"]
        raise Exception(f"URL fetch failure on {url}: None -- no network")

    monkeypatch.setattr(tf.keras.utils, "get_file", fail)
    with pytest.raises(OSError, match="no network") as caught:
        extractors.make("keras_inception")
    assert "https://storage.googleapis.com/tensorflow/keras-applications/" in str(caught.value)
    assert "keras_inception:/path/to/" in str(caught.value)


def test_make_knows_the_fixed_extractor():
    extractor = extractors.make("fixed")
    assert isinstance(extractor, features.FixedExtractor)
    assert extractor.facts == {"network": "fixed", "sha256": None, "variant": "seed 1888"}
    with pytest.raises(ValueError, match="no file"):
        extractors.make("fixed", "1234")


@pytest.mark.parametrize(
    "text",
    ["", "inception", "inception:", "fixed:/x", "vgg:/x", "saved_model:", "keras_inception:"],
)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="one of fixed, inception:FILE.*; got") as caught:
        extractors.make(text)
    assert repr(text) in str(caught.value)


def test_only_grey_images_are_taken(clean, legacy):
    for extractor in (clean, legacy):
        for images in (np.zeros((1, 8, 8), np.float32), np.zeros((1, 8, 8, 3), np.uint8)):
            with pytest.raises(ValueError, match="must be uint8"):
                extractor(images)
