"""Reader of ChestX-ray14, the chest radiographs of the NIH Clinical Center.

Wang et al., "ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks", CVPR 2017. From
https://nihcc.app.box.com/v/ChestXray-NIHCC fetch the images' archives and Data_Entry_2017*.csv
into one folder and unpack the archives there.
"""

import os
import pathlib

from pgan.data import collection, label_tables, labels
from pgan.data.radiograph import Radiograph

SOURCE = "nih"
FINDINGS = labels.NIH_14

_COLUMNS = ("Image Index", "Finding Labels", "Patient ID")


def read_table(csv_path: str | os.PathLike) -> list[Radiograph]:
    """The rows of Data_Entry_2017*.csv, without files.

    Raises:
      ValueError: missing columns, a name that is there twice, or an unknown finding; the message
        names the line.
    """
    images, seen = [], set()
    for line, entry in label_tables.rows(csv_path, _COLUMNS, "NIH's Data_Entry file"):
        name = entry["Image Index"]
        if name in seen:
            raise ValueError(f"{csv_path}, line {line}: {name} is there twice.")
        seen.add(name)
        try:
            vector = labels.encode(entry["Finding Labels"].split("|"), FINDINGS)
        except ValueError as error:
            raise ValueError(f"{csv_path}, line {line} ({name}): {error}") from None
        extras = label_tables.person(
            entry.get("Patient Age", ""),
            # Releases differ in what they call it.
            entry.get("Patient Gender", entry.get("Patient Sex", "")),
            entry.get("View Position", ""),
        )
        images.append(Radiograph(name, entry["Patient ID"], vector, extras=extras))
    return images


def read(
    root: str | os.PathLike,
    csv_path: str | os.PathLike | None = None,
    window: str = "auto",
    allow_missing: bool = False,
) -> list[Radiograph]:
    """The radiographs in the order of the CSV.

    Args:
      root: folder with the CSV, and the PNG files in `images`, in `images_001/images` ...
        `images_012/images`, in `images_001` ... `images_012`, or in root itself.
      csv_path: the CSV if it is elsewhere; may be gzipped.
      window: see `image_files.load`.
      allow_missing: go on, with a warning, if rows without files or files without rows exist.

    Raises:
      ValueError: no CSV or images, rows and files that do not match, or a fault in the CSV.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise ValueError(f"There is no folder {root}.")
    csv_path = pathlib.Path(csv_path) if csv_path else _find_csv(root)
    return collection.join(read_table(csv_path), _find_files(root), root, window, allow_missing)


def _find_csv(root: pathlib.Path) -> pathlib.Path:
    found = sorted([*root.glob("Data_Entry_2017*.csv"), *root.glob("Data_Entry_2017*.csv.gz")])
    if not found:
        raise ValueError(
            f"There is no Data_Entry_2017*.csv in {root}. Give its path with --csv; the data set "
            f"is at https://nihcc.app.box.com/v/ChestXray-NIHCC."
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{root} has more than one label file ({names}); choose one with --csv.")
    return found[0]


def _find_files(root: pathlib.Path) -> dict[str, str]:
    parts = [path for path in sorted(root.glob("images_[0-9][0-9][0-9]")) if path.is_dir()]
    folders = [root, root / "images", *parts, *(part / "images" for part in parts)]
    files = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        for name in os.listdir(folder):
            if not name.lower().endswith(".png"):
                continue
            path = os.path.join(folder, name)
            if name in files:
                raise ValueError(f"{name} is there twice: {files[name]}, {path}.")
            files[name] = path
    if not files:
        raise ValueError(
            f"There are no PNG files in {root}, {root}/images or {root}/images_001/images; unpack "
            f"the archives of the data set there."
        )
    return files
