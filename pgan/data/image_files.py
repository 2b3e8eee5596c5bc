"""Image files of radiographs: PNG, JPEG, TIFF and DICOM, told apart by their first bytes."""

import logging
import os
import struct
import warnings
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from pgan.data import dicom
from pgan.data.radiograph import Pixels

# Anything larger is a slip or an attack: the largest plates have about 20 million pixels.
LARGEST_PIXELS = dicom.LARGEST_PIXELS

PNG_START = b"\x89PNG\r\n\x1a\n"
# Of the grey values of 16-bit files; they become black and white.
PERCENTILES = (0.5, 99.5)
# ITU-R BT.601.
LUMINANCE = (0.299, 0.587, 0.114)

_PNG_END = b"IEND\xaeB`\x82"
_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0

_log = logging.getLogger(__name__)


class Facts(NamedTuple):
    """What the head of a file says.

    Attributes:
      width, height: in pixels.
      bytes: size of the file.
      extras: "age", "sex" and "view", as far as a DICOM header has them.
    """

    width: int
    height: int
    bytes: int
    extras: dict


def probe(path: str | os.PathLike, window: str = "auto") -> Facts:
    """Looks at the head of a file, and at its end where a broken download shows there.

    Raises:
      ValueError: the file is missing, empty, cut off, of no known kind or far too large.
      dicom.Refused: it is sound, but no frontal radiograph.
    """
    start = _start_of(path)
    if dicom.is_dicom(start):
        header = dicom.probe(path, window)
        extras = {"age": header.age, "sex": header.sex, "view": header.view}
        known = {name: value for name, value in extras.items() if value not in (None, "")}
        return Facts(header.width, header.height, os.path.getsize(path), known)
    _check_window(path, window)
    size = os.path.getsize(path)
    try:
        with _opened(path) as image:
            width, height = image.size
            frames = getattr(image, "n_frames", 1)
    except _IMAGE_ERRORS as error:
        raise _unreadable(path, error) from None
    if width * height > LARGEST_PIXELS:
        raise ValueError(
            f"{path} claims to have more than {LARGEST_PIXELS:,} pixels ({width}x{height})."
        )
    if frames > 1:
        raise dicom.Refused(f"{path} holds {frames} images; a radiograph is one.")
    if start.startswith(PNG_START):
        with open(path, "rb") as file:
            file.seek(max(0, size - len(_PNG_END)))
            if file.read() != _PNG_END:
                raise ValueError(f"{path} is cut off after {size} bytes; fetch it again.")
    return Facts(width, height, size, {})


def load(path: str | os.PathLike, window: str = "auto") -> Pixels:
    """Grey values of an image file.

    Args:
      path: of the file.
      window: which part of the stored range becomes black to white, see `dicom.WINDOWS`. "auto"
        takes what a DICOM file asks for, 8-bit files as they are, and of 16-bit files, whose
        range nothing tells, the percentiles 0.5 to 99.5. "minmax" is the paper's stretch of
        every image to its own extremes.

    A few files of ChestX-ray14 are RGBA with three equal channels: one of them is taken, and
    alpha is ignored. If the channels differ the luminance of ITU-R BT.601 is taken, with a warning.

    Raises:
      ValueError: the file is missing or cannot be decoded; the message names it.
    """
    if dicom.is_dicom(_start_of(path)):
        return dicom.load(path, window)
    _check_window(path, window)
    try:
        with _opened(path) as image:
            if image.width * image.height > LARGEST_PIXELS:
                raise ValueError(f"{image.width}x{image.height} px are too many")
            if image.mode in ("P", "1", "CMYK", "YCbCr"):
                image = image.convert("RGB")
            image.load()
            mode, pixels = image.mode, np.asarray(image)
            tags = getattr(image, "tag_v2", {})
    except _IMAGE_ERRORS as error:
        raise _unreadable(path, error) from None
    if mode in ("RGB", "RGBA"):
        pixels = _luminance(pixels[..., :3], path)
    elif mode == "LA":
        pixels = pixels[..., 0]
    elif mode != "L" and not mode.startswith("I"):
        raise ValueError(
            f"{path} holds pixels of the kind {mode!r}; expected 8 or 16 bits of grey."
        )
    deep = mode.startswith("I")
    if deep and tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        pixels = 65535 - pixels.astype(np.int32)
    if window == "auto" and not deep:
        return Pixels(pixels)
    return _stretch(pixels, "percentile" if window == "auto" else window)


_IMAGE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    OverflowError,
    zlib.error,
    struct.error,
    Image.DecompressionBombError,
)


def _start_of(path: str | os.PathLike) -> bytes:
    try:
        with open(path, "rb") as file:
            start = file.read(132)
    except OSError as error:
        raise _unreadable(path, error) from None
    if not start:
        raise ValueError(f"{path} is empty; fetch it again.")
    return start


def _opened(path: str | os.PathLike) -> Image.Image:
    with warnings.catch_warnings():
        # The number of pixels is checked here, with a limit of its own.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=("PNG", "JPEG", "TIFF"))


def _unreadable(path: str | os.PathLike, error: Exception) -> ValueError:
    if isinstance(error, Image.DecompressionBombError):
        return ValueError(f"{path} claims to have more than {LARGEST_PIXELS:,} pixels ({error}).")
    return ValueError(f"{path} cannot be read as an image ({error}); fetch it again.")


def _check_window(path: str | os.PathLike, window: str) -> None:
    if window not in dicom.WINDOWS:
        raise ValueError(f"window must be one of {', '.join(dicom.WINDOWS)}, got {window!r}.")
    if window in ("voi_lut", "window"):
        raise ValueError(
            f"{path} is no DICOM file and has no window of its own; use --window=auto, percentile "
            f"or minmax."
        )


def _luminance(colours: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    red, green, blue = np.moveaxis(colours, -1, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return red
    _log.warning("%s is coloured; its luminance is used.", path)
    return colours.astype(np.float32) @ np.float32(LUMINANCE)


def _stretch(pixels: np.ndarray, window: str) -> Pixels:
    if window == "percentile":
        low, high = np.percentile(pixels, PERCENTILES)
        name = f"percentile {PERCENTILES[0]}-{PERCENTILES[1]}"
    else:
        low, high = pixels.min(), pixels.max()
        name = "minmax"
    if high <= low:
        raise ValueError("the image has one grey value only")
    scaled = (pixels.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return Pixels(np.clip(scaled, 0, 255), f"{name} = {low:g}-{high:g}")
