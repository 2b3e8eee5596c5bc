"""Where images to be measured come from: a run, an export, a folder, a record set."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from pgan import checkpoints, serving_graph, synthesis
from pgan.data import manifest, record_reader, record_set

_BATCH = 32

Batches = Iterator[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Where synthetic images come from.

    Attributes:
        name: For people.
        resolution: Their size in px.
        draw: Function of label rows float32 [N, L] and a seed to batches uint8 [B, R, R].
        facts: JSON types that identify the source.
        trained_on: Fingerprint of the fold that the generator was trained on, if known.
        findings: Vocabulary of the labels; None if the images exist already.
        preparation: What was done to the images that the generator was trained on, see
            `RecordSet.preparation`; None if not known.
    """

    name: str
    resolution: int
    draw: Callable[[np.ndarray, int], Batches]
    facts: dict[str, Any]
    trained_on: str | None = None
    findings: tuple[str, ...] | None = None
    preparation: dict[str, Any] | None = None


def from_run(run_dir: str) -> Synthetic:
    """The averaged generator of a run at its newest checkpoint; errors as for its loading."""
    generator, info = checkpoints.load_generator(run_dir)
    _, signatures = serving_graph.build(generator, info.level, info.alpha, marks={})

    def draw(labels, seed):
        for start in range(0, len(labels), _BATCH):
            rows = labels[start : start + _BATCH]
            indices = np.arange(start, start + len(rows))
            seeds = np.full(len(rows), seed)
            drawn = signatures["from_seeds"](
                tf.constant(seeds, tf.int64), tf.constant(indices, tf.int64), tf.constant(rows)
            )
            yield drawn["images"].numpy()[..., 0]

    name = pathlib.Path(run_dir).name
    return Synthetic(
        f"{name} at {info.images_shown:,} images",
        info.resolution,
        draw,
        {"run": name, "images_shown": info.images_shown},
        info.records["fold_fingerprint"],
        info.network.findings,
        info.records.get("preparation"),
    )


def from_export(path: str) -> Synthetic:
    """An exported generator; errors as for its loading."""
    generator = synthesis.load(path)

    def draw(labels, seed):
        images = generator.stream(labels, np.full(len(labels), seed), np.arange(len(labels)))
        return _in_batches(images)

    return Synthetic(
        generator.name,
        generator.resolution,
        draw,
        {"generator": generator.name, "generator_fingerprint": generator.fingerprint},
        generator.card["training_records"]["fold_fingerprint"],
        generator.findings,
        generator.card["training_records"].get("preparation"),
    )


def from_folder(path: str) -> Synthetic:
    """Images of tools/synthesize_images.py, a record set or a folder of PNG files.

    Raises:
        ValueError: If there are no images.
    """
    folder = pathlib.Path(path)
    if (folder / manifest.MANIFEST).exists():
        records = record_set.RecordSet.open(folder)
        resolution = records.max_resolution

        def draw(labels, seed):
            return real_images(records, resolution, "all", len(labels))

        return Synthetic(
            folder.name,
            resolution,
            draw,
            {"fingerprint": records.fingerprint},
            preparation=records.preparation,
        )
    files = sorted(folder.rglob("images/**/*.png"))
    if not files:
        raise ValueError(f"{path} holds neither a record set nor images/**/*.png")

    def draw_files(labels, seed):
        return _in_batches(
            np.asarray(Image.open(file).convert("L")) for file in files[: len(labels)]
        )

    with Image.open(files[0]) as image:
        resolution = image.width
    return Synthetic(folder.name, resolution, draw_files, {"files": len(files)})


def real_images(records: record_set.RecordSet, resolution: int, fold: str, count: int) -> Batches:
    """The first images of a fold in record order, an order that is independent of their content.

    Yields:
        uint8 [B, R, R].
    """
    for batch in record_reader.evaluation_dataset(records, resolution, fold, _BATCH, limit=count):
        yield serving_graph.to_uint8(batch["images"]).numpy()[..., 0]


def _in_batches(images: Iterator[np.ndarray]) -> Batches:
    batch = []
    for image in images:
        batch.append(image)
        if len(batch) == _BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)
