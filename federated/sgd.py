"""Stochastic gradient descent with momentum, in the place of `pgan.optimizer.Adam`."""

from collections.abc import Sequence

import tensorflow as tf


class Sgd(tf.Module):
    """Momentum as in PyTorch: a <- momentum a + gradient, weight <- weight - rate a.

    Skips steps with non-finite gradients, as `pgan.optimizer.Adam` does.
    """

    def __init__(self, variables: Sequence[tf.Variable], momentum: float):
        """Creates zero accumulators for the variables that are always updated together."""
        super().__init__(name="sgd")
        self._momentum = momentum
        self.accumulated = [tf.Variable(tf.zeros(v.shape), trainable=False) for v in variables]

    def apply(
        self,
        gradients: Sequence[tf.Tensor],
        variables: Sequence[tf.Variable],
        learning_rate: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Applies one step, or skips it; arguments and results as of `pgan.optimizer.Adam`."""
        norm = tf.linalg.global_norm(gradients)

        def update():
            for variable, slot, gradient in zip(
                variables, self.accumulated, gradients, strict=True
            ):
                tf.raw_ops.ResourceApplyMomentum(
                    var=variable.handle,
                    accum=slot.handle,
                    lr=learning_rate,
                    grad=gradient,
                    momentum=tf.constant(self._momentum),
                )
            return tf.constant(0.0)

        return norm, tf.cond(tf.math.is_finite(norm), update, lambda: tf.constant(1.0))

    def reset(self) -> None:
        """Forgets the accumulated gradients."""
        for slot in self.accumulated:
            slot.assign(tf.zeros_like(slot))
