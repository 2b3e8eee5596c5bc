"""The training image nearest to a drawn one, by SSIM. It is the image of a patient."""

import dataclasses
import os
import pathlib
import shutil

import numpy as np
from PIL import Image

from pgan.data import record_set
from pgan.search import block_store, pair_ssim, similar_images

LARGEST = 256  # px; larger images are compared, and shown, at this size


@dataclasses.dataclass(frozen=True)
class Nearest:
    """Of Q drawn images.

    Attributes:
        images: uint8 [Q, S, S], the nearest training image of each.
        ids: Their names.
        ssim: float64 [Q].
    """

    images: np.ndarray
    ids: np.ndarray
    ssim: np.ndarray


def check(records: record_set.RecordSet, fold: str, resolution: int) -> None:
    """Raises ValueError unless images of a resolution can be compared with those of a fold."""
    fewest = len(pair_ssim.WEIGHTS)
    if resolution < fewest:
        raise ValueError(
            f"SSIM needs images of at least {fewest} px, the generator's have {resolution}; leave "
            "out --records"
        )
    records.require_resolution(min(resolution, LARGEST))
    if not records.fold_size(fold):
        raise ValueError(f"the fold {fold!r} of {records.path} is empty")


def find(
    queries: np.ndarray,
    records: record_set.RecordSet,
    fold: str,
    folder: str | os.PathLike,
    progress: bool = True,
) -> Nearest:
    """Finds the nearest image of a fold.

    Args:
        queries: uint8 [Q, R, R].
        records: The record set.
        fold: Of the training images.
        folder: Keeps images and the state of the search while it runs; deleted at its end.
        progress: Whether to show bars.

    Raises:
        ValueError: If the record set has no such fold or no images of this size.
        OSError: If the disk is too full.
    """
    size = min(queries.shape[-1], LARGEST)
    folder = pathlib.Path(folder)
    factor = queries.shape[-1] // size
    small = np.stack([np.asarray(Image.fromarray(image).reduce(factor)) for image in queries])
    images = block_store.images_of_records(records, size, fold, folder / "images.npy")
    reference = similar_images.Reference(
        images,
        records.record_ids(fold),
        folder=folder / "index",
        fingerprint=block_store.identity(records, size, fold),
    )
    found = similar_images.nearest(
        small, reference, k=1, folder=folder / "found", progress=progress
    )
    nearest = Nearest(np.array(images[found.positions[:, 0]]), found.ids[:, 0], found.ssim[:, 0])
    shutil.rmtree(folder)
    return nearest
