"""Reader of CheXpert, the chest radiographs of Stanford Hospital.

Irvin et al., "CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert
Comparison", AAAI 2019. From https://stanfordmlgroup.github.io/competitions/chexpert fetch either
size of the data set and unpack it: a folder with train.csv, valid.csv, train/ and valid/.

Only frontal views are read. The images of valid.csv were labelled by radiologists and are kept
apart: in the fold OFFICIAL_VAL, never in one that is drawn.
"""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from pgan.data import collection, label_tables, labels
from pgan.data.radiograph import Radiograph

SOURCE = "chexpert"
FINDINGS = labels.CHEXPERT_14
OFFICIAL_VAL = "official_val"

# What -1, "uncertain", is read as. "paper" is inferred from the authors' printed label vectors and
# counts; it takes for absent what they say nothing about.
UNCERTAIN = ("paper", "zeros", "ones", "ignore")
_ONES_IN_THE_PAPER = {
    "Cardiomegaly",
    "Edema",
    "Atelectasis",
    "Pleural Effusion",
    "Pneumonia",
}

_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
_KIND = "CheXpert's train.csv or valid.csv"


def read_table(csv_path: str | os.PathLike, uncertain: str = "paper") -> list[Radiograph]:
    """The frontal rows of train.csv or valid.csv, without files.

    Args:
      csv_path: the table; may be gzipped.
      uncertain: what -1 is read as: "zeros", "ones", "ignore" (NaN: neither trained on nor
        counted) or "paper" (ones for cardiomegaly, edema, atelectasis, pleural effusion and
        pneumonia, zeros for the others). A blank, "not mentioned", is always absent.

    Returns:
      Image ids are paths below the data set's folder, such as
      "train/patient00001/study1/view1_frontal.jpg".

    Raises:
      ValueError: an unknown policy, missing columns, an image that is there twice, a path of
        another form or a label that is none of 1, 0, -1 and blank; the message names the line.
    """
    values = _values(uncertain)
    images, seen = [], set()
    for line, entry in label_tables.rows(csv_path, _COLUMNS, _KIND):
        if entry["Frontal/Lateral"] != "Frontal":
            continue
        where = f"{csv_path}, line {line}"
        parts = pathlib.PurePosixPath(entry["Path"]).parts
        if len(parts) < 4 or ".." in parts or not parts[-3].startswith("patient"):
            raise ValueError(
                f"{where}: expected a path such as CheXpert-v1.0/train/patient00001/study1/"
                f"view1_frontal.jpg, got {entry['Path']!r}."
            )
        name = "/".join(parts[-4:])
        if name in seen:
            raise ValueError(f"{where}: {name} is there twice.")
        seen.add(name)
        try:
            vector = [values[position][entry[key]] for position, key in enumerate(FINDINGS)]
        except KeyError as error:
            raise ValueError(
                f"{where}: a label is 1.0, 0.0, -1.0 or blank, got {error.args[0]!r}."
            ) from None
        extras = label_tables.person(entry["Age"], entry["Sex"], entry["AP/PA"])
        images.append(Radiograph(name, parts[-3], np.array(vector, np.float32), extras=extras))
    if not images:
        raise ValueError(f"{csv_path} has no frontal view.")
    return images


def read(
    root: str | os.PathLike,
    uncertain: str = "paper",
    window: str = "auto",
    allow_missing: bool = False,
) -> tuple[list[Radiograph], list[Radiograph]]:
    """The frontal radiographs of train.csv, and those of valid.csv.

    Args:
      root: folder with train.csv, valid.csv, train/ and valid/, or the one above it.
      uncertain: see `read_table`.
      window: see `image_files.load`.
      allow_missing: go on, with a warning, if rows have no file or valid.csv is missing.

    Raises:
      ValueError: no such folder or tables, rows without a file, or a fault in a table.
    """
    root = _find_root(pathlib.Path(root))
    parts = []
    for name in ("train", "valid"):
        if name == "valid" and allow_missing and not (root / "valid.csv").exists():
            parts.append([])
            continue
        images = read_table(root / f"{name}.csv", uncertain)
        parts.append(collection.join(images, _paths(root, images), root, window, allow_missing))
    return parts[0], parts[1]


def _values(uncertain: str) -> list[dict[str, float]]:
    """Per finding, {text of a label: value}."""
    if uncertain not in UNCERTAIN:
        raise ValueError(f"uncertain must be one of {', '.join(UNCERTAIN)}, got {uncertain!r}.")
    result = []
    for finding in FINDINGS:
        doubt = {
            "zeros": 0.0,
            "ones": 1.0,
            "ignore": np.nan,
            "paper": float(finding in _ONES_IN_THE_PAPER),
        }[uncertain]
        known = {"": 0.0, "0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0}
        result.append({**known, "-1": doubt, "-1.0": doubt})
    return result


def _find_root(root: pathlib.Path) -> pathlib.Path:
    below = sorted(root.glob("CheXpert-v1.0*")) if root.is_dir() else []
    found = [folder for folder in (root, *below) if (folder / "train.csv").is_file()]
    if len(found) != 1:
        state = "no train.csv" if not found else "more than one train.csv"
        raise ValueError(
            f"There is {state} in {root} or in a folder CheXpert-v1.0* below it. The data set is "
            f"at https://stanfordmlgroup.github.io/competitions/chexpert."
        )
    return found[0]


def _paths(root: pathlib.Path, images: Sequence[Radiograph]) -> dict[str, str]:
    candidates = ((image.image_id, os.path.join(root, image.image_id)) for image in images)
    return {name: path for name, path in candidates if os.path.isfile(path)}
