"""Power spectra of grey images: how synthetic detail differs, and regular patterns in it.

Generators leave traces that are easier to see in frequencies than in a picture: too little or too
much power at high frequencies, and waves or checkerboards from their upsampling (Odena et al. 2016,
https://doi.org/10.23915/distill.00003; Durall et al. 2020, https://arxiv.org/abs/2003.01826).

An image of R px, less its weighted mean, is multiplied by a Hann window w in both directions,
without which its borders, which do not continue each other, would draw a cross of power over all
frequencies. The window widens a line to about 3 frequencies. The power at the frequency (u, v) / R
cycles per pixel is

    P(u, v) = |DFT(w x)(u, v)|^2 / sum w^2   in grey levels squared,

so that white noise of variance s^2 has P = s^2 everywhere at any R. Its decibels are
10 log10(P + 1/12): 1/12 is the power of rounding to whole grey levels, below which 8-bit images
hold no information.
"""

import dataclasses

import numpy as np
from scipy import fft, ndimage, special

from pgan.metrics import grey_images

_ROUNDING = 1.0 / 12.0
FEWEST_FOR_PEAKS = 16  # Images; of fewer, chance makes peaks by itself.
_NEIGHBOURHOOD = 11  # Frequencies, of the background around a peak, which is 3 wide.


class Accumulator:
    """Collects the spectra of images that come in batches.

    Memory is that of a few images; the result does not depend on how the batches are cut. Images
    have `resolution` px a side, an even number from 16; ValueError otherwise.
    """

    def __init__(self, resolution: int):
        """Nothing seen yet."""
        if resolution < 16 or resolution % 2:
            raise ValueError(f"the side of images must be even and at least 16, got {resolution}")
        self.resolution = resolution
        self.count = 0
        window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(resolution) / resolution)
        self._window = np.outer(window, window)
        # Half of the plane; the other half is its mirror.
        self._power, self._decibels, self._squares = np.zeros((3, resolution, resolution // 2 + 1))

    def add(self, images: np.ndarray) -> None:
        """Adds a batch.

        Args:
            images: uint8 [N, R, R], grey.

        Raises:
            ValueError: If dtype or shape is another.
        """
        for image in grey_images.require(images, self.resolution):
            mean = (self._window * image).sum() / self._window.sum()
            transformed = fft.rfft2(self._window * (image - mean))
            power = np.abs(transformed) ** 2 / (self._window**2).sum()
            decibels = _decibels(power)
            self._power += power
            self._decibels += decibels
            self._squares += decibels**2
            self.count += 1

    def spectrum(self) -> "Spectrum":
        """The spectrum of all images so far; ValueError if there are none."""
        if not self.count:
            raise ValueError("no images were added")
        mean = self._decibels / self.count
        variance = np.maximum(self._squares / self.count - mean**2, 0.0)
        error = np.sqrt(variance / max(self.count - 1, 1))
        planes = (_whole(half) for half in (self._power / self.count, mean, error))
        return Spectrum(self.count, *planes)


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Mean power spectrum of a set of images.

    The planes are float64 [R, R] in the order of numpy.fft.fftfreq(R) along rows and columns.

    Attributes:
        count: Images.
        power: Mean of P over the images, grey levels squared.
        decibels: Mean of the images' decibels, less than those of the mean power, and less
            dependent on single images.
        error: Standard error of `decibels`.
    """

    count: int
    power: np.ndarray
    decibels: np.ndarray
    error: np.ndarray


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Azimuthal averages of two sets; entry i is of frequencies that round to (i + 1) / R.

    Attributes:
        frequency: float64 [B], cycles per pixel. Up to 0.5 the rings are whole; from there to
            0.707 they are of the corners, waves that are diagonal.
        real: Decibels of the mean power in the ring.
        synthetic: Likewise.
        log_ratio: `synthetic` - `real`: 3 is twice the power, -3 half of it.
    """

    frequency: np.ndarray
    real: np.ndarray
    synthetic: np.ndarray
    log_ratio: np.ndarray


@dataclasses.dataclass(frozen=True)
class Peak:
    """A wave that synthetic images hold and real ones do not.

    Attributes:
        frequency: Cycles per pixel, good to a frequency step 1 / R in each direction. Stripes that
            alternate from pixel to pixel have 0.5, a checkerboard 0.707.
        angle: Degrees in [0, 180), counter-clockwise as seen, of the direction in which the wave
            travels: 0 of vertical stripes, 90 of horizontal ones, 45 if it rises to the right.
        excess: Decibels above the surrounding difference of the two sets.
        score: `excess` over its standard error.
    """

    frequency: float
    angle: float
    excess: float
    score: float


def radial(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Azimuthal average: frequency [B] in cycles per pixel, decibels [B]; see `Comparison`."""
    size = len(spectrum.power)
    rings = _rings(size)
    sums = np.bincount(rings.ravel(), spectrum.power.ravel())
    means = (sums / np.bincount(rings.ravel()))[1:]
    return np.arange(1, len(means) + 1) / size, _decibels(means)


def compare(real: Spectrum, synthetic: Spectrum) -> Comparison:
    """Compares the azimuthal averages of two sets.

    Raises:
        ValueError: If the images have different sizes.
    """
    _require_one_size(real, synthetic)
    frequency, of_real = radial(real)
    _, of_synthetic = radial(synthetic)
    return Comparison(frequency, of_real, of_synthetic, of_synthetic - of_real)


def peaks(
    real: Spectrum,
    synthetic: Spectrum,
    least_excess: float = 3.0,
    error_rate: float = 0.01,
    limit: int = 20,
) -> list[Peak]:
    """Finds waves in synthetic images: isolated peaks of the difference of the two spectra.

    From the difference of the mean decibels, the median of the 11 x 11 frequencies around each is
    taken away: what differs gradually is the matter of `compare`. A peak is the highest of the
    frequencies around it and stands out by `least_excess` and by as many standard errors as chance
    reaches at any frequency in `error_rate` of the comparisons of equal sets. The standard error is
    that of the images or the usual roughness of the difference at that frequency in any direction,
    whichever is larger. Below 4 waves an image, a wave cannot be told from layout.

    A regular pattern of the real ones that the synthetic ones lack is found by swapping the two.

    Args:
        real: Of real images, at least 16.
        synthetic: Of synthetic ones, at least 16.
        least_excess: Decibels.
        error_rate: In (0, 1).
        limit: Peaks to list.

    Returns:
        Peaks, the highest excess first.

    Raises:
        ValueError: If the images have different sizes or are too few.
    """
    _require_one_size(real, synthetic)
    fewest = min(real.count, synthetic.count)
    if fewest < FEWEST_FOR_PEAKS:
        raise ValueError(f"peaks need {FEWEST_FOR_PEAKS} images of each set, got {fewest}")
    size = len(real.decibels)
    rings = _rings(size)
    difference = synthetic.decibels - real.decibels
    residual = difference - ndimage.median_filter(difference, _NEIGHBOURHOOD, mode="wrap")
    variance = real.error**2 + synthetic.error**2
    # Of few images, a variance is itself uncertain; that of the neighbours is about the same.
    variance = np.maximum(variance, ndimage.uniform_filter(variance, 5, mode="wrap"))
    # The innermost rings and those of the corners hold too few frequencies each.
    wide_rings = np.clip(rings, 8, size // 2)
    typical = ndimage.median(np.abs(residual), wide_rings, np.arange(wide_rings.max() + 1))
    roughness = typical[wide_rings] / special.ndtri(0.75)
    score = residual / np.maximum(np.sqrt(variance), roughness)
    threshold = special.ndtri(1.0 - error_rate / (size**2 / 2))
    highest = residual == ndimage.maximum_filter(residual, 5, mode="wrap")
    found = highest & (score > threshold) & (residual > least_excess) & (rings >= 4)
    frequencies = np.fft.fftfreq(size)
    result = []
    for row, column in zip(*np.nonzero(found), strict=True):
        if (row, column) > (-row % size, -column % size):
            continue  # The mirror of one that is listed, the same wave.
        right, up = frequencies[column], -frequencies[row]
        right = 0.5 if right == -0.5 else right  # The same wave.
        angle = np.degrees(np.arctan2(up, right)) % 180.0
        values = np.hypot(right, up), angle, residual[row, column], score[row, column]
        result.append(Peak(*map(float, values)))
    return sorted(result, key=lambda peak: -peak.excess)[:limit]


def _decibels(power):
    return 10.0 * np.log10(power + _ROUNDING)


def _rings(size):
    """Distance of each frequency from zero in steps of 1 / R, rounded, int [R, R]."""
    steps = np.fft.fftfreq(size) * size
    return np.rint(np.hypot(steps[:, np.newaxis], steps)).astype(int)


def _whole(half):
    """The plane [R, R] of a half [R, R / 2 + 1], by P(-u, -v) = P(u, v)."""
    mirrored = np.roll(half[::-1, -2:0:-1], 1, axis=0)
    return np.concatenate([half, mirrored], axis=1)


def _require_one_size(real, synthetic):
    sizes = len(real.power), len(synthetic.power)
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"images of {sizes[0]} and {sizes[1]} px cannot be compared; bring them to one size"
        )
