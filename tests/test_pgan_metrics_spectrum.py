"""Power spectra, against closed forms and a transform written out."""

import numpy as np
import pytest
import tiny_waves

from pgan.metrics import spectrum


def _spectrum(images, batch=None):
    accumulator = spectrum.Accumulator(images.shape[1])
    for start in range(0, len(images), batch or len(images)):
        accumulator.add(images[start : start + (batch or len(images))])
    return accumulator.spectrum()


def test_power_by_a_transform_written_out():
    size = 16
    image = tiny_waves.noise(1, size, seed=4)[0].astype(float)
    hann = np.sin(np.pi * np.arange(size) / size) ** 2
    window = hann[:, np.newaxis] * hann
    centred = window * (image - np.average(image, weights=window))
    found = _spectrum(image.astype(np.uint8)[np.newaxis])
    waves = np.exp(-2j * np.pi * np.outer(np.arange(size), np.arange(size)) / size)
    expected = np.abs(waves @ centred @ waves) ** 2 / np.sum(window**2)
    np.testing.assert_allclose(found.power, expected, atol=1e-9 * expected.max())
    np.testing.assert_allclose(found.decibels, 10 * np.log10(found.power + 1 / 12), rtol=1e-12)
    assert found.count == 1


def test_power_of_white_noise_is_its_variance_at_any_size():
    for size, count in ((16, 400), (64, 25)):
        found = _spectrum(tiny_waves.noise(count, size, deviation=20.0))
        _, decibels = spectrum.radial(found)
        # The innermost rings have few frequencies, and lose what the mean takes away.
        assert np.mean(found.power) == pytest.approx(400.0 + 1 / 12, rel=0.02)
        np.testing.assert_allclose(decibels[3:-1], 10 * np.log10(400.0), atol=0.8)
        # The logarithm of an exponential variable: mean -2.51 dB, deviation 5.57 dB.
        inner = found.decibels[2:7, 2:7]
        assert inner.mean() == pytest.approx(10 * np.log10(400.0) - 2.51, abs=1.0)
        assert np.mean(found.error[2:7, 2:7]) == pytest.approx(5.57 / np.sqrt(count), rel=0.2)


def test_a_wave_is_three_frequencies_wide_with_the_power_of_its_amplitude():
    size, amplitude = 64, 100.0
    found = _spectrum(
        tiny_waves.rounded(128 + amplitude * tiny_waves.wave(size, 12 / size, 5 / size))[np.newaxis]
    )
    # (A / 2 * sum w)^2 / sum w^2 with sum w = R^2 / 4 and sum w^2 = (3 R / 8)^2.
    top = amplitude**2 * size**2 / 9
    assert found.power[5, 12] == pytest.approx(top, rel=1e-3)
    assert found.power[-5, -12] == pytest.approx(top, rel=1e-3)
    assert found.power[5, 13] == pytest.approx(top / 4, rel=1e-3)
    assert found.power[4, 11] == pytest.approx(top / 16, rel=1e-3)
    assert found.power[5, 14] < 1e-5 * top and found.power[5, -12] < 1e-5 * top


def test_images_without_detail_have_the_power_of_rounding():
    found = _spectrum(np.full((3, 16, 16), 200, np.uint8))
    np.testing.assert_allclose(found.power, 0, atol=1e-20)
    np.testing.assert_allclose(found.decibels, 10 * np.log10(1 / 12), rtol=1e-9)
    np.testing.assert_allclose(found.error, 0, atol=1e-6)


def test_rings_by_hand():
    power = np.zeros((16, 16))
    power[0, 2], power[0, -2], power[2, 0], power[-2, 0] = 30.0, 30.0, 6.0, 6.0
    power[8, 8] = 5.0
    plane = spectrum.Spectrum(1, power, power, power)
    frequency, decibels = spectrum.radial(plane)
    np.testing.assert_allclose(frequency, np.arange(1, 12) / 16)
    # Rounds to 2: (0, 2), (1, 2), (2, 1) with all signs, 4 + 4 + 4; (2, 2) is 2.83.
    assert decibels[1] == pytest.approx(10 * np.log10(72 / 12 + 1 / 12))
    assert decibels[2] == pytest.approx(10 * np.log10(1 / 12))
    # sqrt(128) = 11.3, the corner, together with (7, 8), 10.6, and (8, 7), each with two signs.
    assert decibels[10] == pytest.approx(10 * np.log10(5 / 5 + 1 / 12))


def test_twice_the_power_is_three_decibels_at_every_frequency():
    real = _spectrum(tiny_waves.noise(60, deviation=20.0))
    found = spectrum.compare(real, _spectrum(tiny_waves.noise(60, deviation=20.0 * 2**0.5, seed=1)))
    np.testing.assert_allclose(found.log_ratio[2:16], 3.01, atol=0.6)  # The whole rings.
    np.testing.assert_array_equal(found.log_ratio, found.synthetic - found.real)
    np.testing.assert_array_equal(spectrum.compare(real, real).log_ratio, 0)


def test_missing_detail_is_seen_where_it_is_missing():
    images = tiny_waves.noise(50, 64)
    # The mean of 2 x 2 neighbours multiplies a wave by cos(pi u) cos(pi v).
    smooth = sum(np.roll(images.astype(float), shift, (1, 2)) for shift in np.ndindex(2, 2)) / 4
    found = spectrum.compare(_spectrum(images), _spectrum(tiny_waves.rounded(smooth)))
    along_axis = 20 * np.log10(np.cos(np.pi * found.frequency[:32] * 0.999))
    diagonal = 40 * np.log10(np.cos(np.pi * found.frequency[:32] / 2**0.5))
    for step in (3, 7, 11, 15):  # In px^-1: 0.06 to 0.25; further out, rounding adds power.
        low, high = sorted((along_axis[step], diagonal[step]))
        assert low - 0.5 < found.log_ratio[step] < high + 0.5
    assert found.log_ratio[28] < -6


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_batches_and_order_do_not_matter(batch):
    images = tiny_waves.noise(40)
    whole, parts = _spectrum(images), _spectrum(images, batch)
    shuffled = _spectrum(images[np.random.default_rng(0).permutation(40)], batch)
    for name in ("power", "decibels", "error"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
        np.testing.assert_allclose(getattr(shuffled, name), getattr(whole, name), rtol=1e-9)


def test_error_is_the_deviation_of_the_images():
    images = tiny_waves.noise(9, 16)
    each = np.stack([_spectrum(image[np.newaxis]).decibels for image in images])
    found = _spectrum(images)
    np.testing.assert_allclose(found.decibels, each.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.error, each.std(axis=0, ddof=1) / 3, atol=1e-6)


def test_bad_input_is_refused():
    for size in (8, 33):
        with pytest.raises(ValueError, match=f"even and at least 16, got {size}"):
            spectrum.Accumulator(size)
    accumulator = spectrum.Accumulator(32)
    with pytest.raises(ValueError, match="no images"):
        accumulator.spectrum()
    for wrong in (
        tiny_waves.noise(2).astype(float),
        tiny_waves.noise(2)[..., np.newaxis],
        tiny_waves.noise(2, 16),
    ):
        with pytest.raises(ValueError, match=r"uint8 \[N, 32, 32\], one grey channel"):
            accumulator.add(wrong)
    with pytest.raises(ValueError, match="32 and 16 px"):
        spectrum.compare(_spectrum(tiny_waves.noise(2)), _spectrum(tiny_waves.noise(2, 16)))
