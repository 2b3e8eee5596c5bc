"""Tiny federations for tests: settings, batches and weights at 8 px."""

import dataclasses

import numpy as np
import tensorflow as tf

from federated import batches, config, private_critic
from pgan import config as pgan_config

FINDINGS = ("Mass", "Hernia")
PIXELS = 8


def settings(**changes) -> config.FederatedConfig:
    """Two iterations of two critic steps and one generator step with batches of 4."""
    network = pgan_config.NetworkConfig(
        resolution=PIXELS, findings=FINDINGS, latent_size=4, fmap_base=32, fmap_max=4
    )
    tiny = config.FederatedConfig(
        network=network,
        num_clients=3,
        images_per_client=0,
        client_share=0.5,
        rounds=3,
        generator_steps=2,
        critic_steps=2,
        batch_size=4,
        learning_rate=0.01,
        metric_every_rounds=0,
        grid_every_rounds=0,
    )
    return dataclasses.replace(tiny, **changes)


def make_batches(
    chosen: config.FederatedConfig, round_number: int = 0, client: int = 0, count: int = 10
) -> batches.Batches:
    """Batches of a client with images and labels of its own."""
    generator = np.random.default_rng(client)
    images = generator.integers(0, 256, (count, PIXELS, PIXELS, 1), np.uint8)
    labels = generator.integers(0, 2, (count, len(FINDINGS))).astype(np.float32)
    places = batches.draw_positions(chosen, tf.constant(count), *numbers(round_number, client))
    return batches.Batches(
        images=tf.constant(images[places.critic.numpy()]),
        labels=tf.constant(labels[places.critic.numpy()]),
        generator_labels=tf.constant(labels[places.generator.numpy()]),
        num_examples=tf.constant(count),
    )


def private_settings(**changes) -> config.FederatedConfig:
    """The same with example-level privacy and, for tests, noise that can be drawn again."""
    network = dataclasses.replace(settings().network, stddev_group=1)
    private = {"network": network, "dp_clip_norm": 1.0, "dp_test_seed": 7, **changes}
    return settings(**private)


def make_private_batches(
    chosen: config.FederatedConfig, round_number: int = 0, client: int = 0, count: int = 10
) -> private_critic.PrivateBatches:
    """The same of a client with images and labels of its own, drawn privately."""
    generator = np.random.default_rng(client)
    images = generator.integers(0, 256, (count, PIXELS, PIXELS, 1), np.uint8)
    labels = generator.integers(0, 2, (count, len(FINDINGS))).astype(np.float32)
    return private_critic.make_batches(
        chosen, count, round_number, client, lambda places: (images[places], labels[places])
    )


def numbers(*values: int) -> list[tf.Tensor]:
    """Numbers of rounds and clients as local training takes them."""
    return [tf.constant(value, tf.int64) for value in values]
