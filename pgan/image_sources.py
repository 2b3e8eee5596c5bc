"""Where images to be judged come from: a run, an export, a folder, a record set."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from pgan import checkpoints, image_sets, networks, serving_graph, synthesis, synthetic_sets
from pgan.data import manifest, record_set

_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Where synthetic images come from.

    Attributes:
        name: For people.
        resolution: Their size in px.
        draw: Function of label rows float32 [N, L] and a seed to batches uint8 [B, R, R]. Of
            images that exist already, the first N.
        facts: JSON types that identify the source.
        training_records: Identity of what the generator was trained on, see
            `run_folder.describe_records`; empty if not known.
        findings: Vocabulary of the labels; None if the images exist already.
        preparation: What was done to the images that the generator was trained on, see
            `RecordSet.preparation`; None if not known.
        images: The images, if they exist already.
    """

    name: str
    resolution: int
    draw: Callable[[np.ndarray, int], image_sets.Batches]
    facts: dict[str, Any]
    training_records: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    findings: tuple[str, ...] | None = None
    preparation: dict[str, Any] | None = None
    images: image_sets.ImageSet | None = None

    @property
    def trained_on(self) -> str | None:
        """Fingerprint of the fold that the generator was trained on, if known."""
        return self.training_records.get("fold_fingerprint")

    @property
    def trained_images(self) -> int | None:
        """How many images of that fold it was trained on, if known."""
        return self.training_records.get("fold_size")


def from_run(run_dir: str, best: bool = False) -> Synthetic:
    """The averaged generator of a run at its newest checkpoint, or at its best.

    Args:
        run_dir: The run.
        best: Whether to take the checkpoint that the distance monitor kept.

    Raises:
        ValueError: If its weights are not finite.
        FileNotFoundError, CheckpointError: As `checkpoints.load_generator`.
    """
    generator, info = checkpoints.load_generator(run_dir, best)
    name = pathlib.Path(run_dir).name
    title = f"{name}{', best,' if best else ''} at {info.images_shown:,} images"
    _require_finite(generator, info, title)
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

    return Synthetic(
        title,
        info.resolution,
        draw,
        {
            "run": name,
            "images_shown": info.images_shown,
            "kept_as_best": info.best,
            "weights": _digest(generator, info),
        },
        info.records,
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
        {
            "generator": generator.name,
            "generator_fingerprint": generator.fingerprint,
            "kept_as_best": generator.card.get("kept_as_best"),
        },
        generator.card["training_records"],
        generator.findings,
        generator.card["training_records"].get("preparation"),
    )


def from_folder(path: str) -> Synthetic:
    """Images that exist: of tools/synthesize_images.py, a record set, or any folder of images.

    Raises:
        ValueError: If there are no images, or a file is none; see `image_sets.of_folder`.
    """
    folder = pathlib.Path(path)
    if (folder / manifest.MANIFEST).exists():
        records = record_set.RecordSet.open(folder)
        images = image_sets.of_fold(records, records.max_resolution, "all")
        images = dataclasses.replace(images, name=folder.name)
        made_of = records.manifest["provenance"].get("training_records", {})
        preparation = records.preparation
    else:
        made_of = _training_records(folder)
        images = image_sets.of_folder(folder)
        preparation = made_of.get("preparation")

    def draw(labels, seed):
        return images.batches(np.arange(min(len(labels), images.count)))

    return Synthetic(
        images.name,
        images.resolution,
        draw,
        images.facts,
        made_of,
        preparation=preparation,
        images=images,
    )


def materialize(
    source: Synthetic,
    labels: np.ndarray,
    seed: int,
    folder: str | os.PathLike,
    show_progress: bool = True,
) -> image_sets.ImageSet:
    """Draws images of a generator into a file, from where they can be asked for by number.

    Args:
        source: A generator.
        labels: float32 [N, L], what they show.
        seed: Of the images.
        folder: Where the file goes, N * resolution^2 bytes; it must stay while they are used.
        show_progress: Whether to draw a bar.

    Raises:
        ValueError: If an image is of one grey level throughout.
        OSError: If the disk is full.
    """
    path = pathlib.Path(folder) / "drawn.uint8"
    size = source.resolution
    bar = tqdm.tqdm(total=len(labels), unit="img", desc="Drawing", disable=not show_progress)
    # Written, not mapped: a full disk ends a program that writes to a map without a word.
    with bar, open(path, "wb") as file:
        for images in source.draw(labels, seed):
            require_varied(images, source.name)
            file.write(np.ascontiguousarray(images).tobytes())
            bar.update(len(images))
    stored = np.memmap(path, np.uint8, "r", shape=(len(labels), size, size))
    return image_sets.ImageSet(
        source.name,
        size,
        len(labels),
        lambda numbers: np.array(stored[numbers]),
        source.facts,
        source.findings,
        labels,
    )


def require_varied(images: np.ndarray, name: str) -> None:
    """Raises ValueError if one of some images uint8 [B, R, R] has one grey level throughout."""
    flat = images.max(axis=(1, 2)) == images.min(axis=(1, 2))
    if flat.any():
        raise ValueError(
            f"{name} has images of one grey level throughout ({flat.sum()} of {len(flat)} in a "
            f"row, grey {images[flat.argmax(), 0, 0]}). A generator with weights that are not "
            "finite (NaN) draws such ones: look at its last grid, and take an earlier checkpoint"
        )


def _require_finite(generator: networks.Generator, info: checkpoints.RunInfo, title: str) -> None:
    for variable in generator.active_variables(info.level, fading=info.alpha is not None):
        if not np.isfinite(variable.numpy()).all():
            raise ValueError(
                f"the weights {variable.name} of {title} are not finite (NaN); take an earlier "
                "checkpoint, such as the one that --best names"
            )


def _digest(generator: networks.Generator, info: checkpoints.RunInfo) -> str:
    """Tells a generator from another that was trained as long in a folder of the same name."""
    digest = hashlib.sha256()
    for variable in generator.active_variables(info.level, fading=info.alpha is not None):
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()


def _training_records(folder: pathlib.Path) -> dict[str, Any]:
    """Identity of the images behind a folder of tools/synthesize_images.py; else nothing."""
    path = folder / synthetic_sets.SETTINGS
    if not path.exists():
        return {}
    if not (folder / synthetic_sets.LABELS).exists():
        raise ValueError(
            f"{folder} is unfinished, it has no {synthetic_sets.LABELS}; run the same command of "
            "tools/synthesize_images.py again"
        )
    return json.loads(path.read_text(encoding="utf-8"))["training_records"]


def _in_batches(images: Iterator[np.ndarray]) -> image_sets.Batches:
    batch = []
    for image in images:
        batch.append(image)
        if len(batch) == _BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)
