"""Searches finished files for whatever names a patient in the source they were made from.

What this cannot see: text drawn into the pixels, names that were encrypted, coded (base64) or
misspelt, and what lies packed inside HDF5 or event files. How names are looked up is said in
`identifier_index`, which files are unpacked in `identifier_files`, and which names are searched for
in `identifiers`.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import tqdm

from pgan.data import identifier_files, identifier_index

# More control characters than this and a piece of a file is no text.
_MOST_CONTROLS = 0.01
_CONTROLS = bytes(byte < 32 and byte not in b"\t\n\v\f\r\b\x1b" for byte in range(256))
# (first byte, step) of ways to read text: as bytes, and as characters of two bytes and of four, as
# Windows and NumPy write them.
_READINGS = ((0, 1), (0, 2), (1, 2), (0, 4), (1, 4), (2, 4), (3, 4))


@dataclasses.dataclass(frozen=True)
class Finding:
    """An identifier in a file, or a problem of the file.

    Attributes:
      path: the file, relative to what was scanned, without identifiers.
      where: the first place in it.
      what: what was found: its kind and its first two letters.
      count: how often.
    """

    path: str
    where: str
    what: str
    count: int


@dataclasses.dataclass
class Result:
    """What a scan went through and what it found.

    Attributes:
      found: identifiers.
      problems: what could not be searched, or does not belong into a record.
      files: number of files.
      size: their bytes on the disk.
      searched: bytes that were searched, after unpacking and without pixels.
      binary: those of them that are no text.
    """

    found: list[Finding] = dataclasses.field(default_factory=list)
    problems: list[Finding] = dataclasses.field(default_factory=list)
    files: int = 0
    size: int = 0
    searched: int = 0
    binary: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing was found and everything could be searched."""
        return not self.found and not self.problems


def scan(
    paths: Iterable[str | os.PathLike], index: identifier_index.Index, progress: bool = False
) -> Result:
    """Searches files, and all files of folders, with their names.

    Args:
      paths: files and folders.
      index: of the identifiers.
      progress: show a bar.

    Raises:
      ValueError: a path is missing.
    """
    result, waiting = Result(), []
    for root in map(pathlib.Path, paths):
        if not root.exists():
            raise ValueError(f"There is no file or folder {root}.")
        base = root if root.is_dir() else root.parent
        waiting += [(path, path.relative_to(base)) for path in identifier_files.walk(root)]
    sizes = [path.stat().st_size if path.is_file() else 0 for path, _ in waiting]
    bar = tqdm.tqdm(
        total=sum(sizes), unit="B", unit_scale=True, desc="Scanning", disable=not progress
    )
    with bar:
        for (path, inside), size in zip(waiting, sizes, strict=True):
            _scan_file(path, inside, index, result)
            result.files += 1
            result.size += size
            bar.update(size)
    return result


def _scan_file(
    path: pathlib.Path, inside: pathlib.Path, index: identifier_index.Index, result: Result
) -> None:
    found, problems = {}, {}
    # For characters of four bytes, and what has to be seen around them.
    overlap = 4 * index.longest + 16
    for part in _all_parts(path, inside, overlap):
        if isinstance(part, identifier_files.Problem):
            problems.setdefault(part.what, []).append(part.where)
            continue
        for first, step in _READINGS if _may_be_wide(part.data) else _READINGS[:1]:
            data = part.data[first::step]
            controls = 0 if part.text else _controls(data)
            is_text = controls <= _MOST_CONTROLS * len(data)
            if step == 1:
                result.searched += part.stop - part.start
                result.binary += 0 if is_text else part.stop - part.start
            hits = set(index.search(data)) if is_text else set()
            if controls or step > 1:
                hits |= set(index.search(data, binary=True))
            for begin, end, what in sorted(hits):
                offset = first + begin * step
                if part.start <= offset < part.stop:
                    found.setdefault((what, data[begin:end].lower()), []).append(part.where(offset))
    name = index.masked(str(inside))
    for (what, identifier), places in found.items():
        finding = Finding(
            name,
            index.masked(places[0]),
            f"{what} {identifier_index.mask(identifier)}",
            len(places),
        )
        result.found.append(finding)
    for what, places in problems.items():
        result.problems.append(Finding(name, index.masked(places[0]), what, len(places)))


def _all_parts(
    path: pathlib.Path, inside: pathlib.Path, overlap: int
) -> Iterator[identifier_files.Part | identifier_files.Problem]:
    yield identifier_files.whole(str(inside).encode(errors="replace"), "its name", text=True)
    if path.is_symlink():
        target = os.readlink(path).encode(errors="replace")
        yield identifier_files.whole(target, "what it links to", text=True)
    if path.is_file():
        yield from identifier_files.parts(path, overlap)
    elif not path.is_symlink():
        yield identifier_files.Problem("is neither a file nor a folder", "")


def _controls(data: bytes) -> int:
    """How many bytes are control characters that no text has."""
    return int(np.count_nonzero(np.frombuffer(data.translate(_CONTROLS), bool)))


def _may_be_wide(data: bytes) -> bool:
    """Whether there is anything like four characters of two or four bytes in a row."""
    if b"\0" not in data:
        return False
    values = np.frombuffer(data, np.uint8)
    pairs = (values[:-1] >= 32) & (values[:-1] < 127) & (values[1:] == 0)
    for width in (2, 4):
        twice = pairs[:-width] & pairs[width:]
        if (twice[: -2 * width] & twice[2 * width :]).any():
            return True
    return False
