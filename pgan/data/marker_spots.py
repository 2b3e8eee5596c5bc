"""Spots of a radiograph that stand out with sharp edges, and what they look like.

Lead letters, writing of a workstation, labels, wires and clips end within a pixel or two, while
bones, vessels and skin are blurred by the focal spot and by their own roundness. A spot is a
connected set of pixels above one of many grey levels. The same mark comes as a spot at several
levels; anatomy seldom has an edge all around at any of them.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

# Images are searched at about this many pixels on the long side. Lengths here and in `markers`
# are for this size, in 1/512 of the long side.
WORKING_SIZE = 512

# Where a spot lies. Side markers lie beside the body and above the shoulders, OUTSIDE. The RIM
# holds writing, but also teeth, necklaces and drains. In the CHEST, wires, valves and clips matter.
CHEST, RIM, OUTSIDE = 0, 1, 2

# Heights above the local background, distances below the brightest pixel, and grey levels at
# which spots are cut out. Backgrounds vary too much for one kind alone.
_HEIGHTS = tuple(10 * 1.28**step for step in range(13))
_DEPTHS = (5, 14, 30)
_GREYS = tuple(range(60, 250, 32))
_DARK_HEIGHTS = (60, 120)
_DARK_DEPTHS = (4, 14)

_BACKGROUND = 61  # px, above the size of a mark, to tell it from its background
_LARGEST = 170  # px, a line of text
_WIDEST = 60  # px, the shorter side of a label
_SHORTEST = 4  # px
_SMALLEST = 8  # px, area
_SATURATED = 4  # grey levels below the brightest pixel
_FINE = 0.7  # working sizes below this share of WORKING_SIZE are coarse: edges take one pixel

_NEIGHBOURS = np.ones((3, 3), bool)


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    """One spot. In a dark spot, all grey values are those of the inverted image.

    Attributes:
      kind: "height", "depth" or "grey", how it was cut out.
      window: its rows and columns.
      filled: bool [h, w], its pixels and its holes.
      zone: CHEST, RIM or OUTSIDE.
      at_border: whether it touches the image's border.
      long, short: sides of its bounding box in units of 1/512 of the image.
      area: in such units squared, without holes.
      full: share of the bounding box that is filled.
      compact: 1 for a rectangle at any angle, 1.05 for an ellipse, about 0.6 for a letter.
      contrast: of its upper quartile against the ground around it.
      weakest: contrast against the brightest sixth of the ground.
      outline: how far the seam right beside it lies below the ground around.
      reach: contrast as a share of what is possible between the ground and the brightest pixel.
      headroom: of the upper quartile above the level of the cut, as a share of the contrast.
      saturated: whether it is as bright as the image gets.
      sharp: mean over its edge of the step within two pixels against the whole step, in [0, 1].
      sharp_low: that of the edge's weakest sixth.
      spread: standard deviation of its grey values as a share of the contrast.
      slope: from the third to the upper quartile, as a share of the contrast.
    """

    kind: str
    level: float
    window: tuple[slice, slice]
    filled: np.ndarray
    zone: int
    at_border: bool
    long: float
    short: float
    area: float
    full: float
    compact: float
    contrast: float
    weakest: float
    outline: float
    reach: float
    headroom: float
    saturated: bool
    sharp: float
    sharp_low: float
    spread: float
    slope: float


def reduce(image: np.ndarray) -> tuple[np.ndarray, int]:
    """Means over squares of pixels, so that the long side comes close to WORKING_SIZE.

    Args:
      image: uint8 or floating [H, W].

    Returns:
      float32 [ceil(H / factor), ceil(W / factor)], and the factor.
    """
    factor = max(1, round(max(image.shape) / WORKING_SIZE))
    if factor == 1:
        return image.astype(np.float32), 1
    height, width = image.shape
    padded = np.pad(image, ((0, -height % factor), (0, -width % factor)), mode="edge")
    rows, columns = padded.shape[0] // factor, padded.shape[1] // factor
    squares = padded.reshape(rows, factor, columns, factor)
    return squares.mean((1, 3), dtype=np.float32), factor


def gap(one: Spot, other: Spot) -> int:
    """Pixels between two bounding boxes, 0 or less where they touch or overlap."""
    (rows, columns), (other_rows, other_columns) = one.window, other.window
    return max(
        rows.start - other_rows.stop,
        other_rows.start - rows.stop,
        columns.start - other_columns.stop,
        other_columns.start - columns.stop,
    )


def find_spots(grey: np.ndarray) -> tuple[list[Spot], list[Spot]]:
    """All spots with sharp edges.

    Args:
      grey: float32 [h, w] of `reduce`.

    Returns:
      Bright and dark spots. Spots of the CHEST and the RIM are left out unless they are as bright,
      or clearly darker, than anything that grows there.
    """
    edges = _Edges(grey)
    bright = _Search(grey, edges, keep_dim=False)
    dark = _Search(255 - grey, edges, keep_dim=True)
    return (
        [spot for cut in _bright_cuts(grey) for spot in bright.spots(*cut)],
        [spot for cut in _dark_cuts(255 - grey) for spot in dark.spots(*cut)],
    )


def above_background(grey: np.ndarray) -> np.ndarray:
    """White top hat: the height of everything narrower than _BACKGROUND, float32 [h, w]."""
    side = int(_BACKGROUND * max(grey.shape) / WORKING_SIZE) | 1
    return grey - ndimage.maximum_filter(ndimage.minimum_filter(grey, side), side)


def _bright_cuts(grey: np.ndarray) -> Iterator[tuple[str, float, np.ndarray]]:
    """Kind, level, and the values to be cut at the level."""
    height, top = above_background(grey), float(grey.max())
    yield from (("height", level, height) for level in _HEIGHTS)
    yield from (("depth", top - depth, grey) for depth in _DEPTHS)
    yield from (("grey", float(level), grey) for level in _GREYS if level < top - _DEPTHS[-1])


def _dark_cuts(inverted: np.ndarray) -> Iterator[tuple[str, float, np.ndarray]]:
    height, top = above_background(inverted), float(inverted.max())
    yield from (("height", float(level), height) for level in _DARK_HEIGHTS)
    yield from (("depth", top - depth, inverted) for depth in _DARK_DEPTHS)


class _Edges:
    """Steps of grey values near each pixel; the same for an image and its inverse."""

    def __init__(self, grey: np.ndarray):
        self.reach = 2 if max(grey.shape) > _FINE * WORKING_SIZE else 1
        near, wide = 2 * self.reach + 1, 4 * self.reach + 3
        self.highest = ndimage.maximum_filter(grey, near)
        self.lowest = ndimage.minimum_filter(grey, near)
        self.step = self.highest - self.lowest
        whole = ndimage.maximum_filter(grey, wide) - ndimage.minimum_filter(grey, wide)
        self.share = self.step / np.maximum(whole, 1)


class _Search:
    """Cuts spots out of one image and describes them."""

    def __init__(self, grey: np.ndarray, edges: _Edges, keep_dim: bool):
        self.grey, self.edges = grey, edges
        self.top = float(grey.max())
        self.unit = max(grey.shape) / WORKING_SIZE
        # A spot inside the chest has to hold one of these pixels.
        self.striking = edges.step >= (0.25 if keep_dim else 0.4) * 255
        if not keep_dim:
            self.striking |= grey >= self.top - _SATURATED

    def spots(self, kind: str, level: float, values: np.ndarray) -> Iterator[Spot]:
        labels, count = ndimage.label(values > level, _NEIGHBOURS)
        if count == 0:
            return
        windows = ndimage.find_objects(labels)
        box = np.array([(r.start, r.stop, c.start, c.stop) for r, c in windows])
        heights, widths = box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]
        zones = self._zones((box[:, 0] + box[:, 1]) / 2, (box[:, 2] + box[:, 3]) / 2)
        long, short = np.maximum(heights, widths), np.minimum(heights, widths)
        unit = self.unit
        good = (long <= _LARGEST * unit) & (short <= _WIDEST * unit) & (long >= _SHORTEST * unit)
        good &= heights * widths >= _SMALLEST * unit**2
        # Most spots are soft everywhere. They go before anything costly is asked of them.
        inside = labels > 0
        rim = np.flatnonzero(inside & ~_shrink(inside))
        owner = labels.ravel()[rim] - 1
        rim_size = np.bincount(owner, minlength=count)
        good &= np.bincount(owner, self.edges.step.ravel()[rim], count) >= 9 * rim_size
        good &= np.bincount(owner, self.edges.share.ravel()[rim], count) > 0.55 * rim_size
        striking = np.zeros(count + 1, bool)
        striking[labels[self.striking]] = True
        good &= (zones == OUTSIDE) | striking[1:]
        for index in np.flatnonzero(good):
            window = windows[index]
            own = labels[window] == index + 1
            if np.count_nonzero(own) >= max(3, _SMALLEST * unit**2):
                spot = self._describe(kind, level, values, window, own, int(zones[index]))
                if spot is not None:
                    yield spot

    def _zones(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        down = rows / self.grey.shape[0]
        aside = np.abs(columns / self.grey.shape[1] - 0.5)
        high_or_low = (down < 0.15) | (down > 0.85)
        zones = np.where((aside > 0.24) | high_or_low, RIM, CHEST)
        return np.where((aside > 0.3) | ((aside > 0.2) & high_or_low), OUTSIDE, zones)

    def _describe(self, kind, level, values, window, own, zone) -> Spot | None:
        """Measures a spot; None if it does not stand out or its edge is soft."""
        reach = self.edges.reach
        margin = reach + 3
        around = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in window)
        grey = self.grey[around]
        within = tuple(
            slice(side.start - a.start, side.stop - a.start)
            for side, a in zip(window, around, strict=True)
        )
        mask = np.zeros(grey.shape, bool)
        mask[within] = own
        filled = _fill_holes(mask)
        near = _grow(filled)
        ring = near
        for _ in range(reach):
            ring = _grow(ring)
        ring &= ~near
        if np.count_nonzero(ring) < 4:
            return None
        inner = grey[mask]
        third, upper = _quantiles(inner, 0.35, 0.75)
        ground, bright_ground = _quantiles(grey[ring], 0.5, 0.85)
        seam = near & ~filled
        seam_value = _quantiles(grey[seam], 0.4)[0] if seam.any() else ground
        lowest = min(ground, seam_value)
        contrast, weakest = upper - lowest, upper - bright_ground
        if contrast < 10:
            return None
        # The edge is held against the contrast, and where the ground differs from side to side,
        # against the step in its own surroundings.
        edge = mask & ~_shrink(mask)
        step = self.edges.step[around][edge]
        expected = (contrast + weakest) / 2 if weakest > 0.3 * contrast else contrast
        sharp = np.minimum(1, step / expected)
        strong = step > 0.5 * max(weakest, 0.2 * contrast)
        sharp = np.where(strong, np.maximum(sharp, self.edges.share[around][edge]), sharp)
        if sharp.mean() < 0.7:
            return None
        height, width = own.shape
        long, short = max(own.shape), min(own.shape)
        (rows, columns), unit = np.nonzero(filled), self.unit
        spread_rows, spread_columns = rows.var() + 1 / 12, columns.var() + 1 / 12
        together = np.mean(rows * columns) - rows.mean() * columns.mean()
        ellipse = max(spread_rows * spread_columns - together**2, 1e-6)
        return Spot(
            kind=kind,
            level=level,
            window=window,
            filled=filled[within],
            zone=zone,
            at_border=any(
                side.start < 2 or side.stop > size - 2
                for side, size in zip(window, self.grey.shape, strict=True)
            ),
            long=long / unit,
            short=short / unit,
            area=np.count_nonzero(own) / unit**2,
            full=len(rows) / (height * width),
            compact=len(rows) / (12 * np.sqrt(ellipse)),
            contrast=contrast,
            weakest=weakest,
            outline=ground - seam_value,
            reach=contrast / (self.top - lowest + 10),
            headroom=(_quantiles(values[window][own], 0.75)[0] - level) / contrast,
            saturated=bool(upper >= self.top - _SATURATED),
            sharp=float(sharp.mean()),
            sharp_low=_quantiles(sharp, 0.15)[0],
            spread=float(inner.std()) / contrast,
            slope=(upper - third) / contrast,
        )


def _quantiles(values: np.ndarray, *shares: float) -> list[float]:
    """Nearest ranks; much quicker on small arrays than np.quantile."""
    ordered = np.sort(values, axis=None)
    return [float(ordered[round(share * (len(ordered) - 1))]) for share in shares]


def _shrink(mask: np.ndarray) -> np.ndarray:
    """Without the pixels that have a neighbour outside; beyond the array counts as inside."""
    rows = mask.copy()
    rows[1:] &= mask[:-1]
    rows[:-1] &= mask[1:]
    result = rows.copy()
    result[:, 1:] &= rows[:, :-1]
    result[:, :-1] &= rows[:, 1:]
    return result


def _grow(mask: np.ndarray) -> np.ndarray:
    """With all neighbours."""
    return ~_shrink(~mask)


def _fill_holes(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(~mask)
    if count < 2:
        return mask
    open_ = np.zeros(count + 1, bool)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        open_[side] = True
    return mask | ~open_[labels]
