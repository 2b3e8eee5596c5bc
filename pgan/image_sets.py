"""Images that can be asked for by number: a fold of a record set, or files in a folder."""

import concurrent.futures
import csv
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tqdm

from pgan import label_plan
from pgan.data import image_files, record_access, record_set

_BATCH = 32
_LABELS = "labels.csv"
_JPEG = b"\xff\xd8"

Batches = Iterator[np.ndarray]


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A collection of square grey images.

    Attributes:
        name: For people.
        resolution: Side in px.
        count: N, number of images.
        fetch: Function of ascending numbers int64 [B], without repetition, to images uint8
            [B, resolution, resolution].
        facts: JSON types that identify the set.
        findings: Vocabulary; None if the images have no labels.
        labels: float32 [N, L] in [0, 1], NaN where it is not known; None without labels.
        patients: Whose image each is; None if each is somebody else's or that is not known.
    """

    name: str
    resolution: int
    count: int
    fetch: Callable[[np.ndarray], np.ndarray]
    facts: dict[str, Any]
    findings: tuple[str, ...] | None = None
    labels: np.ndarray | None = None
    patients: Sequence[str] | None = None

    def batches(self, numbers: Sequence[int]) -> Batches:
        """Fetches images, a batch ahead of the caller.

        Args:
            numbers: Ascending, without repetition.

        Yields:
            uint8 [B, resolution, resolution].
        """
        numbers = np.asarray(numbers, np.int64)
        parts = [numbers[start : start + _BATCH] for start in range(0, len(numbers), _BATCH)]
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            ahead = None
            for part in [*parts, None]:
                following = None if part is None else thread.submit(self.fetch, part)
                if ahead is not None:
                    yield ahead.result()
                ahead = following


def of_fold(records: record_set.RecordSet, resolution: int, fold: str) -> ImageSet:
    """The images of a fold in record order, an order that is independent of their content.

    Raises:
        ValueError: If the set lacks resolution or fold.
    """
    reader = record_access.ImageReader(records, resolution, fold)
    real = records.manifest["origin"] != "synthetic"
    return ImageSet(
        name=f"{records.name}, {fold}",
        resolution=resolution,
        count=records.fold_size(fold),
        fetch=reader.read,
        facts={
            "fingerprint": records.fold_fingerprint(fold),
            "records_fingerprint": records.fingerprint,
        },
        findings=records.findings,
        labels=records.label_matrix(fold),
        patients=records.patient_ids(fold) if real else None,
    )


def of_folder(path: str | os.PathLike, show_progress: bool = True) -> ImageSet:
    """The image files of a folder, in the order of their names.

    With a table `labels.csv`, as tools/synthesize_images.py writes it, they are the files of the
    table with their labels. Else they are all files below the folder, but for hidden ones, and
    have no labels. PNG and JPEG; 16-bit files and DICOM are rendered as `image_files.load` does.

    Args:
        path: The folder.
        show_progress: Whether to draw a bar while the files' heads are read.

    Raises:
        ValueError: If there are no images, a file is none, or they are not square and of one size;
            names the file.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; give one with PNG, JPEG or DICOM images")
    findings = labels = None
    if (folder / _LABELS).exists():
        findings, files, labels = _read_table(folder)
    else:
        below = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
        shown = [path for path in below if not any(part.startswith(".") for part in path.parts)]
        files = [folder / path for path in shown]
    if not files:
        raise ValueError(f"{folder} holds no images; give a folder with PNG, JPEG or DICOM files")
    resolution, jpegs = _check_files(files, show_progress)

    def fetch(numbers):
        return np.stack([_load(files[number], resolution) for number in numbers])

    # Names and sizes: reading all files twice would take hours of a large folder.
    identity = [(file.relative_to(folder).as_posix(), file.stat().st_size) for file in files]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    facts = {"files": len(files), "jpeg_files": jpegs, "names_and_sizes_sha256": digest}
    return ImageSet(folder.name, resolution, len(files), fetch, facts, findings, labels)


def _read_table(folder):
    """Vocabulary, paths and labels float32 [N, L] of `labels.csv`."""
    table = folder / _LABELS
    with open(table, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row]
    if not rows or "path" not in rows[0]:
        raise ValueError(
            f"{table} has no column 'path' with rows below it; it should be as "
            "tools/synthesize_images.py writes it, or be taken away"
        )
    findings = tuple(name for name in rows[0] if name not in label_plan.ID_COLUMNS)
    plan = label_plan.from_csv(table, findings)
    files = [folder / row["path"] for row in rows]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise ValueError(f"{table} names {len(missing)} files that are missing: {missing[0]} ...")
    return findings, files, plan.rows


def _check_files(files, show_progress):
    """Side of the images in px, and how many are JPEG files."""
    first, jpegs = None, 0
    for file in tqdm.tqdm(files, unit="file", desc="Heads of files", disable=not show_progress):
        try:
            facts = image_files.probe(file)
        except ValueError as error:
            raise ValueError(
                f"{error} A folder of images holds nothing else: take {file.name} away."
            ) from None
        size = f"{facts.width}x{facts.height}"
        if facts.width != facts.height:
            raise ValueError(
                f"{file} has {size} px; images must be square. Make a record set of them "
                "(tools/build_records.py --source=folder --geometry=pad, crop or stretch)"
            )
        first = first or (file, facts.width)
        if facts.width != first[1]:
            raise ValueError(
                f"{file} has {size} px, {first[0]} has {first[1]}x{first[1]}; images must have one "
                "size. Make a record set of them (tools/build_records.py --source=folder)"
            )
        with open(file, "rb") as content:
            jpegs += content.read(2) == _JPEG
    return first[1], jpegs


def _load(file, resolution):
    image = np.rint(image_files.load(file).image).astype(np.uint8)
    if image.shape != (resolution, resolution):
        raise ValueError(f"{file} has changed: it was of {resolution} px, now {image.shape}")
    return image
