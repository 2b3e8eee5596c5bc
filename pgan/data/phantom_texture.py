"""Rasters of the chest phantom: pixel grids, smooth noise, fine strands, soft edges.

Everything is expressed in centimetres so that a drawing has the same content at every size.
"""

import dataclasses
import functools

import numpy as np
from scipy import ndimage

FIELD_CM = 38.0  # Side of the square field of view at zoom 1: a 35 x 43 cm plate, cropped.
_MARGIN_CM = 2.0  # Strands are clipped this far outside the image.


@dataclasses.dataclass(frozen=True)
class Pose:
    """How the patient stands in the image: zoom, shift and tilt of the patient's axes."""

    zoom: float = 1.0
    shift_x: float = 0.0  # cm, positive moves the patient to the image's right
    shift_y: float = 0.0  # cm, positive moves the patient down
    tilt: float = 0.0  # radians


@functools.lru_cache(maxsize=16)
def _pixel_centres(size: int) -> np.ndarray:
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    centres.setflags(write=False)
    return centres


class Grid:
    """Patient coordinates of every pixel of a square image.

    Attributes:
        x: float32 [size, size], cm from the patient's midline; negative is the patient's right,
            which a frontal radiograph shows on the left.
        y: float32 [size, size], cm downwards from the top of an untilted, unshifted field.
        pixel: side of a pixel in cm.
    """

    def __init__(self, size: int, pose: Pose):
        self.size = size
        self.pose = pose
        field = FIELD_CM / pose.zoom
        self.pixel = field / size
        column = _pixel_centres(size)[None, :] * np.float32(field) - np.float32(pose.shift_x)
        row = _pixel_centres(size)[:, None] * np.float32(field) - np.float32(pose.shift_y)
        cosine, sine = np.float32(np.cos(pose.tilt)), np.float32(np.sin(pose.tilt))
        self.x = cosine * column + sine * row
        self.y = cosine * row - sine * column + np.float32(FIELD_CM / 2)

    def to_pixels(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Column and row (float, pixel centres at integers) of points in patient coordinates."""
        below = y - FIELD_CM / 2
        cosine, sine = np.cos(self.pose.tilt), np.sin(self.pose.tilt)
        column = cosine * x - sine * below + self.pose.shift_x
        row = sine * x + cosine * below + self.pose.shift_y
        half = self.size / 2 - 0.5
        return column / self.pixel + half, row / self.pixel + half

    def splat(self, x: np.ndarray, y: np.ndarray, volume: np.ndarray, sigma: float) -> np.ndarray:
        """Path length through small lumps of tissue.

        Args:
            x: [N] patient coordinate of each lump, cm.
            y: [N] the same, downwards.
            volume: [N] cubic cm of tissue in each lump.
            sigma: blur of each lump, cm.

        Returns:
            float32 [size, size], cm of tissue along the beam, so that its integral over the image
            is the volume whatever the pixel size.
        """
        column, row = self.to_pixels(np.asarray(x), np.asarray(y))
        margin = int(np.ceil(_MARGIN_CM / self.pixel)) + 1
        side = self.size + 2 * margin
        column, row = column + margin, row + margin
        inside = (column >= 0) & (column < side - 1) & (row >= 0) & (row < side - 1)
        column, row = column[inside], row[inside]
        weight = np.asarray(volume)[inside] / self.pixel**2
        left, top = column.astype(np.int64), row.astype(np.int64)
        fx, fy = column - left, row - top
        index = top * side + left
        total = np.bincount(
            np.concatenate([index, index + 1, index + side, index + side + 1]),
            np.concatenate(
                [
                    weight * (1 - fx) * (1 - fy),
                    weight * fx * (1 - fy),
                    weight * (1 - fx) * fy,
                    weight * fx * fy,
                ]
            ),
            minlength=side * side,
        )
        image = total.reshape(side, side).astype(np.float32)
        image = ndimage.gaussian_filter(image, sigma / self.pixel, truncate=3.0, mode="constant")
        return image[margin:-margin, margin:-margin]

    def strands(
        self, start: np.ndarray, end: np.ndarray, radius: np.ndarray, sigma: float
    ) -> np.ndarray:
        """Path length through straight cylinders, e.g. vessels or septa.

        Args:
            start: [N, 2] (x, y) in cm.
            end: [N, 2].
            radius: [N] in cm.
            sigma: blur in cm.

        Returns:
            float32 [size, size], cm of tissue along the beam.
        """
        delta = end - start
        length = np.sqrt((delta**2).sum(1))
        # Points lie at most 0.7 pixels apart: bilinear deposits then join without beads.
        steps = np.maximum(np.ceil(length / (0.7 * self.pixel)), 1).astype(np.int64)
        which = np.repeat(np.arange(len(steps)), steps)
        first = np.cumsum(steps) - steps
        along = (np.arange(len(which)) - first[which] + 0.5) / steps[which]
        points = start[which] + along[:, None] * delta[which]
        volume = (np.pi * radius**2 * length / steps)[which]
        return self.splat(points[:, 0], points[:, 1], volume, sigma)


@functools.lru_cache(maxsize=64)
def _spline_weights(size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Cubic B-spline taps: indices int [4, size] into cells + 3 knots and weights [4, size]."""
    position = (np.arange(size) + 0.5) * cells / size
    first = np.floor(position).astype(np.int64)
    t = position - first
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    )
    return first + np.arange(4)[:, None], (weights / 6).astype(np.float32)


def spline_zoom(knots: np.ndarray, size: int) -> np.ndarray:
    """Cubic B-spline through a square lattice [C + 3, C + 3], at [size, size] pixel centres."""
    index, weight = _spline_weights(size, knots.shape[0] - 3)
    rows = sum(knots[index[tap]] * weight[tap][:, None] for tap in range(4))
    return sum(rows[:, index[tap]] * weight[tap] for tap in range(4))


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth Gaussian noise of unit variance, float32 [size, size], `cells` knots per side.

    The lattice does not depend on `size`: the same generator state gives the same clouds at any
    size.
    """
    knots = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    # A cubic B-spline of unit white noise has variance (151 / 315)^2.
    return spline_zoom(knots, size) * np.float32(315 / 151)


def fractal_noise(
    rng: np.random.Generator, size: int, cells: int, octaves: int, gain: float = 0.6
) -> np.ndarray:
    """Sum of `octaves` smooth noises, each twice as fine and `gain` times as strong."""
    total = smooth_noise(rng, size, cells)
    amplitude, power = 1.0, 1.0
    for octave in range(1, octaves):
        amplitude *= gain
        power += amplitude**2
        total = total + np.float32(amplitude) * smooth_noise(rng, size, cells << octave)
    return total / np.float32(np.sqrt(power))


def box_reduce(image: np.ndarray, size: int) -> np.ndarray:
    """Mean over square blocks, [N, N] -> [size, size]; N is a multiple of `size`."""
    step = image.shape[0] // size
    if step == 1:
        return image
    # Rows first: adding whole rows is several times faster than a mean over two short axes.
    rows = sum(image[offset::step] for offset in range(step))
    return sum(rows[:, offset::step] for offset in range(step)) * np.float32(1 / step**2)


def wide_blur(image: np.ndarray, sigma: float, pixel: float, cells: int = 32) -> np.ndarray:
    """Gaussian blur of `sigma` cm (several cm wide), computed on a coarse lattice.

    A blur this wide leaves nothing finer than the lattice, which makes it cheap at any size.
    """
    size = image.shape[0]
    coarse = box_reduce(image, min(cells, size))
    step = size // coarse.shape[0]
    coarse = ndimage.gaussian_filter(coarse, sigma / (pixel * step), mode="nearest")
    # B-spline knots sit at cell edges + integers; shifting by half a cell centres the samples.
    padded = np.pad(coarse, 2, mode="edge")
    knots = 0.25 * (padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:])
    return spline_zoom(knots, size)


def soft_step(distance: np.ndarray, width: float) -> np.ndarray:
    """0 to 1 as a signed `distance` (cm) rises through 0, over `width` cm (smoothstep)."""
    t = np.clip(distance * np.float32(1 / width) + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)


def chord(distance_squared: np.ndarray) -> np.ndarray:
    """sqrt(1 - d^2) inside the unit circle and 0 outside: the profile of a ball or tube."""
    return np.sqrt(np.maximum(1 - distance_squared, 0))
