"""Training at one client: some iterations of the conditional WGAN-GP at a fixed resolution.

Plain TensorFlow. What comes out is a function of the global weights, the client's batches and the
key (seed, round, client): all noise is stateless. Each iteration makes some critic steps, then one
generator step, in the order of WGAN-GP's algorithm 1 <algorithm S1 of the paper>; the released code
steps the generator first.
"""

from collections.abc import Iterable
from typing import NamedTuple

import tensorflow as tf

from federated import batches as batches_lib
from federated import config, private_critic, sgd
from pgan import kernel_sharing, losses, networks, optimizer, training_step

# Streams of random numbers below a client's key; batches.py has those below 16.
_CRITIC_LATENTS, _MIX, _GENERATOR_LATENTS = range(16, 19)

# Entries of the losses that a client returns.
LOSS_NAMES = losses.TERM_NAMES + training_step.STAT_NAMES_AFTER_TERMS


class Weights(NamedTuple):
    """Weights of both networks, or an update of them; a list each, float32.

    Only those in use at the final resolution, in the order of `active_variables`.
    """

    generator: list
    discriminator: list


class LocalUpdate(NamedTuple):
    """What a client returns.

    Attributes:
        generator: float32 list, trained minus global weights.
        discriminator: The same of the discriminator.
        num_examples: int32 scalar, images of the client, its weight in the mean.
        losses: float32 [len(LOSS_NAMES)], means over the client's steps; skipped steps as a sum.
            With `dp_clip_norm`, 0 where they would tell of the images; see `losses_by_name`.
    """

    generator: list
    discriminator: list
    num_examples: tf.Tensor
    losses: tf.Tensor

    @property
    def weights(self) -> Weights:
        """The update of both networks."""
        return Weights(self.generator, self.discriminator)


class LocalTrainer(tf.Module):
    """The networks and optimizers of one client, used for all of them in turn.

    Attributes:
        generator: Generator, whose weights every round overwrites.
        discriminator: Discriminator, likewise.
        generator_optimizer: Of the generator.
        discriminator_optimizer: Of the discriminator.
    """

    def __init__(self, settings: config.FederatedConfig):
        """Creates the variables."""
        super().__init__(name="local_trainer")
        self._settings = settings
        self._weighting = settings.train_config()
        self._level = settings.network.max_level
        arguments = (settings.network, settings.seed, settings.precision)
        self.generator = networks.Generator(*arguments)
        self.discriminator = networks.Discriminator(*arguments)
        self._variables = active(self.generator, self.discriminator)
        self.generator_optimizer = _make_optimizer(settings, self._variables.generator)
        self.discriminator_optimizer = _make_optimizer(settings, self._variables.discriminator)

    def initial_weights(self) -> Weights:
        """The weights that the seed gives; to be called before the first round."""
        return Weights(*([v.numpy() for v in part] for part in self._variables))

    @tf.function
    def train(
        self,
        weights: Weights,
        batches: batches_lib.Batches | private_critic.PrivateBatches,
        round_number: tf.Tensor,
        client: tf.Tensor,
    ) -> LocalUpdate:
        """Trains from the global weights on.

        Args:
            weights: Global weights.
            batches: The client's examples of this round; private ones with `dp_clip_norm`.
            round_number: int64 scalar tensor, from 0.
            client: int64 scalar tensor, the client's number.
        """
        settings = self._settings
        tf.nest.map_structure(lambda v, w: v.assign(w), self._variables, weights)
        if not settings.keeps_optimizer:
            self.generator_optimizer.reset()
            self.discriminator_optimizer.reset()
        of_round = batches_lib.key(settings.seed, round_number, client)

        def body(step, sums):
            return step + 1, sums + self._iteration(step, batches, of_round)

        sums = _loop(settings.generator_steps, body, len(LOSS_NAMES))
        update = tf.nest.map_structure(lambda v, w: v - w, self._variables, weights)
        per_step = [
            1.0 if name.endswith("/skipped") else 1.0 / settings.generator_steps
            for name in LOSS_NAMES
        ]
        return LocalUpdate(
            update.generator, update.discriminator, batches.num_examples, sums * per_step
        )

    def _iteration(self, step, batches, of_round):
        """Critic steps, then a generator step; float32 [len(LOSS_NAMES)]."""
        settings = self._settings
        kernels = kernel_sharing.SharedKernels(self.generator, self._level, fading=False)

        def body(i, sums):
            images = tf.cast(batches.images[step, i], tf.float32) / 127.5 - 1.0
            seed = tf.random.fold_in(of_round, step * settings.critic_steps + i, _ALGORITHM)
            if settings.dp_clip_norm:
                row = self._private_critic_step(images, batches, (step, i), seed, kernels)
                return i + 1, sums + row
            row = self._critic_step(images, batches.labels[step, i], seed, kernels)
            return i + 1, sums + row

        terms = len(losses.DISCRIMINATOR_TERMS)
        sums = _loop(settings.critic_steps, body, terms + 2)
        critic = sums / settings.critic_steps
        seed = tf.random.fold_in(of_round, step, _ALGORITHM)
        generator = self._generator_step(batches.generator_labels[step], seed, kernels)
        return tf.concat(
            [critic[:terms], generator[:-2], critic[-2:-1], sums[-1:], generator[-2:]], axis=0
        )

    def _critic_step(self, images, labels, seed, generator_kernels):
        latents = self._latents(seed, _CRITIC_LATENTS)
        mix = tf.random.stateless_uniform(
            (self._settings.batch_size, 1, 1, 1),
            tf.random.fold_in(seed, _MIX, _ALGORITHM),
            alg=_ALGORITHM,
        )
        with generator_kernels.used():
            fake = self.generator(latents, losses.condition(labels), self._level)
        kernels = kernel_sharing.SharedKernels(self.discriminator, self._level, fading=False)
        with kernels.used(), tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(kernels.sources)
            terms = losses.discriminator_terms(
                lambda x: self.discriminator(x, self._level),
                images,
                tf.stop_gradient(fake),
                labels,
                mix,
                self._weighting,
            )
            loss, means = _total(terms)
        gradients = kernels.gradients(tape.gradient(loss, kernels.sources))
        return self._apply(
            self.discriminator_optimizer, gradients, self._variables.discriminator, means
        )

    def _private_critic_step(self, images, batches, at, seed, generator_kernels):
        """As `_critic_step`, with clipped gradients and noise, and no terms of real images."""
        labels = batches.labels[at]
        latents, mix = private_critic.draw_noise(
            seed, batches.places[at], self._settings.network.latent_size
        )
        with generator_kernels.used():
            fake = self.generator(latents, losses.condition(labels), self._level)
        gradients = private_critic.noisy_gradient(
            self.discriminator,
            private_critic.Examples(images, tf.stop_gradient(fake), labels, mix),
            batches.counts[at],
            batches.num_examples,
            batches.noise_keys[at],
            self._settings,
        )
        withheld = tf.zeros(len(losses.DISCRIMINATOR_TERMS))
        return self._apply(
            self.discriminator_optimizer, gradients, self._variables.discriminator, withheld
        )

    def _generator_step(self, labels, seed, kernels):
        latents = self._latents(seed, _GENERATOR_LATENTS)
        critic = kernel_sharing.SharedKernels(self.discriminator, self._level, fading=False)
        with (
            kernels.used(),
            critic.used(),
            tf.GradientTape(watch_accessed_variables=False) as tape,
        ):
            tape.watch(kernels.sources)
            fake = self.generator(latents, losses.condition(labels), self._level)
            scores, logits = self.discriminator(fake, self._level)
            loss, means = _total(losses.generator_terms(scores, logits, labels, self._weighting))
        gradients = kernels.gradients(tape.gradient(loss, kernels.sources))
        return self._apply(self.generator_optimizer, gradients, self._variables.generator, means)

    def _apply(self, optimizer_, gradients, variables, means):
        rate = tf.constant(self._settings.learning_rate)
        norm, skipped = optimizer_.apply(gradients, variables, rate)
        return tf.concat([means, tf.stack([norm, skipped])], axis=0)

    def _latents(self, seed, stream):
        shape = (self._settings.batch_size, self._settings.network.latent_size)
        seed = tf.random.fold_in(seed, stream, _ALGORITHM)
        return tf.random.stateless_normal(shape, seed, alg=_ALGORITHM)


_ALGORITHM = batches_lib.ALGORITHM


def losses_by_name(values: Iterable[float], settings: config.FederatedConfig) -> dict[str, float]:
    """Names the losses that a client returned, without those that it withholds.

    Args:
        values: In the order of LOSS_NAMES.
        settings: With `dp_clip_norm`, the critic's terms are withheld: they are means over real
            images, which no noise was added to.
    """
    withheld = losses.DISCRIMINATOR_TERMS if settings.dp_clip_norm else ()
    named = zip(LOSS_NAMES, map(float, values), strict=True)
    return {name: value for name, value in named if name not in withheld}


def active(generator: networks.Generator, discriminator: networks.Discriminator) -> Weights:
    """Variables of both networks in use at their final resolution."""
    return Weights(
        *(
            network.active_variables(network.config.max_level, fading=False)
            for network in (generator, discriminator)
        )
    )


def _make_optimizer(settings, variables):
    if settings.optimizer == "sgd":
        return sgd.Sgd(variables, settings.momentum)
    return optimizer.Adam(
        variables, settings.adam_beta1, settings.adam_beta2, settings.adam_epsilon
    )


def _loop(count, body, width):
    """Sums that a body adds to float32 [width] in some steps, one after the other."""
    _, sums = tf.while_loop(
        lambda i, _: i < count,
        body,
        (tf.constant(0), tf.zeros(width)),
        parallel_iterations=1,
        maximum_iterations=count,
    )
    return sums


def _total(terms):
    """The loss, float32 scalar, and the means over the batch of all terms."""
    means = tf.stack([tf.reduce_mean(term) for term in terms.values()])
    weights = tf.constant([losses.LOSS_TERMS[name] for name in terms], tf.float32)
    return tf.reduce_sum(means * weights), means
