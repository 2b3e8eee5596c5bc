"""From one grey image to its pixels at every resolution, and their lossless encoding.

An image that is not square is first made so: "pad" centres it on a black square, which keeps all
of it; "crop" takes the central square; "stretch" changes its proportions, as the paper did. All
levels come from the unrounded original: an exact box filter to the largest level, then 2x2
means in float32, and each level is rounded once. Rounding level by level would add noise of up to
half a grey value per level.

Sizes between two levels are made of the next larger level as it is stored, by the same filter:
classifiers learn from record sets, and what is shown to them later has to go the same way.
"""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

SMALLEST = 4
GEOMETRIES = ("pad", "crop", "stretch")

# How pixels of one level are stored; chosen by measurement on chest radiographs (BUILD_NOTES.md).
# At 64 px and below PNG saves at most a third of files that are small anyway, and its decoder
# costs several times the rest of the input pipeline. From 128 px on PNG halves the disk, and a
# training step is slow enough to hide the decoder.
LARGEST_RAW = 64

# zlib level of the PNGs. 6 would make them 10 % smaller and encoding three to four times slower.
PNG_COMPRESSION = 3


def resolutions(max_resolution: int) -> tuple[int, ...]:
    """4, 8, ..., max_resolution.

    Raises:
      ValueError: max_resolution is no power of two from 4 up.
    """
    if max_resolution < SMALLEST or max_resolution & (max_resolution - 1):
        raise ValueError(f"A resolution is a power of two from 4 up, got {max_resolution}.")
    return tuple(2**level for level in range(2, max_resolution.bit_length()))


def level_above(side: int) -> int:
    """Smallest resolution of a record set that is not below a size: 256 for 224, 64 for 64."""
    return max(SMALLEST, 1 << (side - 1).bit_length())


def pad_to_square(image: np.ndarray) -> np.ndarray:
    """Centres [H, W] in a square of the longer side, black around it."""
    height, width = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return np.pad(image, ((top, side - height - top), (left, side - width - left)))


def crop_to_square(image: np.ndarray) -> np.ndarray:
    """The central square of [H, W]."""
    height, width = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def require_side(height: int, width: int, geometry: str, side: int) -> None:
    """Raises ValueError if an image of that size would have to be enlarged."""
    if _square_side(height, width, geometry) < side:
        raise ValueError(
            f"the image has {width}x{height} px, less than the {side} px asked for; ask for a "
            f"smaller --max_resolution"
        )


def _square_side(height, width, geometry):
    return max(height, width) if geometry == "pad" else min(height, width)


def box_filter(image: np.ndarray, side: int) -> np.ndarray:
    """Mean over the area that each output pixel covers, also where it cuts through input pixels.

    Args:
      image: float32 [H, W] with H, W >= side.
      side: of the output.

    Returns:
      float32 [side, side].
    """
    height, width = image.shape
    if height % side == 0 and width % side == 0:
        parts = image.reshape(side, height // side, side, width // side)
        return parts.mean((1, 3), dtype=np.float32)
    values = image.astype(np.float64)
    for source in (height, width):
        edges = np.arange(side + 1) * (source / side)
        edges[-1] = source
        whole = np.minimum(edges.astype(int), source - 1)
        part = (edges - whole)[:, None]
        # The integral of a row of pixels up to each edge; differences are sums over output pixels.
        sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
        integral = sums[whole] + part * values[whole]
        values = (np.diff(integral, axis=0) * (side / source)).T
    return values.astype(np.float32)


def levels(
    image: np.ndarray, wanted: tuple[int, ...], max_resolution: int, geometry: str = "pad"
) -> dict:
    """The image at the wanted resolutions.

    Args:
      image: uint8 or floating [H, W] with values in [0, 255].
      wanted: the resolutions to return, powers of two up to max_resolution.
      max_resolution: the largest level; smaller levels are means of it.
      geometry: how an image that is not square becomes so, one of GEOMETRIES.

    Returns:
      {resolution: uint8 [resolution, resolution]}.

    Raises:
      ValueError: the image is no grey image of that range, or smaller than max_resolution.
    """
    result = {}
    values = _filtered(image, max_resolution, geometry)
    for resolution in reversed(resolutions(max_resolution)):
        if resolution < values.shape[0]:
            values = box_filter(values, resolution)
        if resolution in wanted:
            result[resolution] = np.rint(values).astype(np.uint8)
    return result


def one_level(image: np.ndarray, side: int, geometry: str = "pad") -> np.ndarray:
    """The image at any one size, as `levels` and `scale_down` make it.

    Args:
      image: uint8 or floating [H, W] with values in [0, 255].
      side: of the result. If it is no power of two, the image is brought to the next larger one
        and rounded before, unless it is smaller than that.
      geometry: how an image that is not square becomes so, one of GEOMETRIES.

    Returns:
      uint8 [side, side].

    Raises:
      ValueError: the image is no grey image of that range, or smaller.
    """
    _require_grey(image)
    level = level_above(side)
    first = level if _square_side(*image.shape, geometry) >= level else side
    return scale_down(np.rint(_filtered(image, first, geometry)).astype(np.uint8), side)


def scale_down(images: np.ndarray, side: int) -> np.ndarray:
    """Images of one level at a smaller size, by `box_filter` and rounded.

    Args:
      images: uint8 [..., S, S] with S >= side; returned as they are if S is side.
      side: of the result.

    Returns:
      uint8 [..., side, side].
    """
    if images.shape[-1] == side:
        return images
    flat = images.reshape(-1, *images.shape[-2:])
    scaled = np.empty((len(flat), side, side), np.uint8)
    for row, image in zip(scaled, flat, strict=True):
        row[:] = np.rint(box_filter(image.astype(np.float32), side))
    return scaled.reshape(*images.shape[:-2], side, side)


def _require_grey(image):
    if image.ndim != 2:
        raise ValueError(f"expected a grey image [H, W], got shape {image.shape}")


def _filtered(image: np.ndarray, side: int, geometry: str) -> np.ndarray:
    """float32 [side, side], square and not yet rounded."""
    _require_grey(image)
    require_side(*image.shape, geometry, side)
    make_square = {"pad": pad_to_square, "crop": crop_to_square, "stretch": lambda same: same}
    values = make_square[geometry](image).astype(np.float32)
    if not (values.min() >= 0 and values.max() <= 255):
        raise ValueError(
            f"grey values must be finite and in [0, 255], got {values.min()} to {values.max()}"
        )
    return box_filter(values, side)


def choose_encoding(resolution: int) -> str:
    """Chooses "raw" or "png", whichever serves training better at this resolution."""
    return "raw" if resolution <= LARGEST_RAW else "png"


def encode(pixels: np.ndarray, encoding: str) -> bytes:
    """uint8 [R, R] as bytes, "raw" in row order or as an 8-bit grey "png"."""
    if encoding == "raw":
        return pixels.tobytes()
    with io.BytesIO() as stream:
        Image.fromarray(pixels).save(stream, "PNG", compress_level=PNG_COMPRESSION)
        return stream.getvalue()


def encode_levels(
    image: np.ndarray, encodings: Mapping[int, str], max_resolution: int, geometry: str = "pad"
) -> dict:
    """{resolution: bytes} for every resolution in `encodings`, which maps it to "raw" or "png"."""
    pixels = levels(image, tuple(encodings), max_resolution, geometry)
    return {
        resolution: encode(pixels[resolution], encodings[resolution]) for resolution in encodings
    }
