"""Letters on the chest phantom: lead ones in the beam, and ones burned into the picture."""

import numpy as np

# Five by seven dots; each row is a number whose highest bit is the leftmost dot.
_GLYPHS = {
    " ": (0, 0, 0, 0, 0, 0, 0),
    "A": (14, 17, 17, 31, 17, 17, 17),
    "B": (30, 17, 17, 30, 17, 17, 30),
    "C": (14, 17, 16, 16, 16, 17, 14),
    "E": (31, 16, 16, 30, 16, 16, 31),
    "I": (14, 4, 4, 4, 4, 4, 14),
    "L": (16, 16, 16, 16, 16, 16, 31),
    "N": (17, 25, 21, 19, 17, 17, 17),
    "O": (14, 17, 17, 17, 17, 17, 14),
    "P": (30, 17, 17, 30, 16, 16, 16),
    "R": (30, 17, 17, 30, 20, 18, 17),
    "S": (15, 16, 16, 14, 1, 1, 30),
    "T": (31, 4, 4, 4, 4, 4, 4),
    "U": (17, 17, 17, 17, 17, 17, 14),
}
_LEAD = 3.0  # attenuation of a lead letter


def _bar(size: int, start: float, end: float) -> np.ndarray:
    """Share of each of `size` pixels between two fractions of the side, float32 [size].

    Partly covered pixels get their share, so that a letter is the same at every size.
    """
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    return np.clip(np.minimum(centres - start, end - centres) * size + 0.5, 0, 1)


def lead_letter(size: int, rng: np.random.Generator, letter: str = "L") -> np.ndarray:
    """Attenuation of the lead letter that most plates carry beside a shoulder.

    Args:
        size: side of the image.
        rng: draws whether it is there, and where.
        letter: "L" beside the patient's left shoulder, "R" beside the right one, or "" for none.

    Returns:
        float32 [size, size], dimensionless.
    """
    if not letter:
        return np.zeros((size, size), np.float32)
    present = rng.random() < 0.75
    left, top = rng.uniform(0.86, 0.93), rng.uniform(0.04, 0.14)
    if letter == "R":
        cover = np.zeros((size, size), np.float32)
        _write(cover, "R", top, 1 - left - 0.03, 0.045)
    else:
        upright = _bar(size, top, top + 0.045)[:, None] * _bar(size, left, left + 0.009)
        foot = _bar(size, top + 0.036, top + 0.045)[:, None] * _bar(size, left, left + 0.03)
        cover = np.maximum(upright, foot)
    return np.float32(_LEAD * present) * cover


def _write(cover: np.ndarray, text: str, top: float, left: float, height: float) -> float:
    """Raises `cover` [H, W] to 1 on a line of text; all lengths in units of the larger side.

    Returns:
        Where the line ends.
    """
    rows, columns = cover.shape
    side = max(rows, columns)
    dot = height / 7
    for letter in text:
        for row, bits in enumerate(_GLYPHS[letter]):
            # Neighbouring dots are one stroke: two soft edges would leave a seam between them.
            dots = f"{bits:05b}"
            column = 0
            while (start := dots.find("1", column)) >= 0:
                column = dots.find("0", start) if "0" in dots[start:] else 5
                across = _bar(side, left + start * dot, left + column * dot)[:columns]
                down = _bar(side, top + row * dot, top + (row + 1) * dot)[:rows]
                np.minimum(cover + down[:, None] * across, 1, out=cover)
        left += 6 * dot
    return left - dot


def burn_in(picture: np.ndarray, view: str, rng: np.random.Generator) -> np.ndarray:
    """Writes a boxed L and a line of text into a picture, as a workstation does on export.

    Args:
        picture: float32 [H, W], grey levels.
        view: "AP" or "PA"; the text says it.
        rng: draws position, brightness, and whether each of the two is there.

    Returns:
        float32 [H, W].
    """
    rows, columns = picture.shape
    side = max(rows, columns)
    right, bottom = columns / side, rows / side
    cover = np.zeros((rows, columns), np.float32)
    has_letter, has_text = rng.random(2) < (0.85, 0.7)
    margin, drop = rng.uniform(0.015, 0.06), rng.uniform(0.02, 0.12)
    below = rng.random() < 0.25
    text = str(rng.choice(["PORTABLE", "AP SUPINE", "AP ERECT"] if view == "AP" else ["PA ERECT"]))
    if has_letter:
        height = 0.045
        left = right - margin - 1.6 * height
        _write(cover, "L", drop + 0.4 * height, left + 0.45 * height, height)
        _frame(cover, drop, left, 1.8 * height, 1.6 * height, 0.007)
    if has_text:
        height = 0.030
        _write(cover, text, bottom - 0.02 - height if below else 0.02, margin, height)
    white = np.float32(rng.uniform(225, 255))
    return picture + cover * (white - picture)


def _frame(
    cover: np.ndarray, top: float, left: float, height: float, width: float, line: float
) -> None:
    rows, columns = cover.shape
    side = max(rows, columns)

    def box(inset):
        down = _bar(side, top + inset, top + height - inset)[:rows]
        across = _bar(side, left + inset, left + width - inset)[:columns]
        return down[:, None] * across

    np.maximum(cover, box(0.0) - box(line), out=cover)
