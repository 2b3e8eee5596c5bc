"""Grad-CAM: where in an image a classifier sees what speaks for a finding.

Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
localization", ICCV 2017. With A_k the k-th of the feature maps of a layer, of h x w places, and y
the log odds of a finding,

    a_k = 1 / (h w) sum_ij dy / dA_k[i, j]        (their eq. 1)
    map = ReLU(sum_k a_k A_k)                     (their eq. 2)

At the last layer, which is followed by a mean over places and a linear head, this is the class
activation map of Zhou et al. (CVPR 2016) over h w, and without the ReLU its sum is the log odds
less the bias. At earlier layers it is an approximation: a_k is one number for all places.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from classifier import model
from pgan.data import labels as labels_lib

# The last map of DenseNet-121 at 224 px, for which the method was made, is 7 places wide.
SMALLEST_MAP = 7


def layers(classifier: model.Classifier) -> dict[str, int]:
    """Layers that maps can be made of: the last activation of each size of feature maps.

    In DenseNet-121 these are the ends of the stem and of the four dense blocks: conv1/relu,
    pool2_relu, pool3_relu, pool4_relu and relu, 1/2 to 1/32 as wide as the image.

    Returns:
        {name: width of its feature maps}, in the order of the network.
    """
    last = {}
    for layer in classifier.backbone.layers:
        if isinstance(layer, tf.keras.layers.Activation | tf.keras.layers.ReLU):
            last[layer.output_shape[1]] = layer.name
    return {name: width for width, name in last.items()}


def choose_layer(classifier: model.Classifier, layer: str | None = None) -> tuple[str, int]:
    """Name and width of the layer asked for, or of the deepest that is wide enough.

    Args:
        classifier: The classifier.
        layer: One of `layers`; by default the deepest that is at least `SMALLEST_MAP` places
            wide: the last from 224 px on, and earlier ones of small images, whose last map of
            1 x 1 or 2 x 2 places says nothing.

    Raises:
        ValueError: If there is no such layer.
    """
    found = layers(classifier)
    if layer is None:
        # Of a network that has no map so wide, the widest.
        wide = [name for name, width in found.items() if width >= SMALLEST_MAP]
        layer = wide[-1] if wide else next(iter(found))
    if layer not in found:
        known = ", ".join(f"{name} ({width} x {width})" for name, width in found.items())
        raise ValueError(f"the classifier has no layer {layer!r}; its layers are {known}")
    return layer, found[layer]


def find_finding(classifier: model.Classifier, finding: str) -> int:
    """Place of a finding, under its own name or another collection's, among the outputs.

    Raises:
        ValueError: If the classifier does not judge it.
    """
    names = [labels_lib.common_name(name) for name in classifier.findings]
    if labels_lib.common_name(finding) not in names:
        raise ValueError(
            f"it judges {', '.join(classifier.findings)}, not {finding!r}; give one of these"
        )
    return names.index(labels_lib.common_name(finding))


def maps(
    classifier: model.Classifier,
    images: np.ndarray,
    findings: Sequence[str],
    layer: str | None = None,
    relu: bool = True,
    batch_size: int = 32,
) -> np.ndarray:
    """Grad-CAM of images, each as if it were alone.

    Args:
        classifier: The classifier.
        images: uint8 [N, R, R] or [N, R, R, 1].
        findings: L of those that it judges.
        layer: As in `choose_layer`.
        relu: Whether to keep only what speaks for a finding; without, what speaks against it is
            negative.
        batch_size: Images at once.

    Returns:
        float32 [N, L, h, w] in units of log odds, at least 0 with `relu`.

    Raises:
        ValueError: If images, findings or layer do not fit, or a map is not finite.
    """
    images = model.check_images(images, classifier.backbone.input_shape[1])
    columns = [find_finding(classifier, finding) for finding in findings]
    name, width = choose_layer(classifier, layer)
    backbone = classifier.backbone
    halves = tf.keras.Model(backbone.inputs, [backbone.get_layer(name).output, *backbone.outputs])
    found = np.empty((len(images), len(columns), width, width), np.float32)
    for start in range(0, len(images), batch_size):
        batch = tf.constant(images[start : start + batch_size])
        found[start : start + batch_size] = _batch(classifier, halves, batch, columns)
    if not np.isfinite(found).all():
        raise ValueError("a map is not finite; the classifier's weights are broken")
    return np.maximum(found, 0.0) if relu else found


def _batch(classifier, halves, images, columns):
    """float32 [B, L, h, w], without ReLU."""
    with tf.GradientTape(persistent=True) as tape:
        activations, features = halves(classifier.standardize(images), training=False)
        logits = classifier.head(tf.cast(features, tf.float32))
        # Of a sum over the batch the gradient is each image's own: in use, batch normalisation
        # does not mix images.
        sums = [tf.reduce_sum(logits[:, column]) for column in columns]
    activations32 = tf.cast(activations, tf.float32)
    found = []
    for value in sums:
        gradient = tf.cast(tape.gradient(value, activations), tf.float32)
        weights = tf.reduce_mean(gradient, axis=(1, 2))
        found.append(tf.einsum("bhwk,bk->bhw", activations32, weights))
    return tf.stack(found, axis=1)


def upsample(found: np.ndarray, resolution: int) -> np.ndarray:
    """Bilinear, with the centres of places where they lie in the image.

    Args:
        found: float32 [..., h, w].
        resolution: R.

    Returns:
        float32 [..., R, R].
    """
    flat = np.reshape(found, (-1, *found.shape[-2:], 1))
    large = tf.image.resize(flat, (resolution, resolution)).numpy()
    return large.reshape(*found.shape[:-2], resolution, resolution)


def density(found: np.ndarray) -> np.ndarray:
    """Maps in multiples of their own mean, so that maps of any two classifiers can be compared.

    The mean over a region is the share of the map in it over its share of the area.

    Args:
        found: float [..., R, R]; of negative values the size counts.

    Returns:
        float32 [..., R, R] with a mean of absolute values of 1; a map of zeros stays one.
    """
    mean = np.abs(found).mean((-2, -1), keepdims=True, dtype=np.float64)
    return np.divide(found, mean, out=np.zeros(found.shape), where=mean > 0).astype(np.float32)
