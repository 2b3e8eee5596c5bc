"""How far synthetic images are from held-out real ones, next to what the number can be compared to.

All sets hold the same count of images at the same resolution, and all are compared with reals of a
held-out fold:

* real: reals of the training fold. The floor, which a perfect generator would reach.
* blurred: the same reals, box-filtered to 8 px and brought back. Images without any detail.
* synthetic: drawn for the label rows of the held-out images.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from PIL import Image

from pgan import checkpoints, plots, serving_graph, synthesis
from pgan.data import labels as labels_lib
from pgan.data import manifest, record_reader, record_set
from pgan.metrics import features, frechet

BLURRED_SIZE = 8
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


def blurred(batches: Batches, method: str) -> Batches:
    """Images reduced to 8 px by box filter and brought back to their size.

    Args:
        batches: uint8 [B, R, R], R a multiple of 8.
        method: Of tf.image.resize, `nearest` or `bilinear`.

    Yields:
        uint8 [B, R, R].
    """
    for images in batches:
        size = images.shape[1]
        factor = size // BLURRED_SIZE
        parts = images.reshape(-1, BLURRED_SIZE, factor, BLURRED_SIZE, factor)
        small = tf.constant(parts.mean(axis=(2, 4))[..., np.newaxis], tf.float32)
        large = tf.image.resize(small, (size, size), method)[..., 0]
        yield np.clip(np.rint(large.numpy()), 0, 255).astype(np.uint8)


def evaluate(
    records: record_set.RecordSet,
    synthetic: Synthetic,
    extractor: features.Extractor,
    held_out_fold: str,
    train_fold: str,
    count: int | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> list[dict[str, Any]]:
    """Measures Frechet distances to the held-out reals.

    Args:
        records: The real images.
        synthetic: The synthetic ones.
        extractor: Features to compare.
        held_out_fold: Fold of the reference, not seen in training.
        train_fold: Fold of the reals for the floor.
        count: Images of each set; as many as the held-out fold has if None.
        seed: Of the synthetic images.
        show_progress: Whether to draw a bar.

    Returns:
        A row of JSON types for each comparison: real, blurred (two of it), synthetic.

    Raises:
        ValueError: If the sets do not fit together, have too few images, or the generator was
            trained on the reference.
    """
    if synthetic.trained_on == records.fold_fingerprint(held_out_fold):
        raise ValueError(
            f"{synthetic.name} was trained on the fold {held_out_fold!r}; give --fold one that it "
            "has not seen"
        )
    if synthetic.findings is not None:
        records.require_findings(synthetic.findings)
    records.require_preparation(synthetic.preparation, synthetic.name)
    count = records.fold_size(held_out_fold) if count is None else count
    for fold in (held_out_fold, train_fold):
        if not 2 <= count <= records.fold_size(fold):
            raise ValueError(
                f"{count} images of the fold {fold!r} are wanted, which has "
                f"{records.fold_size(fold)}; --count must be from 2 to that"
            )
    size = synthetic.resolution
    labels = records.condition_matrix(held_out_fold)[:count]

    def reals(fold):
        return real_images(records, size, fold, count)

    sets = {
        "held-out real": (held_out_fold, reals(held_out_fold)),
        "real": (train_fold, reals(train_fold)),
        f"{BLURRED_SIZE} px, bilinear": (train_fold, blurred(reals(train_fold), "bilinear")),
        f"{BLURRED_SIZE} px, nearest": (train_fold, blurred(reals(train_fold), "nearest")),
        "synthetic": (None, synthetic.draw(labels, seed)),
    }
    reference, rows = None, []
    for kind, (fold, batches) in tqdm.tqdm(sets.items(), unit="set", disable=not show_progress):
        found = features.statistics(extractor, batches)
        if found.count != count:
            raise ValueError(
                f"{count} images are wanted of {synthetic.name}, which has {found.count}; give "
                f"--count={found.count}"
            )
        if reference is None:
            reference = found
            continue
        rows.append(
            {
                "metric": frechet.name(count, extractor.name),
                "value": frechet.distance(found, reference),
                "images": kind,
                "source": synthetic.name if fold is None else f"{records.name}, {fold}",
                "resolution": size,
                "count": count,
                "reference": f"{records.name}, {held_out_fold}",
                "reference_fingerprint": records.fold_fingerprint(held_out_fold),
                "records_fingerprint": records.fingerprint,
                **({"seed": seed, **synthetic.facts} if fold is None else {}),
            }
        )
    return rows


def comparison_grid(
    records: record_set.RecordSet,
    synthetic: Synthetic,
    fold: str,
    findings: int = 4,
    columns: int = 10,
    seed: int = 0,
) -> Image.Image:
    """Draws real images above synthetic ones, for no finding and the most frequent findings.

    Args:
        records: The real images.
        synthetic: A generator; each of its images is drawn for the labels of the real one above.
        fold: Fold of the real images.
        findings: How many findings.
        columns: Images of a row, at most.
        seed: Of the synthetic images.

    Returns:
        The picture.

    Raises:
        ValueError: If the synthetic images exist already, without labels to draw them for.
    """
    if synthetic.findings is None:
        raise ValueError("--grid needs a generator: give --run_dir or --export")
    labels = records.condition_matrix(fold)
    frequent = np.argsort(-labels.sum(axis=0), kind="stable")[:findings]
    none = labels_lib.name_of_none(records.findings)
    chosen = [(none, np.flatnonzero(~labels.any(axis=1))[:columns])]
    chosen += [(records.findings[i], np.flatnonzero(labels[:, i])[:columns]) for i in frequent]
    last = 1 + max(places.max(initial=0) for _, places in chosen)
    reals = np.concatenate(list(real_images(records, synthetic.resolution, fold, int(last))))
    rows, names = [], []
    for name, places in chosen:
        if len(places):
            drawn = np.concatenate(list(synthetic.draw(labels[places], seed)))
            rows += [reals[places], drawn]
            names += [f"{name}: real", f"{name}: synthetic"]
    title = f"{records.name}, fold {fold}, above {synthetic.name}, {synthetic.resolution} px"
    return plots.image_grid(rows, names, title)


def _in_batches(images: Iterator[np.ndarray]) -> Batches:
    batch = []
    for image in images:
        batch.append(image)
        if len(batch) == _BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)
