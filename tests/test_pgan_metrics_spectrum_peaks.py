"""Peaks of the difference of two spectra: planted waves are found, and chance makes none."""

import numpy as np
import pytest
import tiny_waves

from pgan.data import phantom
from pgan.metrics import spectrum


def _spectrum(images):
    accumulator = spectrum.Accumulator(images.shape[1])
    accumulator.add(images)
    return accumulator.spectrum()


def _planted(images, right, down, amplitude, seed=3):
    """Images with a wave of random phase; noise of one grey level keeps rounding from harmonics."""
    rng = np.random.default_rng(seed)
    phases = rng.uniform(0, 2 * np.pi, (len(images), 1, 1))
    waves = amplitude * tiny_waves.wave(images.shape[1], right, down, phases)
    return tiny_waves.rounded(images + waves + rng.uniform(-0.5, 0.5, images.shape))


@pytest.fixture(scope="module")
def chests():
    """uint8 [100, 64, 64], of as many patients."""
    return np.stack([phantom.draw(patient=i, seed=3, size=64) for i in range(100)])


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
    board = tiny_waves.rounded(chests[50:] + 0.5 * tiny_waves.wave(64, right, down) + 0.5)
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
    doubled = tiny_waves.rounded(small).repeat(2, axis=1).repeat(2, axis=2)
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
    assert spectrum.peaks(real, _spectrum(tiny_waves.rounded(chests[50:] + noise))) == []
    contrast = tiny_waves.rounded(chests[50:] * 0.5 + 60)
    assert spectrum.peaks(real, _spectrum(contrast)) == []


def _made(decibels, error):
    """A spectrum of 50 images with given planes [R, R], made symmetric."""
    planes = [np.broadcast_to(plane, (64, 64)).astype(float) for plane in (decibels, error)]
    mirrored = [np.roll(plane[::-1, ::-1], 1, axis=(0, 1)) for plane in planes]
    decibels, error = ((a + b) / 2 for a, b in zip(planes, mirrored, strict=True))
    return spectrum.Spectrum(50, 10 ** (decibels / 10), decibels, error)


def test_a_broad_hill_of_the_difference_is_no_peak():
    steps = np.fft.fftfreq(64) * 64
    distance = np.hypot(steps[:, np.newaxis] - 10, steps - 22)
    flat = _made(0.0, 0.2)
    assert spectrum.peaks(flat, _made(20 * np.exp(-((distance / 8) ** 2)), 0.2)) == []
    (peak,) = spectrum.peaks(flat, _made(20 * np.exp(-((distance / 1.5) ** 2)), 0.2))
    assert peak.frequency == pytest.approx(np.hypot(10, 22) / 64)
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
            _spectrum(tiny_waves.noise(16, seed=2 * i)),
            _spectrum(tiny_waves.noise(16, seed=2 * i + 1)),
            0.0,
        )
        for i in range(30)
    ]
    assert sum(map(bool, found)) <= 3


def test_a_wave_of_few_images_stays_within_its_error(chests):
    # 2 of 50 images hold it: large on average, but no property of the set.
    images = chests[50:].copy()
    images[:2] = _planted(images[:2], 0.25, 0.0, 60.0)
    assert spectrum.peaks(_spectrum(chests[:50]), _spectrum(images)) == []


def test_bad_input_is_refused():
    few, many, small = (
        _spectrum(tiny_waves.noise(n, s)) for n, s in ((15, 32), (16, 32), (16, 16))
    )
    with pytest.raises(ValueError, match="peaks need 16 images of each set, got 15"):
        spectrum.peaks(many, few)
    with pytest.raises(ValueError, match="32 and 16 px"):
        spectrum.peaks(many, small)
