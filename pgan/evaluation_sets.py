"""Which real and synthetic images an evaluation compares, and that they can be compared at all."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pgan import image_sources, label_plan, run_folder
from pgan.data import record_set, splits
from pgan.image_sets import ImageSet, of_fold

LABEL_SAMPLINGS = ("dataset", "uniform_class", "independent")


def real_sets(
    records: record_set.RecordSet,
    source: image_sources.Synthetic,
    held_out_fold: str,
    train_fold: str,
) -> tuple[ImageSet, ImageSet]:
    """The reference and the floor for some synthetic images.

    Args:
        records: The real images.
        source: The synthetic ones.
        held_out_fold: Fold of the reference, not seen in training.
        train_fold: Fold of the floor.

    Raises:
        ValueError: If the generator was trained on patients of the reference, the folds share
            images, or the synthetic images have another size or were prepared in another way.
    """
    unseen = _is_unseen(records, source, held_out_fold)
    shared = (records.fold_mask(held_out_fold) & records.fold_mask(train_fold)).sum()
    if shared:
        raise ValueError(
            f"the folds {held_out_fold!r} and {train_fold!r} of {records.path} share {shared} "
            "images; the floor needs other ones than the reference"
        )
    records.require_preparation(source.preparation, source.name)
    folds = (held_out_fold, train_fold)
    reference, floor = (of_fold(records, source.resolution, fold) for fold in folds)
    return dataclasses.replace(reference, facts={**reference.facts, "unseen": unseen}), floor


def _is_unseen(records, source, fold):
    """Whether it is known that no patient of a fold was trained on; ValueError if some were."""
    if source.trained_on == records.fold_fingerprint(fold):
        raise ValueError(
            f"{source.name} was trained on the fold {fold!r}; give --fold one that it has not seen"
        )
    ancestors = source.training_records.get(run_folder.ANCESTORS, [])
    everything = [source.training_records, *ancestors]
    apart = [_is_apart(records, source, fold, seen) for seen in everything]
    return all(apart)


def _is_apart(records, source, fold, seen):
    if seen.get("fingerprint") != records.fingerprint:
        return False
    try:
        known = records.fold_fingerprint(seen["fold"]) == seen.get("fold_fingerprint")
    except ValueError:  # a split that is no longer there
        return False
    if not known:
        return False
    try:
        splits.check_disjoint((records, fold), (records, seen["fold"]))
    except ValueError as error:
        raise ValueError(
            f"{source.name} was trained on patients of the fold {fold!r}: {error} Give --fold one "
            "that it has not seen"
        ) from None
    return True


def require_fit(
    reference: ImageSet, floor: ImageSet | None, source: image_sources.Synthetic
) -> None:
    """Raises ValueError if the images have several sizes or their labels several vocabularies."""
    for images in (floor, source):
        if images is not None and images.resolution != reference.resolution:
            raise ValueError(
                f"the reference {reference.name} has images of {reference.resolution} px, "
                f"{images.name} of {images.resolution} px; only images of one size compare. "
                "tools/build_records.py --source=folder --max_resolution brings a folder to a size"
            )
    findings = source.findings if source.images is None else source.images.findings
    for images in (reference, floor):
        known = None not in (findings, images and images.findings)
        if known and tuple(images.findings) != tuple(findings):
            raise ValueError(
                f"{images.name} has another vocabulary than {source.name}: its findings are "
                f"{', '.join(images.findings)}; wanted are {', '.join(findings)}. "
                "tools/build_records.py --findings brings records to a vocabulary"
            )


def shared_count(
    wanted: int | None,
    reference: ImageSet,
    floor: ImageSet | None,
    source: image_sources.Synthetic,
) -> int:
    """How many images of each set are compared.

    Args:
        wanted: That many; as many as the reference has if None.
        reference: The reference.
        floor: Other real images.
        source: The synthetic ones; of a generator there are as many as one likes.

    Raises:
        ValueError: If a set has fewer.
    """
    sizes = {s.name: s.count for s in (reference, floor, source.images) if s is not None}
    count = reference.count if wanted is None else wanted
    fewest = min(sizes, key=sizes.get)
    if not 2 <= count <= sizes[fewest]:
        raise ValueError(
            f"{count} images of each set are wanted, {fewest} has {sizes[fewest]}; "
            + (f"give --count={sizes[fewest]}" if sizes[fewest] > 1 else "that is too few")
        )
    return count


def label_sampling(
    name: str, reference: ImageSet, findings: Sequence[str], seed: int
) -> label_plan.LabelPlan:
    """Which labels synthetic images are drawn for when they are measured.

    Args:
        name: `dataset` takes the labels of the reference, image by image; `uniform_class` one
            finding each, all equally often, as the paper says it did; `independent` draws each
            finding by itself with its prevalence in the reference.
        reference: Real images.
        findings: Vocabulary of the generator.
        seed: Of `independent`.

    Raises:
        ValueError: If the reference has no labels that could be taken.
    """
    if name == "uniform_class":
        return label_plan.one_finding_each(findings)
    if reference.labels is None:
        raise ValueError(
            f"{reference.name} has no labels that images could be drawn for; give "
            "--label_sampling=uniform_class, or --records in place of --real"
        )
    rows = np.nan_to_num(reference.labels, nan=0.0)
    plan = label_plan.LabelPlan(rows, f"labels of {reference.name}", {"label_sampling": name})
    if name == "dataset":
        return plan
    return label_plan.independent(plan, findings, len(rows), seed)
