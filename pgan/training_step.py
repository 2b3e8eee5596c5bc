"""One training step: the discriminator, the averaged generator, then the generator.

The step is a function of the networks' state, the real images, the clock and the seed: all noise is
stateless, drawn for the global batch and cut for the replica and pass, so that neither a restart
nor the number of devices nor gradient accumulation changes it (minibatch standard deviation, which
is a statistic of a pass, aside).
"""

from collections.abc import Callable

import tensorflow as tf

from pgan import (
    augment,
    config,
    distribute,
    kernel_sharing,
    losses,
    networks,
    optimizer,
    schedule,
)
from pgan.layers import downscale, upscale

# Streams of random numbers within a step.
_D_LATENTS, _MIX, _D_AUGMENT, _G_LATENTS, _G_LABELS, _G_AUGMENT = range(6)
# Named, since the algorithm chosen by default differs between devices.
_ALGORITHM = "philox"

STAT_NAMES_AFTER_TERMS = (
    "discriminator/gradient_norm",
    "discriminator/skipped",
    "generator/gradient_norm",
    "generator/skipped",
)


class TrainingState(tf.Module):
    """Everything a checkpoint holds; created inside the strategy's scope.

    Attributes:
        generator: Trained generator.
        discriminator: Trained discriminator.
        averaged: Exponential moving average of the generator, the one that is shown and exported.
        generator_optimizer: Adam of the generator.
        discriminator_optimizer: Adam of the discriminator.
        images_shown: int64 scalar, the clock.
        phase_start: int64 scalar, start of the phase whose Adam moments these are; -1: fresh.
    """

    def __init__(self, settings: config.TrainConfig):
        """Builds networks of every level and the slots of every variable."""
        super().__init__(name="training_state")
        arguments = {
            "seed": settings.seed,
            "dtype": settings.precision,
            "fused_scaling": settings.fused_scaling,
        }
        self.generator = networks.Generator(settings.network, **arguments)
        self.discriminator = networks.Discriminator(settings.network, **arguments)
        self.averaged = networks.Generator(settings.network, **arguments)
        adam = {
            "beta1": settings.adam_beta1,
            "beta2": settings.adam_beta2,
            "epsilon": settings.adam_epsilon,
            "dynamic_loss_scale": settings.precision == "mixed_float16",
        }
        self.generator_optimizer = optimizer.Adam(self.generator.trainable_variables, **adam)
        self.discriminator_optimizer = optimizer.Adam(
            self.discriminator.trainable_variables, **adam
        )
        self.images_shown = tf.Variable(0, dtype=tf.int64, trainable=False, name="images_shown")
        self.phase_start = tf.Variable(-1, dtype=tf.int64, trainable=False, name="phase_start")


def fade_reals(images: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Blends real images with their half resolution, as the networks blend their paths.

    Args:
        images: float32 [N, R, R, C].
        alpha: Weight of the full resolution, float32 scalar in [0, 1].

    Returns:
        float32 [N, R, R, C].
    """
    coarse = upscale(downscale(images))
    return coarse + (images - coarse) * alpha


class StepBuilder:
    """Builds the step of a phase.

    Attributes:
        stat_names: Names of the entries of the vector that a step returns.
    """

    def __init__(
        self,
        state: TrainingState,
        settings: config.TrainConfig,
        strategy: tf.distribute.Strategy,
        label_matrix: tf.Tensor,
    ):
        """Keeps what every phase shares.

        Args:
            state: Networks and optimizers.
            settings: Configuration of the run.
            strategy: Strategy in whose scope the state was created.
            label_matrix: Labels of the training fold, float32 [M, L]; rows of it are drawn
                uniformly, with replacement, for the generator's step.
        """
        self._state = state
        self._settings = settings
        self._strategy = strategy
        self._label_matrix = tf.constant(label_matrix, tf.float32)
        self.stat_names = losses.TERM_NAMES + STAT_NAMES_AFTER_TERMS

    def batch_and_pass(self, phase: schedule.Phase) -> tuple[int, int]:
        """Images of a replica's step and of one of its passes.

        Raises:
            ValueError: If the batch does not divide over replicas and groups.
        """
        settings, resolution = self._settings, phase.resolution
        batch = distribute.per_replica_batch(self._strategy, phase.batch_size, resolution)
        limit = int(config.at_resolution(settings.micro_batch, resolution, "--micro_batch"))
        group = settings.network.stddev_group
        return batch, distribute.pass_size(batch, limit, group, resolution)

    def build(self, phase: schedule.Phase) -> Callable[..., tf.Tensor]:
        """Builds the step of one phase.

        Returns:
            A tf.function of (images [B, R, R, C] in [-1, 1], labels [B, L], images_shown int64
            scalar, alpha float32 scalar), the first two per replica, which returns a float32
            vector in the order of `stat_names`: means over the global batch, norms and flags.

        Raises:
            ValueError: If the batch does not divide over replicas and groups.
        """
        strategy, replica_step = self._strategy, self.replica_step(phase)

        @tf.function
        def global_step(images, labels, images_shown, alpha):
            stats = strategy.run(replica_step, (images, labels, images_shown, alpha))
            return strategy.experimental_local_results(stats)[0]

        return global_step

    def replica_step(self, phase: schedule.Phase) -> Callable[..., tf.Tensor]:
        """Builds what one replica does in a step of `build`, with the same arguments; one graph."""
        batch, size = self.batch_and_pass(phase)
        step = _PhaseStep(self._state, self._settings, self._label_matrix, phase, batch, size)

        @tf.function(jit_compile=self._settings.jit_compile or None)
        def replica_step(images, labels, images_shown, alpha):
            return step(images, labels, images_shown, alpha)

        return replica_step


class _PhaseStep:
    """The step of one phase as seen by one replica."""

    def __init__(self, state, settings, label_matrix, phase, batch, size):
        self._state, self._settings, self._phase = state, settings, phase
        self._label_matrix = label_matrix
        self._batch, self._size, self._passes = batch, size, batch // size
        self._rate = tf.constant(
            config.at_resolution(settings.learning_rate, phase.resolution, "--learning_rate")
        )
        self._g_variables = state.generator.active_variables(phase.level, phase.fading)
        self._d_variables = state.discriminator.active_variables(phase.level, phase.fading)
        self._averaged = state.averaged.active_variables(phase.level, phase.fading)
        self._decay = settings.averaging_decay(phase.batch_size)

    def __call__(self, images, labels, images_shown, alpha):
        state, settings, phase = self._state, self._settings, self._phase
        alpha = alpha if phase.fading else None
        if phase.fading:
            images = fade_reals(images, alpha)
        images = tf.ensure_shape(images, (self._batch, *images.shape[1:]))

        g_kernels = kernel_sharing.SharedKernels(state.generator, phase.level, phase.fading)
        d_kernels = kernel_sharing.SharedKernels(state.discriminator, phase.level, phase.fading)

        latents = self._latents(images_shown, _D_LATENTS)
        mix = self._draw(images_shown, _MIX, tf.random.stateless_uniform, (1, 1, 1))

        def discriminator_pass(start):
            real, label = self._cut(images, start), self._cut(labels, start)
            with g_kernels.used():
                fake = state.generator(
                    self._cut(latents, start), losses.condition(label), phase.level, alpha
                )
            real = self._augmented(real, images_shown, _D_AUGMENT, start)
            fake = self._augmented(fake, images_shown, _D_AUGMENT, start + phase.batch_size)
            fake = tf.stop_gradient(fake)
            with d_kernels.used(), tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(d_kernels.sources)
                terms = losses.discriminator_terms(
                    lambda x: state.discriminator(x, phase.level, alpha),
                    real,
                    fake,
                    label,
                    self._cut(mix, start),
                    settings,
                    inner_scale=state.discriminator_optimizer.loss_scale,
                )
                loss, means = self._total(terms, state.discriminator_optimizer)
            return tape.gradient(loss, d_kernels.sources), means

        gradients, d_means = self._accumulate(
            discriminator_pass, d_kernels, len(losses.DISCRIMINATOR_TERMS)
        )
        gradients, d_means = self._sum_over_replicas(gradients, d_means)
        d_norm, d_skipped = state.discriminator_optimizer.apply(
            gradients, self._d_variables, self._rate
        )
        # The average is taken with the discriminator's update, as PGGAN has it: of the generator
        # that this step has not yet changed.
        optimizer.update_average(self._averaged, self._g_variables, self._decay)

        latents = self._latents(images_shown, _G_LATENTS)
        rows = self._draw(
            images_shown,
            _G_LABELS,
            tf.random.stateless_uniform,
            (),
            minval=0,
            maxval=self._label_matrix.shape[0],
            dtype=tf.int32,
        )
        labels = tf.gather(self._label_matrix, rows)
        # The discriminator's weights have moved, the generator's not yet.
        d_kernels = kernel_sharing.SharedKernels(state.discriminator, phase.level, phase.fading)

        def generator_pass(start):
            label = self._cut(labels, start)
            with (
                g_kernels.used(),
                d_kernels.used(),
                tf.GradientTape(watch_accessed_variables=False) as tape,
            ):
                tape.watch(g_kernels.sources)
                fake = state.generator(
                    self._cut(latents, start), losses.condition(label), phase.level, alpha
                )
                fake = self._augmented(fake, images_shown, _G_AUGMENT, start)
                scores, logits = state.discriminator(fake, phase.level, alpha)
                terms = losses.generator_terms(scores, logits, label, settings)
                loss, means = self._total(terms, state.generator_optimizer)
            return tape.gradient(loss, g_kernels.sources), means

        gradients, g_means = self._accumulate(
            generator_pass, g_kernels, len(losses.GENERATOR_TERMS)
        )
        gradients, g_means = self._sum_over_replicas(gradients, g_means)
        g_norm, g_skipped = state.generator_optimizer.apply(
            gradients, self._g_variables, self._rate
        )
        return tf.concat(
            [d_means, g_means, tf.stack([d_norm, d_skipped, g_norm, g_skipped])], axis=0
        )

    def _seed(self, images_shown, stream):
        seed = tf.stack([tf.constant(self._settings.seed, tf.int64), images_shown])
        return tf.random.fold_in(seed, stream, alg=_ALGORITHM)

    def _draw(self, images_shown, stream, sampler, shape, **arguments):
        """Draws for the global batch and keeps this replica's part, float32 or int32 [B, ...]."""
        seed = self._seed(images_shown, stream)
        values = sampler((self._phase.batch_size, *shape), seed=seed, alg=_ALGORITHM, **arguments)
        return tf.slice(
            values,
            [self._replica() * self._batch] + [0] * len(shape),
            [self._batch, *shape],
        )

    def _latents(self, images_shown, stream):
        size = self._settings.network.latent_size
        return self._draw(images_shown, stream, tf.random.stateless_normal, (size,))

    def _augmented(self, images, images_shown, stream, start):
        if not self._settings.augment:
            return images
        seed = self._seed(images_shown, stream)
        position = tf.cast(self._replica() * self._batch + start, tf.int64)
        seed = tf.random.fold_in(seed, position, alg=_ALGORITHM)
        return augment.augment(images, self._settings.augment, seed)

    def _replica(self):
        return tf.distribute.get_replica_context().replica_id_in_sync_group

    def _cut(self, values, start):
        if self._passes == 1:
            return values
        begin = [start] + [0] * (len(values.shape) - 1)
        return tf.slice(values, begin, [self._size, *values.shape[1:]])

    def _total(self, terms, scaled_by):
        """Sums per-image terms to this pass' share of the global batch's mean loss."""
        share = 1.0 / self._phase.batch_size
        means = tf.stack([tf.reduce_sum(term) * share for term in terms.values()])
        weights = tf.constant([losses.LOSS_TERMS[name] for name in terms], tf.float32)
        return tf.reduce_sum(means * weights) * scaled_by.loss_scale, means

    def _accumulate(self, one_pass, kernels, num_terms):
        """Sums gradients of the variables and means over the passes of a step."""
        if self._passes == 1:
            gradients, means = one_pass(0)
            return kernels.gradients(gradients), means

        def body(i, gradients, means):
            more, more_means = one_pass(i * self._size)
            summed = [a + b for a, b in zip(gradients, more, strict=True)]
            return i + 1, summed, means + more_means

        zeros = [tf.zeros(source.shape) for source in kernels.sources]
        _, gradients, means = tf.while_loop(
            lambda i, *_: i < self._passes,
            body,
            (tf.constant(0), zeros, tf.zeros(num_terms)),
            parallel_iterations=1,
            maximum_iterations=self._passes,
        )
        return kernels.gradients(gradients), means

    def _sum_over_replicas(self, gradients, means):
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 1:
            return gradients, means
        *gradients, means = context.all_reduce(tf.distribute.ReduceOp.SUM, [*gradients, means])
        return gradients, means
