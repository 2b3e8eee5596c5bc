"""What a client that means harm does, for the simulation <Discussion, on poisoned training data>.

Attacks on updates change what a client returns after honest training:

* sign_flip: -s times its update, which drives the mean away from where it would go;
* scale: s times its update, by which it decides alone;
* noise: Gaussian noise whose expected squared norm is that of s times the update.

Attacks on data change what it trains on, after which it is as honest as any:

* label_flip: every label y of the images and of the generator's steps is 1 - y;
* garbage: pixels that are independent and uniform in 0 to 255 in the place of images.

All noise is a function of seed, round and client, so that a continued run is attacked alike.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from federated import averaging, batches, config

_NOISE, _GARBAGE = range(32, 34)  # streams below the seed; clients.py has those from 0 on


def is_attacker(settings: config.FederatedConfig, client: int) -> bool:
    """Whether the client of this number, from 0, attacks: the first ones do."""
    return settings.attack != config.NO_ATTACK and client < settings.attackers


def poison_update(
    settings: config.FederatedConfig,
    update: Sequence[np.ndarray],
    round_number: int,
    client: int,
) -> averaging.Arrays:
    """What the client returns in the place of its honest update.

    Args:
        settings: Attack, scale and seed.
        update: Float32 arrays.
        round_number: From 0.
        client: The client's number.

    Returns:
        The update itself if the client does not attack updates.
    """
    if not is_attacker(settings, client) or settings.attack not in config.UPDATE_ATTACKS:
        return list(update)
    scale = np.float32(settings.attack_scale)
    if settings.attack == "noise":
        generator = np.random.default_rng([settings.seed, _NOISE, round_number, client])
        deviation = scale * averaging.norm(update) / math.sqrt(sum(a.size for a in update))
        return [(deviation * generator.standard_normal(a.shape)).astype(np.float32) for a in update]
    return [(-scale if settings.attack == "sign_flip" else scale) * a for a in update]


def poison_batches(
    settings: config.FederatedConfig, honest: batches.Batches, round_number: int, client: int
) -> batches.Batches:
    """What the client trains on in the place of its honest examples.

    Args:
        settings: Attack and seed.
        honest: The client's examples of the round.
        round_number: From 0.
        client: The client's number.

    Returns:
        The examples themselves if the client does not attack by data. Unknown labels stay so.
    """
    if not is_attacker(settings, client) or settings.attack not in config.DATA_ATTACKS:
        return honest
    if settings.attack == "label_flip":
        return honest._replace(
            labels=1.0 - honest.labels, generator_labels=1.0 - honest.generator_labels
        )
    generator = np.random.default_rng([settings.seed, _GARBAGE, round_number, client])
    pixels = generator.integers(0, 256, honest.images.shape, np.uint8)
    return honest._replace(images=tf.constant(pixels))
