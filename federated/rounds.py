"""Rounds: clients train, their updates are screened and averaged, the server takes a step.

`InProcess` runs them in this process; `aggregate` is what any way of reaching clients ends in that
gets their updates one by one. `federated.tff_process` lets TensorFlow Federated do both.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from federated import attacks, averaging, config, local, private_critic, screening
from federated import batches as batches_lib

_LOG = logging.getLogger(__name__)


class Participant(NamedTuple):
    """A client of a round.

    Attributes:
        number: Its number.
        name: Its name.
        batches: Its examples of the round.
    """

    number: int
    name: str
    batches: batches_lib.Batches | private_critic.PrivateBatches


class Returned(NamedTuple):
    """What a client returned.

    Attributes:
        number: The client's number; updates are summed in this order.
        name: Its name.
        update: float32 arrays, generator's and then discriminator's.
        num_examples: Its images.
        losses: float32 [len(local.LOSS_NAMES)].
        spent: What it says of the privacy that it has spent, by name, if it counts that itself.
    """

    number: int
    name: str
    update: averaging.Arrays
    num_examples: int
    losses: np.ndarray
    spent: dict[str, float] | None = None


class Outcome(NamedTuple):
    """What a round came to.

    Attributes:
        weights: New global weights, a flat list.
        moments: New moments of the server's optimizer.
        means: Losses by name, means over the accepted clients by images; empty without any.
        clients: A row for each client.
    """

    weights: list[np.ndarray]
    moments: list[np.ndarray]
    means: dict[str, float]
    clients: list[dict[str, Any]]


def flat(weights: local.Weights) -> list[Any]:
    """Weights or update of both networks in one list."""
    return [*weights.generator, *weights.discriminator]


class InProcess:
    """Rounds in this process, one client after the other, on whatever device TensorFlow has.

    Attributes:
        trainer: Shared by all clients.
    """

    def __init__(self, settings: config.FederatedConfig):
        """Creates the networks that are trained."""
        self._settings = settings
        self.trainer = local.LocalTrainer(settings)

    def run(
        self,
        weights: local.Weights,
        moments: Sequence[np.ndarray],
        participants: Iterable[Participant],
        round_number: int,
    ) -> Outcome:
        """Runs a round.

        Args:
            weights: Global weights.
            moments: Of the server's optimizer.
            participants: The clients of the round.
            round_number: From 0.
        """
        returned = []
        for participant in participants:
            client = train_client(self.trainer, weights, participant, round_number)
            update = attacks.poison_update(
                self._settings, client.update, round_number, client.number
            )
            returned.append(client._replace(update=update))
        return aggregate(flat(weights), moments, returned, round_number, self._settings)


def train_client(
    trainer: local.LocalTrainer,
    weights: local.Weights,
    participant: Participant,
    round_number: int,
) -> Returned:
    """Trains one client in this process.

    Args:
        trainer: Shared by all clients.
        weights: Global weights.
        participant: The client.
        round_number: From 0.
    """
    update = trainer.train(
        weights,
        participant.batches,
        tf.constant(round_number, tf.int64),
        tf.constant(participant.number, tf.int64),
    )
    return Returned(
        participant.number,
        participant.name,
        [value.numpy() for value in flat(update.weights)],
        int(update.num_examples),
        update.losses.numpy(),
    )


def aggregate(
    weights: Sequence[np.ndarray],
    moments: Sequence[np.ndarray],
    returned: Iterable[Returned],
    round_number: int,
    settings: config.FederatedConfig,
) -> Outcome:
    """Screens and averages what clients returned; the order in which they did does not matter.

    Args:
        weights: Global weights, a flat list.
        moments: Of the server's optimizer.
        returned: Of the clients of the round.
        round_number: From 0, for the log.
        settings: How to aggregate.

    Returns:
        The outcome; weights are as before if no update was accepted.
    """
    rows, accepted = [], []
    for client in sorted(returned, key=lambda client: client.number):
        reason = screening.reason_to_reject(
            client.update, client.num_examples, client.losses, weights, settings
        )
        row = {
            "client": client.name,
            "examples": client.num_examples,
            "update_norm": averaging.norm(client.update),
            "rejected": reason,
            **local.losses_by_name(client.losses, settings),
            **(client.spent or {}),
        }
        if reason:
            screening.log_rejection(round_number, client.name, reason)
        else:
            update, row["clipped"] = averaging.clip(client.update, settings.clip_norm)
            accepted.append(client._replace(update=update))
        rows.append(row)
    if not accepted:
        _LOG.warning("round %d: no update was accepted; nothing changes", round_number)
        return Outcome(list(weights), list(moments), {}, rows)
    images = [client.num_examples for client in accepted]
    update = averaging.combine([client.update for client in accepted], images, settings)
    weights, moments = averaging.server_step(weights, update, moments, settings)
    means = mean_losses([(client.losses, client.num_examples) for client in accepted], settings)
    return Outcome(weights, moments, means, rows)


def mean_losses(
    accepted: Sequence[tuple[np.ndarray, int]], settings: config.FederatedConfig
) -> dict[str, float]:
    """Means over clients, by name.

    Args:
        accepted: Losses, float32 [len(local.LOSS_NAMES)], and images of each client.
        settings: Decides which losses there are.
    """
    if not accepted:
        return {}
    losses, images = zip(*accepted, strict=True)
    return local.losses_by_name(np.average(losses, axis=0, weights=images), settings)
