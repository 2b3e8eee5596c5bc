"""What a site does to a chest phantom's picture after exposure: contrast, cropping, collimation."""

import dataclasses

import numpy as np
from scipy import ndimage

from pgan.data.phantom_texture import wide_blur


@dataclasses.dataclass(frozen=True)
class Processing:
    """How a unit turns a picture into the one that leaves it; neutral by default.

    Every step is the same for all pictures of a site, or acts locally. A step set by the picture
    as a whole, such as its histogram, would carry a finding's effect all over it.

    Attributes:
        blur: standard deviation of the detector's and the printer's blur, cm.
        local: weight of local contrast, how far a grey value is pushed from the mean around it.
        reach: what "around" means, standard deviation in cm.
        curve: grey values in [0, 1], evenly spaced from black to white, that the old ones become;
            linear between them. Empty leaves them.
        gamma: exponent of the grey values in [0, 1]; above 1 darkens.
    """

    blur: float = 0.0
    local: float = 0.0
    reach: float = 1.5
    curve: tuple[float, ...] = ()
    gamma: float = 1.0

    def applied_to(self, grey: np.ndarray, pixel: float) -> np.ndarray:
        """The processed picture.

        Args:
            grey: float32 [size, size], grey levels.
            pixel: side of a pixel, cm.

        Returns:
            float32 [size, size] in [0, 255] but for slight overshoot.
        """
        if self == Processing():
            return grey
        value = grey / np.float32(255)
        if self.blur:
            value = ndimage.gaussian_filter(value, self.blur / pixel, truncate=3.0)
        if self.local:
            # The open beam beside the patient has no contrast to raise, only halos to get.
            tissue = np.clip(value * np.float32(8), 0, 1)
            around = wide_blur(value, self.reach, pixel, cells=128)
            value = value + np.float32(self.local) * tissue * (value - around)
        if self.curve:
            knots = np.linspace(0, 1, len(self.curve))
            value = np.interp(value, knots, self.curve).astype(np.float32)
        if self.gamma != 1:
            value = np.maximum(value, 0) ** np.float32(self.gamma)
        return value * np.float32(255)


@dataclasses.dataclass(frozen=True)
class Cut:
    """The part of a square picture that is kept.

    Attributes:
        top, bottom, left, right: fractions of the side that are cut off.
        black: whether black bands take the place of what is cut off above and below.
    """

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0
    black: bool = False

    def applied_to(self, square: np.ndarray) -> np.ndarray:
        """Cuts [S, S] to [H, W]."""
        size = square.shape[0]
        top, left = round(self.top * size), round(self.left * size)
        kept = square[
            top : size - round(self.bottom * size), left : size - round(self.right * size)
        ]
        bands = (top, size - top - kept.shape[0]) if self.black else (0, 0)
        return np.pad(kept, (bands, (0, 0)))


FULL = Cut()


def sample_cut(rng: np.random.Generator) -> Cut:
    """Draws a landscape, portrait or square picture, in the shares of an emergency department's.

    Landscape pictures lack some of neck and abdomen, portrait ones some of the arms; some portrait
    ones were exposed on a plate larger than the collimated field.
    """
    kind = rng.random()
    part = rng.uniform(0.14, 0.19)
    off = rng.uniform(-0.02, 0.02)
    if kind < 0.5:
        return Cut(top=0.3 * part, bottom=0.7 * part)
    if kind < 0.75:
        return Cut(left=0.5 * part + off, right=0.5 * part - off)
    if kind < 0.9:
        return Cut(top=0.03, bottom=0.04, left=0.5 * part + off, right=0.5 * part - off, black=True)
    return FULL
