"""Attacks on a classifier: small changes of an image that raise its loss the most.

l-infinity attacks on grey levels: no pixel changes by more than epsilon, and all stay in
[0, 255]. FGSM (Goodfellow et al., ICLR 2015) takes one step along the sign of the gradient; PGD
(Madry et al., ICLR 2018) takes several smaller ones from a random start. The model judges as in
use, with the averages of its batch normalisation.
"""

import tensorflow as tf

from classifier import config as config_lib
from classifier import losses


def attack(
    classifier: tf.keras.Model,
    images: tf.Tensor,
    labels: tf.Tensor,
    kind: str,
    epsilon: float,
    steps: int = 10,
    seed: tuple[int, int] | tf.Tensor = (0, 0),
) -> tf.Tensor:
    """Attacks a batch.

    Args:
        classifier: Images in [0, 255] to log odds.
        images: float32 [N, R, R, 1] in [0, 255].
        labels: float32 [N, L], 1, 0 or NaN.
        kind: "fgsm" or "pgd".
        epsilon: Largest change of a pixel in grey levels.
        steps: Steps of pgd, each of 2.5 epsilon / steps.
        seed: Of the random start of pgd, two integers or int tensor [2].

    Returns:
        float32 [N, R, R, 1] in [0, 255].

    Raises:
        ValueError: If the kind is unknown.
    """
    if kind not in config_lib.ATTACKS[1:]:
        raise ValueError(f"attacks are {', '.join(config_lib.ATTACKS[1:])}, got {kind!r}")
    loss = losses.MaskedLoss()

    def ascent(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            # A sum, so that an image's gradient does not depend on the batch; signs are used.
            value = tf.reduce_sum(loss.call(labels, classifier(x, training=False)))
        return tf.sign(tape.gradient(value, x))

    if kind == "fgsm":
        return tf.clip_by_value(images + epsilon * ascent(images), 0.0, 255.0)
    low = tf.maximum(images - epsilon, 0.0)
    high = tf.minimum(images + epsilon, 255.0)
    noise = tf.random.stateless_uniform(tf.shape(images), seed, -epsilon, epsilon)
    x = tf.clip_by_value(images + noise, low, high)

    # A loop of the graph: unrolled, tracing takes minutes for DenseNet-121.
    def climb(step, x):
        return step + 1, tf.clip_by_value(x + 2.5 * epsilon / steps * ascent(x), low, high)

    return tf.while_loop(lambda step, _: step < steps, climb, (0, x), parallel_iterations=1)[1]
