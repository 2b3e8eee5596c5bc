"""How far synthetic images are from held-out real ones, next to what the number can be compared to.

All sets hold the same count of images at the same resolution, and all are compared with reals of a
held-out fold:

* real: reals of the training fold. The floor, which a perfect generator would reach.
* blurred: the same reals, box-filtered to 8 px and brought back. Images without any detail.
* synthetic: drawn for the label rows of the held-out images.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from PIL import Image

from pgan import label_plan, measurements, plots, results
from pgan.data import labels as labels_lib
from pgan.data import record_set
from pgan.image_sources import Batches, Synthetic, real_images
from pgan.metrics import features

BLURRED_SIZE = 8
LABEL_SAMPLINGS = ("dataset", "uniform_class", "independent")


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
    sampling: str = "dataset",
    show_progress: bool = True,
) -> list[dict[str, Any]]:
    """Measures how far synthetic images are from held-out reals, beside a floor and a blur.

    Args:
        records: The real images.
        synthetic: The synthetic ones.
        extractor: Features to compare.
        held_out_fold: Fold of the reference, not seen in training.
        train_fold: Fold of the reals for the floor.
        count: Images of each set; as many as the held-out fold has if None.
        seed: Of the synthetic images, and of what measures draw.
        sampling: Labels of the synthetic images, see `label_sampling`; images that exist already
            have theirs.
        show_progress: Whether to draw a bar.

    Returns:
        Rows of JSON types, for each measure one of each comparison: real, blurred (two of it),
        synthetic.

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
    plan = label_sampling(sampling, records, held_out_fold, seed)
    count = records.fold_size(held_out_fold) if count is None else count
    for fold in (held_out_fold, train_fold):
        if not 2 <= count <= records.fold_size(fold):
            raise ValueError(
                f"{count} images of the fold {fold!r} are wanted, which has "
                f"{records.fold_size(fold)}; --count must be from 2 to that"
            )
    size = synthetic.resolution

    def reals(fold):
        return real_images(records, size, fold, count)

    sets = {
        "held-out real": (held_out_fold, reals(held_out_fold)),
        "real": (train_fold, reals(train_fold)),
        f"{BLURRED_SIZE} px, bilinear": (train_fold, blurred(reals(train_fold), "bilinear")),
        f"{BLURRED_SIZE} px, nearest": (train_fold, blurred(reals(train_fold), "nearest")),
        "synthetic": (None, synthetic.draw(plan.labels(count), seed)),
    }
    reference, rows = None, []
    total = count * len(sets)
    with tqdm.tqdm(total=total, unit="img", disable=not show_progress) as bar:
        for kind, (fold, batches) in sets.items():
            bar.set_description(kind)
            found = measurements.collect(_counted(batches, bar), extractor, size, seed)
            if found.count != count:
                raise ValueError(
                    f"{count} images are wanted of {synthetic.name}, which has {found.count}; give "
                    f"--count={found.count}"
                )
            if reference is None:
                reference = found
                continue
            facts = {
                "images": kind,
                "source": synthetic.name if fold is None else f"{records.name}, {fold}",
                "resolution": size,
                "count": count,
                "reference": f"{records.name}, {held_out_fold}",
                "reference_fingerprint": records.fold_fingerprint(held_out_fold),
                "records_fingerprint": records.fingerprint,
                "features": extractor.facts,
                "seed": seed,
                **({"labels": plan.origin, **synthetic.facts} if fold is None else {}),
            }
            measured = measurements.compare(found, reference, extractor, size, seed)
            rows += [{**row, **facts} for row in measured]
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown table of the rows of `evaluate`: a line for each measure, a column for each set."""
    kinds = list(dict.fromkeys(row["images"] for row in rows))
    values = {(row["metric"], row["images"]): row["value"] for row in rows}
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    cells = [[metric, *(values[metric, kind] for kind in kinds)] for metric in metrics]
    return results.markdown_table(("measure", *kinds), cells)


def label_sampling(
    name: str, records: record_set.RecordSet, fold: str, seed: int
) -> label_plan.LabelPlan:
    """Which labels synthetic images are drawn for when they are measured.

    Args:
        name: `dataset` takes the labels of the reference, image by image; `uniform_class` one
            finding each, all equally often, as the paper says it did; `independent` draws each
            finding by itself with its prevalence in the reference.
        records: The real images.
        fold: The reference.
        seed: Of `independent`.

    Raises:
        ValueError: If the name is none of these.
    """
    rows = records.condition_matrix(fold)
    if name == "dataset":
        return label_plan.LabelPlan(rows, f"labels of {fold}", {"label_sampling": name})
    if name == "uniform_class":
        return label_plan.one_finding_each(records.findings)
    if name == "independent":
        rng = np.random.default_rng(seed)
        drawn = rng.random(rows.shape) < rows.mean(axis=0)
        origin = {"label_sampling": name, "seed": str(seed)}
        return label_plan.LabelPlan(drawn.astype(np.float32), "independent labels", origin)
    raise ValueError(f"--label_sampling is one of {', '.join(LABEL_SAMPLINGS)}, got {name!r}")


def _counted(batches: Batches, bar: tqdm.tqdm) -> Batches:
    for images in batches:
        yield images
        bar.update(len(images))


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
