"""The images of an audit: drawn or read once, checked, and kept in its work folder."""

import os
import pathlib

import numpy as np
import tqdm

from pgan import image_sources
from pgan.search import block_store

# Images that are drawn between two saves. Each part has a seed of its own, so that drawing can go
# on where it was ended.
PART = 64
# Above all seeds of an audit: with steps of 1, one with the next seed would draw the same images.
_SEED_STEP = 2**32


def draw(
    source: image_sources.Synthetic,
    labels: np.ndarray,
    seed: int,
    folder: str | os.PathLike,
    progress: bool = True,
) -> np.ndarray:
    """Draws the synthetic images, or reads those that an ended audit has drawn.

    Args:
        source: A generator or images that exist.
        labels: float32 [N, L], what the images show.
        seed: Part k of 64 images has the seed `seed + k * 2**32`.
        folder: Where they are kept.
        progress: Whether to show a bar.

    Returns:
        uint8 [N, R, R], mapped from a file.

    Raises:
        ValueError: If there are fewer images, or images are not uint8 [R, R] or of one grey level
            throughout.
        OSError: If the disk is too full.
    """
    folder = pathlib.Path(folder)
    whole = folder / "synthetic.npy"
    if whole.exists():
        return np.load(whole, mmap_mode="r")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "synthetic.part"
    size, count = source.resolution, len(labels)
    bar = tqdm.tqdm(total=count, desc="Synthetic images", unit="img", disable=not progress)
    with bar:
        if source.findings is None:
            parts = _existing(source, labels, seed, bar)
        else:
            parts = _drawn(source, labels, seed, folder, bar)
        images = block_store.new_file(partial, (count, size, size))
        start = 0
        for part in parts:
            check(part, source.name, size, start)
            images[start : start + len(part)] = part
            start += len(part)
        images.flush()
    if start < count:
        raise ValueError(
            f"{count} images are wanted of {source.name}, which has {start}; give --count={start}"
        )
    os.replace(partial, whole)
    for path in folder.glob("drawn_*.npz"):
        path.unlink()
    return np.load(whole, mmap_mode="r")


def _drawn(source, labels, seed, folder, bar):
    kept = block_store.Folder(folder, {})
    for number, start in enumerate(range(0, len(labels), PART)):
        part = kept.load(f"drawn_{number:05d}")
        if part is None:
            rows = labels[start : start + PART]
            part = {"images": np.concatenate(list(source.draw(rows, seed + number * _SEED_STEP)))}
            kept.save(f"drawn_{number:05d}", part)
        bar.update(len(part["images"]))
        yield part["images"]


def _existing(source, labels, seed, bar):
    for images in source.draw(labels, seed):
        bar.update(len(images))
        yield images


def check(images: np.ndarray, what: str, size: int | None = None, first: int = 0) -> None:
    """Refuses what is no image of a chest, and would be the nearest neighbour of its like.

    Args:
        images: Should be uint8 [N, R, R].
        what: Whose images, for the message.
        size: R, if it is known.
        first: Number of the first of them.

    Raises:
        ValueError: If they have another type or shape, or an image is of one grey level throughout.
    """
    wanted = "R" if size is None else size
    square = images.ndim == 3 and images.shape[1] == images.shape[2]
    if images.dtype != np.uint8 or not square or size not in (None, images.shape[1]):
        raise ValueError(
            f"images of {what} must be uint8 [N, {wanted}, {wanted}], got {images.dtype} "
            f"{list(images.shape)}"
        )
    flat = images.max(axis=(1, 2)) == images.min(axis=(1, 2))
    if flat.any():
        raise ValueError(
            f"image {first + int(np.argmax(flat))} of {what} is of one grey level throughout, as "
            f"are {int(flat.sum())} of the {len(images)} from image {first}. Networks with weights "
            "that are not finite (NaN) draw such images; look at its last grid, and audit an "
            "earlier checkpoint"
        )
