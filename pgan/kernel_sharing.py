"""Effective kernels of a network, computed once and shared by several calls.

An equalized layer multiplies with a scaled and, where it resamples, folded copy of its kernel
(`pgan.layers`). A training step calls the discriminator four times and the generator twice with the
same weights: here the copies are made once, the calls give gradients with respect to the copies,
and the sum of these goes back through the linear map once.
"""

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from pgan import layers, networks


class SharedKernels:
    """Effective kernels of a network at one level, as its weights are now.

    Attributes:
        sources: What gradients are taken of, in the order of `network.active_variables`: the
            effective kernel, float32, in the place of a kernel, and the variable itself elsewhere.
        by_kernel: Effective kernels by the reference of their variable, as `layers.sharing` takes
            them.
    """

    def __init__(
        self, network: networks.Generator | networks.Discriminator, level: int, fading: bool
    ):
        """Computes the kernels.

        Args:
            network: Generator or discriminator.
            level: log2 of the image size.
            fading: Whether the level is being faded in.
        """
        self._variables = network.active_variables(level, fading)
        equalized = {
            layer.kernel.ref(): layer
            for layer in network.submodules
            if isinstance(layer, layers.Equalized)
        }
        self._kernels = [v for v in self._variables if v.ref() in equalized]
        with tf.GradientTape(watch_accessed_variables=False) as self._tape:
            self._tape.watch(self._kernels)
            self._effective = [equalized[v.ref()].effective_kernel() for v in self._kernels]
        self.by_kernel = {
            kernel.ref(): effective
            for kernel, effective in zip(self._kernels, self._effective, strict=True)
        }
        self.sources = [self.by_kernel.get(v.ref(), v) for v in self._variables]

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Calls of the network within the block use these kernels."""
        with layers.sharing(self.by_kernel):
            yield

    def gradients(self, of_sources: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Turns gradients with respect to `sources` into those of the variables; to be called once.

        Args:
            of_sources: float32, in the order and shapes of `sources`.

        Returns:
            float32, in the order and shapes of `network.active_variables`.
        """
        by_variable = {v.ref(): g for v, g in zip(self._variables, of_sources, strict=True)}
        of_kernels = self._tape.gradient(
            self._effective,
            self._kernels,
            output_gradients=[by_variable[kernel.ref()] for kernel in self._kernels],
        )
        by_variable.update(
            {kernel.ref(): g for kernel, g in zip(self._kernels, of_kernels, strict=True)}
        )
        return [by_variable[v.ref()] for v in self._variables]
