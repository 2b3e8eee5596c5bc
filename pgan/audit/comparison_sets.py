"""What an audit compares: synthetic images, and real ones that were trained on or not."""

import dataclasses
import logging
import os
import pathlib
from typing import Any

import numpy as np

from pgan import image_sources, run_folder
from pgan.audit import copy_criterion, image_store, membership
from pgan.data import record_set, split_store, splits
from pgan.search import block_store

_LOG = logging.getLogger(__name__)

VERSION = 1  # Raise whenever a change alters what an audit finds.
LARGEST_DEFAULT = 256  # px
FEWEST_IMAGES = 16  # synthetic ones
FEWEST_PATIENTS = 20  # of each fold


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is asked of an audit.

    Attributes:
        train_fold: Fold that the generator was trained on.
        held_out_fold: Fold of other patients.
        count: Synthetic images.
        resolution: Size in px at which images are compared; None is the generator's, at most 256.
        neighbours: Nearest training images of each synthetic image.
        planted: Planted copies of each kind.
        calibration: Real images of each fold, at most, that the copy criterion is calibrated with.
        members: Training images of the comparisons with held-out images, at most, and as many of
            those.
        seed: Of everything that is drawn.
    """

    train_fold: str = "train"
    held_out_fold: str = "test"
    count: int = 1000
    resolution: int | None = None
    neighbours: int = 3
    planted: int = 20
    calibration: int = 2000
    members: int = 2000
    seed: int = 0

    def __post_init__(self):
        """Checks the numbers.

        Raises:
            ValueError: If one cannot be used.
        """
        least = {"count": FEWEST_IMAGES, "neighbours": 1, "planted": 1, "members": FEWEST_IMAGES}
        least["calibration"] = copy_criterion.FEWEST_REALS
        for name, number in least.items():
            if getattr(self, name) < number:
                raise ValueError(f"--{name} must be at least {number}, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"--seed must be from 0 to 2^31 - 1, got {self.seed}")


@dataclasses.dataclass(frozen=True)
class Fold:
    """Real images of one fold.

    Attributes:
        name: Of the fold.
        images: uint8 [N, S, S] at the size of the audit, mapped from a file.
        small: uint8 [N, C, C], at the size at which copies are told; C <= 128.
        record_ids: Pseudonym of each image.
        patients: Patient of each image.
    """

    name: str
    images: np.ndarray
    small: np.ndarray
    record_ids: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


@dataclasses.dataclass(frozen=True)
class Material:
    """Everything that is compared.

    Attributes:
        size: S, px.
        synthetic_full: uint8 [N, R, R], as they were drawn.
        synthetic: uint8 [N, S, S].
        train: The training fold.
        held_out: The other fold.
        pairs: Equal numbers of patients and images of both folds.
    """

    size: int
    synthetic_full: np.ndarray
    synthetic: np.ndarray
    train: Fold
    held_out: Fold
    pairs: membership.Pairs

    @property
    def copy_size(self) -> int:
        """C, px."""
        return min(self.size, copy_criterion.LARGEST_SIZE)


def compared_size(settings: Settings, source: image_sources.Synthetic) -> int:
    """S, the size at which images are compared.

    Raises:
        ValueError: If it is too small, no power of two or above the images' own.
    """
    own = source.resolution
    size = min(own, LARGEST_DEFAULT) if settings.resolution is None else settings.resolution
    if own < copy_criterion.SMALLEST_SIZE:
        raise ValueError(
            f"{source.name} draws images of {own} px; at less than "
            f"{copy_criterion.SMALLEST_SIZE} px a copy cannot be told from another patient's "
            "image. Audit a run that has come further"
        )
    if not copy_criterion.SMALLEST_SIZE <= size <= own or own % size:
        raise ValueError(
            f"--resolution must be {copy_criterion.SMALLEST_SIZE}, ... or {own} px, which the "
            f"images have, got {size}"
        )
    return size


def check(
    records: record_set.RecordSet, source: image_sources.Synthetic, settings: Settings
) -> None:
    """Refuses sets that do not fit together, before anything is computed.

    Raises:
        ValueError: With what was wanted, what came and what to do.
    """
    size = compared_size(settings, source)
    train, held_out = settings.train_fold, settings.held_out_fold
    if train == held_out:
        raise ValueError(
            f"--train_fold and --held_out_fold are both {train!r}; give --held_out_fold a fold of "
            "patients that the generator was not trained on"
        )
    if records.manifest["origin"] == "synthetic":
        raise ValueError(f"{records.path} holds synthetic images; --records wants the real ones")
    for resolution in {size, min(size, copy_criterion.LARGEST_SIZE)}:
        records.require_resolution(resolution)
    if source.findings is not None:
        records.require_findings(source.findings)
    records.require_preparation(source.preparation, source.name)
    seen = source.trained_on
    if seen is not None and seen != records.fold_fingerprint(train):
        if seen == records.fold_fingerprint(held_out):
            raise ValueError(
                f"{source.name} was trained on the fold {held_out!r}, which is given as held out; "
                f"give --train_fold={held_out} and a --held_out_fold that it has not seen"
            )
        further = split_store.names(records.path)
        others = [fold for split in further for fold in records.split_folds(split)]
        known = [
            fold for fold in (*records.folds, *others) if records.fold_fingerprint(fold) == seen
        ]
        hint = f"give --train_fold={known[0]}" if known else "give the --records of its training"
        raise ValueError(
            f"{source.name} was not trained on the fold {train!r} of {records.name}; {hint}"
        )
    if (used := _part_trained_on(records, source, train)) is not None:
        _LOG.warning(
            "%s was trained on %d of the %d images of the fold %r. The others pass for training "
            "images here: copies are found all the same, but membership looks weaker than it is",
            source.name,
            used,
            records.fold_size(train),
            train,
        )
    _check_ancestors(records, source, train)
    splits.check_disjoint((records, held_out), (records, train))
    for fold in (train, held_out):
        patients = len(set(records.patient_ids(fold)))
        if patients < FEWEST_PATIENTS or records.fold_size(fold) < copy_criterion.FEWEST_REALS:
            raise ValueError(
                f"the fold {fold!r} of {records.name} has {records.fold_size(fold)} images of "
                f"{patients} patients; an audit needs at least {copy_criterion.FEWEST_REALS} of "
                f"{FEWEST_PATIENTS}"
            )
    if settings.planted > len(set(records.patient_ids(train))):
        raise ValueError(
            f"--planted={settings.planted} images of different patients are wanted of the fold "
            f"{train!r}, which has {len(set(records.patient_ids(train)))} patients"
        )


def collect(
    records: record_set.RecordSet,
    source: image_sources.Synthetic,
    settings: Settings,
    work: str | os.PathLike,
    progress: bool = True,
) -> Material:
    """Draws and reads all images, or maps those that an ended audit has kept.

    Synthetic images are drawn for the labels of the training fold, image by image.

    Raises:
        ValueError: As `image_store.draw`.
    """
    work = pathlib.Path(work)
    size = compared_size(settings, source)
    labels = records.condition_matrix(settings.train_fold)
    labels = labels[np.arange(settings.count) % len(labels)]
    full = image_store.draw(source, labels, settings.seed, work / "synthetic", progress)
    folds = [
        _fold(records, name, size, work / "reals")
        for name in (settings.train_fold, settings.held_out_fold)
    ]
    pairs = membership.pair_patients(
        folds[0].patients,
        folds[1].patients,
        settings.members,
        np.random.default_rng([settings.seed, 1]),
    )
    synthetic = full if full.shape[1] == size else copy_criterion.reduced(full, size)
    return Material(size, full, synthetic, *folds, pairs)


def _fold(records, name, size, folder):
    def images(resolution):
        path = folder / f"{name.replace('/', '_')}_{resolution}.npy"
        return block_store.images_of_records(records, resolution, name, path)

    whole = images(size)
    small = min(size, copy_criterion.LARGEST_SIZE)
    return Fold(
        name,
        whole,
        whole if small == size else images(small),
        np.array(records.record_ids(name)),
        np.array(records.patient_ids(name)),
    )


def _check_ancestors(records, source, train):
    """Networks that a run was started from may know patients that its own fold does not have."""
    inside = records.fold_mask(train)
    for seen in source.training_records.get(run_folder.ANCESTORS, []):
        if seen.get("fingerprint") != records.fingerprint:
            continue
        fold = seen.get("fold")
        if not (records.fold_mask(fold) & ~inside).any():
            continue
        raise ValueError(
            f"{source.name} was started from the networks of a run on the fold {fold!r}, which has "
            f"images outside of {train!r}: it may know these, too. Give --train_fold a fold that "
            "holds both (tools/split_records.py makes one), and a --held_out_fold of neither"
        )


def _strange_ancestors(records, source) -> list[str]:
    """Names of other record sets that networks were trained on from which a run was started."""
    ancestors = source.training_records.get(run_folder.ANCESTORS, [])
    return sorted({a["name"] for a in ancestors if a.get("fingerprint") != records.fingerprint})


def _part_trained_on(records, source, fold) -> int | None:
    """Images that the generator was trained on, if fewer than the fold has."""
    used = source.trained_images if source.trained_on is not None else None
    return used if used is not None and used < records.fold_size(fold) else None


def facts(
    records: record_set.RecordSet,
    source: image_sources.Synthetic,
    settings: Settings,
    features: dict[str, Any],
) -> dict[str, Any]:
    """Everything that decides the numbers of an audit, JSON types."""
    part = _part_trained_on(records, source, settings.train_fold)
    return {
        "audit_version": VERSION,
        **dataclasses.asdict(settings),
        "resolution": compared_size(settings, source),
        "generator": source.name,
        **{f"generator_{key}": value for key, value in source.facts.items()},
        "records": records.name,
        "records_fingerprint": records.fingerprint,
        "train_fingerprint": records.fold_fingerprint(settings.train_fold),
        "held_out_fingerprint": records.fold_fingerprint(settings.held_out_fold),
        "trained_on_known": source.trained_on is not None,
        **({} if part is None else {"trained_images": part}),
        **(
            {}
            if not (strangers := _strange_ancestors(records, source))
            else {"strangers": strangers}
        ),
        "images_existed": source.images is not None,
        "features": features,
    }
