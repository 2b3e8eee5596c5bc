"""The card of an exported model: what it is, what it was trained on, and its limits."""

import dataclasses
import json
import os
import pathlib
import re
from typing import Any

from pgan.data import manifest

CARD = "assets/model_card.json"
FINDINGS = "assets/findings.txt"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What an export is.

    Attributes:
        format: Name in its card.
        format_version: Of that card.
        tool: Command that writes it.
    """

    format: str
    format_version: int
    tool: str


GENERATOR = Kind("pgan generator", 1, "tools/export_generator.py")

# Of a generator.
INTENDED_USE = (
    "Research and teaching with synthetic frontal chest radiographs: method development, "
    "augmentation and pre-training whose benefit is measured on real images, demonstrations. Not "
    "for diagnosis, and not a substitute for real images in validating a medical device."
)
LIMITS = (
    "Privacy: nothing has been tested yet. Generators can reproduce images they were trained on, "
    "so neither this model nor its images may be called anonymous or private on the strength of "
    "this card. Handle them as the training data until an audit of this very model says more.",
    "Image quality and diversity: no measurement is recorded in this card.",
    "Findings: labels say what was asked for. Whether an image shows it to a reader or a "
    "classifier has not been measured here; labels of many public collections were themselves "
    "extracted from reports and contain errors.",
    "Population: images follow the training collection, with its patients, devices, positions and "
    "biases. Findings and combinations that are rare there are drawn badly.",
    "Acquisition: grey levels are relative, without a physical unit, and geometry has no scale.",
)


def write(folder: pathlib.Path, card: dict[str, Any]) -> None:
    """Writes the findings and the card of an export whose other files are complete.

    Args:
        folder: The export.
        card: Its card, which gets `files`, the checksum of every other file.
    """
    (folder / FINDINGS).write_text("".join(f"{name}\n" for name in card["findings"]))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    card["files"] = {str(p.relative_to(folder)): manifest.sha256_of_file(p) for p in files}
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n")


def read(path: str | os.PathLike, kind: Kind = GENERATOR) -> dict[str, Any]:
    """Reads the card of an export.

    Args:
        path: Folder of its version.
        kind: What it has to be.

    Raises:
        FileNotFoundError: If there is no export.
        ValueError: If it is of another kind or was written by an unknown version.
    """
    path = pathlib.Path(path)
    file = path / CARD
    if not file.exists():
        there = versions(path)
        hint = f"{kind.tool} writes <output>/<name>/<version>"
        if there:
            hint = f"did you mean {path / str(there[-1])}?"
        raise FileNotFoundError(f"{path} is no export, it has no {CARD}; {hint}")
    card = json.loads(file.read_text(encoding="utf-8"))
    found = card.get("format"), card.get("format_version")
    if found != (kind.format, kind.format_version):
        raise ValueError(
            f"{file} describes {found[0]!r} version {found[1]}; expected {kind.format!r} version "
            f"{kind.format_version}, which {kind.tool} writes"
        )
    return card


def check_files(path: str | os.PathLike, card: dict[str, Any], kind: Kind = GENERATOR) -> None:
    """Compares the files of an export with the checksums of its card.

    Args:
        path: Folder of its version.
        card: Its card.
        kind: What it is.

    Raises:
        ValueError: If one is missing or damaged; names it.
    """
    for name, digest in card["files"].items():
        file = pathlib.Path(path) / name
        if not file.exists() or manifest.sha256_of_file(file) != digest:
            state = "damaged" if file.exists() else "missing"
            raise ValueError(f"{file} is {state}; copy the export anew, or run {kind.tool} again")


def versions(folder: pathlib.Path) -> list[int]:
    """Numbers of the versions of a model, ascending; empty if there is none."""
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if re.fullmatch(r"[0-9]+", p.name))
