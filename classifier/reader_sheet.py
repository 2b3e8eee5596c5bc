"""A sheet of the images of a reader study that all readers judged alike."""

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from classifier import reader_results
from pgan import plots

_COLUMNS = 8
_SIDE = 160  # px


def draw(rows: Sequence[reader_results.Row], images: pathlib.Path) -> Image.Image:
    """Draws the first images of each kind and resolution that everyone took for one kind.

    Args:
        rows: Of `reader_results.rows`.
        images: Folder in which, at any depth, <item>.png are, such as a released study.

    Raises:
        FileNotFoundError: If it has not all of them.
        ValueError: If there are none: readers never agreed.
    """
    names, pictures = [], []
    for row in rows:
        if row["name"] == "reader_images" and row["items"]:
            names.append(
                f"{row['resolution']} px {row['origin']}, {reader_results.verdict(row)}: "
                f"{row['value']}"
            )
            pictures.append([_read(images, item) for item in row["items"][:_COLUMNS]])
    if not names:
        raise ValueError("there is no image that all readers judged alike; leave --images out")
    title = "images that all readers judged alike"
    if rows[0]["simulated_readers"]:
        title = f"{rows[0]['simulated_readers']}: {title}"
    return plots.image_grid([np.stack(row) for row in pictures], names, title, _COLUMNS)


def _read(folder, item):
    """The picture of an item as uint8 [_SIDE, _SIDE]."""
    path = next(folder.rglob(f"{item}.png"), None)
    if path is None:
        raise FileNotFoundError(
            f"there is no {item}.png in {folder}; --images is the folder that "
            "tools/build_reader_study.py --release wrote of this deck"
        )
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))
