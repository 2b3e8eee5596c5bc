"""Example-level differential privacy inside a client: the critic's gradient by DP-SGD.

Abadi et al. 2016 (https://arxiv.org/abs/1607.00133), for the critic of WGAN-GP. Every real image
has a fake of its own, made for its labels, and a point between the two of its own; the gradient of
all that it contributes to the loss,

    f(fake) - f(real) + lambda (|grad f(between)| - 1)^2 + drift f(real)^2 + w BCE(y, c(real)),

is shortened to `dp_clip_norm` C as a whole. The sum over the drawn images gets Gaussian noise of
standard deviation C `dp_noise_multiplier` and is divided by the expected number of images, never by
the number drawn. For an image to have no part in another's gradient, the minibatch standard
deviation is off, and latents and mixing factors belong to the image and not to its place in the
batch, since all images behind one that is left out move up.

What else a client's update is made of knows nothing of its images: the generator is trained through
the critic, on labels of a public prior; Adam sees noisy gradients only; an image whose gradient is
not finite counts as zeros, so that no step is skipped because of it; losses over real images are
withheld. `federated.privacy` says what this guarantees.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from federated import batches as batches_lib
from federated import config, privacy
from pgan import kernel_sharing, losses, networks

# Streams of random numbers below the key of a critic step; local.py has those below 19.
_LATENTS, _MIX = 19, 20
_LABELS = 2  # stream below the seed; clients.py has those below
_ALGORITHM = batches_lib.ALGORITHM


class PrivateBatches(NamedTuple):
    """A client's examples of one round, in the place of `batches.Batches`; M slots a step.

    Attributes:
        images: uint8 [E, critic steps, M, R, R, 1].
        labels: float32 [E, critic steps, M, L], of these images; NaN where unknown.
        places: int32 [E, critic steps, M], of these images among the client's.
        counts: int32 [E, critic steps], slots in use, the first ones; no other is looked at.
        noise_keys: int64 [E, critic steps, 2], secret, of the noise of each step.
        generator_labels: float32 [E, B, L], for which the generator's steps draw.
        num_examples: int32 scalar, images that the client has.
    """

    images: Any
    labels: Any
    places: Any
    counts: Any
    noise_keys: Any
    generator_labels: Any
    num_examples: Any


class Examples(NamedTuple):
    """Real images with what belongs to each of them.

    Attributes:
        real: float32 [M, R, R, 1] in [-1, 1].
        fake: float32 [M, R, R, 1], made for the labels.
        labels: float32 [M, L]; NaN where unknown.
        mix: float32 [M, 1, 1, 1] in [0, 1].
    """

    real: tf.Tensor
    fake: tf.Tensor
    labels: tf.Tensor
    mix: tf.Tensor


def shapes(settings: config.FederatedConfig) -> PrivateBatches:
    """Gives (dtype, shape) of every part."""
    network = settings.network
    E, C = settings.generator_steps, settings.critic_steps
    M, size = privacy.slots(settings.batch_size), network.resolution
    return PrivateBatches(
        images=(np.uint8, (E, C, M, size, size, network.channels)),
        labels=(np.float32, (E, C, M, network.num_labels)),
        places=(np.int32, (E, C, M)),
        counts=(np.int32, (E, C)),
        noise_keys=(np.int64, (E, C, 2)),
        generator_labels=(np.float32, (E, settings.batch_size, network.num_labels)),
        num_examples=(np.int32, ()),
    )


def make_batches(
    settings: config.FederatedConfig,
    num_examples: int,
    round_number: int,
    client: int,
    read: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> PrivateBatches:
    """Draws and reads what a client trains on; images and noise anew at every call.

    Args:
        settings: Sizes, prior and seed.
        num_examples: Images that the client has.
        round_number: From 0.
        client: The client's number.
        read: Function of places, int [N], to their images, uint8 [N, R, R, 1], and labels,
            float32 [N, L].
    """
    arrays = {
        name: np.zeros(shape, dtype) for name, (dtype, shape) in shapes(settings)._asdict().items()
    }
    secret = privacy.secret_generator(settings, round_number, client)
    rate = privacy.sampling_rate(settings.batch_size, num_examples)
    slots = privacy.slots(settings.batch_size)
    for at in np.ndindex(arrays["counts"].shape):
        chosen = privacy.draw_members(secret, num_examples, rate, slots)
        arrays["counts"][at], used = len(chosen), (*at, slice(len(chosen)))
        arrays["places"][used] = chosen
        if len(chosen):
            arrays["images"][used], arrays["labels"][used] = read(chosen)
    bounds = np.iinfo(np.int64)
    arrays["noise_keys"][...] = secret.integers(
        bounds.min, bounds.max, arrays["noise_keys"].shape, np.int64, endpoint=True
    )
    public = np.random.default_rng([settings.seed, _LABELS, round_number, client])
    drawn = public.random(arrays["generator_labels"].shape) < np.asarray(settings.label_prior)
    arrays["generator_labels"][...] = drawn
    arrays["num_examples"][...] = num_examples
    return PrivateBatches(**{name: tf.constant(array) for name, array in arrays.items()})


def draw_noise(seed: tf.Tensor, places: tf.Tensor, latent_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Latents and mixing factors that belong to images, wherever in the batch they are.

    Args:
        seed: int64 [2] of the step; it need not be secret.
        places: int32 [M], of the images among the client's.
        latent_size: Z.

    Returns:
        float32 [M, Z] and [M, 1, 1, 1].
    """

    def of_image(place):
        key = tf.random.fold_in(seed, place, _ALGORITHM)
        latents = tf.random.fold_in(key, _LATENTS, _ALGORITHM)
        mix = tf.random.fold_in(key, _MIX, _ALGORITHM)
        return (
            tf.random.stateless_normal((latent_size,), latents, alg=_ALGORITHM),
            tf.random.stateless_uniform((1, 1, 1), mix, alg=_ALGORITHM),
        )

    return tf.map_fn(
        of_image, places, fn_output_signature=(tf.float32, tf.float32), parallel_iterations=1
    )


def clipped_sum(
    discriminator: networks.Discriminator,
    examples: Examples,
    count: tf.Tensor,
    settings: config.FederatedConfig,
) -> list[tf.Tensor]:
    """Sum of the examples' gradients, each shortened to `dp_clip_norm` over all variables.

    One example after the other: of the ways to get gradients of single examples this takes the
    least memory and tracing. tf.vectorized_map and tape.jacobian have no batched form of the
    gradient of a convolution's kernel either, and loop over the examples layer by layer.

    Args:
        discriminator: The critic, at its final resolution.
        examples: At least as many as are used.
        count: int32 scalar tensor, the first examples that are used.
        settings: `dp_clip_norm` and the weights of the loss.

    Returns:
        float32, in the order and shapes of the discriminator's active variables; their sum over
        all variables changes by `dp_clip_norm` at most when an example is left out.
    """
    level = discriminator.config.max_level
    variables = discriminator.active_variables(level, fading=False)
    weighting = settings.train_config()

    def body(i, sums):
        one = Examples(*(part[i][tf.newaxis] for part in examples))
        kernels = kernel_sharing.SharedKernels(discriminator, level, fading=False)
        with kernels.used(), tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(kernels.sources)
            terms = losses.discriminator_terms(
                lambda x: discriminator(x, level), *one, weights=weighting
            )
            loss = tf.add_n([losses.LOSS_TERMS[name] * term[0] for name, term in terms.items()])
        gradients = kernels.gradients(tape.gradient(loss, kernels.sources))
        norm = tf.linalg.global_norm(gradients)
        scale = settings.dp_clip_norm / tf.maximum(norm, settings.dp_clip_norm)
        finite = tf.math.is_finite(norm)
        return i + 1, [
            total + tf.where(finite, gradient * scale, tf.zeros_like(gradient))
            for total, gradient in zip(sums, gradients, strict=True)
        ]

    zeros = [tf.zeros(variable.shape) for variable in variables]
    start = (tf.constant(0), zeros)
    return tf.while_loop(lambda i, _: i < count, body, start, parallel_iterations=1)[1]


def noisy_gradient(
    discriminator: networks.Discriminator,
    examples: Examples,
    count: tf.Tensor,
    num_examples: tf.Tensor,
    noise_key: tf.Tensor,
    settings: config.FederatedConfig,
) -> list[tf.Tensor]:
    """The private gradient of the critic's mean loss.

    Args:
        discriminator: The critic, at its final resolution.
        examples: At least as many as are used.
        count: int32 scalar tensor, the first examples that are used.
        num_examples: int32 scalar tensor, images that the client has.
        noise_key: int64 [2], secret, of this step alone.
        settings: Clip norm, noise, batch size and the weights of the loss.

    Returns:
        float32, in the order and shapes of the discriminator's active variables.
    """
    sums = clipped_sum(discriminator, examples, count, settings)
    sizes = [total.shape.num_elements() for total in sums]
    noise = tf.random.stateless_normal((sum(sizes),), noise_key, alg=_ALGORITHM)
    noise *= settings.dp_clip_norm * settings.dp_noise_multiplier
    expected = tf.cast(tf.minimum(num_examples, settings.batch_size), tf.float32)
    return [
        (total + tf.reshape(part, total.shape)) / expected
        for total, part in zip(sums, tf.split(noise, sizes), strict=True)
    ]
