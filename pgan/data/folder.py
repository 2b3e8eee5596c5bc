"""Reader of any folder of radiographs with a table of what they show.

The table is a CSV file with a row per image:

    file,patient,findings,age,sex,view,group
    2019/a17.dcm,P-0017,Cardiomegaly|Effusion,58,F,PA,
    2019/a18.png,P-0018,No Finding,,,,

`file` is a path below the folder to a PNG, JPEG, TIFF (8 or 16 bits) or DICOM file, `patient` is
whose it is. Findings are either names in one column `findings`, separated by "|", or a column for
each finding with 1, 0, blank (absent) or "?" (unknown). The other columns may be left out.
"""

import collections
import difflib
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from pgan.data import collection, label_tables, labels
from pgan.data.radiograph import Radiograph

SOURCE = "folder"
TABLE = "labels.csv"

_COLUMNS = ("file", "patient")
_VALUES = {"": 0.0, "0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0, "?": np.nan}


def read_table(csv_path: str | os.PathLike, findings: Sequence[str]) -> list[Radiograph]:
    """The rows of the table, without files.

    Args:
      csv_path: the table; may be gzipped.
      findings: the vocabulary. It is said, not collected from the table, so that a misspelt name
        is an error and not a finding of its own.

    Raises:
      ValueError: missing columns, an unknown finding, a file that is there twice or with two
        patients, or a path that leads out of the folder; the message names the line.
    """
    images, patients = [], {}
    seen = collections.Counter()
    for line, entry in label_tables.rows(csv_path, _COLUMNS, "a table of images"):
        where = f"{csv_path}, line {line}"
        name, patient = entry["file"].strip(), entry["patient"].strip()
        _check_path(name, where)
        name = os.path.normpath(name)
        if not patient:
            raise ValueError(f"{where}: {name} has no patient; splits need to know whose it is.")
        if patients.setdefault(name, patient) != patient:
            raise ValueError(
                f"{where}: {name} belongs to two patients, {patients[name]} and {patient}."
            )
        seen[name] += 1
        if seen[name] > 1:
            raise ValueError(f"{where}: {name} is there twice.")
        extras = label_tables.person(*(entry.get(key, "") for key in ("age", "sex", "view")))
        if entry.get("group", "").strip():
            extras["group"] = entry["group"].strip()
        vector = _labels(entry, findings, where)
        images.append(Radiograph(name, patient, vector, extras=extras))
    return images


def read(
    root: str | os.PathLike,
    findings: Sequence[str],
    csv_path: str | os.PathLike | None = None,
    window: str = "auto",
    allow_missing: bool = False,
) -> list[Radiograph]:
    """The radiographs in the order of the table.

    Args:
      root: the folder.
      findings: see `read_table`.
      csv_path: the table if it is not labels.csv in the folder.
      window: see `image_files.load`.
      allow_missing: go on, with a warning, if rows have no file.

    Raises:
      ValueError: no such folder, rows without a file, or a fault in the table.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise ValueError(f"There is no folder {root}.")
    images = read_table(csv_path or root / TABLE, findings)
    paths = {}
    for image in images:
        path = root / image.image_id
        if path.is_file():
            if not path.resolve().is_relative_to(root.resolve()):
                raise ValueError(f"{path} is a link that leads out of {root}.")
            paths[image.image_id] = str(path)
    return collection.join(images, paths, root, window, allow_missing)


def _check_path(name: str, where: str) -> None:
    if not name:
        raise ValueError(f"{where}: the column 'file' is empty.")
    if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir:
        raise ValueError(f"{where}: {name!r} leads out of the folder; give a path below it.")


def _labels(entry: dict[str, str], findings: Sequence[str], where: str) -> np.ndarray:
    known = {*_COLUMNS, "age", "sex", "view", "group"}
    if "findings" in entry:
        names = [name for name in entry["findings"].split("|") if name.strip()]
        try:
            return labels.encode(names, findings)
        except ValueError as error:
            raise ValueError(f"{where}: {error}{_suggestion(names, findings)}") from None
    vector = np.zeros(len(findings), np.float32)
    columns = [column for column in entry if column not in known]
    if not columns:
        raise ValueError(f"{where}: there is neither a column 'findings' nor one for each finding.")
    for column in columns:
        try:
            position = labels.find(column, findings)
        except ValueError as error:
            raise ValueError(f"{where}: {error}{_suggestion([column], findings)}") from None
        text = entry[column].strip()
        if text not in _VALUES:
            raise ValueError(
                f"{where}: {column} is 1, 0, blank (absent) or ? (unknown), got {text!r}."
            )
        vector[position] = _VALUES[text]
    return vector


def _suggestion(names: Sequence[str], findings: Sequence[str]) -> str:
    for name in names:
        if not labels.is_no_finding(name):
            close = difflib.get_close_matches(name.strip(), findings, 1)
            if close and close[0] != name.strip():
                return f" Did you mean {close[0]!r}?"
    return ""
