"""DenseNet-121 for grey radiographs, with its preprocessing and its findings inside.

Images are uint8 or float in [0, 255] until the model; the model itself makes three channels of
them and standardises these as ImageNet's weights expect. It returns log odds: losses are computed
from these, and `probabilities` or the exported model make probabilities of them.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from classifier import config as config_lib
from pgan.data import manifest

# Of ImageNet's images in [0, 1], as DenseNet's weights were trained with.
_MEAN = (0.485, 0.456, 0.406)
_SD = (0.229, 0.224, 0.225)
FEATURES = 1024
LOGITS = "logits"


@dataclasses.dataclass(frozen=True)
class WeightsOrigin:
    """Where initial weights came from.

    Attributes:
        name: "random", "imagenet" or the file's name.
        sha256: Of the file; empty for "random".
    """

    name: str
    sha256: str


class Standardize(tf.keras.layers.Layer):
    """Grey [N, H, W, 1] in [0, 255] to float32 [N, H, W, 3] as ImageNet's weights expect them."""

    def call(self, inputs):
        """Repeats the channel and standardises."""
        x = tf.repeat(tf.cast(inputs, tf.float32) / 255.0, 3, axis=-1)
        return (x - tf.constant(_MEAN)) / tf.constant(_SD)


class Classifier(tf.keras.Model):
    """A DenseNet-121 whose training adds weight decay and, on request, attacks its images.

    Attributes:
        findings: Names of the outputs, in order.
    """

    def __init__(self, findings: Sequence[str], settings: config_lib.ClassifierConfig, seed=None):
        """Builds the network with random weights, a function of the seed.

        Args:
            findings: Names of the outputs.
            settings: Configuration.
            seed: Of the initial weights; by default the configuration's.
        """
        super().__init__(name="classifier")
        self.findings = tuple(findings)
        self._settings = settings
        seed = settings.seed if seed is None else seed
        size = settings.resolution
        self.standardize = Standardize(name="standardize", dtype="float32")
        self.backbone = tf.keras.applications.DenseNet121(
            include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg"
        )
        self.head = tf.keras.layers.Dense(len(findings), name=LOGITS, dtype="float32")
        self(tf.zeros((1, size, size, 1)))
        # Drawn once more: what Keras has drawn depends on all that its generator drew before.
        for number, variable in enumerate(self.trainable_variables):
            if variable.shape.rank > 1:
                draw = tf.keras.initializers.GlorotUniform(seed=1_000_003 * seed + number)
                variable.assign(draw(variable.shape))

    def features(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [N, 1024], what the last layer judges by."""
        return tf.cast(self.backbone(self.standardize(images), training=training), tf.float32)

    def call(self, inputs, training=False):
        """Log odds float32 [N, L] of images [N, R, R, 1] in [0, 255]."""
        return self.head(self.features(inputs, training=training))

    def train_step(self, data):
        """Keras' step, on images that were attacked first where the configuration says so."""
        images, *rest = data
        if self._settings.attack != "none":
            from classifier import adversarial

            images = adversarial.attack(
                self,
                tf.cast(images, tf.float32),
                rest[0],
                self._settings.attack,
                self._settings.attack_epsilon,
                self._settings.attack_steps,
                self._attack_seed(),
            )
        return super().train_step((images, *rest))

    def _attack_seed(self):
        """A function of seed, step and device, so that a continued training attacks alike."""
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context is not None else 0
        stream = tf.cast(replica, tf.int64) + 1_000_003 * (self._settings.seed + 1)
        return tf.stack([stream, tf.cast(self.optimizer.iterations, tf.int64)])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        """Keras' loss plus the decay of kernels and of the scales of normalisation."""
        loss = super().compute_loss(x, y, y_pred, sample_weight)
        if not self._settings.weight_decay:
            return loss
        squares = tf.add_n([tf.nn.l2_loss(v) for v in self.trainable_variables])
        # Every replica adds its share, as Keras sums losses over replicas.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return loss + self._settings.weight_decay * squares / replicas


def load_initial_weights(
    classifier: Classifier, settings: config_lib.ClassifierConfig
) -> WeightsOrigin:
    """Gives the backbone the weights that the configuration names.

    Raises:
        ValueError: If the file is missing, has another checksum or does not fit.
        OSError: If ImageNet's weights cannot be downloaded.
    """
    choice = settings.weights
    if choice == config_lib.WEIGHTS_RANDOM:
        return WeightsOrigin(choice, "")
    if choice == config_lib.WEIGHTS_IMAGENET:
        try:
            # Keras checks the download against its own list of checksums.
            source = tf.keras.applications.DenseNet121(
                include_top=False, weights="imagenet", pooling="avg"
            )
        except Exception as error:
            raise OSError(
                f"ImageNet's weights could not be downloaded ({error}). Fetch Keras' file "
                "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5 elsewhere and give "
                "--weights=FILE, or train from random weights with --weights=random"
            ) from error
        classifier.backbone.set_weights(source.get_weights())
        return WeightsOrigin(choice, _digest_of_weights(classifier))
    path = pathlib.Path(choice)
    if not path.is_file():
        raise ValueError(
            f"--weights={choice} is no file; give a Keras weight file of DenseNet-121 without its "
            "top, imagenet or random"
        )
    digest = manifest.sha256_of_file(path)
    if settings.weights_sha256 and digest != settings.weights_sha256.lower():
        raise ValueError(
            f"{path} has the checksum {digest}, not --weights_sha256={settings.weights_sha256}"
        )
    try:
        classifier.backbone.load_weights(str(path))
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"{path} holds no weights of DenseNet-121 without its top: {error}"
        ) from error
    return WeightsOrigin(path.name, digest)


def _digest_of_weights(classifier):
    import hashlib

    digest = hashlib.sha256()
    for value in classifier.backbone.get_weights():
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def check_images(images: np.ndarray, resolution: int) -> np.ndarray:
    """Checks images for a classifier.

    Args:
        images: uint8 [N, R, R] or [N, R, R, 1].
        resolution: R.

    Returns:
        uint8 [N, R, R, 1].

    Raises:
        ValueError: If type, size or number of channels is another.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.dtype != np.uint8 or images.shape[1:] != (resolution, resolution, 1):
        raise ValueError(
            f"the classifier takes grey images uint8 [N, {resolution}, {resolution}], got "
            f"{images.dtype} {list(images.shape)}; do not scale them, that is part of the model"
        )
    return images


def probabilities(classifier: Classifier, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """float32 [N, L] in [0, 1] of images uint8 [N, R, R].

    Raises:
        ValueError: If the images do not fit, or a probability is not finite.
    """
    images = check_images(images, classifier.backbone.input_shape[1])
    logits = classifier.predict(images, batch_size=batch_size, verbose=0)
    scores = tf.sigmoid(logits).numpy()
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores).all(axis=1)).sum())
        raise ValueError(
            f"the classifier's scores of {bad} of {len(scores)} images are not finite; it was "
            "trained with a step size that is too large, or from broken weights"
        )
    return scores
