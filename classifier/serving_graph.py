"""The classifier as TensorFlow Serving runs it: three signatures.

serving_default  image_bytes string [N]      contents of PNG or JPEG files, see `image_graph`
images           images uint8 [N, R, R, 1]   images that are prepared already
features         images uint8 [N, S, S, 1]   S at least R, larger ones are scaled down

N is any number from 1. The first two return

probabilities    float32 [N, L]  in [0, 1]
decisions        uint8 [N, L]    1: the probability is at least the threshold, 0: it is less,
                                 255: none, since no threshold could be fitted
findings         string [N, L]   names
thresholds       float32 [N, L]  2, which no probability reaches, where none could be fitted

and `features` returns features float32 [N, 1024], what the last layer judges by. All outputs have a
row for each image, names and thresholds the same in all: the row format of TensorFlow Serving's
REST interface, and its batching, refuse outputs whose first dimension is another. There is no NaN
among them, since JSON has none.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from classifier import image_graph, model

# Signatures and their input.
SIGNATURES = {"serving_default": "image_bytes", "images": "images", "features": "images"}
NO_DECISION = 255
NO_THRESHOLD = 2.0


def single_precision(thresholds: Sequence[float]) -> np.ndarray:
    """Thresholds float32 [L] that decide on float32 scores as float64 ones do.

    Rounded up: a threshold between two neighbouring scores must not become the lower one. NaN is
    NO_THRESHOLD.
    """
    exact = np.asarray(thresholds, np.float64)
    rounded = exact.astype(np.float32)
    rounded = np.where(rounded < exact, np.nextafter(rounded, np.float32(np.inf)), rounded)
    return np.where(np.isnan(exact), np.float32(NO_THRESHOLD), rounded)


def build(
    classifier: model.Classifier, thresholds: Sequence[float], geometry: str, window: str
) -> tuple[tf.Module, dict[str, tf.types.experimental.GenericFunction]]:
    """Builds the object to save.

    Args:
        classifier: A trained classifier.
        thresholds: [L], NaN for none.
        geometry: How files become square, one of `pyramid.GEOMETRIES`.
        window: What of them becomes black to white, see `image_graph.prepare`.

    Returns:
        The module and its signatures by name.
    """
    side = classifier.backbone.input_shape[1]
    limits = single_precision(thresholds)
    decided = limits < NO_THRESHOLD
    # The functions close over the classifier. Held by the module, it would be saved as a Keras
    # model, with its optimizer.
    module = tf.Module(name="classifier")
    module.weights = list(classifier.variables)

    # One graph of the network for all signatures.
    @tf.function(input_signature=[tf.TensorSpec([None, side, side, 1], tf.uint8)])
    def features_of(images):
        return classifier.features(images, training=False)

    def judge(images):
        probabilities = tf.sigmoid(classifier.head(features_of(images)))
        positive = tf.cast(probabilities >= limits, tf.uint8)
        count = tf.shape(images)[0]
        return {
            "probabilities": probabilities,
            "decisions": tf.where(decided, positive, tf.constant(NO_DECISION, tf.uint8)),
            "findings": tf.tile([list(classifier.findings)], [count, 1]),
            "thresholds": tf.tile(limits[np.newaxis], [count, 1]),
        }

    # Sizes are checked by operations, since a server does not look at shapes of signatures.
    any_size = [tf.TensorSpec([None, None, None, 1], tf.uint8, name="images")]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_default(image_bytes):
        return judge(image_graph.prepare(image_bytes, side, geometry, window))

    @tf.function(input_signature=any_size)
    def images(images):
        size = tf.shape(images)[1:3]
        check = tf.debugging.Assert(
            tf.reduce_all(size == side),
            [f"images must be uint8 [N, {side}, {side}, 1], their height and width are", size],
        )
        with tf.control_dependencies([check]):
            return judge(tf.ensure_shape(tf.identity(images), [None, side, side, 1]))

    @tf.function(input_signature=any_size)
    def features(images):
        size = tf.shape(images)[1:3]
        check = tf.debugging.Assert(
            (size[0] == size[1]) & (size[0] >= side),
            [f"images must be square, of {side} px or more; their height and width are", size],
        )
        with tf.control_dependencies([check]):
            return {"features": features_of(image_graph.scale_down(images, side))}

    return module, dict(zip(SIGNATURES, (serving_default, images, features), strict=True))
