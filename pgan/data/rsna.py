"""Reader of the RSNA Pneumonia Detection Challenge of 2018.

Shih et al., "Augmenting the National Institutes of Health Chest Radiograph Dataset with Expert
Annotations of Possible Pneumonia", Radiology: Artificial Intelligence 2019. From
https://www.kaggle.com/c/rsna-pneumonia-detection-challenge fetch and unpack the training images
(stage_2_train_images/*.dcm), stage_2_train_labels.csv and stage_2_detailed_class_info.csv into one
folder.

The images are a part of ChestX-ray14. Which one each is says
pneumonia-challenge-dataset-mappings_2018.json, from
https://www.rsna.org/rsnai/ai-image-challenge/rsna-pneumonia-detection-challenge-2018; with that
file there, every image knows its NIH twin and its NIH patient, so that images which a generator
has seen can be left out, and splits are by patient. Without it each exam counts as a patient of
its own, as the challenge says no more.
"""

import json
import os
import pathlib
import re
from collections.abc import Mapping

import numpy as np

from pgan.data import collection, label_tables, labels
from pgan.data.radiograph import Radiograph

SOURCE = "rsna"
FINDINGS = labels.PNEUMONIA

LABELS_CSV = "stage_2_train_labels.csv"
DETAILED_CSV = "stage_2_detailed_class_info.csv"
MAPPING_JSON = "pneumonia-challenge-dataset-mappings_2018.json"
_IMAGES = "stage_2_train_images"

# The detailed classes as `extras["group"]`: an image without opacity need not be a normal one.
GROUPS = {
    "Normal": "normal",
    "No Lung Opacity / Not Normal": "abnormal",
    "Lung Opacity": "opacity",
}

_BOX = ("x", "y", "width", "height")
_NIH_NAME = re.compile(r"(\d{8})_\d{3}\.png")


def read_table(
    labels_csv: str | os.PathLike,
    detailed_csv: str | os.PathLike | None = None,
    mapping_json: str | os.PathLike | None = None,
) -> list[Radiograph]:
    """The exams of the label file, without files.

    Args:
      labels_csv: one row per box of an opacity, or one without a box per negative exam; may be
        gzipped or zipped.
      detailed_csv: tells normal from abnormal without opacity.
      mapping_json: names each exam's image in ChestX-ray14.

    Returns:
      One radiograph per exam, in the order of the label file; labels [1], pneumonia.

    Raises:
      ValueError: missing columns, rows of one exam that contradict each other, an unknown class,
        or exams that the other files do not name; the message names the line.
    """
    targets = _targets(labels_csv)
    groups = _groups(detailed_csv, targets) if detailed_csv else {}
    twins = _twins(mapping_json, targets) if mapping_json else {}
    images = []
    for exam, target in targets.items():
        twin = twins.get(exam)
        images.append(
            Radiograph(
                image_id=exam,
                patient_id=_nih_patient(twin) if twin else exam,
                labels=np.array([target], np.float32),
                extras={"group": groups[exam]} if exam in groups else {},
                twin=("nih", twin) if twin else None,
            )
        )
    return images


def read(
    root: str | os.PathLike, window: str = "auto", allow_missing: bool = False
) -> list[Radiograph]:
    """The radiographs of the training part; the challenge's test images have no labels.

    Args:
      root: folder with the label file, with the detailed classes and the mapping if there, and
        with the images in stage_2_train_images.
      window: see `image_files.load`.
      allow_missing: go on, with a warning, if exams without files or files without rows exist.

    Raises:
      ValueError: no label file or images, exams and files that do not match, or a fault in a
        table.
    """
    root = pathlib.Path(root)
    folder = root / _IMAGES
    for path in (root / LABELS_CSV, folder):
        if not path.exists():
            raise ValueError(
                f"There is no {path}. The challenge is at "
                f"https://www.kaggle.com/c/rsna-pneumonia-detection-challenge."
            )
    others = [root / name for name in (DETAILED_CSV, MAPPING_JSON)]
    detailed, mapping = (path if path.exists() else None for path in others)
    names = (name for name in os.listdir(folder) if name.lower().endswith(".dcm"))
    paths = {os.path.splitext(name)[0]: os.path.join(folder, name) for name in names}
    images = read_table(root / LABELS_CSV, detailed, mapping)
    return collection.join(images, paths, root, window, allow_missing)


def _targets(path: str | os.PathLike) -> dict[str, int]:
    """{exam: 0 or 1}, one entry for all boxes of an exam."""
    targets, boxes = {}, set()
    kind = f"the challenge's {LABELS_CSV}"
    for line, entry in label_tables.rows(path, ("patientId", *_BOX, "Target"), kind):
        exam, where = entry["patientId"], f"{path}, line {line}"
        if entry["Target"] not in ("0", "1"):
            raise ValueError(f"{where}: Target is 0 or 1, got {entry['Target']!r}.")
        target = int(entry["Target"])
        box = tuple(entry[side] for side in _BOX)
        if all(box) != bool(target) or any(box) != bool(target):
            raise ValueError(f"{where}: a row has a box if and only if its Target is 1.")
        if (exam, box) in boxes:
            raise ValueError(f"{where}: the row of {exam} is there twice.")
        boxes.add((exam, box))
        if targets.setdefault(exam, target) != target:
            raise ValueError(f"{where}: {exam} is both positive and negative.")
    return targets


def _groups(path: str | os.PathLike, targets: Mapping[str, int]) -> dict[str, str]:
    groups = {}
    kind = f"the challenge's {DETAILED_CSV}"
    for line, entry in label_tables.rows(path, ("patientId", "class"), kind):
        exam, where = entry["patientId"], f"{path}, line {line}"
        if entry["class"] not in GROUPS:
            raise ValueError(
                f"{where}: the class is one of {', '.join(GROUPS)}, got {entry['class']!r}."
            )
        group = GROUPS[entry["class"]]
        if groups.setdefault(exam, group) != group:
            raise ValueError(f"{where}: {exam} has two classes.")
        if exam in targets and (group == "opacity") != bool(targets[exam]):
            raise ValueError(
                f"{where}: {exam} has the class {entry['class']!r}, but its Target "
                f"is {targets[exam]}."
            )
    _require_all(path, targets, groups)
    return groups


def _twins(path: str | os.PathLike, targets: Mapping[str, int]) -> dict[str, str]:
    try:
        entries = json.loads(pathlib.Path(path).read_text())
        twins = {entry["subset_img_id"]: entry["img_id"] for entry in entries}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} is not the challenge's {MAPPING_JSON}, a list of entries with subset_img_id "
            f"and img_id ({type(error).__name__}: {error})."
        ) from None
    wrong = [name for name in twins.values() if not _NIH_NAME.fullmatch(str(name))]
    if wrong:
        raise ValueError(f"{path}: expected names such as 00000013_005.png, got {wrong[0]!r}.")
    _require_all(path, targets, twins)
    return twins


def _require_all(path, targets: Mapping, known: Mapping) -> None:
    missing = targets.keys() - known.keys()
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} exams, for instance {min(missing)}.")


def _nih_patient(name: str) -> str:
    """The patient as NIH's table writes it: 13 for 00000013_005.png."""
    return str(int(_NIH_NAME.fullmatch(name)[1]))
