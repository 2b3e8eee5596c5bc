"""Finds and removes side markers and burned-in writing in frontal chest radiographs.

Side markers (lead letters L and R with the initials of the radiographer, plates, the ball that
shows an upright position), writing of the workstation ("PORTABLE", "AP ERECT", a name, a date,
arrows, circled letters) and label boxes tell a reader or a network the hospital, the ward or the
view, and now and then the patient.

Method. The image is cut at many grey levels and many heights above its background; what hangs
together is a spot (`marker_spots`). A spot is a mark by its edge (sharp all around, unlike bone),
its contrast (against the ground and as a share of what is possible there), its size, its evenness,
and its place: lead markers lie outside of the chest, writing at the border. Within the chest only
outlined writing at full brightness counts. Small letters count in a row or beside a mark. What was
found is grown by a few pixels and filled with the harmonic function of its surroundings, which is
smooth and leaves no edge.

Limits. This is a help, not a guarantee of anonymity: look at `sheet`. Tiny or faint letters, those
that lie within the chest, and marks hidden by dense tissue can stay; a plate of clear plastic
stays around its letters. Clips of ECG leads, tubes and jewellery outside the lungs may go. Filled
areas have no noise, so a close look can find where a mark was.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from pgan.data import marker_spots
from pgan.data.marker_spots import CHEST, OUTSIDE, Spot, gap

SMALLEST = 128

# Lengths are in 1/512 of the long side, like those of a Spot; contrasts in shares of the image's
# own range of grey values.
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
    judge = _Judge(float(high - low), unit)
    for spot in judge.marks(*marker_spots.find_spots(grey)):
        found[spot.window] |= spot.filled
    found = _dilate(found, 1 + round(_GROWTH * unit))
    reach = max(1, round(_BRIDGE * unit))
    closed = np.pad(found, reach)
    closed = ~_dilate(~_dilate(closed, reach), reach)
    return ndimage.binary_fill_holes(closed)[reach:-reach, reach:-reach] | found


class _Judge:
    """Tells marks from other spots.

    Attributes:
      span: range of the image's grey values, between its 2nd and 98th percentile.
      unit: pixels of the working image in 1/512 of the full working size.
    """

    def __init__(self, span: float, unit: float):
        self.span, self.unit = span, unit
        self.coarse = unit < 0.7  # strokes are one pixel wide, and edges lose sharpness

    def marks(self, bright: list[Spot], dark: list[Spot]) -> list[Spot]:
        """All spots that are marks or belong to one."""
        rules = (self._is_outlined, self._is_plate, self._is_letter, self._is_ball, self._is_in_air)
        own = [spot for spot in bright if self._has_size(spot) and _any(rules, spot)]
        leaders = [spot for spot in own if not self._is_ball(spot)]
        rows = self._rows([spot for spot in bright if self._is_ink(spot)])
        rules = (self._is_black_box, self._is_dark_writing, self._is_dark_letter)
        own_dark = [spot for spot in dark if _any(rules, spot)]
        written = [spot for spot in own_dark if self._is_dark_writing(spot)]
        beside = self._beside(bright, leaders + rows) + self._beside(dark, written)
        return own + rows + beside + own_dark

    def _has_size(self, spot: Spot) -> bool:
        if spot.at_border and (spot.short < 8 or spot.long < 16):
            return False  # corners of the collimator, ends of wires
        return 7 <= spot.long <= 170 and spot.short <= 46 and spot.long <= 9 * spot.short

    def _is_burned_in(self, spot: Spot) -> bool:
        """As bright as anything in the image, with a clean edge."""
        clean = spot.sharp_low > (0.5 if self.coarse else 0.8)
        return spot.saturated and spot.contrast > 0.25 * self.span and clean

    def _is_outlined(self, spot: Spot) -> bool:
        """White writing with a black outline, anywhere."""
        return (
            self._is_burned_in(spot)
            and spot.outline > 0.12 * self.span
            and spot.weakest > 0
            and spot.sharp_low > 0.9
            and spot.short >= 2.5
        )

    def _is_plate(self, spot: Spot) -> bool:
        """White box with text, arrow, heavy letter: even, and as bright as anything."""
        if spot.zone == CHEST or spot.short < 7 or spot.slope >= 0.1:
            return False
        if spot.full > 0.88 and spot.saturated and spot.weakest > 0.08 * self.span:
            return self._is_burned_in(spot) or spot.sharp_low > 0.9
        if spot.long >= 6 * spot.short:
            return False
        sharp = spot.sharp_low > (0.75 if self.coarse else 0.9)
        pure = spot.saturated and spot.spread < 0.16 and sharp
        if pure and spot.long >= 14 and spot.weakest > 0.06 * self.span:
            return True
        return self._is_burned_in(spot) and spot.weakest > 0.1 * self.span

    def _is_sharp(self, spot: Spot) -> bool:
        """Even, sharp all around, outside of the chest, and no tip of a ridge."""
        if spot.zone != OUTSIDE or spot.spread > 0.38:
            return False
        if spot.kind == "height" and spot.headroom < 0.4:
            return False
        if self.coarse and spot.contrast > 0.25 * self.span:
            return spot.sharp > 0.76 and spot.sharp_low > 0.45
        return spot.sharp > 0.88 and spot.sharp_low > 0.65

    def _is_letter(self, spot: Spot) -> bool:
        """Lead letter, or letters joined to a word."""
        if not self._is_sharp(spot):
            return False
        if self._is_burned_in(spot) and spot.weakest > 0.1 * self.span:
            return spot.long < 6 * spot.short
        word = spot.full > 0.45 and spot.sharp_low > 0.9 and 8 <= spot.short <= 20
        if spot.long > 5 * spot.short and not word:
            return False
        clean = spot.kind != "grey" and spot.sharp_low > 0.95
        if clean and spot.long >= 14 and spot.reach > 0.5 and spot.weakest > 6:
            return True  # on a ground so bright that little contrast is left
        return (
            spot.kind != "depth"
            and (spot.kind == "height" or spot.headroom > 0.3)
            and spot.long >= 10
            and spot.full > 0.28
            and spot.contrast > 0.15 * self.span
            and spot.weakest > 0.1 * self.span
            and spot.reach > (0.55 if spot.compact > 0.88 else 0.4)
        )

    def _is_ball(self, spot: Spot) -> bool:
        """Ball of an upright position, or plate of lead with the letter cut out."""
        return (
            self._is_sharp(spot)
            and spot.kind == "height"
            and spot.short >= 16
            and spot.long < 2.7 * spot.short
            and spot.compact > 0.95
            and spot.full > 0.6
            and spot.contrast > 0.09 * self.span
            and spot.weakest > 0.06 * self.span
            and spot.reach > 0.27
            and spot.sharp_low > 0.8
            and spot.spread < 0.3
        )

    def _is_in_air(self, spot: Spot) -> bool:
        """Faint letter on the black beside the body."""
        return (
            self._is_sharp(spot)
            and spot.kind == "height"
            and spot.contrast > 0.25 * self.span
            and spot.weakest > 0.95 * spot.contrast
            and spot.reach > 0.25
            and spot.sharp > 0.93
            and spot.sharp_low > 0.9
            and spot.compact < 0.86
            and spot.full > 0.3
            and 12 <= spot.long <= 40
            and spot.long < 2.5 * spot.short
        )

    def _is_ink(self, spot: Spot) -> bool:
        """Could be a letter in a row."""
        return (
            spot.zone != CHEST
            and 3 <= spot.short <= 24
            and spot.long <= 100
            and spot.sharp > 0.9
            and spot.sharp_low > 0.85
            and self._stands_out(spot)
            and spot.spread < 0.5
        )

    def _stands_out(self, spot: Spot) -> bool:
        if spot.reach > 0.65 and spot.sharp_low > 0.95 and spot.weakest > 0.06 * self.span:
            return True  # on bright tissue
        strong = spot.contrast > 0.25 * self.span and spot.weakest > 0.15 * self.span
        return strong and spot.reach > 0.75

    def _rows(self, ink: list[Spot]) -> list[Spot]:
        """At least three letters of one size next to each other, or two with an outline."""
        cuts: dict[tuple[str, float], list[Spot]] = {}
        for spot in ink:
            cuts.setdefault((spot.kind, spot.level), []).append(spot)
        rows = []
        for left in cuts.values():
            while left:
                row = [left.pop()]
                for spot in row:
                    rest = [other for other in left if not self._are_alike(spot, other)]
                    row += [other for other in left if self._are_alike(spot, other)]
                    left[:] = rest
                letters = sum(max(1, round(s.long / s.short)) for s in row)
                outlined = all(s.outline > 0.1 * self.span for s in row)
                if len(row) > 1 and letters >= (2 if outlined else 3):
                    rows += row
        return rows

    def _are_alike(self, spot: Spot, other: Spot) -> bool:
        small, large = sorted((spot.short, other.short))
        return large < 1.8 * small and gap(spot, other) <= (0.9 * large + 1) * self.unit

    def _beside(self, bright: list[Spot], leaders: list[Spot]) -> list[Spot]:
        """Fainter and smaller letters beside those found, up to three steps away."""
        taken = {id(spot) for spot in leaders}
        pool = [s for s in bright if id(s) not in taken and self._may_follow(s)]
        found: list[Spot] = []
        for _ in range(3):
            new = [s for s in pool if any(self._follows(s, leader) for leader in leaders)]
            taken = {id(spot) for spot in new}
            pool = [spot for spot in pool if id(spot) not in taken]
            found += new
            leaders = new
        return found

    def _may_follow(self, spot: Spot) -> bool:
        return (
            (spot.zone != CHEST or spot.saturated)
            and spot.kind == "height"
            and 4 <= spot.long <= min(40, 6 * spot.short)
            and spot.sharp > 0.85
            and spot.sharp_low > 0.75
            and spot.spread < 0.45
            and spot.reach > 0.25
            and spot.headroom > 0.25
        )

    def _follows(self, spot: Spot, leader: Spot) -> bool:
        return (
            spot.contrast > 0.5 * leader.contrast
            and spot.long < 1.2 * leader.long + 2
            and spot.area < 1.5 * leader.area
            and gap(spot, leader) <= min(max(3, 0.5 * leader.long), 14) * self.unit
        )

    def _is_black_box(self, spot: Spot) -> bool:
        """Box of one black, with or without writing."""
        return (
            spot.zone != CHEST
            and spot.kind == "depth"
            and spot.full > 0.9
            and spot.slope < 0.1
            and 8 <= spot.short <= 46
            and spot.long <= 170
            and spot.contrast > 0.15 * self.span
            and spot.weakest > 0.1 * self.span
            and spot.sharp_low > (0.6 if self.coarse else 0.8)
        )

    def _is_dark_writing(self, spot: Spot) -> bool:
        """Black word, or white writing so small that its black outline is what is left."""
        clean = 0.75 if self.coarse else 0.9
        if spot.at_border or spot.kind != "height" or spot.sharp_low < clean:
            return False
        if spot.zone != OUTSIDE and spot.sharp > 0.9 and spot.weakest > 0.6 * self.span:
            return spot.long <= 110
        word = (
            spot.sharp > 0.93
            and 3 <= spot.short <= 16
            and 2.2 * spot.short <= spot.long <= 100
            and spot.contrast > 0.3 * self.span
            and spot.weakest > 0.15 * self.span
        )
        if word and spot.zone == OUTSIDE:
            # Air between arm and body is black too, but stands upright and is not as black.
            return spot.reach > 0.5 and spot.filled.shape[0] < spot.filled.shape[1]
        return word

    def _is_dark_letter(self, spot: Spot) -> bool:
        """Letter cut out of a bright plate."""
        return (
            spot.kind == "height"
            and not spot.at_border
            and spot.zone == OUTSIDE
            and 10 <= spot.long <= 40
            and spot.long < 2.5 * spot.short
            and spot.compact < 0.85
            and spot.sharp > 0.93
            and spot.sharp_low > 0.85
            and spot.weakest > 0.5 * self.span
        )


def _any(rules: Iterable[Callable[[Spot], bool]], spot: Spot) -> bool:
    return any(rule(spot) for rule in rules)


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
