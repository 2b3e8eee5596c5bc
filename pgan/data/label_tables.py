"""What the readers of label tables share: CSV rows with their line numbers, ages, sexes, views."""

import contextlib
import csv
import gzip
import io
import os
import pathlib
import re
import zipfile
from collections.abc import Iterator, Sequence

OLDEST_PLAUSIBLE = 120  # years; ChestX-ray14 has ages up to 414, which are slips of the pen


def rows(
    path: str | os.PathLike, columns: Sequence[str], kind: str
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields (line number, {column: text}) of a CSV file, plain, gzipped or alone in a zip archive.

    Line numbers start at 1, the header's.

    Args:
      path: of the file.
      columns: that it must have.
      kind: what it should be, for messages, such as "NIH's Data_Entry file".

    Raises:
      ValueError: there is no such file, it is no text, it has no rows, a column is missing or
        there twice, or a row is not as long as the header.
    """
    with _opened(pathlib.Path(path)) as file:
        reader = csv.DictReader(file)
        try:
            names = reader.fieldnames or []
            missing = [column for column in columns if column not in names]
            if missing:
                there = ", ".join(names) if names else "nothing"
                raise ValueError(
                    f"{path} has no column {missing[0]!r}; it has {there}. Is it {kind}?"
                )
            if len(set(names)) < len(names):
                raise ValueError(f"{path}: the header names a column twice.")
            empty = True
            for entry in reader:
                empty = False
                if None in entry.values() or None in entry:
                    raise ValueError(
                        f"{path}, line {reader.line_num}: not as many fields as columns."
                    )
                yield reader.line_num, entry
            if empty:
                raise ValueError(f"{path} has a header and no rows.")
        except (UnicodeDecodeError, csv.Error, EOFError, zipfile.BadZipFile, OSError) as error:
            raise ValueError(f"{path} cannot be read as {kind} ({error}).") from None


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[io.TextIOBase]:
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    # utf-8-sig drops the mark that spreadsheets put before the first column's name.
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file
    elif path.suffix == ".zip":
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is no zip archive ({error}).") from None
        with archive:
            tables = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            if len(tables) != 1:
                raise ValueError(f"{path} must hold one CSV file, it holds {len(tables)}.")
            with archive.open(tables[0]) as file:
                yield io.TextIOWrapper(file, "utf-8-sig", newline="")
    else:
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield file


def person(age: str = "", sex: str = "", view: str = "") -> dict:
    """Extras of a radiograph from texts of a table; what is unknown or implausible is left out.

    Args:
      age: in years, such as "58", "58.0" or "058Y".
      sex: "F", "M", "Female" or "Male".
      view: "AP" or "PA".
    """
    extras = {}
    years = re.fullmatch(r"0*(\d+)(\.0)?Y?", age.strip())
    if years and int(years[1]) <= OLDEST_PLAUSIBLE:
        extras["age"] = int(years[1])
    letter = sex.strip()[:1].upper()
    if sex.strip().casefold() in ("f", "m", "female", "male"):
        extras["sex"] = letter
    if view.strip().upper() in ("AP", "PA"):
        extras["view"] = view.strip().upper()
    return extras
