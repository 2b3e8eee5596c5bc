"""The global networks, the optimizer of the server and the clock, as a checkpoint holds them."""

import numpy as np
import tensorflow as tf

from federated import averaging, config, local, rounds
from pgan import networks


class ServerState(tf.Module):
    """Everything that goes on from round to round.

    It has the names of `pgan.training_step.TrainingState`, so that whatever reads a run of
    tools/train_pgan.py reads this: measurements, grids, checkpoints, export. The generator is its
    own average, since the server averages clients already.

    Attributes:
        generator: Global generator.
        discriminator: Global discriminator.
        averaged: The generator.
        images_shown: int64 scalar, the clock: rounds times the images of one client's round.
        moments: Variables of FedAdam, see `averaging.initial_moments`.
        clip_norm: float32 scalar, where adaptive clipping has arrived; there only with it.
    """

    def __init__(self, settings: config.FederatedConfig):
        """Builds the networks that the seed gives."""
        super().__init__(name="server_state")
        self._settings = settings
        arguments = (settings.network, settings.seed, settings.precision)
        self.generator = networks.Generator(*arguments)
        self.discriminator = networks.Discriminator(*arguments)
        self.averaged = self.generator
        self.images_shown = tf.Variable(0, dtype=tf.int64, trainable=False, name="images_shown")
        moments = averaging.initial_moments(rounds.flat(self.weights()), settings)
        self.moments = [tf.Variable(m, trainable=False, name="moment") for m in moments]
        if settings.client_dp_clipping == config.ADAPTIVE:
            self.clip_norm = tf.Variable(settings.clip_norm, trainable=False, name="clip_norm")

    def keep(self, trainer: local.LocalTrainer) -> None:
        """Lets checkpoints hold the optimizers of the only client, which go on, too."""
        self.local_optimizers = [trainer.generator_optimizer, trainer.discriminator_optimizer]

    @property
    def rounds_done(self) -> int:
        """Rounds that led here."""
        return int(self.images_shown.numpy()) // self._settings.images_per_round

    def weights(self) -> local.Weights:
        """Weights of both networks, float32 arrays."""
        variables = local.active(self.generator, self.discriminator)
        return local.Weights(*([v.numpy() for v in part] for part in variables))

    def replace(self, weights: list[np.ndarray], moments: list[np.ndarray]) -> None:
        """Takes over weights of both networks, a flat list, and moments; the clock stays."""
        variables = rounds.flat(local.active(self.generator, self.discriminator))
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)
        for variable, value in zip(self.moments, moments, strict=True):
            variable.assign(value)

    def advance(self, outcome: rounds.Outcome) -> None:
        """Takes over what a round came to, and moves the clock."""
        self.replace(outcome.weights, outcome.moments)
        self.images_shown.assign_add(self._settings.images_per_round)


def step_norm(old: local.Weights, new: local.Weights) -> float:
    """Norm of the server's step from old to new weights."""
    pairs = zip(rounds.flat(old), rounds.flat(new), strict=True)
    return averaging.norm([np.subtract(b, a) for a, b in pairs])
