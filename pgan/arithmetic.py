"""Parameters and multiply-adds of the networks by arithmetic, without TensorFlow.

Two floating-point operations per multiply-add, convolutions and dense layers only, nearest
upscaling followed by a convolution counted at the high resolution.
"""

import dataclasses

from pgan import config as config_lib

MIN_LEVEL = 2


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer with weights.

    Attributes:
        name: path of its variables, such as "block_64/conv0".
        weights: entries of the kernel.
        biases: entries of the bias.
        positions: pixels at which the kernel is applied, 1 for a dense layer.
    """

    name: str
    weights: int
    biases: int
    positions: int = 1

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases

    @property
    def flops(self) -> int:
        """Floating-point operations for one image."""
        return 2 * self.weights * self.positions


def generator_layers(
    config: config_lib.NetworkConfig, level: int, fading: bool = False
) -> list[Layer]:
    """Layers that the generator uses at a level (log2 of the image size), input first."""
    width = config.feature_maps(4)
    condition = config.latent_size + config.num_labels
    layers = [
        Layer("block_4/dense", condition * 16 * width, width),
        _conv("block_4/conv", 4, 3, width, width),
    ]
    for size in _sizes(MIN_LEVEL + 1, level):
        below, width = width, config.feature_maps(size)
        layers.append(_conv(f"block_{size}/conv0", size, 3, below, width))
        layers.append(_conv(f"block_{size}/conv1", size, 3, width, width))
    for size in _sizes(level - fading, level):
        width = config.feature_maps(size)
        layers.append(_conv(f"to_rgb_{size}", size, 1, width, config.channels))
    return layers


def discriminator_layers(
    config: config_lib.NetworkConfig, level: int, fading: bool = False
) -> list[Layer]:
    """Layers that the discriminator uses at a level (log2 of the image size), output first."""
    width, hidden = config.feature_maps(4), config.hidden_width
    outputs = 1 + config.num_labels
    layers = [
        _conv("block_4/conv", 4, 3, width + 1, width),
        Layer("block_4/dense0", 16 * width * hidden, hidden),
        Layer("block_4/dense1", hidden * outputs, outputs),
    ]
    for size in _sizes(MIN_LEVEL + 1, level):
        below, width = width, config.feature_maps(size)
        layers.append(_conv(f"block_{size}/conv0", size, 3, width, width))
        layers.append(_conv(f"block_{size}/conv1", size, 3, width, below))
    for size in _sizes(level - fading, level):
        width = config.feature_maps(size)
        layers.append(_conv(f"from_rgb_{size}", size, 1, config.channels, width))
    return layers


def generator_parameters(config: config_lib.NetworkConfig) -> int:
    """Variables' entries of a whole generator, RGB outputs of all levels included."""
    fixed = _parameters(generator_layers(config, config.max_level, fading=True))
    return fixed + sum(
        _conv("", size, 1, config.feature_maps(size), config.channels).parameters
        for size in _sizes(MIN_LEVEL, config.max_level - 2)
    )


def discriminator_parameters(config: config_lib.NetworkConfig) -> int:
    """Variables' entries of a whole discriminator, RGB inputs of all levels included."""
    fixed = _parameters(discriminator_layers(config, config.max_level, fading=True))
    return fixed + sum(
        _conv("", size, 1, config.channels, config.feature_maps(size)).parameters
        for size in _sizes(MIN_LEVEL, config.max_level - 2)
    )


def generator_flops(config: config_lib.NetworkConfig, level: int) -> int:
    """Operations of one forward pass for one image at a stable level."""
    return sum(layer.flops for layer in generator_layers(config, level))


def discriminator_flops(config: config_lib.NetworkConfig, level: int) -> int:
    """Operations of one forward pass for one image at a stable level."""
    return sum(layer.flops for layer in discriminator_layers(config, level))


def step_flops(config: config_lib.NetworkConfig, level: int) -> int:
    """Operations of one training step per real image, 4 G + 14 D.

    With a backward pass counted as two forward passes, one each for inputs and weights:

    * discriminator's update: fakes 1 G; D on reals and fakes, forward and backward, 6 D; penalty
      6 D, namely forward 1, gradient with respect to the image 1, backward through both 4;
    * generator's update: 3 G, and through D 2 D, forward and gradient with respect to the image.
    """
    return 4 * generator_flops(config, level) + 14 * discriminator_flops(config, level)


def _conv(name: str, size: int, kernel: int, inputs: int, outputs: int) -> Layer:
    return Layer(name, kernel * kernel * inputs * outputs, outputs, size * size)


def _sizes(first_level: int, last_level: int) -> list[int]:
    return [2**level for level in range(first_level, last_level + 1)]


def _parameters(layers: list[Layer]) -> int:
    return sum(layer.parameters for layer in layers)
