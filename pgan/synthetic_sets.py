"""Writes any number of synthetic images, as PNG or DICOM files or as a record set.

Files and their table:
    images/000/000012.png   image 12, marked as synthetic in its metadata; written whole or not.
                            000012.dcm in a set of DICOM files
    synthesis.json          what is being drawn; decides whether a folder is continued
    labels.csv              path, seed, index and labels of every image; written last
    sheet.png               some images, one row per finding

A record set is one like those of real images, with the generator in its manifest.
"""

import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tqdm
from PIL import Image

from pgan import label_plan, plots, synthesis, synthetic_dicom, synthetic_mark
from pgan.data import image_files, manifest, pyramid, radiograph, record_plan, record_writer
from pgan.data import labels as labels_lib

SETTINGS = "synthesis.json"
LABELS = "labels.csv"
SHEET = "sheet.png"

_SHEET_COLUMNS = 8
_SHEET_CELL = 256  # px; larger images are reduced
# Images that wait for a thread to encode and write them. Bounds memory.
_WAITING_PER_THREAD = 16


class FileFormat(NamedTuple):
    """How one image becomes a file.

    Attributes:
        suffix: Of the file's name.
        encode: Function of an image uint8 [R, R], and of texts by keyword that its file has to
            carry, to the bytes of the file.
    """

    suffix: str
    encode: Callable[[np.ndarray, Mapping[str, str]], bytes]


def _encode_png(image, texts):
    return synthetic_mark.mark(pyramid.encode(image, "png"), texts)


FILE_FORMATS = {
    "png": FileFormat(".png", _encode_png),
    "dicom": FileFormat(".dcm", synthetic_dicom.encode),
}


@dataclasses.dataclass(frozen=True)
class Order:
    """What is to be drawn.

    Attributes:
        generator: The generator.
        plan: Where labels come from.
        count: Number of images.
        seed: Seed of all images; image i has index i.
    """

    generator: synthesis.ExportedGenerator
    plan: label_plan.LabelPlan
    count: int
    seed: int

    def __post_init__(self):
        """Checks the numbers.

        Raises:
            ValueError: If the count is below 1 or the seed no 64-bit integer.
        """
        if self.count < 1:
            raise ValueError(f"--count must be at least 1, got {self.count}")
        if not -(2**63) <= self.seed < 2**63:
            raise ValueError(f"--seed must be a 64-bit integer, got {self.seed}")

    def labels(self) -> np.ndarray:
        """float32 [count, L]."""
        return self.plan.labels(self.count)

    def draw(self, indices: np.ndarray, batch_size: int | None) -> Iterator[np.ndarray]:
        """Yields the images of some indices, uint8 [R, R]."""
        seeds = np.full(len(indices), self.seed, np.int64)
        return self.generator.stream(self.labels()[indices], seeds, indices, batch_size)

    def describe(self) -> dict[str, Any]:
        """Everything that decides the images, in JSON types."""
        card = self.generator.card
        return {
            "generator": self.generator.name,
            "generator_fingerprint": self.generator.fingerprint,
            "training_records": card["training_records"],
            "seed": self.seed,
            "labels": self.plan.origin,
        }


@dataclasses.dataclass(frozen=True)
class Result:
    """What a call has done.

    Attributes:
        drawn: Images drawn by this call; the others were there.
        seconds: Time for drawing, encoding and writing them.
    """

    drawn: int
    seconds: float

    @property
    def images_per_hour(self) -> float:
        """Rate of this call."""
        return self.drawn / self.seconds * 3600 if self.drawn else 0.0


def write_file_set(
    order: Order,
    output_dir: str | os.PathLike,
    file_format: str = "png",
    batch_size: int | None = None,
    progress: bool = True,
) -> Result:
    """Writes image files and their table, or what of them is missing.

    Args:
        order: What is to be drawn.
        output_dir: Folder of the set.
        file_format: One of FILE_FORMATS.
        batch_size: Images drawn at once.
        progress: Whether to show a bar.

    Raises:
        ValueError: If the folder holds something else.
        OSError: If the disk is full; finished images are kept.
    """
    folder = pathlib.Path(output_dir)
    suffix, encode = FILE_FORMATS[file_format]
    _open_folder(folder, order, file_format)
    paths = [f"images/{index // 1000:03d}/{index:06d}{suffix}" for index in range(order.count)]
    missing = np.array([i for i, path in enumerate(paths) if not _is_whole(folder / path)], int)
    for parent in {(folder / paths[index]).parent for index in missing}:
        parent.mkdir(parents=True, exist_ok=True)
    labels, marks = order.labels(), order.generator.marks

    def save(index, image):
        own = {
            "seed": str(order.seed),
            "index": str(index),
            "findings": finding_text(labels[index], order.generator.findings),
        }
        _write(folder / paths[index], encode(image, marks | own))

    began = time.perf_counter()
    bar = tqdm.tqdm(
        total=order.count,
        initial=order.count - len(missing),
        unit="img",
        desc="Drawing",
        disable=not progress,
    )
    with bar:
        images = zip(missing.tolist(), order.draw(missing, batch_size), strict=True)
        for _ in _in_threads(save, images):
            bar.update()
    seconds = time.perf_counter() - began

    def read(indices):
        return [image_files.load(folder / paths[i]).image.astype(np.uint8) for i in indices]

    _write_sheet(order, folder / SHEET, read)
    manifest.write_text(folder / LABELS, _table(order, labels, paths))
    return Result(len(missing), seconds)


def write_record_set(
    order: Order,
    output_dir: str | os.PathLike,
    batch_size: int | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Result:
    """Writes a record set of origin "synthetic", or what of it is missing.

    Record ids begin with the generator's fingerprint, so that sets of several generators can be
    joined. Every image counts as a patient of its own.

    Args:
        order: What is to be drawn.
        output_dir: Folder of the set.
        batch_size: Images drawn at once.
        workers: Processes that encode; 0 encodes in this one.
        progress: Whether to show a bar.

    Raises:
        ValueError: If the folder holds something else.
        OSError: If the disk is full; finished shards are kept.
    """
    generator, labels = order.generator, order.labels()
    names = [f"{generator.fingerprint[:12]}-{order.seed}-{i:06d}" for i in range(order.count)]
    plan = record_plan.make_plan(
        [
            radiograph.Radiograph(image_id=name, patient_id=name, labels=labels[index])
            for index, name in enumerate(names)
        ],
        generator.findings,
        generator.resolution,
        source=generator.name,
        origin="synthetic",
        provenance=order.describe(),
    )
    result = write_drawn(
        plan, output_dir, names, lambda indices: order.draw(indices, batch_size), workers, progress
    )

    def read(indices):
        return list(order.draw(np.array(indices), batch_size))

    _write_sheet(order, pathlib.Path(output_dir) / SHEET, read)
    return result


def write_drawn(
    plan: record_plan.Plan,
    output_dir: str | os.PathLike,
    names: Sequence[str],
    draw: Callable[[np.ndarray], Iterator[np.ndarray]],
    workers: int,
    progress: bool,
) -> Result:
    """Writes the images of a plan, or what of it is missing, as they are drawn.

    Args:
        plan: Of the record set.
        output_dir: Folder of the set.
        names: Image ids of the plan by the number that `draw` knows them by.
        draw: Yields uint8 images [R, R] of these numbers, int [n], in their order.
        workers: Processes that encode; 0 encodes in this one.
        progress: Whether to show a bar.

    Raises:
        ValueError: If the folder holds something else.
        OSError: If the disk is full; finished shards are kept.
    """
    number_of = {name: number for number, name in enumerate(names)}
    drawn = 0

    def load_images(positions):
        nonlocal drawn
        numbers = np.array([number_of[plan.radiographs[p].image_id] for p in positions], int)
        for image in draw(numbers):
            drawn += 1
            yield image

    began = time.perf_counter()
    record_writer.write_record_set(output_dir, plan, load_images, workers, progress)
    return Result(drawn, time.perf_counter() - began)


def finding_text(row: np.ndarray, findings: Sequence[str]) -> str:
    """A label vector as people write it, such as "Cardiomegaly=1, Effusion=0.5"."""
    pairs = [
        f"{name}={_strength(value)}" for name, value in zip(findings, row, strict=True) if value
    ]
    return ", ".join(pairs) or labels_lib.NO_FINDING


def _strength(value: np.float32) -> str:
    # str of a float32 is its shortest decimal form, which reads back to the same bits.
    return str(value).removesuffix(".0")


def _open_folder(folder: pathlib.Path, order: Order, file_format: str) -> None:
    """Notes what is drawn in a new folder, or checks that an old one is continued."""
    wanted = {"format": file_format, "count": order.count, **order.describe()}
    path = folder / SETTINGS
    if path.exists():
        there = json.loads(path.read_text(encoding="utf-8"))
        there.setdefault("format", "png")  # Sets of earlier versions were all of PNG files.
        lines = [
            f"  {key}: {there.get(key)} there, {wanted[key]} asked"
            for key in wanted
            if there.get(key) != wanted[key]
        ]
        if lines:
            raise ValueError(
                f"{folder} holds another synthetic set:\n" + "\n".join(lines) + "\nGive another "
                "--output, or the same flags to continue it."
            )
        return
    strangers = [entry.name for entry in folder.iterdir()] if folder.exists() else []
    if strangers:
        raise ValueError(
            f"{folder} is not empty and holds no set of image files (it has {strangers[0]}); give "
            "another --output"
        )
    manifest.write_json(path, wanted)


def _in_threads(save: Callable, arguments: Iterator[tuple]) -> Iterator[None]:
    """Calls a function in several threads; yields when a call is done, a bounded number ahead."""
    threads = min(8, os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(threads) as executor:
        waiting = collections.deque()
        try:
            for values in arguments:
                waiting.append(executor.submit(save, *values))
                if len(waiting) > threads * _WAITING_PER_THREAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _is_whole(path: pathlib.Path) -> bool:
    # Files get their name once written; if the machine itself stops, one may be left empty.
    return path.exists() and path.stat().st_size > 0


def _write(path: pathlib.Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".tmp")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _table(order: Order, labels: np.ndarray, paths: Sequence[str]) -> str:
    lines = [",".join([*label_plan.ID_COLUMNS, *order.generator.findings])]
    for index, path in enumerate(paths):
        strengths = [_strength(value) for value in labels[index]]
        lines.append(",".join([path, str(order.seed), str(index), *strengths]))
    return "\n".join(lines) + "\n"


def _write_sheet(order: Order, path: pathlib.Path, read: Callable[[list[int]], list]) -> None:
    """Draws a few images of every finding; an image stands in the row of its strongest one."""
    if path.exists():
        return
    labels, findings = order.labels(), order.generator.findings
    row_of = np.where(labels.any(axis=1), labels.argmax(axis=1), len(findings))
    rows, names = [], []
    for row, name in enumerate((*findings, labels_lib.NO_FINDING)):
        indices = np.flatnonzero(row_of == row)[:_SHEET_COLUMNS].tolist()
        if indices:
            rows.append(np.stack([_reduce(image) for image in read(indices)]))
            names.append(name)
    generator = order.generator
    title = f"synthetic: {generator.name}, {generator.resolution} px, {order.plan.name}"
    beside = path.with_name(path.name + ".tmp")
    plots.image_grid(rows, names, title).save(beside, "PNG")
    os.replace(beside, path)


def _reduce(image: np.ndarray) -> np.ndarray:
    factor = max(1, image.shape[0] // _SHEET_CELL)
    return np.asarray(Image.fromarray(image).reduce(factor))
