"""Reader of ChestX-ray14, the chest radiographs of the NIH Clinical Center.

Wang et al., "ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks", CVPR 2017. From
https://nihcc.app.box.com/v/ChestXray-NIHCC fetch the images' archives and Data_Entry_2017*.csv
into one folder and unpack the archives there.
"""

import concurrent.futures
import csv
import dataclasses
import functools
import gzip
import logging
import os
import pathlib
import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import tqdm
from PIL import Image

from pgan.data import labels, splits
from pgan.data.radiograph import Radiograph

SOURCE = "nih"
FINDINGS = labels.NIH_14

_COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_OLDEST_PLAUSIBLE = 120  # the release has ages up to 414, which are slips of the pen

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the CSV that has a file.

    Attributes:
      image_id: the file's name.
      patient_id: as the CSV has it.
      labels: float32 [14], order of FINDINGS.
      path: of the file.
      extras: "age" in years, "sex" and "view", as far as they are known.
    """

    image_id: str
    patient_id: str
    labels: np.ndarray
    path: str
    extras: dict


@dataclasses.dataclass(frozen=True)
class Listing:
    """The CSV joined with the files.

    Attributes:
      rows: in the order of the CSV.
      rows_without_file: names that the CSV has and no folder.
      files_without_row: names of PNG files that the CSV does not have.
    """

    rows: list[Row]
    rows_without_file: list[str]
    files_without_row: list[str]

    def report(self) -> str:
        """One line with the counts and first names of what does not match."""
        return (
            f"{len(self.rows)} images; rows without a file: "
            f"{splits.describe(self.rows_without_file)}; files without a row: "
            f"{splits.describe(self.files_without_row)}"
        )


def read(
    root: str | os.PathLike,
    csv_path: str | os.PathLike | None = None,
    allow_missing: bool = False,
    min_size: int = 1,
    progress: bool = False,
) -> Iterator[Radiograph]:
    """Yields the radiographs in the order of the CSV.

    The start and end of every file are looked at first, so that a download that broke off is
    found before anything is made of the images.

    Args:
      root: folder with the CSV, and the PNG files in `images`, in `images_001/images` ...
        `images_012/images`, in `images_001` ... `images_012`, or in root itself.
      csv_path: the CSV if it is elsewhere; may be gzipped.
      allow_missing: go on, with a warning, if rows without files or files without rows exist.
      min_size: smallest longer side in pixels that an image may have.
      progress: show a bar.

    Raises:
      ValueError: no CSV or images, rows and files that do not match, an unknown finding, or a
        file that is no whole PNG or too small; the message names row and file.
    """
    listing = scan(root, csv_path)
    if not listing.rows:
        raise ValueError(f"No row of the CSV has a PNG file under {root}.")
    if listing.rows_without_file or listing.files_without_row:
        if not allow_missing:
            raise ValueError(
                f"The CSV and the files under {root} differ. {listing.report()}. Complete the "
                f"download, or use --allow_missing to go on with the images that match."
            )
        _log.warning("Going on with the images that match: %s.", listing.report())
    with concurrent.futures.ThreadPoolExecutor() as executor:
        check = functools.partial(_check_png, min_size=min_size)
        sizes = executor.map(check, [row.path for row in listing.rows])
        bar = tqdm.tqdm(
            sizes, total=len(listing.rows), unit="file", desc="Checking", disable=not progress
        )
        stamps = [f"{size} bytes" for size in bar]
    for row, stamp in zip(listing.rows, stamps, strict=True):
        load = functools.partial(load_png, row.path)
        yield Radiograph(row.image_id, row.patient_id, row.labels, load, stamp, row.extras)


def scan(root: str | os.PathLike, csv_path: str | os.PathLike | None = None) -> Listing:
    """Joins the CSV and the files by file name.

    Raises:
      ValueError: no CSV or more than one, missing columns, a name that is there twice, or an
        unknown finding.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise ValueError(f"There is no folder {root}.")
    csv_path = pathlib.Path(csv_path) if csv_path else _find_csv(root)
    files = _find_files(root)
    rows, absent, seen = [], [], set()
    for line, entry in _read_csv(csv_path):
        name = entry["Image Index"]
        if name in seen:
            raise ValueError(f"{csv_path}, line {line}: {name} is there twice.")
        seen.add(name)
        try:
            vector = labels.encode(entry["Finding Labels"].split("|"), FINDINGS)
        except ValueError as error:
            raise ValueError(f"{csv_path}, line {line} ({name}): {error}") from None
        if name in files:
            rows.append(Row(name, entry["Patient ID"], vector, files[name], _extras(entry)))
        else:
            absent.append(name)
    return Listing(rows, absent, sorted(files.keys() - seen))


def load_png(path: str) -> np.ndarray:
    """Grey values of a PNG file.

    A few files of the release are RGBA with three equal channels: one of them is taken, and alpha
    is ignored. If the channels differ the luminance of ITU-R BT.601 is taken, with a warning.

    Returns:
      uint8 [H, W]; float32 in [0, 255] for 16-bit and for coloured files.

    Raises:
      ValueError: the file is missing or cannot be decoded; the message names it.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("P", "1"):
                image = image.convert("RGB")
            image.load()
            mode, pixels = image.mode, np.asarray(image)
    except (OSError, SyntaxError, ValueError, zlib.error, struct.error) as error:
        raise ValueError(f"{path} cannot be read as an image ({error}); fetch it again.") from None
    if mode.startswith("I"):
        return pixels.astype(np.float32) * np.float32(255 / 65535)
    if mode in ("RGB", "RGBA"):
        red, green, blue = np.moveaxis(pixels[..., :3], -1, 0)
        if not (np.array_equal(red, green) and np.array_equal(red, blue)):
            _log.warning("%s is coloured; its luminance is used.", path)
            return pixels[..., :3].astype(np.float32) @ np.float32([0.299, 0.587, 0.114])
        return red
    return pixels[..., 0] if mode == "LA" else pixels


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


def _read_csv(path: pathlib.Path) -> Iterator[tuple[int, dict]]:
    """Yields (line number, entries by column); line numbers start at 1, the header's."""
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else open(path)
    with opened as file:
        reader = csv.DictReader(file)
        missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path} has no column {missing[0]!r}; is it NIH's Data_Entry file?")
        for entry in reader:
            if None in entry.values() or None in entry:
                raise ValueError(f"{path}, line {reader.line_num}: not as many fields as columns.")
            yield reader.line_num, entry


def _extras(entry: dict) -> dict:
    """Age, sex and view. Releases differ in how they write an age: 58, 058Y."""
    extras = {}
    age = re.fullmatch(r"0*(\d+)Y?", entry.get("Patient Age", "").strip())
    if age and int(age[1]) <= _OLDEST_PLAUSIBLE:
        extras["age"] = int(age[1])
    sex = entry.get("Patient Gender", entry.get("Patient Sex", "")).strip()
    if sex in ("F", "M"):
        extras["sex"] = sex
    view = entry.get("View Position", "").strip()
    if view in ("AP", "PA"):
        extras["view"] = view
    return extras


def _check_png(path: str, min_size: int) -> int:
    """Size in bytes of a PNG file that has its start and its end, and pixels enough."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(24)
        file.seek(max(0, size - len(_PNG_END)))
        end = file.read()
    if len(start) < 24 or not start.startswith(_PNG_START):
        raise ValueError(f"{path} is no PNG file; fetch it again.")
    if end != _PNG_END:
        raise ValueError(f"{path} is cut off after {size} bytes; fetch it again.")
    width, height = struct.unpack(">II", start[16:])
    if max(width, height) < min_size:
        raise ValueError(
            f"{path} has {width}x{height} px, less than the {min_size} px asked for; ask for a "
            f"smaller --max_resolution."
        )
    return size
