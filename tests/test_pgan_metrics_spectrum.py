"""Power spectra, against closed forms, a transform written out, and planted waves."""

import numpy as np
import pytest

from pgan.data import phantom
from pgan.metrics import spectrum


def _spectrum(images, batch=None):
    accumulator = spectrum.Accumulator(images.shape[1])
    for start in range(0, len(images), batch or len(images)):
        accumulator.add(images[start : start + (batch or len(images))])
    return accumulator.spectrum()


def _rounded(images):
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def _noise(count, size=32, seed=0, deviation=30.0):
    rng = np.random.default_rng(seed)
    return _rounded(rng.normal(128.0, deviation, (count, size, size)))


def _wave(size, right, down, phase=0.0):
    """Cosine of frequencies in cycles per pixel, along columns and along rows."""
    rows, columns = np.mgrid[:size, :size]
    return np.cos(2 * np.pi * (right * columns + down * rows) + phase)


def _planted(images, right, down, amplitude, seed=3):
    """Images with a wave of random phase; noise of one grey level keeps rounding from harmonics."""
    rng = np.random.default_rng(seed)
    phases = rng.uniform(0, 2 * np.pi, (len(images), 1, 1))
    waves = amplitude * _wave(images.shape[1], right, down, phases)
    return _rounded(images + waves + rng.uniform(-0.5, 0.5, images.shape))


@pytest.fixture(scope="module")
def chests():
    """uint8 [100, 64, 64], of as many patients."""
    return np.stack([phantom.draw(patient=i, seed=3, size=64) for i in range(100)])


def test_power_by_a_transform_written_out():
    size = 16
    image = _noise(1, size, seed=4)[0].astype(float)
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
        found = _spectrum(_noise(count, size, deviation=20.0))
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
    found = _spectrum(_rounded(128 + amplitude * _wave(size, 12 / size, 5 / size))[np.newaxis])
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
    real = _spectrum(_noise(60, deviation=20.0))
    found = spectrum.compare(real, _spectrum(_noise(60, deviation=20.0 * 2**0.5, seed=1)))
    np.testing.assert_allclose(found.log_ratio[2:16], 3.01, atol=0.6)  # The whole rings.
    np.testing.assert_array_equal(found.log_ratio, found.synthetic - found.real)
    np.testing.assert_array_equal(spectrum.compare(real, real).log_ratio, 0)


def test_missing_detail_is_seen_where_it_is_missing(chests):
    # The mean of 2 x 2 neighbours multiplies a wave by cos(pi u) cos(pi v).
    smooth = sum(np.roll(chests.astype(float), shift, (1, 2)) for shift in np.ndindex(2, 2)) / 4
    found = spectrum.compare(_spectrum(chests), _spectrum(_rounded(smooth)))
    along_axis = 20 * np.log10(np.cos(np.pi * found.frequency[:32] * 0.999))
    diagonal = 40 * np.log10(np.cos(np.pi * found.frequency[:32] / 2**0.5))
    for step in (3, 7, 11, 15):  # In px^-1: 0.06 to 0.25; further out, rounding adds power.
        low, high = sorted((along_axis[step], diagonal[step]))
        assert low - 0.5 < found.log_ratio[step] < high + 0.5
    assert found.log_ratio[28] < -6


@pytest.mark.parametrize(
    "right, down, amplitude, angle",
    [
        (0.25, 0.0, 3.0, 0.0),
        (0.0, 0.25, 3.0, 90.0),
        (0.2, -0.1, 3.0, np.degrees(np.arctan2(1, 2))),
        (0.2, 0.1, 3.0, 180 - np.degrees(np.arctan2(1, 2))),
        (0.131, 0.287, 3.0, 180 - np.degrees(np.arctan2(287, 131))),
        (0.1, 0.06, 8.0, 180 - np.degrees(np.arctan2(6, 10))),
        (0.3, 0.3, 2.0, 135.0),
    ],
)
def test_a_planted_wave_is_found(chests, right, down, amplitude, angle):
    real = _spectrum(chests[:50])
    (peak,) = spectrum.peaks(real, _spectrum(_planted(chests[50:], right, down, amplitude)))
    step = 2**0.5 / 64  # 1 / 64 in each direction.
    assert peak.frequency == pytest.approx(np.hypot(right, down), abs=step)
    difference = (peak.angle - angle + 90) % 180 - 90
    assert abs(difference) <= np.degrees(np.arcsin(step / np.hypot(right, down)))
    assert peak.excess > 3 and peak.score > 5


@pytest.mark.parametrize(
    "right, down, frequency, angle",
    [(0.5, 0.5, 0.5**0.5, 45.0), (0.5, 0.0, 0.5, 0.0), (0.0, 0.5, 0.5, 90.0)],
)
def test_a_checkerboard_and_stripes_of_one_grey_level_are_found(
    chests, right, down, frequency, angle
):
    board = _rounded(chests[50:] + 0.5 * _wave(64, right, down) + 0.5)
    (peak,) = spectrum.peaks(_spectrum(chests[:50]), _spectrum(board))
    assert peak.frequency == pytest.approx(frequency)
    assert peak.angle == pytest.approx(angle)
    assert peak.excess > 6


def test_several_waves_come_in_order_of_their_excess(chests):
    first = _planted(chests[50:], 0.25, -0.25, 2.0)
    images = _planted(first, 0.4, 0.0, 5.0, seed=4)
    real = _spectrum(chests[:50])
    found = spectrum.peaks(real, _spectrum(images))
    assert len(found) == 2 and found[0].excess > found[1].excess
    assert {round(peak.angle) for peak in found} == {0, 45}
    assert spectrum.peaks(real, _spectrum(images), limit=1) == found[:1]
    assert spectrum.peaks(real, _spectrum(images), least_excess=40.0) == []
    # What only the reals have is not a peak of the others.
    assert spectrum.peaks(_spectrum(images), real) == []


def test_enlarged_images_show_the_step_of_the_enlargement(chests):
    small = chests[50:].reshape(50, 32, 2, 32, 2).mean(axis=(2, 4))
    doubled = _rounded(small).repeat(2, axis=1).repeat(2, axis=2)
    found = spectrum.peaks(_spectrum(chests[:50]), _spectrum(doubled))
    # At 0.5 itself the box of two pixels has a zero; the copies of low frequencies lie beside it.
    assert found[0].frequency > 0.4 and found[0].excess > 10
    assert min(found[0].angle, abs(found[0].angle - 90), 180 - found[0].angle) < 10


def test_two_halves_of_one_population_have_no_peaks(chests):
    rng = np.random.default_rng(8)
    for count in (16, 30, 50):
        order = rng.permutation(100)
        one, other = chests[order[:count]], chests[order[count : 2 * count]]
        assert spectrum.peaks(_spectrum(one), _spectrum(other)) == []
        assert spectrum.peaks(_spectrum(other), _spectrum(one)) == []


def test_gradual_differences_and_noise_are_no_peaks(chests):
    real = _spectrum(chests[:50])
    noise = np.random.default_rng(2).normal(0, 4, (50, 64, 64))
    assert spectrum.peaks(real, _spectrum(_rounded(chests[50:] + noise))) == []
    contrast = _rounded(chests[50:] * 0.5 + 60)
    assert spectrum.peaks(real, _spectrum(contrast)) == []


def _made(decibels, error):
    """A spectrum of 50 images with given planes [R, R], made symmetric."""
    planes = [np.broadcast_to(plane, (64, 64)).astype(float) for plane in (decibels, error)]
    mirrored = [np.roll(plane[::-1, ::-1], 1, axis=(0, 1)) for plane in planes]
    decibels, error = ((a + b) / 2 for a, b in zip(planes, mirrored, strict=True))
    return spectrum.Spectrum(50, 10 ** (decibels / 10), decibels, error)


def test_a_broad_hill_of_the_difference_is_no_peak():
    steps = np.fft.fftfreq(64) * 64
    distance = np.hypot(steps[:, np.newaxis] - 4, steps - 12)
    flat = _made(0.0, 0.2)
    assert spectrum.peaks(flat, _made(20 * np.exp(-((distance / 12) ** 2)), 0.2)) == []
    (peak,) = spectrum.peaks(flat, _made(20 * np.exp(-((distance / 1.5) ** 2)), 0.2))
    assert peak.frequency == pytest.approx(np.hypot(4, 12) / 64)
    assert peak.excess == pytest.approx(10, abs=0.1)  # Half of 20, for the symmetry.


def test_a_difference_that_is_rough_everywhere_has_no_peaks_however_many_images():
    rough = np.random.default_rng(6).normal(0, 3, (64, 64))
    assert spectrum.peaks(_made(0.0, 0.01), _made(rough, 0.01)) == []
    rough[7, 20] = 50
    (peak,) = spectrum.peaks(_made(0.0, 0.01), _made(rough, 0.01))
    assert peak.frequency == pytest.approx(np.hypot(7, 20) / 64)


def test_an_error_that_came_out_small_by_chance_makes_no_peak():
    decibels, error = np.zeros((64, 64)), np.full((64, 64), 2.0)
    decibels[[7, -7], [20, -20]], error[[7, -7], [20, -20]] = 4.0, 0.01
    assert spectrum.peaks(_made(0.0, 0.01), _made(decibels, error)) == []
    assert len(spectrum.peaks(_made(0.0, 0.01), _made(decibels, np.full_like(error, 0.01)))) == 1


def test_chance_finds_peaks_at_most_as_often_as_allowed():
    # White noise, of 16 images each, without a least excess. 30 comparisons at 1 %: 3 would be
    # exceeded in less than 0.1 %.
    found = [
        spectrum.peaks(
            _spectrum(_noise(16, seed=2 * i)), _spectrum(_noise(16, seed=2 * i + 1)), 0.0
        )
        for i in range(30)
    ]
    assert sum(map(bool, found)) <= 3


def test_a_wave_of_few_images_stays_within_its_error(chests):
    # 2 of 50 images hold it: large on average, but no property of the set.
    images = chests[50:].copy()
    images[:2] = _planted(images[:2], 0.25, 0.0, 60.0)
    assert spectrum.peaks(_spectrum(chests[:50]), _spectrum(images)) == []


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_batches_and_order_do_not_matter(batch):
    images = _noise(40)
    whole, parts = _spectrum(images), _spectrum(images, batch)
    shuffled = _spectrum(images[np.random.default_rng(0).permutation(40)], batch)
    for name in ("power", "decibels", "error"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
        np.testing.assert_allclose(getattr(shuffled, name), getattr(whole, name), rtol=1e-9)


def test_error_is_the_deviation_of_the_images():
    images = _noise(9, 16)
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
    for wrong in (_noise(2).astype(float), _noise(2)[..., np.newaxis], _noise(2, 16)):
        with pytest.raises(ValueError, match=r"uint8 \[N, 32, 32\], one grey channel"):
            accumulator.add(wrong)
    few, many, small = (_spectrum(_noise(n, s)) for n, s in ((15, 32), (16, 32), (16, 16)))
    with pytest.raises(ValueError, match="peaks need 16 images of each set, got 15"):
        spectrum.peaks(many, few)
    for function in (spectrum.peaks, spectrum.compare):
        with pytest.raises(ValueError, match="32 and 16 px"):
            function(many, small)
