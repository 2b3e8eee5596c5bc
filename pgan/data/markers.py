"""Finds and removes side markers and burned-in writing in frontal chest radiographs.

Side markers (lead letters L and R with the initials of the radiographer, plates, the ball that
shows an upright position), writing of the workstation ("PORTABLE", "AP ERECT", a name, a date,
arrows, circled letters) and label boxes tell a reader or a network the hospital, the ward or the
view, and now and then the patient.

Method. The image is cut at many grey levels and many heights above its background; what hangs
together is a spot (`marker_spots`). A spot is a mark (`marker_rules`) by its edge (sharp all
around, unlike bone), its contrast (against the ground and as a share of what is possible there),
its size, its evenness, and its place: lead markers lie outside of the chest, writing at the border.
Within the chest only outlined writing at full brightness counts. Small letters count in a row or
beside a mark. What was found is grown by a few pixels and filled with the harmonic function of its
surroundings, which is smooth and leaves no edge.

Limits. This is a help, not a guarantee of anonymity: look at `sheet`. Tiny or faint letters, those
that lie within the chest, and marks hidden by dense tissue can stay; a plate of clear plastic
stays around its letters. Clips of ECG leads, tubes and jewellery outside the lungs may go. Filled
areas have no noise, so a close look can find where a mark was.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from pgan.data import marker_rules, marker_spots

SMALLEST = 128

# Lengths are in 1/512 of the long side, like those of a Spot.
_GROWTH = 3  # around every mark, and a pixel more: blur, outlines
_BRIDGE = 4  # narrower gaps within writing are filled too
_FEATHER = 2  # px, over which a filled area passes into the image
_FLAT = 10  # grey levels; an image of a smaller range shows nothing


def find(image: np.ndarray) -> np.ndarray:
    """Finds side markers, writing and labels.

    Args:
      image: uint8 or floating [H, W] in [0, 255], each side at least SMALLEST.

    Returns:
      bool [H, W], True on marks and a few pixels around them.

    Raises:
      ValueError: the image is no grey image of that range, or too small.
    """
    _check(image)
    grey, factor = marker_spots.reduce(image)
    return _enlarge(_find(grey), factor, image.shape)


def mask(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replaces side markers, writing and labels by what their surroundings suggest.

    Args:
      image: as for `find`.

    Returns:
      The image with filled areas, same dtype; all other pixels are as they were. And bool [H, W],
      what was filled.

    Raises:
      ValueError: as for `find`.
    """
    _check(image)
    grey, factor = marker_spots.reduce(image)
    found = _find(grey)
    where = _enlarge(found, factor, image.shape)
    if not found.any():
        return image.copy(), where
    return _blend(image, _harmonic(grey, found), where, factor), where


def sheet(
    pairs: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    captions: Sequence[str],
    *,
    side: int = 320,
    columns: int = 3,
) -> Image.Image:
    """Draws radiographs before and after, what was filled outlined in the first.

    Args:
      pairs: image before, image after, and bool where it was filled, all [H, W].
      captions: a text under each pair: a record id, never a file name.
      side: of each picture in pixels.
      columns: pairs in a row.

    Returns:
      RGB picture.

    Raises:
      ValueError: no pairs, or other than one caption for each.
    """
    if not pairs or len(pairs) != len(captions):
        raise ValueError(f"{len(pairs)} pairs need as many captions, got {len(captions)}.")
    font = ImageFont.load_default(size=max(11, side // 22))
    line = sum(font.getmetrics()) + 2
    columns = min(columns, len(pairs))
    cell = (2 * side + 6, side + line)
    rows = -(-len(pairs) // columns)
    picture = Image.new("RGB", (columns * cell[0], rows * cell[1]))
    draw = ImageDraw.Draw(picture)
    for index, ((before, after, where), caption) in enumerate(zip(pairs, captions, strict=True)):
        left, top = index % columns * cell[0], index // columns * cell[1]
        picture.paste(_outlined(before, where, side), (left, top))
        picture.paste(_outlined(after, np.zeros_like(where), side), (left + side + 2, top))
        draw.text((left + 2, top + side), caption, fill=(235, 235, 235), font=font)
    return picture


def _check(image: np.ndarray) -> None:
    if image.ndim != 2 or not (image.dtype == np.uint8 or np.issubdtype(image.dtype, np.floating)):
        raise ValueError(
            f"expected a grey image [H, W] of uint8 or floats, got {image.dtype} {image.shape}"
        )
    if min(image.shape) < SMALLEST:
        height, width = image.shape
        raise ValueError(
            f"marks are looked for in images of at least {SMALLEST} px a side, "
            f"got {width}x{height} px; mask before reducing the image"
        )
    if not (image.min() >= 0 and image.max() <= 255):
        raise ValueError(
            f"grey values must be finite and in [0, 255], got {image.min()} to {image.max()}"
        )


def _find(grey: np.ndarray) -> np.ndarray:
    """Bool [h, w] at working size."""
    found = np.zeros(grey.shape, bool)
    low, high = np.quantile(grey[::4, ::4], (0.02, 0.98))
    if high - low < _FLAT:
        return found
    unit = max(grey.shape) / marker_spots.WORKING_SIZE
    judge = marker_rules.Judge(float(high - low), unit)
    for spot in judge.marks(*marker_spots.find_spots(grey)):
        found[spot.window] |= spot.filled
    found = _dilate(found, 1 + round(_GROWTH * unit))
    reach = max(1, round(_BRIDGE * unit))
    closed = np.pad(found, reach)
    closed = ~_dilate(~_dilate(closed, reach), reach)
    return ndimage.binary_fill_holes(closed)[reach:-reach, reach:-reach] | found


def _dilate(where: np.ndarray, reach: int) -> np.ndarray:
    """By a square of 2 * reach + 1 pixels."""
    return ndimage.maximum_filter(where, 2 * reach + 1)


def _enlarge(found: np.ndarray, factor: int, shape: tuple[int, int]) -> np.ndarray:
    if factor > 1:
        found = found.repeat(factor, 0).repeat(factor, 1)
    return found[: shape[0], : shape[1]]


def _harmonic(grey: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Replaces found pixels so that each is the mean of its neighbours.

    Args:
      grey: float32 [h, w].
      found: bool [h, w], not all True.

    Returns:
      float32 [h, w], the unique solution given the pixels around.
    """
    rows, columns = np.nonzero(found)
    count = len(rows)
    number = np.full(found.shape, -1)
    number[found] = np.arange(count)
    degree, known = np.zeros(count), np.zeros(count)
    entries = []
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        r, c = rows + down, columns + right
        inside = (r >= 0) & (r < found.shape[0]) & (c >= 0) & (c < found.shape[1])
        degree += inside
        own, r, c = np.flatnonzero(inside), r[inside], c[inside]
        neighbour = number[r, c]
        unknown = neighbour >= 0
        entries.append((own[unknown], neighbour[unknown]))
        known += np.bincount(own[~unknown], grey[r, c][~unknown], count)
    own, neighbour = (np.concatenate(part) for part in zip(*entries, strict=True))
    links = scipy.sparse.csc_matrix((np.ones(len(own)), (own, neighbour)), (count, count))
    laplace = scipy.sparse.diags(degree, format="csc") - links
    result = grey.copy()
    result[found] = scipy.sparse.linalg.spsolve(laplace, known)
    return result


def _blend(image: np.ndarray, smooth: np.ndarray, where: np.ndarray, factor: int) -> np.ndarray:
    """Puts the smooth image at working size into the places to fill."""
    result = image.copy()
    labels, _ = ndimage.label(where)
    margin = _FEATHER + 1
    for window in ndimage.find_objects(labels):
        rows, columns = (
            slice(max(0, side.start - margin), min(size, side.stop + margin))
            for side, size in zip(window, image.shape, strict=True)
        )
        own = where[rows, columns]
        # Centres of pixels in coordinates of the working image.
        at = [(np.arange(s.start, s.stop) + 0.5) / factor - 0.5 for s in (rows, columns)]
        fill = ndimage.map_coordinates(
            smooth, np.meshgrid(*at, indexing="ij"), np.float32, order=1, mode="nearest"
        )
        weight = ndimage.uniform_filter(own.astype(np.float32), 2 * _FEATHER + 1)
        weight = np.clip(2 * weight - 1, 0, 1) * own
        values = image[rows, columns] * (1 - weight) + fill * weight
        if image.dtype == np.uint8:
            values = np.rint(values)
        result[rows, columns] = np.where(own, values, image[rows, columns]).astype(image.dtype)
    return result


def _outlined(image: np.ndarray, where: np.ndarray, side: int) -> Image.Image:
    """RGB picture within side x side."""
    scale = side / max(image.shape)
    size = tuple(max(1, round(length * scale)) for length in image.shape[::-1])
    grey = Image.fromarray(np.rint(image).astype(np.uint8)).resize(size, Image.Resampling.BOX)
    areas = np.asarray(Image.fromarray(where).resize(size))
    colour = np.stack([np.asarray(grey)] * 3, -1)
    colour[_dilate(areas, 1) & ~areas] = (255, 64, 64)
    picture = Image.new("RGB", (side, side))
    picture.paste(Image.fromarray(colour))
    return picture
