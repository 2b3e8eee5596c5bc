"""Images with labels from any number of record sets, asked for by number."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pgan.data import labels as labels_lib
from pgan.data import overlap, pyramid, record_access, record_set

# Facts of an image that results are told apart by.
FACTS = ("age", "sex", "view")


@dataclasses.dataclass(frozen=True)
class Fold:
    """A fold of a record set, and where its images came from.

    Attributes:
        records: The record set.
        fold: Its fold.
    """

    records: record_set.RecordSet
    fold: str

    @property
    def origin(self) -> str:
        """Such as "real: nih" or "synthetic: nih_gan"."""
        kind = self.records.manifest["origin"]
        return f"{kind}: {self.records.manifest['source']}"


@dataclasses.dataclass(frozen=True)
class ImageTable:
    """Images of one size and vocabulary; those of several folds may be joined.

    Attributes:
        resolution: Side in px.
        findings: Vocabulary.
        labels: float32 [N, L], 1, 0 or NaN.
        image_ids: Of each image.
        patients: Of each image.
        facts: {name of FACTS: text of each image, empty where unknown}.
        origins: Where each image came from.
        folds: The folds that the images are of.
        places: int64 [N, 2], fold and place in the fold of each image.
    """

    resolution: int
    findings: tuple[str, ...]
    labels: np.ndarray
    image_ids: Sequence[str]
    patients: Sequence[str]
    facts: dict[str, Sequence[str]]
    origins: Sequence[str]
    folds: tuple[Fold, ...]
    places: np.ndarray
    _readers: tuple[record_access.ImageReader, ...] = dataclasses.field(repr=False, default=())

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def preparation(self) -> dict[str, Any] | None:
        """What was done to the images, see `RecordSet.preparation`; None if it is not known."""
        known = (fold.records.preparation for fold in self.folds)
        return next((preparation for preparation in known if preparation is not None), None)

    def read(self, numbers: Sequence[int]) -> np.ndarray:
        """uint8 [B, R, R] of some images, in the order of the numbers."""
        places = self.places[np.asarray(numbers, np.int64)]
        images = np.empty((len(places), self.resolution, self.resolution), np.uint8)
        for fold in np.unique(places[:, 0]):
            rows = np.flatnonzero(places[:, 0] == fold)
            stored = self._readers[fold].read(places[rows, 1])
            images[rows] = pyramid.scale_down(stored, self.resolution)
        return images

    def select(self, numbers: Sequence[int]) -> "ImageTable":
        """Some of the images, in the order of the numbers."""
        numbers = np.asarray(numbers, np.int64)

        def pick(values):
            return [values[number] for number in numbers]

        return dataclasses.replace(
            self,
            labels=self.labels[numbers],
            image_ids=pick(self.image_ids),
            patients=pick(self.patients),
            facts={name: pick(values) for name, values in self.facts.items()},
            origins=pick(self.origins),
            places=self.places[numbers],
        )

    def require_no_patient_of(self, others: Sequence[Fold], use: str) -> None:
        """Raises ValueError if any image's patient, or its image, is in one of some folds.

        Args:
            others: Folds that were used.
            use: What for, for the message, such as "which the classifier was trained on".
        """
        for fold_number in np.unique(self.places[:, 0]):
            own = self.folds[fold_number]
            mine = {
                patient
                for patient, (fold, _) in zip(self.patients, self.places, strict=True)
                if fold == fold_number
            }
            for other in others:
                shared = mine & overlap.shared_patients(
                    (own.records, own.fold), (other.records, other.fold)
                )
                if shared:
                    raise ValueError(
                        f"{len(shared)} patients of {overlap.describe((own.records, own.fold))}, "
                        f"are in {overlap.describe((other.records, other.fold))}, {use}; results "
                        "on them would be too good. Draw a test set without them: "
                        "tools/split_records.py --exclude_records"
                    )


def of_fold(
    records: record_set.RecordSet,
    fold: str,
    resolution: int,
    findings: Sequence[str] | None = None,
) -> ImageTable:
    """All images of a fold.

    Args:
        records: The record set.
        fold: Its fold.
        resolution: Of the images in px. If it is no power of two, images of the next larger one
            are scaled down when they are read (`pyramid.scale_down`).
        findings: Vocabulary of the labels; default the set's own.

    Raises:
        ValueError: If the set lacks that resolution, the fold or a finding, or the fold is empty.
    """
    count = records.fold_size(fold)
    if not count:
        raise ValueError(f"the fold {fold!r} of {records.path} is empty")
    findings = tuple(findings or records.findings)
    try:
        labels = labels_lib.project(records.label_matrix(fold), records.findings, findings)
    except ValueError as error:
        raise ValueError(f"{records.path}: {error}") from None
    source = Fold(records, fold)
    extras = records.extras(fold)
    places = np.stack([np.zeros(count, np.int64), np.arange(count)], axis=1)
    return ImageTable(
        resolution,
        findings,
        labels,
        records.record_ids(fold),
        records.patient_ids(fold),
        {name: [facts.get(name, "") for facts in extras] for name in FACTS},
        [source.origin] * count,
        (source,),
        places,
        (record_access.ImageReader(records, pyramid.level_above(resolution), fold),),
    )


def join(tables: Sequence[ImageTable]) -> ImageTable:
    """Images of several tables, one after the other.

    Raises:
        ValueError: If sizes, vocabularies or the preparation of the images differ.
    """
    first, folds, readers, places = tables[0], [], [], []
    for table in tables:
        if (table.resolution, table.findings) != (first.resolution, first.findings):
            raise ValueError(
                f"images of {table.resolution} px with {', '.join(table.findings)} cannot be "
                f"joined with those of {first.resolution} px with {', '.join(first.findings)}"
            )
        for fold in table.folds:
            fold.records.require_preparation(
                first.folds[0].records.preparation, str(first.folds[0].records.path)
            )
        places.append(table.places + np.array([len(folds), 0]))
        folds += table.folds
        readers += table._readers
    return ImageTable(
        first.resolution,
        first.findings,
        np.concatenate([table.labels for table in tables]),
        [name for table in tables for name in table.image_ids],
        [name for table in tables for name in table.patients],
        {name: [v for table in tables for v in table.facts[name]] for name in FACTS},
        [name for table in tables for name in table.origins],
        tuple(folds),
        np.concatenate(places),
        tuple(readers),
    )
