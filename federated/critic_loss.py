"""The critic on images of the clients and on held-out ones: negative loss <fig. 4B>, label loss."""

import numpy as np
import tensorflow as tf

from federated import config, server
from pgan import losses

# Seed streams of latents and interpolations; clients and grids have their own.
_STREAM, _MIX_STREAM = 1_000_081, 2_000_029
_TERMS = ("wasserstein", "penalty", "labels_real")


class CriticLoss:
    """Measures the global critic on fixed images without changing anything.

    The negative loss is E f(real) - E f(fake) - lambda E (|grad f| - 1)^2 without the auxiliary
    loss, as the released code logs it: an estimate of the Wasserstein distance, so that lower is
    better while the critic is near its optimum. Where it is higher on the training images than on
    held-out ones, the critic knows them by heart. Its label loss on held-out images tells what it
    has learnt of findings, and so shows labels that a client has poisoned.
    """

    def __init__(
        self,
        state: server.ServerState,
        settings: config.FederatedConfig,
        images: dict[str, tuple[np.ndarray, np.ndarray]],
    ):
        """Fixes images, latents and interpolations.

        Args:
            state: Whose networks are measured.
            settings: Batch size and weights of the loss.
            images: By name, uint8 [N, R, R] and their labels, float32 [N, L]; of all as many are
                used as of the smallest.
        """
        self._state, self._settings = state, settings
        self._weighting = settings.train_config()
        count = min(len(pixels) for pixels, _ in images.values())
        # Whole batches of one size that hold whole groups, as the minibatch standard deviation
        # looks at the batch.
        batch = min(settings.batch_size, count)
        batch -= batch % min(settings.network.stddev_group, max(batch, 1))
        self._batch, self._count = batch, count // max(batch, 1) * batch
        self._images = images

    def measure(self) -> dict[str, float]:
        """Measures all images.

        Returns:
            For each name of images `critic/negative_loss_<name>`, `critic/penalty_<name>` and
            `critic/labels_real_<name>`, the last two with their weights; nothing without
            images.
        """
        values = {}
        for name, (pixels, labels) in self._images.items() if self._count else ():
            rows = [
                self._measure(
                    tf.constant(pixels[start : start + self._batch, :, :, np.newaxis]),
                    tf.constant(labels[start : start + self._batch]),
                    tf.constant(start, tf.int64),
                ).numpy()
                for start in range(0, self._count, self._batch)
            ]
            wasserstein, penalty, labels_real = np.mean(rows, axis=0)
            values[f"critic/negative_loss_{name}"] = float(-wasserstein - penalty)
            values[f"critic/penalty_{name}"] = float(penalty)
            values[f"critic/labels_real_{name}"] = float(labels_real)
        return values

    @tf.function
    def _measure(self, pixels, labels, start):
        seeds = [
            tf.stack([tf.constant(self._settings.seed + stream, tf.int64), start])
            for stream in (_STREAM, _MIX_STREAM)
        ]
        size = self._settings.network.latent_size
        latents = tf.random.stateless_normal((self._batch, size), seeds[0], alg="philox")
        mix = tf.random.stateless_uniform((self._batch, 1, 1, 1), seeds[1], alg="philox")
        terms = losses.discriminator_terms(
            self._state.discriminator,
            tf.cast(pixels, tf.float32) / 127.5 - 1.0,
            self._state.generator(latents, losses.condition(labels)),
            labels,
            mix,
            self._weighting,
        )
        return tf.stack([tf.reduce_mean(terms[f"discriminator/{name}"]) for name in _TERMS])
