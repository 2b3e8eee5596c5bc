import pytest

from pgan import arithmetic, config

# GFLOP of one generator and one discriminator pass and of a step per image, 14 findings, one
# channel, 32 and 16 feature maps at 512 and 1024 px.
GFLOP = {
    4: (0.084, 0.084, 1.5),
    8: (0.688, 0.688, 12.4),
    16: (3.104, 3.104, 55.9),
    32: (12.769, 12.769, 229.8),
    64: (27.265, 27.265, 490.8),
    128: (41.763, 41.763, 751.7),
    256: (56.263, 56.263, 1012.7),
    512: (70.767, 70.766, 1273.8),
    1024: (85.279, 85.279, 1535.0),
}


@pytest.mark.parametrize("resolution", GFLOP)
def test_flops_at_original_widths(resolution):
    network = config.NetworkConfig(widths="pggan")
    level = resolution.bit_length() - 1
    generator, discriminator, step = GFLOP[resolution]
    assert arithmetic.generator_flops(network, level) / 1e9 == pytest.approx(generator, abs=5e-4)
    assert arithmetic.discriminator_flops(network, level) / 1e9 == pytest.approx(
        discriminator, abs=5e-4
    )
    assert arithmetic.step_flops(network, level) / 1e9 == pytest.approx(step, abs=0.05)


def test_flops_at_the_papers_widths():
    network = config.NetworkConfig()
    assert round(arithmetic.step_flops(network, 9) / 1e9) == 1709
    assert round(arithmetic.step_flops(network, 10) / 1e9) == 2753
    assert round(arithmetic.generator_flops(network, 10) / 1e9) == 153


def test_smallest_network_by_hand():
    network = config.NetworkConfig(
        resolution=8, findings=("Mass",), latent_size=3, fmap_base=4, fmap_max=2, stddev_group=1
    )  # Feature maps: 2 at 4 px, 1 at 8 px; hidden layer 2.
    generator = {
        layer.name: (layer.parameters, layer.flops)
        for layer in arithmetic.generator_layers(network, level=3, fading=True)
    }
    assert generator == {
        "block_4/dense": (4 * 32 + 2, 2 * 4 * 32),
        "block_4/conv": (9 * 4 + 2, 2 * 9 * 4 * 16),
        "block_8/conv0": (9 * 2 + 1, 2 * 9 * 2 * 64),
        "block_8/conv1": (9 * 1 + 1, 2 * 9 * 1 * 64),
        "to_rgb_4": (2 + 1, 2 * 2 * 16),
        "to_rgb_8": (1 + 1, 2 * 1 * 64),
    }
    discriminator = {
        layer.name: (layer.parameters, layer.flops)
        for layer in arithmetic.discriminator_layers(network, level=3)
    }
    assert discriminator == {
        "block_4/conv": (9 * 6 + 2, 2 * 9 * 6 * 16),
        "block_4/dense0": (32 * 2 + 2, 2 * 32 * 2),
        "block_4/dense1": (2 * 2 + 2, 2 * 2 * 2),
        "block_8/conv0": (9 * 1 + 1, 2 * 9 * 1 * 64),
        "block_8/conv1": (9 * 2 + 2, 2 * 9 * 2 * 64),
        "from_rgb_8": (1 + 1, 2 * 1 * 64),
    }
