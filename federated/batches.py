"""What a client trains on in a round: which images and labels, as a function of its key.

The key is (seed, round, client). All draws are stateless TensorFlow operations, so that they come
out the same in this process, in TFF's workers and at a hospital.

A client's images are dealt in passes: each shows every image once, in an order of its own. Round r
begins where round r - 1 would have ended, so an arm that takes part in every round goes through
whole passes. A client with fewer images than a batch draws every one with replacement instead.
"""

from typing import NamedTuple

import tensorflow as tf

from federated import config

# Streams of random numbers below a client's key; local.py has its own from 16 on.
_WITH_REPLACEMENT, _GENERATOR_LABELS = range(2)
_ORDER = -1  # in the place of a round's number
ALGORITHM = "philox"  # named, since the default differs between devices


class Positions(NamedTuple):
    """Places among a client's examples.

    Attributes:
        critic: int32 [E, critic steps, B], of the critic's images and their labels.
        generator: int32 [E, B], of the label vectors in the generator's steps.
    """

    critic: tf.Tensor
    generator: tf.Tensor


class Batches(NamedTuple):
    """A client's examples of one round.

    Attributes:
        images: uint8 [E, critic steps, B, R, R, 1].
        labels: float32 [E, critic steps, B, L], of these images; NaN where unknown.
        generator_labels: float32 [E, B, L], for which the generator's steps draw.
        num_examples: int32 scalar, images that the client has.
    """

    images: tf.Tensor
    labels: tf.Tensor
    generator_labels: tf.Tensor
    num_examples: tf.Tensor


def key(seed: int, round_number: tf.Tensor, client: tf.Tensor) -> tf.Tensor:
    """int64 [2], from which all that a client draws in a round is derived.

    Args:
        seed: Of the training.
        round_number: int64 scalar, from 0.
        client: int64 scalar, the client's number.
    """
    return tf.random.fold_in(
        tf.stack([tf.constant(seed, tf.int64), client]), round_number, ALGORITHM
    )


def draw_positions(
    settings: config.FederatedConfig,
    num_examples: tf.Tensor,
    round_number: tf.Tensor,
    client: tf.Tensor,
) -> Positions:
    """Decides which examples a client uses in a round, and in which order.

    Args:
        settings: Sizes and seed.
        num_examples: int32 scalar, images that the client has, at least 1.
        round_number: int64 scalar, from 0.
        client: int64 scalar, the client's number.
    """
    E, C, B = settings.generator_steps, settings.critic_steps, settings.batch_size
    of_round = key(settings.seed, round_number, client)

    def uniform(stream, shape):
        seed = tf.random.fold_in(of_round, stream, ALGORITHM)
        return tf.random.stateless_uniform(shape, seed, 0, num_examples, tf.int32, alg=ALGORITHM)

    critic = tf.cond(
        num_examples < B,
        lambda: uniform(_WITH_REPLACEMENT, (E * C * B,)),
        lambda: _dealt(settings, num_examples, round_number, client),
    )
    return Positions(
        critic=tf.reshape(critic, (E, C, B)), generator=uniform(_GENERATOR_LABELS, (E, B))
    )


def _dealt(settings, num_examples, round_number, client):
    """int32 [images of a round]: those that follow on the earlier rounds' in the passes."""
    count = settings.images_per_round
    size = tf.cast(num_examples, tf.int64)
    first = round_number * count
    passes = tf.range(first // size, (first + count - 1) // size + 1)
    of_client = tf.stack([tf.constant(settings.seed, tf.int64), client])
    of_client = tf.random.fold_in(of_client, _ORDER, ALGORITHM)

    def order(number):
        seed = tf.random.fold_in(of_client, number, ALGORITHM)
        return tf.random.experimental.stateless_shuffle(tf.range(num_examples), seed, ALGORITHM)

    orders = tf.map_fn(
        order, passes, fn_output_signature=tf.TensorSpec([None], tf.int32), parallel_iterations=1
    )
    begin = tf.cast(first % size, tf.int32)
    return tf.ensure_shape(tf.reshape(orders, [-1])[begin : begin + count], [count])
