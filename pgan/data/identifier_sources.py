"""Gathers identifiers from a source's label tables, lists, file names and DICOM headers."""

import bz2
import collections
import csv
import gzip
import io
import json
import os
import pathlib
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator

import tqdm

from pgan.data import identifier_files
from pgan.data import identifiers as ids

_TABLES = (".csv", ".tsv", ".json", ".txt")
# What a table or a text beside the images is called says nothing of a patient.
_NO_IMAGES = (*_TABLES, ".gz", ".bz2", ".zip", ".md", ".pdf", ".html", ".xml", ".log", ".py")
_DELIMITERS = (",", ";", "\t", "|")  # the first where a heading has none
# Tables that are not read, although they may hold names of all patients.
_UNREAD = (
    ".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".parquet", ".feather", ".sav", ".dta", ".sas7bdat",
    ".rds", ".rdata", ".mdb", ".accdb", ".db", ".sqlite", ".sqlite3", ".docx", ".doc",
)  # fmt: skip
_DICOM = (".dcm", ".dicom", ".ima", "")

# Words in a column's heading, and what its values then are; the first that fits counts.
_NO_ID_WORDS = set(
    "age class count finding findings gender height label labels modality number pixel position "
    "sex size spacing type view width".split()
)
_COLUMN_WORDS = (
    (ids.BIRTH_DATE, {"birth", "birthdate", "birthday", "dob"}),
    (ids.INSTITUTION, {"hospital", "institution"}),
    (ids.IMAGE, {"dicom", "file", "filename", "image", "img", "path", "sop"}),
    (ids.STUDY, {"accession", "exam", "series", "study", "uid"}),
    (ids.NAME, {"doctor", "name", "operator", "physician", "radiologist", "reader", "surname"}),
    (ids.PATIENT, {"mrn", "patient", "person", "subject", "id", "ids"}),
)
_ONLY_PATIENTS = {"patient", "person", "subject"}

# Keywords of DICOM elements that are no UID, name or birth date and still tell who or where.
_DICOM_KEYWORDS = re.compile(
    r"(IDs?|AccessionNumber|SerialNumber|StationName|Address|TelephoneNumbers?)$|^Institution"
)
# UIDs of what made a file and how, the same for every patient.
_DICOM_CLASSES = re.compile(r"(Class|TransferSyntax|CodingScheme|ContextGroup|Mapping\w*)\w*UID$")


def gather(
    inputs: Iterable[str | os.PathLike],
    found: ids.Identifiers,
    columns: Collection[str] = (),
    exclude: Iterable[str | os.PathLike] = (),
    progress: bool = False,
    allow_unread: bool = False,
) -> list[str]:
    """Adds whatever identifies somebody in the given files and folders.

    Args:
      inputs: label tables and folders of images with or without tables.
      found: is filled.
      columns: headings that hold ids, beside those that are known by their words.
      exclude: folders inside the inputs that are no part of the source.
      progress: show a bar.
      allow_unread: go on where there are tables of kinds that are not read.

    Returns:
      What was gathered from where, a line each.

    Raises:
      ValueError: an input is missing or cannot be read.
    """
    notes, images, unread = [], [], []
    excluded = [pathlib.Path(path).resolve() for path in exclude]
    for root in map(pathlib.Path, inputs):
        if not root.exists():
            raise ValueError(f"There is no file or folder {root}.")
        paths = list(identifier_files.walk(root, excluded))
        dicoms = collections.Counter()
        for path in tqdm.tqdm(paths, "Gathering", unit="file", disable=not progress):
            inside = path.relative_to(root.parent if root.is_file() else root)
            name = path.name.lower()
            if name.removesuffix(".gz").removesuffix(".bz2").endswith((*_TABLES, ".zip")):
                notes += gather_table(path, found, columns)
            if name.endswith(_UNREAD) and name != "thumbs.db":
                unread.append(str(path))
            elif not name.endswith(_NO_IMAGES):
                images.append(str(inside))
            if path.suffix.lower() in _DICOM and _is_dicom(path):
                dicoms.update(gather_dicom(path, found))
        if dicoms:
            notes.append(f"{root}: DICOM headers, " + _counts(dicoms))
    if unread and not allow_unread:
        raise ValueError(
            f"{len(unread)} files may hold identifiers and are not read: "
            + ", ".join(unread[:3])
            + (", ..." if len(unread) > 3 else "")
            + ". Save them as CSV beside, or in another folder that --input names, and give "
            "--allow_unread"
        )
    notes += [f"{path}: NOT read" for path in unread]
    found.add_ids(images, ids.IMAGE)
    notes.append(f"File names: {len(images)}")
    return notes


def gather_table(
    path: str | os.PathLike, found: ids.Identifiers, columns: Collection[str] = ()
) -> list[str]:
    """Adds the values of the id-like columns of a CSV, TSV or JSON file, or the names in a list.

    Args:
      path: the file, also as .gz, .bz2 or inside a .zip.
      found: is filled.
      columns: headings that hold ids, beside those that are known by their words.

    Returns:
      What was found in which table, a line each.

    Raises:
      ValueError: the file cannot be read.
    """
    notes = []
    try:
        for name, text in _texts(pathlib.Path(path)):
            values = collections.defaultdict(list)
            for heading, value in _cells(name, text):
                values[heading].append(value)
            used = {}
            for heading, cells in values.items():
                kind = ids.IMAGE if heading == "" or heading in columns else column_kind(heading)
                if kind is None:
                    continue
                used[heading or "names"] = len(set(cells))
                if kind in (ids.NAME, ids.BIRTH_DATE):
                    add = found.add_name if kind == ids.NAME else found.add_date
                    for value in set(cells):
                        add(value)
                else:
                    found.add_ids(cells, kind)
            if used or not name.endswith(".txt"):
                what = _counts(used) if used else "NO column of ids; name them with --columns"
                notes.append(f"{path}: {what}")
    except (OSError, EOFError, zipfile.BadZipFile, json.JSONDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from None
    return notes


def column_kind(heading: str) -> str | None:
    """What the values of a column are, judged by the words of its heading; None if no ids."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", heading)
    words = {word.lower() for word in words}
    if words & {"name"} and words & _ONLY_PATIENTS:
        return ids.NAME
    for kind, signs in _COLUMN_WORDS:
        if words & signs and (kind == ids.BIRTH_DATE or _names_ids(words)):
            return kind
    return None


def _names_ids(words: set[str]) -> bool:
    return not words & _NO_ID_WORDS or "accession" in words


def _texts(path: pathlib.Path) -> Iterator[tuple[str, str]]:
    """(name, content) of the tables in a file."""
    name = path.name.lower()
    if name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.lower().endswith(_TABLES):
                    yield member.lower(), _decode(archive.read(member))
        return
    openers = {".gz": gzip.open, ".bz2": bz2.open}
    with openers.get(path.suffix.lower(), open)(path, "rb") as file:
        yield name.removesuffix(".gz").removesuffix(".bz2"), _decode(file.read())


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _cells(name: str, text: str) -> Iterator[tuple[str, str]]:
    """(heading, value) of a table; the heading of a list is empty."""
    if name.endswith(".json"):
        yield from _json_cells("", json.loads(text))
    elif name.endswith(".txt"):
        # A list of names, and not a text: one word a line, with digits.
        for line in text.splitlines():
            if re.fullmatch(r"\S*\d\S*", line.strip()) and len(line.strip()) >= ids.SHORTEST:
                yield "", line
    else:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        headings = next(rows, [])
        for row in rows:
            yield from zip(headings, row)  # noqa: B905  rows may be short


def _delimiter(text: str) -> str:
    """What separates the columns: Excel writes semicolons where the comma is the decimal point."""
    heading = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    return max(_DELIMITERS, key=heading.count)


def _json_cells(heading: str, content) -> Iterator[tuple[str, str]]:
    if isinstance(content, dict):
        for key, value in content.items():
            # {"00000017_000.png": {...}}: the keys are the ids.
            if len(key) >= ids.SHORTEST and re.search(r"\d", key):
                yield "", key
            yield from _json_cells(key, value)
    elif isinstance(content, list):
        for value in content:
            yield from _json_cells(heading, value)
    elif content is not None and heading:
        yield heading, str(content)


def _is_dicom(path: pathlib.Path) -> bool:
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def gather_dicom(path: str | os.PathLike, found: ids.Identifiers) -> dict[str, int]:
    """Adds the names, ids, UIDs, birth dates and institutions of a DICOM file's header.

    Returns:
      {kind: number of values}.

    Raises:
      ValueError: the header cannot be read.
    """
    import pydicom

    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        elements = [*dataset.file_meta, *dataset.iterall()]
        values = [(element, _values(element)) for element in elements]
    except Exception as error:  # pydicom raises whatever a damaged file makes it stumble upon
        raise ValueError(f"The header of {path} cannot be read: {error}") from None
    counts = collections.Counter()
    for element, texts in values:
        kind = _dicom_kind(element)
        for text in texts if kind else ():
            counts[kind] += 1
            if kind == ids.NAME:
                found.add_name(text)
            elif kind == ids.BIRTH_DATE:
                found.add_date(text)
            else:
                found.add_id(text, kind)
    return counts


def _values(element) -> list[str]:
    values = element.value if element.VM > 1 else [element.value]
    return [str(value) for value in values if value not in (None, "")]


def _dicom_kind(element) -> str | None:
    from pydicom import uid

    keyword = element.keyword
    if element.VR == "PN":
        return ids.NAME
    if element.VR == "UI":
        known = all(value in uid.UID_dictionary for value in _values(element))
        return None if known or _DICOM_CLASSES.search(keyword) else ids.STUDY
    if element.VR == "DA":
        return ids.BIRTH_DATE if "Birth" in keyword else None
    if element.VR in ("LO", "SH", "ST", "LT", "UC", "UT", "IS", "AE"):
        if keyword.startswith("Institution"):
            return ids.INSTITUTION
        if _DICOM_KEYWORDS.search(keyword):
            return ids.PATIENT if "Patient" in keyword else ids.STUDY
    return None


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
