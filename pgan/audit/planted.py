"""Planted copies: training images, slightly changed, that an audit has to find again."""

import dataclasses
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

SHIFT = 2  # px, to the right and down
CONTRAST = 0.8  # of the differences to middle grey
BRIGHTER = 10  # grey levels
NOISE = 8.0  # standard deviation, grey levels
JPEG_QUALITY = 50

_MIDDLE_GREY = 127.5


@dataclasses.dataclass(frozen=True)
class Kind:
    """A way to change a copy.

    Attributes:
        text: What is done, for people.
        required: Share of the copies that an audit must catch; with fewer the control has failed.
        change: Function of an image uint8 [H, W] and a generator of random numbers to uint8 [H, W].
    """

    text: str
    required: float
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _exact(image, rng):
    return image.copy()


def _shift(image, rng):
    padded = np.pad(image, ((SHIFT, 0), (SHIFT, 0)), "edge")
    return padded[: image.shape[0], : image.shape[1]].copy()


def _contrast(image, rng):
    return _to_uint8((image - _MIDDLE_GREY) * CONTRAST + _MIDDLE_GREY + BRIGHTER)


def _noise(image, rng):
    return _to_uint8(image + rng.normal(0.0, NOISE, image.shape))


def _jpeg(image, rng):
    with io.BytesIO() as file:
        Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
        with Image.open(file) as read:
            return np.asarray(read)


def _to_uint8(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


# Of changed copies four in five have to be caught: of 20, that allows for bad luck where 95 % are.
KINDS: dict[str, Kind] = {
    "exact": Kind("as they are", 1.0, _exact),
    "shifted": Kind(f"shifted by {SHIFT} px to the right and down", 0.8, _shift),
    "contrast": Kind(f"contrast {CONTRAST:.0%}, {BRIGHTER} grey levels brighter", 0.8, _contrast),
    "noise": Kind(f"Gaussian noise of {NOISE:g} grey levels", 0.8, _noise),
    "jpeg": Kind(f"JPEG, quality {JPEG_QUALITY}", 0.8, _jpeg),
}


def plant(images: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """Copies images and changes them.

    Args:
        images: uint8 [N, H, W].
        kind: One of `KINDS`.
        seed: Of the noise; image i has its own random numbers, whatever the others are.

    Returns:
        uint8 [N, H, W].

    Raises:
        ValueError: If the kind is unknown or the images are of another type.
    """
    if kind not in KINDS:
        raise ValueError(f"planted copies are of the kinds {', '.join(KINDS)}, got {kind!r}")
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"images must be uint8 [N, H, W], got {images.dtype} {images.shape}")
    number = list(KINDS).index(kind)
    changed = [
        KINDS[kind].change(image, np.random.default_rng([seed, number, i]))
        for i, image in enumerate(images)
    ]
    return np.stack(changed) if changed else images.copy()


def choose(patients: Sequence[str], count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws images of different patients.

    Args:
        patients: Patient of each image.
        count: Number of images.
        rng: Draws them.

    Returns:
        int64 [count], positions of the images, ascending.

    Raises:
        ValueError: If there are fewer patients.
    """
    patients = np.asarray(patients)
    names = np.unique(patients)
    if len(names) < count:
        raise ValueError(
            f"{count} images of different patients are wanted, but there are {len(names)} patients"
        )
    drawn = rng.choice(names, count, replace=False)
    positions = [rng.choice(np.flatnonzero(patients == patient)) for patient in drawn]
    return np.sort(np.asarray(positions, np.int64))
