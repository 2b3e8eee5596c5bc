"""Arrays to pictures: image grids with a header and a name for every row."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP = 2
_TEXT = 235
_SMALLEST_CELL = 64


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Converts images in [-1, 1] to grey levels, rounded and clipped.

    Args:
        images: Floats of any shape.

    Returns:
        uint8 of the same shape; -1 is 0 and 1 is 255.
    """
    return np.clip(np.rint((np.asarray(images, np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def image_grid(
    rows: Sequence[np.ndarray], row_names: Sequence[str], title: str, columns: int | None = None
) -> Image.Image:
    """Draws rows of grey images under a title, each row with its name at the left.

    Images under 64 px are enlarged by a whole factor without smoothing, so that pixels stay
    pixels. A row may be shorter than the others; its missing cells stay empty.

    Args:
        rows: A uint8 array [n, H, W] for each row, of one size.
        row_names: A name for each row.
        title: Text of the header.
        columns: Number of cells of a row; the longest row by default.

    Returns:
        A grey picture.

    Raises:
        ValueError: If there is no image, or names and rows differ in number.
    """
    if len(rows) != len(row_names):
        raise ValueError(f"{len(rows)} rows need as many names, got {len(row_names)}")
    sizes = {row.shape[1:] for row in rows if len(row)}
    if len(sizes) != 1:
        raise ValueError(f"a grid wants images of one size, got {sorted(sizes)}")
    (height, width) = sizes.pop()
    columns = columns or max(len(row) for row in rows)
    scale = max(1, -(-_SMALLEST_CELL // max(height, width)))
    height, width = height * scale, width * scale
    font = ImageFont.load_default(size=min(28, max(12, height // 9)))
    line = sum(font.getmetrics()) + 6
    names_width = max(int(font.getlength(name)) for name in row_names) + 12
    picture_width = names_width + columns * (width + _GAP)
    picture_width = max(picture_width, int(font.getlength(title)) + 12)
    picture = Image.new("L", (picture_width, line + len(rows) * (height + _GAP)), 0)
    draw = ImageDraw.Draw(picture)
    draw.text((6, 2), title, fill=_TEXT, font=font)
    for i, (row, name) in enumerate(zip(rows, row_names, strict=True)):
        top = line + i * (height + _GAP)
        draw.text((6, top + height // 2), name, fill=_TEXT, font=font, anchor="lm")
        for j, image in enumerate(row[:columns]):
            cell = np.kron(image, np.ones((scale, scale), np.uint8)) if scale > 1 else image
            picture.paste(Image.fromarray(cell), (names_width + j * (width + _GAP), top))
    return picture
