"""Finds what folders hold that can be reported: rows, small JSON files and pictures.

Nothing is loaded but text and names: a report is made in seconds, also beside runs that go on.
"""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pgan import results

RESULTS, TICKS = "results.jsonl", "stats.jsonl"
_LEDGER, LEDGER_ROW = "ledger.jsonl", "deposit_event"
# Files with facts about the rows beside them.
_FACTS = (
    "manifest.json", "config.json", "federation.json", "experiment.json", "synthesis.json",
    "report.json", "assets/model_card.json",
)  # fmt: skip
_BEST = "checkpoints/best/best.json"
# Folders that hold shards, weights or single images, never rows.
_PASSED_OVER = re.compile(
    r"\..*|r\d{4}|checkpoints|monitor|images|images_.*|work|resume|variables|assets.*"
)
REAL, PHANTOM, SYNTHETIC, UNKNOWN = "real", "phantom", "synthetic", ""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder with something to report.

    Attributes:
        name: For people: it starts with the name of the folder that was given.
        path: The folder.
        rows: Measurements, in the order in which they were written.
        ticks: Lines of a training run.
        facts: {file name: content} of the JSON files that are there; splits are "splits/<name>".
        arms: {arm: facts} of the classifiers of an experiment.
        pictures: PNG files in the folder, by name.
    """

    name: str
    path: pathlib.Path
    rows: list[Row]
    ticks: list[Row]
    facts: dict[str, Any]
    arms: dict[str, Row]
    pictures: list[pathlib.Path]

    def rows_named(self, *names: str) -> list[Row]:
        """Rows with one of these names."""
        return [row for row in self.rows if row.get("name") in names]

    def picture(self, name: str) -> pathlib.Path | None:
        """A picture by its file name; None if it is not there."""
        return next((path for path in self.pictures if path.name == name), None)


@dataclasses.dataclass(frozen=True)
class Found:
    """What there is to report.

    Attributes:
        folders: In the order given, those within a folder by name.
        faults: Sentences on what could not be read.
        origins: {fingerprint of a record set: origin of its images}.
    """

    folders: list[Folder]
    faults: list[str]
    origins: dict[str, str]

    @property
    def newest(self) -> float | None:
        """Time of the newest row, seconds since 1970; None if no row has one."""
        times = [
            row["timestamp"]
            for folder in self.folders
            for row in (*folder.rows, *folder.ticks)
            if isinstance(row.get("timestamp"), int | float)
        ]
        return max(times, default=None)

    def origin(self, folder: Folder) -> str:
        """Whose images the pictures of a folder show: REAL, PHANTOM, SYNTHETIC, or UNKNOWN.

        REAL as soon as anything is known to be of real patients, UNKNOWN as soon as anything is not
        known.
        """
        known = set(_own_origins(folder))
        for row in folder.rows:
            # The reference of an evaluation can be a folder of images, of which nothing is known.
            if "reference" in row and "reference_records_fingerprint" not in row:
                known.add(UNKNOWN)
            for key in ("reference_records_fingerprint", "records_fingerprint"):
                if isinstance(row.get(key), str):
                    known.add(self.origins.get(row[key], UNKNOWN))
        return next(
            (kind for kind in (REAL, UNKNOWN, PHANTOM, SYNTHETIC) if kind in known), UNKNOWN
        )


def collect(paths: Sequence[pathlib.Path]) -> Found:
    """Reads folders and everything beneath them.

    Args:
        paths: Folders, or files of rows.

    Raises:
        ValueError: If one does not exist, or there is nothing to report in any.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing or not paths:
        raise ValueError(
            f"there is no {', '.join(missing) or 'folder given'}; give folders of runs, "
            "evaluations, experiments or studies: tools/make_report.py FOLDER ..."
        )
    folders, faults = [], []
    for path, name in zip(paths, _names(paths), strict=True):
        if path.is_file():
            rows = _read_rows(path, name, faults)
            folders.append(Folder(name, path.parent, rows, [], {}, {}, []))
            continue
        for inner in _walk(path):
            relative = inner.relative_to(path).as_posix()
            folder = _read(inner, name if relative == "." else f"{name}/{relative}", faults)
            if folder.rows or folder.ticks or folder.facts:
                folders.append(folder)
    folders = list({folder.path.resolve(): folder for folder in reversed(folders)}.values())[::-1]
    if not any(
        folder.rows or folder.ticks or "manifest.json" in folder.facts for folder in folders
    ):
        where = ", ".join(map(str, paths))
        raise ValueError(
            f"there is nothing to report in {where}: no {TICKS} of a run, no {RESULTS} with "
            "measurements and no manifest.json of a record set"
            + (f". {' '.join(faults)}" if faults else "")
        )
    return Found(folders, faults, _origins(folders))


def _names(paths):
    """Names of folders without what is above them, which says more about a machine than a run."""
    resolved = [path.resolve() for path in paths]
    for parts in (1, 2):
        names = ["/".join(path.parts[-parts:]) for path in resolved]
        if len(set(names)) == len(set(resolved)):
            return names
    return [f"{number}: {name}" for number, name in enumerate(names, 1)]


def _walk(path: pathlib.Path) -> Iterator[pathlib.Path]:
    for place, folders, files in os.walk(path):
        if "saved_model.pb" in files:
            folders.clear()
        if _LEDGER in files:  # has the numbers of what lies beneath it
            folders.clear()
        folders[:] = sorted(name for name in folders if not _PASSED_OVER.fullmatch(name))
        yield pathlib.Path(place)


def _read(path, name, faults):
    rows = _read_rows(path / RESULTS, name, faults)
    events = _read_rows(path / _LEDGER, name, faults)
    rows += [{"name": LEDGER_ROW, **{k: v for k, v in e.items() if k != "name"}} for e in events]
    ticks = _read_rows(path / TICKS, name, faults)
    facts = {}
    for file in (*_FACTS, _BEST, *_splits(path)):
        content = _read_json(path / file, f"{name}/{file}", faults)
        if content is not None:
            facts[file.removesuffix("/split.json")] = content
    arms = {}
    if "experiment.json" in facts:
        for file in sorted(path.glob("seed*/*/training.json")):
            content = _read_json(file, f"{name}/{file.relative_to(path)}", faults)
            arms.setdefault(file.parent.name, content or {})
    pictures = sorted(path.glob("*.png")) if rows or ticks or facts else []
    return Folder(name, path, rows, ticks, facts, arms, [p for p in pictures if p.name[0] != "."])


def _splits(path):
    return [file.relative_to(path).as_posix() for file in sorted(path.glob("splits/*/split.json"))]


def _read_rows(path, name, faults):
    rows, damaged = results.read_checked(path)
    if damaged:
        shown = ", ".join(map(str, damaged[:5])) + (" ..." if len(damaged) > 5 else "")
        faults.append(
            f"{name}/{path.name}: {len(damaged)} damaged "
            f"{'line was' if len(damaged) == 1 else 'lines were'} left out (line {shown})."
        )
    return rows


def _read_json(path, name, faults):
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        faults.append(f"{name} cannot be read ({error}).")
        return None
    return content if isinstance(content, dict) else None


def _own_origins(folder):
    """Origins that a folder's own files name."""
    records = folder.facts.get("config.json", {}).get("records")
    for facts in (folder.facts.get("manifest.json"), records):
        if isinstance(facts, dict) and "fingerprint" in facts:
            yield facts.get("origin") or UNKNOWN
    for arm in folder.arms.values():
        for kind in arm.get("about", {}).get("composition", {}):
            yield kind.partition(":")[0]


def _origins(folders):
    origins = {}
    for folder in folders:
        manifest = folder.facts.get("manifest.json", {})
        described = [manifest, folder.facts.get("config.json", {}).get("records")]
        provenance = manifest.get("provenance")
        described.append(provenance.get("training_records") if provenance else None)
        card = folder.facts.get("assets/model_card.json", {})
        trained_on = card.get("training_records")
        described.append(trained_on)
        if isinstance(trained_on, dict) and card.get("fingerprint") and trained_on.get("origin"):
            origins[card["fingerprint"]] = trained_on["origin"]
        for facts in described:
            if isinstance(facts, dict) and facts.get("fingerprint") and facts.get("origin"):
                origins[facts["fingerprint"]] = facts["origin"]
    return origins
