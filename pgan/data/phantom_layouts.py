"""Writes sites of the chest phantom as the collections that they imitate are distributed.

    nih        Data_Entry_2017_v2020.csv, lists, PNG files               phantom_nih_layout
    chexpert   train.csv, valid.csv, a tree of JPEG files                phantom_chexpert_layout
    rsna       label files, mapping to nih, DICOM files                  phantom_rsna_layout

So every reader and every experiment runs without a download, on images with known findings.
PHANTOM.json says that a folder is one of these, and what it was made with.
"""

import functools
import json
import os
import pathlib
from typing import Any

import tqdm

from pgan.data import (
    manifest,
    phantom,
    phantom_chexpert_layout,
    phantom_nih_layout,
    phantom_rsna_layout,
    phantom_sites,
    processes,
    record_folder,
)
from pgan.data.phantom_files import File

FORMAT = "chest phantom"
DESCRIPTION = "PHANTOM.json"
_UNFINISHED = "PHANTOM.unfinished.json"

_PLANS = {
    "nih": phantom_nih_layout.plan,
    "chexpert": phantom_chexpert_layout.plan,
    "rsna": phantom_rsna_layout.plan,
}


def write(
    site: str,
    folder: str | os.PathLike,
    count: int,
    seed: int = 0,
    size: int = 256,
    workers: int = 0,
    progress: bool = True,
) -> int:
    """Writes a site's images and tables, or what of them is missing.

    Image files are written beside their place and renamed, label tables last. After a kill the
    same call goes on, and the folder ends with the same bytes as if it had never stopped.

    Args:
        site: key of `phantom_sites.SITES`.
        folder: to write to; new, empty, or of an earlier call with the same settings.
        count: number of images.
        seed: of the population. `nih` and `rsna` of one seed share patients.
        size: longer side of the images, a power of two up to 1024.
        workers: processes that draw; 0 draws in this process.
        progress: show a bar.

    Returns:
        Number of files written; 0 if the folder was complete.

    Raises:
        ValueError: the folder holds something else, or an argument is out of range.
        OSError: the disk is full.
        RuntimeError: a process ended.
    """
    phantom_sites.site_named(site)
    phantom.check_size(size)
    phantom.check_numbers(seed=seed)
    if count < 1:
        raise ValueError(f"count must be 1 or more, but got {count}.")
    folder = pathlib.Path(folder)
    settings = {
        "format": FORMAT,
        "site": site,
        "count": count,
        "seed": seed,
        "size": size,
        "version": phantom.VERSION,
    }
    with record_folder.claimed(folder):
        _check_settings(folder, settings)
        plan = _PLANS[site](count, seed, size)
        missing = [path for path in plan.table_paths if not _whole(folder / path)]
        todo = [
            file
            for file in plan.files
            if not _whole(folder / file.path) or (missing and file.measure)
        ]
        absent = sum(not _whole(folder / file.path) for file in todo)
        finished = all((folder / root / DESCRIPTION).exists() for root in plan.roots)
        if finished and not todo and not missing:
            return 0
        if not finished:
            manifest.write_json(folder / _UNFINISHED, settings)
        found = dict.fromkeys(file.path for file in plan.files)
        work = functools.partial(_make, folder, bool(missing))
        results = processes.map_in_order(work, todo, workers)
        bar = tqdm.tqdm(results, total=len(todo), unit="img", desc="Drawing", disable=not progress)
        for file, facts in zip(todo, bar, strict=True):
            found[file.path] = facts
        if missing:
            tables = plan.tables(list(found.values()))
            for path in missing:
                manifest.write_text(folder / path, tables[path])
        for root in reversed(plan.roots):
            manifest.write_json(folder / root / DESCRIPTION, {**settings, **plan.facts})
        (folder / _UNFINISHED).unlink(missing_ok=True)
    return absent + len(missing)


def describe(folder: str | os.PathLike) -> dict:
    """What PHANTOM.json says of a finished folder."""
    return json.loads((pathlib.Path(folder) / DESCRIPTION).read_text())


def _whole(path: pathlib.Path) -> bool:
    """Whether a file is there; a machine that lost power can leave empty ones."""
    return path.is_file() and path.stat().st_size > 0


def _check_settings(folder: pathlib.Path, settings: dict) -> None:
    for name in (DESCRIPTION, _UNFINISHED):
        if (folder / name).exists():
            break
    else:
        strangers = sorted(path.name for path in folder.iterdir())
        if strangers:
            raise ValueError(
                f"{folder} is not empty and holds no phantoms (it has {strangers[0]}); give "
                f"another --output."
            )
        return
    there = json.loads((folder / name).read_text())
    differing = [key for key in settings if there.get(key) != settings[key]]
    if differing:
        lines = ", ".join(
            f"{key} {there.get(key)!r} there, {settings[key]!r} asked" for key in differing
        )
        raise ValueError(
            f"{folder} holds phantoms of other settings: {lines}. Give another --output, or "
            f"remove that folder."
        )


def _make(folder: pathlib.Path, measured: bool, file: File) -> Any:
    """Writes an image file unless it is there, and measures the drawing for the tables."""
    path = folder / file.path
    if not _whole(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(path.name + ".tmp")
        scratch.write_bytes(file.encode())
        os.replace(scratch, path)
    return file.measure() if measured and file.measure else None
