"""What a long search keeps on disk, so that the same call goes on where it was ended."""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pgan.data import record_set

_SETTINGS = "settings.json"
_SLICE_BYTES = 64 * 2**20


def fingerprint(images: Any) -> str:
    """Identifies images: their own `fingerprint` if they have one, else SHA-256 of the pixels.

    Args:
        images: uint8 [N, H, W], or anything with `len` and slices that are.
    """
    own = getattr(images, "fingerprint", None)
    if own:
        return str(own)
    digest = hashlib.sha256()
    first = np.asarray(images[:1])
    step = max(1, _SLICE_BYTES // max(1, first.nbytes))
    digest.update(f"{len(images)} {first.shape[1:]}".encode())
    for start in range(0, len(images), step):
        digest.update(np.ascontiguousarray(images[start : start + step]))
    return digest.hexdigest()


class Folder:
    """Blocks of arrays under one set of settings; without a path nothing is kept."""

    def __init__(self, path: str | os.PathLike | None, settings: Mapping[str, Any]):
        """Opens or makes the folder.

        Args:
            path: The folder, or None.
            settings: What the blocks depend on, JSON types.

        Raises:
            ValueError: If the folder holds blocks of other settings.
        """
        self._path = None if path is None else pathlib.Path(path)
        if self._path is None:
            return
        self._path.mkdir(parents=True, exist_ok=True)
        file = self._path / _SETTINGS
        settings = json.loads(json.dumps(dict(settings)))
        if not file.exists():
            _replace(file, lambda partial: partial.write_text(json.dumps(settings, indent=2)))
        kept = json.loads(file.read_text())
        differing = [
            f"{name} {kept.get(name)!r} instead of {settings.get(name)!r}"
            for name in sorted({*kept, *settings})
            if kept.get(name) != settings.get(name)
        ]
        if differing:
            raise ValueError(
                f"{self._path} was begun with {', '.join(differing)}; give another folder, or "
                "delete this one whole"
            )

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Reads a block, None if it was not kept."""
        if self._path is None or not (self._path / f"{name}.npz").exists():
            return None
        with np.load(self._path / f"{name}.npz") as arrays:
            return dict(arrays)

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps a block; a kill leaves all of it or nothing."""
        if self._path is not None:

            def write(partial):
                with open(partial, "wb") as file:
                    np.savez(file, **arrays)

            _replace(self._path / f"{name}.npz", write)


def images_of_records(
    records: record_set.RecordSet,
    resolution: int,
    fold: str,
    path: str | os.PathLike | None = None,
) -> np.ndarray:
    """Decodes the images of a fold, in record order.

    Args:
        records: The record set.
        resolution: Of the images in px.
        fold: Name of the fold.
        path: A .npy file that keeps them; it is mapped, not loaded. None keeps them in memory.

    Returns:
        uint8 [N, resolution, resolution].

    Raises:
        ValueError: If the set lacks resolution or fold, or the file holds other images.
        OSError: If the disk is too full.
    """
    from pgan.data import record_reader

    records.require_resolution(resolution)
    shape = (records.fold_size(fold), resolution, resolution)
    own = identity(records, resolution, fold)
    path = None if path is None else pathlib.Path(path)
    if path is not None and path.exists():
        beside = path.with_suffix(".txt")
        if not beside.exists() or beside.read_text() != own:
            raise ValueError(f"{path} holds other images; give another file, or delete it")
        return np.load(path, mmap_mode="r")

    def fill(images):
        start = 0
        for batch in record_reader.evaluation_dataset(records, resolution, fold, 64):
            pixels = np.rint((batch["images"].numpy()[..., 0] + 1.0) * 127.5)
            images[start : start + len(pixels)] = pixels
            start += len(pixels)
        return images

    if path is None:
        return fill(np.empty(shape, np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path.with_suffix(".txt"), lambda file: file.write_text(own))
    _replace(path, lambda file: fill(new_file(file, shape)).flush())
    return np.load(path, mmap_mode="r")


def new_file(path: pathlib.Path, shape: tuple[int, ...]) -> np.memmap:
    """Makes a .npy file of uint8 to be filled, with all of its place on the disk.

    Raises:
        OSError: If the disk is too full; to write to a map without a place ends the program.
    """
    images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    with open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return images


def identity(records: record_set.RecordSet, resolution: int, fold: str) -> str:
    """Identifies the images of a fold without reading them."""
    return f"records {records.fingerprint} fold {records.fold_fingerprint(fold)} {resolution} px"


def _replace(path: pathlib.Path, write) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(path.name + ".part")
    write(partial)
    os.replace(partial, path)
