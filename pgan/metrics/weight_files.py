"""Files that define an extractor: that they are there, and which they are."""

import hashlib
import logging
import os
import pathlib

_log = logging.getLogger(__name__)


def check(path: str | os.PathLike, sha256: str | None, what: str, source: str) -> str:
    """Looks at a file before it is loaded.

    Args:
        path: The file.
        sha256: Hex SHA-256 that it must have; with None its own is logged.
        what: What the file is, for messages.
        source: A sentence on where it comes from and how to pass it.

    Returns:
        Its SHA-256, hex.

    Raises:
        FileNotFoundError: If it is no file.
        ValueError: If it is another file.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{what} cannot be loaded: {path} is no file. {source}")
    found = digest(path)
    compare(found, sha256, path, source)
    if sha256 is None:
        _log.warning("%s has the SHA-256 %s, which was not compared with anything", path, found)
    return found


def compare(found: str, wanted: str | None, path: str | os.PathLike, source: str = "") -> None:
    """Raises ValueError if a SHA-256 is another than the wanted one; None wants nothing."""
    if wanted is not None and found != wanted.strip().lower():
        raise ValueError(f"{path} has the SHA-256 {found}, wanted is {wanted}. {source}".rstrip())


def digest(path: str | os.PathLike, algorithm: str = "sha256") -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def fingerprint(folder: pathlib.Path) -> str:
    """Hex SHA-256 of the files of a SavedModel that decide what it computes."""
    files = [folder / "saved_model.pb"]
    for part in ("variables", "assets"):
        files += sorted(file for file in (folder / part).rglob("*") if file.is_file())
    lines = [f"{file.relative_to(folder).as_posix()} {digest(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
