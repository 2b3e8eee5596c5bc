"""Features of networks that come as files: Inception in two versions, and models of one's own.

None of the files is part of this repository, none replaces another: where a file is missing or is
something else, there is an error that says where it comes from.

    fixed                      no file; see features.FixedExtractor
    inception:FILE             the graph of 2015, whose distances are FID and KID; `clean` resizing
    inception_legacy_tf:FILE   the same, with the resizing of the first FID code
    keras_inception            Keras's weights, downloaded at first use
    keras_inception:FILE       the same from a file
    saved_model:FOLDER         any network with a signature `features`
"""

import os
import pathlib

import numpy as np
import tensorflow as tf
from google.protobuf import message

from pgan.metrics import features, names, resizing, saved_model, weight_files

FORMS = (
    "fixed, inception:FILE, inception_legacy_tf:FILE, keras_inception, keras_inception:FILE or "
    "saved_model:FOLDER"
)

_INCEPTION_URL = "http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz"
_KERAS_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
_KERAS_URL = (
    f"https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{_KERAS_FILE}"
)
_KERAS_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"


def make(text: str, sha256: str | None = None) -> features.Extractor:
    """An extractor by the text of a flag; the texts are listed above.

    Args:
        text: Kind, and after a colon the file.
        sha256: Hex SHA-256 that the file must have, for a SavedModel its `fingerprint`.

    Raises:
        ValueError: If the text is none of these, or the file is another than wanted.
        OSError: If the file cannot be read or downloaded.
    """
    kind, colon, path = text.partition(":")
    if kind == "fixed" and not colon:
        if sha256 is not None:
            raise ValueError("the extractor 'fixed' has no file that a SHA-256 could belong to")
        return features.FixedExtractor()
    if kind == "keras_inception" and not colon:
        return KerasInception(None, sha256)
    path = os.path.expanduser(path)  # The shell leaves a ~ behind the colon alone.
    if path:
        if kind == "inception":
            return Inception2015(path, sha256, "clean")
        if kind == "inception_legacy_tf":
            return Inception2015(path, sha256, "legacy_tf")
        if kind == "keras_inception":
            return KerasInception(path, sha256)
        if kind == "saved_model":
            return saved_model.SavedModelExtractor(path, sha256)
    raise ValueError(f"an extractor is one of {FORMS}; got {text!r}")


class Inception2015:
    """The Inception graph of 2015-12-05, layer `pool_3`: the features of FID and KID.

    The file is `classify_image_graph_def.pb`, a frozen graph of that time. Its operations

        DecodeJpeg, Cast, ExpandDims -> ResizeBilinear -> Sub -> Mul -> ... -> pool_3 -> ...

    were written for one image: the graph is cut behind ExpandDims, where images float [N, H, W, 3]
    in [0, 255] go in, and the shapes of a batch are worked out anew. The graph resizes to 299 px
    itself, which is the variant `legacy_tf`. For `clean` it is given images of 299 px, which its
    resizing leaves as they are.

    It runs in a session of TensorFlow 1. A function of TensorFlow 2 would refuse its batch
    normalisation, an operation that only graphs of an old version may have.

    Attributes:
        variant: `clean` or `legacy_tf`, see `resizing`.
        sha256: Of the file, hex.
    """

    dimension = 2048

    def __init__(self, path: str | os.PathLike, sha256: str | None = None, variant: str = "clean"):
        """Loads the graph.

        Args:
            path: The file.
            sha256: Hex SHA-256 that it must have; None takes the file as it is and logs its own.
            variant: How images come to 299 px.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it is another file or the variant is unknown.
        """
        if variant not in ("clean", "legacy_tf"):
            raise ValueError(f"variant must be clean or legacy_tf, got {variant!r}")
        source = (
            "It is classify_image_graph_def.pb; get it with\n"
            f"  curl -O {_INCEPTION_URL}\n"
            "  tar xzf inception-2015-12-05.tgz classify_image_graph_def.pb\n"
            "and give inception:/path/to/classify_image_graph_def.pb"
        )
        self.sha256 = weight_files.check(path, sha256, "the Inception graph", source)
        self.variant = variant
        self.name = f"inception2015_{variant}"
        self.facts = {
            "network": names.INCEPTION_2015,
            "sha256": self.sha256,
            "variant": variant,
        }
        self._resize = resizing.clean if variant == "clean" else resizing.unresized
        try:
            self._load(path)
        except ValueError as error:
            raise ValueError(
                f"{path} is not the Inception graph of 2015: {error}. {source}"
            ) from error

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Computes features; see `features.Extractor`."""
        return features.in_parts(self._features, images, self.dimension)

    def _load(self, path):
        definition = tf.compat.v1.GraphDef()
        try:
            definition.ParseFromString(pathlib.Path(path).read_bytes())
        except message.DecodeError as error:
            raise ValueError("it is no serialized GraphDef") from error
        prefix = _prefix({node.name for node in definition.node})
        for node in definition.node:
            # Shapes for one image, recorded when the graph was written.
            if "_output_shapes" in node.attr:
                del node.attr["_output_shapes"]
        graph = tf.Graph()
        with graph.as_default():
            self._images = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3])
            self._scaled, self._pool = tf.graph_util.import_graph_def(
                definition,
                input_map={f"{prefix}ExpandDims:0": self._images},
                return_elements=[f"{prefix}Mul:0", f"{prefix}pool_3:0"],
                name="",
            )
        options = tf.compat.v1.ConfigProto()
        options.gpu_options.allow_growth = True
        self._session = tf.compat.v1.Session(graph=graph, config=options)
        try:
            self._check_graph()
        except tf.errors.OpError as error:
            raise ValueError(f"it does not run: {error.message}") from error

    def _check_graph(self):
        """Raises ValueError unless the graph resizes and scales as it must, and takes a batch."""
        ramp = (np.arange(2 * 64**2) * 37 % 256).astype(np.uint8).reshape(2, 64, 64)
        for images, wanted in (
            (resizing.unresized(ramp), resizing.legacy_tf(ramp)),
            # The resizing of images that have their size already must be the identity.
            (resizing.clean(ramp), resizing.clean(ramp)),
        ):
            found = self._session.run(self._scaled, {self._images: images.numpy()})
            wanted = (wanted.numpy() - 128.0) / 128.0
            if found.shape != wanted.shape or not np.allclose(found, wanted, atol=1e-4):
                raise ValueError(
                    "it does not bring images to 299 px and (x - 128) / 128 by itself, as "
                    "ResizeBilinear, Sub and Mul of that graph do"
                )
        pool = self._session.run(self._pool, {self._images: self._resize(ramp).numpy()})
        if pool.shape != (2, 1, 1, self.dimension):
            raise ValueError(f"pool_3 of 2 images has shape {list(pool.shape)}")

    def _features(self, images):
        pool = self._session.run(self._pool, {self._images: self._resize(images).numpy()})
        return pool[:, 0, 0, :]


class KerasInception:
    """InceptionV3 of `tf.keras.applications`, the means over its last maps.

    Another network than that of FID, with other weights: its distances are `fd`, not `fid`. Images
    are resized as `clean` and scaled to [-1, 1], which is the network's own scaling.

    Attributes:
        sha256: Of the file with the weights, hex.
    """

    dimension = 2048

    def __init__(self, path: str | os.PathLike | None = None, sha256: str | None = None):
        """Loads the network.

        Args:
            path: File with weights of `InceptionV3(include_top=False)`; None downloads those of
                ImageNet into Keras's cache (88 MB) unless they are there.
            sha256: Hex SHA-256 that the file must have; None takes the file as it is.

        Raises:
            OSError: If the file cannot be read or downloaded.
            ValueError: If it is another file.
        """
        source = (
            f"Keras's own is at {_KERAS_URL}; give keras_inception:/path/to/{_KERAS_FILE}, or "
            "keras_inception to have it downloaded"
        )
        if path is None:
            path = _download_keras_weights()
        self.sha256 = weight_files.check(path, sha256, "the weights of Keras's InceptionV3", source)
        is_released = weight_files.digest(path, "md5") == _KERAS_MD5
        self.name = "keras_inception" + ("" if is_released else f"_{self.sha256[:8]}")
        self.facts = {"network": "keras-inception-v3", "sha256": self.sha256, "variant": "clean"}
        self._model = tf.keras.applications.InceptionV3(
            include_top=False,
            pooling="avg",
            weights=None,
            input_shape=(resizing.INCEPTION_SIZE, resizing.INCEPTION_SIZE, 3),
        )
        try:
            self._model.load_weights(path)
        except Exception as error:  # Of h5py and Keras, many kinds.
            raise ValueError(
                f"{path} does not hold weights of InceptionV3(include_top=False): {error}. {source}"
            ) from error
        self._function = tf.function(
            self._compute, input_signature=[tf.TensorSpec([None, None, None], tf.uint8)]
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Computes features; see `features.Extractor`."""
        return features.in_parts(lambda part: self._function(part).numpy(), images, self.dimension)

    def _compute(self, images):
        return self._model(resizing.clean(images) / 127.5 - 1.0, training=False)


def _prefix(operations: set[str]) -> str:
    """What stands before the names of the graph's operations, usually nothing."""
    found = [name for name in operations if name.rpartition("/")[2] == "pool_3"]
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} operations pool_3")
    prefix = found[0].removesuffix("pool_3")
    missing = [
        name
        for name in ("ExpandDims", "ResizeBilinear", "Sub", "Mul")
        if prefix + name not in operations
    ]
    if missing:
        raise ValueError(f"it has no operation {', '.join(missing)}")
    return prefix


def _download_keras_weights() -> str:
    try:
        return tf.keras.utils.get_file(
            _KERAS_FILE, _KERAS_URL, cache_subdir="models", file_hash=_KERAS_MD5
        )
    except Exception as error:  # Keras raises Exception itself.
        raise OSError(
            f"the weights of Keras's InceptionV3 could not be downloaded ({error}). Fetch "
            f"{_KERAS_URL} where there is a network and give keras_inception:/path/to/{_KERAS_FILE}"
        ) from error
