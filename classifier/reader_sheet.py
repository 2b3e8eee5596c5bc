"""A sheet of images of a reader study: judged alike by all readers, and with ticked reasons."""

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from classifier import reader_results
from pgan import plots

_COLUMNS = 8
_SIDE = 160  # px


def draw(rows: Sequence[reader_results.Row], images: pathlib.Path) -> Image.Image:
    """Draws the images of each kind and resolution that tell most, by row.

    First come those that everyone took for one kind, then for each reason that readers could tick
    the images with a tick, those ticked by most readers first.

    Args:
        rows: Of `reader_results.rows`.
        images: Folder in which, at any depth, <item>.png are, such as a released study.

    Raises:
        FileNotFoundError: If it has not all of them.
        ValueError: If there are none: readers never agreed, and ticked nothing.
    """
    alike, ticked = _judged_alike(rows), _ticked(rows)
    if not alike and not ticked:
        raise ValueError(
            "there is no image that all readers judged alike or ticked a reason for; leave "
            "--images out"
        )
    parts = ["that all readers judged alike"] if alike else []
    parts += ["with a ticked reason, most ticked first"] if ticked else []
    title = f"images {', then those '.join(parts)}"
    if rows[0]["simulated_readers"]:
        title = f"{rows[0]['simulated_readers']}: {title}"
    names, items = zip(*alike, *ticked, strict=True)
    pictures = [np.stack([_read(images, item) for item in own[:_COLUMNS]]) for own in items]
    return plots.image_grid(pictures, names, title, _COLUMNS)


def _judged_alike(rows):
    """Rows of the sheet: pairs of a name and images."""
    return [
        (
            f"{row['resolution']} px {row['origin']}, {reader_results.verdict(row)}: "
            f"{row['value']}",
            row["items"],
        )
        for row in rows
        if row["name"] == "reader_images" and row["items"]
    ]


def _ticked(rows):
    """The same of images for which any reader ticked a reason."""
    everyone = reader_results.group_order(rows)[-1]
    found = []
    for row in rows:
        if row["name"] != "reader_reason" or row["group"] != everyone:
            continue
        for origin, ticks in row["ticks"].items():
            if ticks:
                name = f"{row['resolution']} px {origin}, {row['reason']}: images {len(ticks)}"
                most = next(iter(ticks.values()))
                found.append((f"{name}, most ticks {most}", list(ticks)))
    return found


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
