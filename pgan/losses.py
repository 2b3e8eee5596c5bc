"""Losses of the conditional progressive GAN: WGAN-GP with drift and an auxiliary classifier.

Everything is per image, float32 [N]; the caller averages over the global batch, which keeps the
result independent of replicas and gradient accumulation.

With score f, logits c and BCE the sum of the sigmoid cross-entropies over the findings, the
generator minimises

    -f(fake) + w BCE(y, c(fake))

and the discriminator

    f(fake) - f(real) + lambda / gamma^2 (|grad f(mixed)| - gamma)^2 + drift f(real)^2
    + w [BCE(y, c(real)) + w_fake BCE(y, c(fake))]

Sources: WGAN-GP, Gulrajani et al. 2017 (https://arxiv.org/abs/1704.00028); drift, Karras et al.
2018 (https://arxiv.org/abs/1710.10196), appendix A.1; auxiliary classifier, Odena et al. 2017
(https://arxiv.org/abs/1610.09585), with independent sigmoids as in Han et al. 2020, equation 1.
"""

from collections.abc import Callable

import tensorflow as tf

from pgan import config

# Images to (scores [N], logits [N, L]).
Critic = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# Keeps the derivative of the gradient norm finite where the gradient vanishes; the published code
# has none and can give NaN there.
NORM_EPSILON = 1e-12

DISCRIMINATOR_TERMS = (
    "discriminator/wasserstein",
    "discriminator/penalty",
    "discriminator/drift",
    "discriminator/labels_real",
    "discriminator/labels_fake",
    "scores/real",
    "scores/fake",
    "scores/gradient_norm",
)
GENERATOR_TERMS = ("generator/adversarial", "generator/labels")
TERM_NAMES = DISCRIMINATOR_TERMS + GENERATOR_TERMS

# Share of each term in the loss: terms are weighted already, and scores are only watched.
LOSS_TERMS = {name: 0.0 if name.startswith("scores/") else 1.0 for name in TERM_NAMES}


def classification_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Sigmoid cross-entropy summed (not averaged) over the findings.

    The sum is what the paper trained with: the weight of the classifier against the critic grows
    with the number of findings, about 9.7 for 14 findings and zero logits.

    Args:
        labels: float32 [N, L] in [0, 1]; NaN where unknown, which costs nothing.
        logits: float32 [N, L].

    Returns:
        float32 [N]; zeros where L is 0.
    """
    known = tf.math.is_finite(labels)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=condition(labels), logits=logits)
    return tf.reduce_sum(tf.where(known, losses, tf.zeros_like(losses)), axis=-1)


def condition(labels: tf.Tensor) -> tf.Tensor:
    """Labels as the generator takes them: unknown ones (NaN) as absent."""
    return tf.where(tf.math.is_finite(labels), labels, tf.zeros_like(labels))


def interpolate(real: tf.Tensor, fake: tf.Tensor, mix: tf.Tensor) -> tf.Tensor:
    """Points between real and synthetic images, `real + mix * (fake - real)`.

    Args:
        real: float32 [N, H, W, C].
        fake: float32 [N, H, W, C].
        mix: float32 [N, 1, 1, 1] in [0, 1], one number for a whole image.

    Returns:
        float32 [N, H, W, C].
    """
    return real + mix * (fake - real)


def score_gradient_norms(
    discriminator: Critic, images: tf.Tensor, inner_scale: tf.Tensor | float = 1.0
) -> tf.Tensor:
    """Euclidean norms of the gradient of the score with respect to each image.

    Logits take no part. The norm is `sqrt(sum of squares + 1e-12)`.

    Args:
        discriminator: function of images that returns (scores [N], logits [N, L]).
        images: float32 [N, H, W, C].
        inner_scale: positive scalar by which scores are multiplied before, and gradients divided
            after, this inner differentiation. float16 needs it, or small gradients vanish on their
            way to the image. The derivative of the norm enters the 16-bit layers divided by it,
            so the caller's own loss scale should be at least as large.

    Returns:
        float32 [N], differentiable in the discriminator's variables.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        scores, _ = discriminator(images)
        total = tf.reduce_sum(scores * inner_scale)
    gradients = tf.cast(tape.gradient(total, images), tf.float32) / inner_scale
    return tf.sqrt(tf.reduce_sum(gradients * gradients, axis=[1, 2, 3]) + NORM_EPSILON)


def gradient_penalty(norms: tf.Tensor, weight: float = 10.0, target: float = 1.0) -> tf.Tensor:
    """WGAN-GP's penalty, `weight / target^2 * (norm - target)^2`.

    Args:
        norms: float32 [N] of `score_gradient_norms`.
        weight: lambda.
        target: gamma, the gradient norm asked for.

    Returns:
        float32 [N].
    """
    return weight / target**2 * tf.square(norms - target)


def discriminator_terms(
    discriminator: Critic,
    real: tf.Tensor,
    fake: tf.Tensor,
    labels: tf.Tensor,
    mix: tf.Tensor,
    weights: config.TrainConfig,
    inner_scale: tf.Tensor | float = 1.0,
) -> dict[str, tf.Tensor]:
    """Terms of the discriminator's loss and the scores to watch.

    Args:
        discriminator: function of images that returns (scores [N], logits [N, L]).
        real: float32 [N, H, W, C].
        fake: float32 [N, H, W, C], made for `labels`; pass it through tf.stop_gradient unless the
            generator's gradient is wanted.
        labels: float32 [N, L] in [0, 1], of the real images.
        mix: float32 [N, 1, 1, 1], uniform in [0, 1].
        weights: training configuration, of which `penalty_weight`, `penalty_target`,
            `drift_weight`, `label_weight` and `fake_label_weight` are used.
        inner_scale: see `score_gradient_norms`.

    Returns:
        Dict of float32 [N] in the order of DISCRIMINATOR_TERMS. Terms carry their weights; the
        loss is the sum of all but the `scores/` entries, which have no gradient.
    """
    real_scores, real_logits = discriminator(real)
    fake_scores, fake_logits = discriminator(fake)
    norms = score_gradient_norms(discriminator, interpolate(real, fake, mix), inner_scale)
    fake_label_weight = weights.label_weight * weights.fake_label_weight
    values = (
        fake_scores - real_scores,
        gradient_penalty(norms, weights.penalty_weight, weights.penalty_target),
        weights.drift_weight * tf.square(real_scores),
        weights.label_weight * classification_loss(labels, real_logits),
        fake_label_weight * classification_loss(labels, fake_logits),
        tf.stop_gradient(real_scores),
        tf.stop_gradient(fake_scores),
        tf.stop_gradient(norms),
    )
    return dict(zip(DISCRIMINATOR_TERMS, values, strict=True))


def generator_terms(
    fake_scores: tf.Tensor, fake_logits: tf.Tensor, labels: tf.Tensor, weights: config.TrainConfig
) -> dict[str, tf.Tensor]:
    """Terms of the generator's loss.

    Args:
        fake_scores: float32 [N], the discriminator's scores of synthetic images.
        fake_logits: float32 [N, L], its logits of the same images.
        labels: float32 [N, L] in [0, 1] for which they were made.
        weights: training configuration, of which `label_weight` is used.

    Returns:
        Dict of float32 [N] in the order of GENERATOR_TERMS; the loss is their sum.
    """
    values = (-fake_scores, weights.label_weight * classification_loss(labels, fake_logits))
    return dict(zip(GENERATOR_TERMS, values, strict=True))
