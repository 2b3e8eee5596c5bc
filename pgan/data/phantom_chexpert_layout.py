"""The phantom site `chexpert` in the files of CheXpert's small release.

    CheXpert-v1.0-small/train.csv, valid.csv
    CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg

The last tenth of the patients are in valid, labelled from what was drawn: 1.0 or 0.0 everywhere.
In train the labels are those that a program would read from reports on the same images: some
findings are doubted, many absent ones are not mentioned. `report` has the rule. There are no
lateral views, because the phantom draws none.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pgan.data import labels, phantom_drawing, phantom_sites
from pgan.data.phantom_files import File, Plan, csv_text, jpeg
from pgan.data.phantom_population import WEAKEST
from pgan.data.radiograph import Radiograph

ROOT = "CheXpert-v1.0-small"
COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *labels.CHEXPERT_14)
_PARTS = ("train", "valid")
_VALID_SHARE = 10  # one patient in so many

PRESENT, ABSENT, UNCERTAIN, BLANK = "1.0", "0.0", "-1.0", ""

# Which of the phantom's findings each of CheXpert's stands for. Children of CheXpert's hierarchy
# count for their parents.
SOURCES = {
    "Enlarged Cardiomediastinum": ("Cardiomegaly",),
    "Cardiomegaly": ("Cardiomegaly",),
    "Lung Opacity": (
        "Atelectasis",
        "Infiltration",
        "Mass",
        "Nodule",
        "Pneumonia",
        "Consolidation",
        "Edema",
        "Fibrosis",
    ),
    "Lung Lesion": ("Mass", "Nodule"),
    "Edema": ("Edema",),
    "Consolidation": ("Consolidation",),
    "Pneumonia": ("Pneumonia",),
    "Atelectasis": ("Atelectasis",),
    "Pneumothorax": ("Pneumothorax",),
    "Pleural Effusion": ("Effusion",),
    "Pleural Other": ("Pleural Thickening",),
}


class _Habit(NamedTuple):
    """How reports speak of a finding: probabilities of what is said of it.

    Attributes:
        doubted: that it is called uncertain when present, at its weakest.
        suspected: that it is called uncertain when absent.
        denied: that it is called absent when absent.
    """

    doubted: float
    suspected: float
    denied: float


# Set so that shares of 1.0, 0.0, -1.0 and blanks come near those of CheXpert's frontal images.
_HABITS = {
    "Enlarged Cardiomediastinum": _Habit(1.0, 0.00, 0.09),
    "Cardiomegaly": _Habit(0.4, 0.01, 0.05),
    "Lung Opacity": _Habit(0.1, 0.01, 0.06),
    "Lung Lesion": _Habit(0.2, 0.002, 0.005),
    "Edema": _Habit(0.2, 0.05, 0.11),
    "Consolidation": _Habit(0.8, 0.09, 0.12),
    "Pneumonia": _Habit(1.0, 0.045, 0.011),
    "Atelectasis": _Habit(0.7, 0.09, 0.007),
    "Pneumothorax": _Habit(0.1, 0.01, 0.28),
    "Pleural Effusion": _Habit(0.1, 0.05, 0.22),
    "Pleural Other": _Habit(0.5, 0.003, 0.001),
}
_DEVICES_DENIED = 0.06


def strength(strengths: np.ndarray, finding: str) -> float:
    """Strength of one of the findings in SOURCES: that of the strongest it stands for."""
    return max(float(strengths[labels.find(name, labels.NIH_14)]) for name in SOURCES[finding])


def report(strengths: np.ndarray, devices: bool, rng: np.random.Generator) -> dict[str, str]:
    """CheXpert's labels of an image as read from a report.

    A finding present with strength s is -1.0 with probability doubted * (1 - s) / (1 - WEAKEST),
    else 1.0; so the fainter it is, the likelier it is doubted, and one of strength 1 never is. An
    absent one is -1.0 or 0.0 with probabilities of its own, else blank. "Support Devices" is 1.0
    if and only if one was drawn. "No Finding" is 1.0 if no finding was drawn and none is 1.0 or
    -1.0, else blank. "Fracture" is blank.

    Args:
        strengths: float [14], order of `labels.NIH_14`.
        devices: whether any was drawn.
        rng: of the image.

    Returns:
        {finding of `labels.CHEXPERT_14`: PRESENT, ABSENT, UNCERTAIN or BLANK}.
    """
    chance = dict(zip(labels.CHEXPERT_14, rng.random(len(labels.CHEXPERT_14)), strict=True))
    result = dict.fromkeys(labels.CHEXPERT_14, BLANK)
    for finding, habit in _HABITS.items():
        value = strength(strengths, finding)
        if value > 0:
            doubt = habit.doubted * (1 - value) / (1 - WEAKEST)
            result[finding] = UNCERTAIN if chance[finding] < doubt else PRESENT
        elif chance[finding] < habit.suspected:
            result[finding] = UNCERTAIN
        elif chance[finding] < habit.suspected + habit.denied:
            result[finding] = ABSENT
    if not np.any(strengths) and not {PRESENT, UNCERTAIN} & set(result.values()):
        result[labels.NO_FINDING] = PRESENT
    name = "Support Devices"
    result[name] = PRESENT if devices else ABSENT if chance[name] < _DEVICES_DENIED else BLANK
    return result


def reading(strengths: np.ndarray, devices: bool) -> dict[str, str]:
    """CheXpert's labels of an image as it was drawn, PRESENT or ABSENT; arguments as `report`."""
    result = dict.fromkeys(labels.CHEXPERT_14, ABSENT)
    for finding in SOURCES:
        if strength(strengths, finding) > 0:
            result[finding] = PRESENT
    if not np.any(strengths):
        result[labels.NO_FINDING] = PRESENT
    if devices:
        result["Support Devices"] = PRESENT
    return result


def plan(count: int, seed: int, size: int) -> Plan:
    """The files of a folder; arguments as in `phantom_layouts.write`."""
    site = phantom_sites.SITES["chexpert"]
    images = list(phantom_sites.read(site.name, count, seed, size))
    patients = 1 + max((image.load.keywords["patient"] for image in images), default=-1)
    # A single patient is for training.
    first_valid = patients - -(-patients // _VALID_SHARE) if patients > 1 else patients
    parts = {part: [] for part in _PARTS}
    for image in images:
        parts[_PARTS[image.load.keywords["patient"] >= first_valid]].append(image)
    files = [
        File(_path(image, part), functools.partial(jpeg, image.load, site.jpeg_quality))
        for part in _PARTS
        for image in parts[part]
    ]
    own_seed = phantom_sites.population_seed(site, seed)
    tables = functools.partial(_tables, parts, own_seed)
    table_paths = tuple(f"{ROOT}/{part}.csv" for part in reversed(_PARTS))
    return Plan(files, table_paths, tables, roots=(".", ROOT))


def _path(image: Radiograph, part: str) -> str:
    numbers = image.load.keywords
    folder = f"{ROOT}/{part}/patient{numbers['patient'] + 1:05d}/study{numbers['image'] + 1}"
    return f"{folder}/view1_frontal.jpg"


def _tables(parts: dict[str, Sequence[Radiograph]], own_seed: int, _) -> dict[str, str]:
    return {
        f"{ROOT}/{part}.csv": csv_text(COLUMNS, [_row(image, part, own_seed) for image in images])
        for part, images in parts.items()
    }


def _row(image: Radiograph, part: str, own_seed: int) -> list:
    extras, numbers = image.extras, image.load.keywords
    drawn = (extras["strengths"], bool(extras["devices"]))
    if part == "valid":
        values = reading(*drawn)
    else:
        stream = phantom_drawing.LABELS
        values = report(
            *drawn, phantom_drawing.rng(own_seed, numbers["patient"], numbers["image"], stream)
        )
    sex = {"F": "Female", "M": "Male"}[extras["sex"]]
    person = [_path(image, part), sex, extras["age"], "Frontal", extras["view"]]
    return person + [values[finding] for finding in labels.CHEXPERT_14]
