"""Layers of the progressive GAN (Karras et al. 2018, https://arxiv.org/abs/1710.10196), NHWC.

Functions are pure mathematics; a class exists only where there are weights or settings to own.

Mixed precision follows Keras dtype policies: variables are always float32, and a layer of policy
`mixed_bfloat16` or `mixed_float16` multiplies in the 16-bit type. Three things stay float32 under
every policy: the scaling of an equalized weight, the mean square of the pixel norm, and the
minibatch standard deviation.
"""

import contextlib
import contextvars
import math
import types
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from pgan import folding

HE_GAIN = math.sqrt(2.0)  # He et al. 2015, https://arxiv.org/abs/1502.01852.
LEAKY_RELU_SLOPE = 0.2
EPSILON = 1e-8


def pixel_norm(x: tf.Tensor) -> tf.Tensor:
    """Scales every pixel's feature vector to unit root mean square.

    `x / sqrt(mean(x**2 over channels) + 1e-8)`, section 4.2 of the PGGAN paper.

    Args:
        x: float [..., C]. The mean square is taken in float32 whatever the dtype.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    wide = tf.cast(x, tf.float32)
    scale = tf.math.rsqrt(tf.reduce_mean(wide * wide, axis=-1, keepdims=True) + EPSILON)
    return x * tf.cast(scale, x.dtype)


@tf.custom_gradient
def leaky_relu(x: tf.Tensor) -> tf.Tensor:
    """Leaky ReLU of slope 0.2, the activation of both networks.

    The function and its first derivative are TensorFlow's. The second derivative is zero almost
    everywhere, and here it is no tensor at all, where TensorFlow would carry zeros back through
    every layer of the gradient penalty.

    Args:
        x: float [...].

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    y = tf.nn.leaky_relu(x, alpha=LEAKY_RELU_SLOPE)
    # The output has the sign of the input. Without the input, TensorFlow fuses convolution, bias
    # and activation into one kernel.
    features = tf.stop_gradient(y)

    def gradient(upstream):
        if x.dtype == tf.float32:
            return tf.raw_ops.LeakyReluGrad(
                gradients=upstream, features=features, alpha=LEAKY_RELU_SLOPE
            )
        # TensorFlow 2.14's kernel for 16-bit types takes as long as a convolution on a CPU.
        slope = tf.constant(LEAKY_RELU_SLOPE, x.dtype)
        return upstream * tf.maximum(tf.sign(features), slope)

    return y, gradient


def upscale(x: tf.Tensor) -> tf.Tensor:
    """Doubles height and width by repeating pixels (nearest neighbour).

    Args:
        x: [N, H, W, C]; only N may be unknown.

    Returns:
        [N, 2H, 2W, C].
    """
    # Reshape and broadcast, since the gradient of TensorFlow's image-resize operations has no
    # gradient of its own and the operations are slower.
    _, height, width, channels = x.shape
    batch = _batch_size(x)
    x = tf.reshape(x, [batch, height, 1, width, 1, channels])
    x = tf.broadcast_to(x, [batch, height, 2, width, 2, channels])
    return tf.reshape(x, [batch, 2 * height, 2 * width, channels])


def downscale(x: tf.Tensor) -> tf.Tensor:
    """Halves height and width by the mean of each 2x2 square.

    Args:
        x: [N, H, W, C] with even H and W.

    Returns:
        [N, H/2, W/2, C].
    """
    return tf.nn.avg_pool2d(x, ksize=2, strides=2, padding="VALID")


def lerp(old: tf.Tensor, new: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Blends `old` (alpha 0) into `new` (alpha 1), exact at both ends, computed in float32.

    Args:
        old: float [...].
        new: float [...], same shape.
        alpha: scalar in [0, 1].

    Returns:
        Tensor of the shape and dtype of `new`.
    """
    # Sixteen-bit types cannot hold the small differences of alpha from one step to the next.
    alpha = tf.cast(alpha, tf.float32)
    blend = tf.cast(old, tf.float32) * (1.0 - alpha) + tf.cast(new, tf.float32) * alpha
    return tf.cast(blend, new.dtype)


def fold_seed(seed: int, path: str) -> int:
    """Derives the seed of the part called `path` from the seed of the whole.

    Folding piece by piece equals folding at once:
    `fold_seed(fold_seed(s, "a/"), "b") == fold_seed(s, "a/b")`, so that a variable's initial value
    depends on the network's seed and the variable's full path and on nothing else.

    Args:
        seed: int in [0, 2**32).
        path: text.

    Returns:
        int in [0, 2**32).
    """
    return zlib.crc32(path.encode(), seed)


# Effective kernels by the reference of their variable, for the calls within `sharing`.
_SHARED: contextvars.ContextVar[Mapping] = contextvars.ContextVar(
    "shared_kernels", default=types.MappingProxyType({})
)


@contextlib.contextmanager
def sharing(kernels: Mapping[Any, tf.Tensor]) -> Iterator[None]:
    """Lets equalized layers use effective kernels that exist already.

    Args:
        kernels: effective kernels by `layer.kernel.ref()`.
    """
    token = _SHARED.set({**_SHARED.get(), **kernels})
    try:
        yield
    finally:
        _SHARED.reset(token)


class Equalized(tf.keras.layers.Layer):
    """What the equalized layers share: a unit-normal kernel, a zero bias, a run-time scale.

    The variable `kernel` is drawn from N(0, 1) and the layer computes with
    `kernel * gain / sqrt(fan_in)` (equalized learning rate, section 4.1 of the PGGAN paper, after
    He et al. 2015, https://arxiv.org/abs/1502.01852). `bias` starts at zero and is not scaled.
    The initial kernel is a function of `seed` and its shape only.
    """

    def __init__(self, gain, seed, **kwargs):
        super().__init__(**kwargs)
        self.gain = gain
        self.seed = seed

    def add_kernel_and_bias(self, kernel_shape, bias_size):
        """Creates both variables; fan-in is the product of all kernel axes but the last."""

        def unit_normal(shape, dtype=tf.float32):
            return tf.random.stateless_normal(
                shape, seed=tf.constant([self.seed, 0], tf.int64), dtype=dtype, alg="philox"
            )

        self.scale = self.gain / math.sqrt(math.prod(kernel_shape[:-1]))
        # Without Keras's automatic cast the kernel is scaled in float32 before it is rounded.
        self.kernel = self.add_weight(
            "kernel", kernel_shape, initializer=unit_normal, experimental_autocast=False
        )
        self.bias = self.add_weight(
            "bias", [bias_size], initializer="zeros", experimental_autocast=False
        )

    def effective_kernel(self) -> tf.Tensor:
        """What the layer multiplies with, float32: a linear function of `kernel`."""
        return self.kernel * self.scale

    def cast_kernel(self) -> tf.Tensor:
        """The effective kernel in the compute dtype, the shared one within `sharing`."""
        shared = _SHARED.get().get(self.kernel.ref())
        return tf.cast(self.effective_kernel() if shared is None else shared, self.compute_dtype)

    def add_bias(self, x):
        """Adds the bias to the last axis."""
        return tf.nn.bias_add(x, tf.cast(self.bias, x.dtype))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "gain": self.gain, "seed": self.seed}


class EqualizedConv2D(Equalized):
    """Stride-1 convolution with equalized learning rate, zero "SAME" padding and bias.

    `resample="up"` repeats every pixel 2x2 before the convolution; `resample="down"` takes 2x2
    means after it and before the bias.

    Input [N, H, W, C_in], output [N, H', W', filters] in the layer's compute dtype, where H' is H,
    2H ("up") or H/2 ("down").
    """

    def __init__(
        self,
        filters,
        kernel_size,
        gain=HE_GAIN,
        resample=None,
        fused_scaling=True,
        seed=0,
        **kwargs,
    ):
        """Initializes the layer.

        Args:
            filters: output channels.
            kernel_size: height and width of the kernel in pixels, odd.
            gain: factor of the He scale `1 / sqrt(fan_in)`.
            resample: None, "up" or "down".
            fused_scaling: whether resampling and convolution are one operation, which gives the
                same up to rounding, for a kernel of 3x3 with 4/9 of the arithmetic.
            seed: int in [0, 2**32) that alone decides the initial kernel.
            **kwargs: `name` and `dtype` of a Keras layer.

        Raises:
            ValueError: for a non-positive or even size or an unknown `resample`.
        """
        super().__init__(gain=gain, seed=seed, **kwargs)
        if filters < 1:
            raise ValueError(f"filters must be at least 1, got {filters}.")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}.")
        if resample not in (None, "up", "down"):
            raise ValueError(f'resample must be None, "up" or "down", got {resample!r}.')
        self.filters = filters
        self.kernel_size = kernel_size
        self.resample = resample
        self.fused_scaling = fused_scaling

    def build(self, input_shape):
        """Creates `kernel` and `bias`."""
        size = self.kernel_size
        self.add_kernel_and_bias([size, size, input_shape[-1], self.filters], self.filters)
        super().build(input_shape)

    def effective_kernel(self):
        """See the base class; folded with the resampling where that is fused."""
        if self._fused == "up":
            return folding.fold_upscale(self.kernel, self.scale)
        if self._fused == "down":
            return folding.fold_downscale(self.kernel, self.scale)
        return super().effective_kernel()

    def call(self, inputs):
        """Resamples, convolves and adds the bias."""
        kernel = self.cast_kernel()
        if self._fused == "up":
            _, height, width, _ = inputs.shape
            shape = [_batch_size(inputs), 2 * height, 2 * width, self.filters]
            return self.add_bias(tf.nn.conv2d_transpose(inputs, kernel, shape, strides=2))
        if self._fused == "down":
            return self.add_bias(tf.nn.conv2d(inputs, kernel, strides=2, padding="SAME"))
        x = upscale(inputs) if self.resample == "up" else inputs
        x = tf.nn.conv2d(x, kernel, strides=1, padding="SAME")
        if self.resample == "down":
            x = downscale(x)
        return self.add_bias(x)

    @property
    def _fused(self):
        return self.resample if self.fused_scaling else None

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "resample": self.resample,
            "fused_scaling": self.fused_scaling,
        }


class EqualizedDense(Equalized):
    """Fully connected layer with equalized learning rate and one bias per channel.

    Input [N, K], output [N, *target_shape] in the layer's compute dtype. The last axis of
    `target_shape` is the channel axis: the bias has that many entries and is shared by all
    positions, as after a convolution.
    """

    def __init__(self, target_shape, gain=HE_GAIN, seed=0, **kwargs):
        """Initializes the layer.

        Args:
            target_shape: shape of one output, e.g. (512,) or (4, 4, 512).
            gain: factor of the He scale `1 / sqrt(fan_in)`.
            seed: int in [0, 2**32) that alone decides the initial kernel.
            **kwargs: `name` and `dtype` of a Keras layer.

        Raises:
            ValueError: for an empty shape or an axis below 1.
        """
        super().__init__(gain=gain, seed=seed, **kwargs)
        if not target_shape or min(target_shape) < 1:
            raise ValueError(f"target_shape must have axes of at least 1, got {target_shape}.")
        self.target_shape = tuple(target_shape)

    def build(self, input_shape):
        """Creates `kernel` and `bias`."""
        units = math.prod(self.target_shape)
        self.add_kernel_and_bias([input_shape[-1], units], self.target_shape[-1])
        super().build(input_shape)

    def call(self, inputs):
        """Multiplies, reshapes and adds the bias."""
        x = tf.matmul(inputs, self.cast_kernel())
        if len(self.target_shape) > 1:
            x = tf.reshape(x, [_batch_size(x), *self.target_shape])
        return self.add_bias(x)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "target_shape": self.target_shape}


class MinibatchStddev(tf.keras.layers.Layer):
    """Appends one channel that tells how much the samples of a group differ.

    Section 3 of the PGGAN paper. Samples are grouped with a stride: in a batch of N with groups of
    g, sample i shares its group with i + N/g, i + 2N/g, ... For each group: population standard
    deviation over its members at every position and channel, `sqrt(variance + 1e-8)`, then the
    mean over positions and channels: one number, copied to every position of every member.
    Computed in float32 under every dtype policy. Under a distribution strategy the batch is the
    replica's own.

    Input [N, H, W, C] with a static shape, output [N, H, W, C + 1]. A batch smaller than the group
    forms one group.
    """

    def __init__(self, group_size=4, **kwargs):
        """Initializes the layer.

        Args:
            group_size: samples per group. 1 turns the statistic off: the extra channel is then all
                zeros, so that parameter counts and weights do not depend on this setting.
            **kwargs: `name` and `dtype` of a Keras layer.

        Raises:
            ValueError: for a group below 1.
        """
        super().__init__(**kwargs)
        if group_size < 1:
            raise ValueError(f"group_size must be at least 1, got {group_size}.")
        self.group_size = group_size

    def call(self, inputs):
        """Appends the channel.

        Raises:
            ValueError: when the batch size is unknown or no multiple of the group.
        """
        if self.group_size == 1:
            return tf.concat([inputs, tf.zeros_like(inputs[..., :1])], axis=-1)
        batch, height, width, channels = inputs.shape
        if batch is None:
            raise ValueError(
                "The minibatch standard deviation needs a batch size known when the graph is "
                "built; use dataset.batch(..., drop_remainder=True) or stddev_group=1."
            )
        group = min(self.group_size, batch)
        if batch % group:
            raise ValueError(
                f"A batch of {batch} cannot be divided into minibatch-stddev groups of {group}; "
                f"use a multiple of {group} per replica or another stddev_group."
            )
        x = tf.cast(inputs, tf.float32)
        x = tf.reshape(x, [group, batch // group, height, width, channels])
        x -= tf.reduce_mean(x, axis=0, keepdims=True)
        stddev = tf.sqrt(tf.reduce_mean(x * x, axis=0) + EPSILON)
        stddev = tf.reduce_mean(stddev, axis=[1, 2, 3])  # One number per group.
        # Member j of group k is sample j * (N/g) + k, so tiling the groups restores the order.
        stddev = tf.reshape(tf.tile(stddev, [group]), [batch, 1, 1, 1])
        stddev = tf.broadcast_to(stddev, [batch, height, width, 1])
        return tf.concat([inputs, tf.cast(stddev, inputs.dtype)], axis=-1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "group_size": self.group_size}


def _batch_size(x):
    """Number of samples: an int where it is known, so that static shapes stay static."""
    return x.shape[0] if x.shape[0] is not None else tf.shape(x)[0]
