"""Folds: which patients are for training, for validation and for testing.

A patient is in one fold only. Folds are kept as lists of record ids over one record set, either
those that the set was built with or further splits that are stored in it.
"""

import collections
import dataclasses
import gzip
import hashlib
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from pgan.data import overlap, radiograph, record_set, split_store

FOLDS = ("train", "val", "test")
FRACTIONS = (0.7, 0.1, 0.2)


@dataclasses.dataclass(frozen=True)
class Split:
    """Folds and how they came about.

    Attributes:
      folds: image ids of each fold, in the order of the radiographs.
      settings: how the split was made, for the manifest.
    """

    folds: dict[str, list[str]]
    settings: dict


def draw_patients(
    patient_ids: Iterable[str],
    seed: int,
    folds: Sequence[str] = FOLDS,
    fractions: Sequence[float] = FRACTIONS,
) -> dict[str, set[str]]:
    """Draws disjoint sets of patients.

    The draw depends on the seed and the set of patient ids and on nothing else: patients are
    ranked by a hash of seed and id, so no library's random stream is involved and the seed alone
    repeats a split anywhere.

    Args:
      patient_ids: the collection's own ids, in any order, repeated or not.
      seed: of the draw.
      folds: names of the folds.
      fractions: of the patients. Patients are in no fold if the sum is below 1.

    Returns:
      {fold: patient ids}; sizes are the fractions rounded at the cumulative counts.

    Raises:
      ValueError: a fraction that is not above 0, or fractions that sum to more than 1.
    """
    if not all(fraction > 0 for fraction in fractions) or sum(fractions) > 1 + 1e-9:
        raise ValueError(
            f"Fractions must be above 0 and sum to 1 at most, got {', '.join(map(str, fractions))}."
        )

    def rank(patient_id: str) -> bytes:
        return hashlib.sha256(f"{seed}/{patient_id}".encode()).digest()

    ranked = sorted(set(patient_ids), key=rank)
    result, start, cumulative = {}, 0, 0.0
    for fold, fraction in zip(folds, fractions, strict=True):
        cumulative += fraction
        stop = round(cumulative * len(ranked))
        result[fold] = set(ranked[start:stop])
        start = stop
    return result


def draw(
    radiographs: Sequence[radiograph.Radiograph],
    seed: int,
    folds: Sequence[str] = FOLDS,
    fractions: Sequence[float] = FRACTIONS,
) -> Split:
    """Draws folds by patient: 70/10/20 into train, val and test, or as `draw_patients`."""
    patients = draw_patients((image.patient_id for image in radiographs), seed, folds, fractions)
    members = {
        fold: [image.image_id for image in radiographs if image.patient_id in patients[fold]]
        for fold in folds
    }
    settings = {"method": "seed", "seed": seed, "fractions": list(fractions)}
    return Split(members, settings if tuple(folds) == FOLDS else {**settings, "folds": list(folds)})


def parse_fractions(parts: Iterable[str]) -> dict[str, float]:
    """{fold: fraction} of texts such as "train:0.8".

    Raises:
      ValueError: a text of another form, or a fold named twice.
    """
    result = {}
    for part in parts:
        fold, _, fraction = (word.strip() for word in part.partition(":"))
        try:
            value = float(fraction)
        except ValueError:
            raise ValueError(
                f"Expected fractions such as 'train:0.8,val:0.1,test:0.1', got {part!r}."
            ) from None
        if fold in result:
            raise ValueError(f"The fold {fold!r} is given twice.")
        result[fold] = value
    return result


def read_list(path: str | pathlib.Path) -> list[str]:
    """Image ids, one a line, of a text file or a gzipped one.

    Raises:
      ValueError: the file is empty or names an image twice.
    """
    opened = gzip.open(path, "rt") if str(path).endswith(".gz") else open(path)
    with opened as file:
        ids = [line.strip() for line in file if line.strip()]
    if not ids:
        raise ValueError(f"The list {path} is empty.")
    repeated = [name for name, count in collections.Counter(ids).items() if count > 1]
    if repeated:
        raise ValueError(f"The list {path} names images twice: {describe(repeated)}.")
    return ids


def from_lists(
    radiographs: Sequence[radiograph.Radiograph],
    lists: Sequence[Sequence[str]],
    seed: int = 0,
    allow_missing: bool = False,
) -> Split:
    """Folds from lists of image ids.

    Args:
      radiographs: of the record set.
      lists: three lists for train, val and test; or two, "train and val" and test, such as NIH
        publishes: then an eighth of the first list's patients is drawn for val.
      seed: of that draw; unused with three lists.
      allow_missing: accept listed images that are not in the set and images in no list (they are
        in the fold "all" only).

    Raises:
      ValueError: another number of lists, an image in two lists, a patient in two folds, or
        unmatched images without allow_missing.
    """
    if len(lists) not in (2, 3):
        raise ValueError(
            f"Expected three lists (train, val, test) or two (train_val, test), got {len(lists)}."
        )
    listed = [set(ids) for ids in lists]
    if len(set.union(*listed)) < sum(map(len, listed)):
        raise ValueError("Some images are in more than one of the split lists.")
    known = {image.image_id for image in radiographs}
    absent, unlisted = set.union(*listed) - known, known - set.union(*listed)
    if (absent or unlisted) and not allow_missing:
        raise ValueError(
            f"The split lists and the images differ: {describe(absent)} listed but not there, "
            f"{describe(unlisted)} there but in no list. Use --allow_missing to go on without."
        )
    settings = {
        "method": "lists",
        "lists": [hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest() for ids in listed],
    }
    if len(lists) == 2:
        pool = (image.patient_id for image in radiographs if image.image_id in listed[0])
        val = draw_patients(pool, seed, ("train", "val"), (0.875, 0.125))["val"]
        val_ids = {image.image_id for image in radiographs if image.patient_id in val}
        listed = [listed[0] - val_ids, listed[0] & val_ids, listed[1]]
        settings["seed"] = seed
    folds = {
        fold: [image.image_id for image in radiographs if image.image_id in ids]
        for fold, ids in zip(FOLDS, listed, strict=True)
    }
    check_by_patient(folds, {image.image_id: image.patient_id for image in radiographs})
    return Split(folds, settings)


def check_by_patient(folds: Mapping[str, Collection[str]], patients: Mapping[str, str]) -> None:
    """Checks that no patient is in two folds.

    Args:
      folds: image ids of each fold.
      patients: patient id of each image id.

    Raises:
      ValueError: with the number of such patients.
    """
    fold_of, shared = {}, set()
    for fold, ids in folds.items():
        for patient in {patients[image_id] for image_id in ids}:
            if fold_of.setdefault(patient, fold) != fold:
                shared.add(patient)
    if shared:
        raise ValueError(
            f"{len(shared)} patients are in more than one fold, for instance {min(shared)}. "
            f"A split must keep all images of a patient together."
        )


def store(records: record_set.RecordSet, name: str, split: Split) -> bool:
    """Stores a split in its record set, where its folds are "<name>/<fold>".

    Args:
      records: the set.
      name: of the split.
      split: folds of record ids.

    Returns:
      Whether anything was written; False if the same split was there.

    Raises:
      ValueError: a patient in two folds, an empty fold, an id that is no record's, a name that
        cannot be a file's, or another split of that name.
    """
    position = {record_id: p for p, record_id in enumerate(records.record_ids())}
    patients, labels = np.array(records.patient_ids()), records.label_matrix()
    for fold, ids in split.folds.items():
        if not ids or len(position.keys() & set(ids)) < len(ids):
            raise ValueError(
                f"The fold {fold!r} must hold records of {records.path}, each once. It has "
                f"{len(ids)} ids, {len(set(ids))} of them different and "
                f"{len(position.keys() & set(ids))} of that set."
            )
    check_by_patient(split.folds, dict(zip(position, patients, strict=True)))
    facts = {}
    for fold, ids in split.folds.items():
        chosen = [position[record_id] for record_id in ids]
        facts[fold] = split_store.describe(ids, patients[chosen], labels[chosen], records.findings)
    return split_store.write(
        records.path, records.fingerprint, name, split.settings, split.folds, facts
    )


def check_disjoint(first: overlap.Fold, second: overlap.Fold) -> None:
    """Checks that no patient and no image of one fold is in another, of the same set or another.

    See `overlap.shared_patients` for what can be told and what not.

    Args:
      first: record set and name of a fold of it.
      second: likewise.

    Raises:
      ValueError: with the counts, or because the sets cannot be compared.
    """
    shared = overlap.shared_patients(first, second)
    if shared:
        images = sum(patient in shared for patient in first[0].patient_ids(first[1]))
        raise ValueError(
            f"{len(shared)} patients of {overlap.describe(first)} ({images} of its images) are "
            f"also in {overlap.describe(second)}, for instance {min(shared)}. "
            f"tools/split_records.py makes folds without them: see its --exclude_records."
        )


def describe(names: Collection[str], limit: int = 3) -> str:
    """Count and first names, such as "2 (a.png, b.png)"."""
    if not names:
        return "0"
    first = sorted(names)[:limit]
    return f"{len(names)} ({', '.join(first)}{', ...' if len(names) > limit else ''})"
