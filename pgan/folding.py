"""Kernels that resample and convolve at once: sums of shifted copies of a kernel, a linear map.

Upscaling repeats every pixel 2x2, downscaling takes 2x2 means (`pgan.layers`).
"""

import numpy as np
import tensorflow as tf


def fold_upscale(kernel: tf.Tensor, scale: float) -> tf.Tensor:
    """Kernel of the transposed convolution of stride 2 that equals upscaling and a convolution.

    Each pixel, repeated 2x2, is multiplied with neighbouring entries of the kernel, which can be
    summed beforehand: 16 products for a pixel of the input instead of 36, for a kernel of 3x3.
    PGGAN calls this fused scaling.

    Args:
        kernel: float32 [K, K, C_in, C_out] of the convolution with "SAME" padding, K odd.
        scale: factor of the result.

    Returns:
        float32 [K + 1, K + 1, C_out, C_in], as `tf.nn.conv2d_transpose` takes it.
    """
    # The transposed convolution runs through its kernel backwards.
    matrix = _fold_matrix(kernel.shape[0])[::-1, ::-1]
    return tf.transpose(_apply_to_positions(scale * matrix, kernel), [0, 1, 3, 2])


def fold_downscale(kernel: tf.Tensor, scale: float) -> tf.Tensor:
    """Kernel of the convolution of stride 2 that equals a convolution and downscaling.

    Args:
        kernel: float32 [K, K, C_in, C_out] of the convolution with "SAME" padding, K odd.
        scale: factor of the result.

    Returns:
        float32 [K + 1, K + 1, C_in, C_out].
    """
    return _apply_to_positions(scale / 4.0 * _fold_matrix(kernel.shape[0]), kernel)


def _fold_matrix(size):
    """Sum of the four shifts of a kernel by 0 or 1 in each direction: [K + 1, K + 1, K, K]."""
    shifts = np.eye(size + 1, size) + np.eye(size + 1, size, k=-1)
    return np.einsum("ik,jl->ijkl", shifts, shifts)


def _apply_to_positions(matrix, kernel):
    """[K, K, C_in, C_out] to [M, M, C_in, C_out] by a linear map [M, M, K, K] of the positions.

    As a matrix product it and its gradient are single passes over the kernel: 1 ms each for 512
    channels on two cores, where padding and adding take 11 ms and their gradient 91 ms.
    """
    new, _, old, _ = matrix.shape
    channels = kernel.shape[2:]
    flat = tf.reshape(kernel, [old * old, channels[0] * channels[1]])
    matrix = tf.constant(matrix.reshape(new * new, old * old), kernel.dtype)
    return tf.reshape(tf.matmul(matrix, flat), [new, new, *channels])
