"""Further splits of a finished record set, beside the folds that it was built with.

    splits/clients20/split.json         settings, facts of each fold, checksum of each list
    splits/clients20/client_03.txt      record ids, one a line

The set itself stays as it is. A fold is asked for as "clients20/client_03". split.json is written
last: a folder without one is unfinished, and as good as absent. `splits.store` writes splits and
`record_set.RecordSet` reads them.
"""

import json
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from pgan.data import labels as labels_lib
from pgan.data import manifest

FORMAT = "pgan split"
FORMAT_VERSION = 1

SPLITS = "splits"
SPLIT = "split.json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_REMOVE = "Remove that folder, and make the split again with tools/split_records.py."


def check_name(name: str, kind: str) -> None:
    """Raises ValueError unless a split or fold can have this name, which becomes a file's."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"The name of a {kind} must be 1 to 64 letters, digits, '_', '-' or '.', and begin "
            f"with a letter or digit, got {name!r}."
        )


def check_folds(folds: Sequence[str]) -> None:
    """Raises ValueError unless folds can have these names and each has its own."""
    for fold in folds:
        check_name(fold, "fold")
    if len(set(folds)) < len(folds):
        raise ValueError(f"A fold is named twice: {', '.join(folds)}.")


def names(set_folder: pathlib.Path) -> list[str]:
    """Names of the finished splits of a record set."""
    return sorted(path.parent.name for path in (set_folder / SPLITS).glob(f"*/{SPLIT}"))


def read(set_folder: pathlib.Path, fingerprint: str, name: str) -> dict:
    """The content of a split's split.json.

    Args:
      set_folder: of the record set.
      fingerprint: of the record set.
      name: of the split.

    Raises:
      ValueError: no such split, a damaged one, or one of another record set.
    """
    folder = set_folder / SPLITS / name
    try:
        content = json.loads((folder / SPLIT).read_text())
        kind = content["format"], content["format_version"]
        drawn_from = content["records_fingerprint"]
    except FileNotFoundError:
        raise ValueError(
            f"{set_folder} has no split {name!r}; its splits are: "
            f"{', '.join(names(set_folder)) or 'none'}. tools/split_records.py makes them."
        ) from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / SPLIT} is damaged: {error!r}. {_REMOVE}") from None
    if kind != (FORMAT, FORMAT_VERSION):
        raise ValueError(
            f"{folder / SPLIT} holds {kind[0]!r} version {kind[1]}; expected {FORMAT!r} version "
            f"{FORMAT_VERSION}. {_REMOVE}"
        )
    if drawn_from != fingerprint:
        raise ValueError(
            f"The split {folder} was made for another record set (fingerprint {drawn_from[:8]}) "
            f"than the one it lies in ({fingerprint[:8]}). {_REMOVE}"
        )
    return content


def read_facts(set_folder: pathlib.Path, fingerprint: str, fold: str) -> dict:
    """Facts of a fold such as "clients20/client_03", as the manifest has them of its own folds.

    Raises:
      ValueError: as `read`, or the split has no such fold.
    """
    name, _, part = fold.partition("/")
    folds = read(set_folder, fingerprint, name)["folds"]
    if part not in folds:
        raise ValueError(
            f"The split {name!r} of {set_folder} has no fold {part!r}; its folds are "
            f"{', '.join(folds)}."
        )
    return folds[part]


def read_ids(set_folder: pathlib.Path, fingerprint: str, fold: str) -> list[str]:
    """Record ids of a fold such as "clients20/client_03".

    Raises:
      ValueError: as `read_facts`, or the fold's list is missing or damaged.
    """
    facts = read_facts(set_folder, fingerprint, fold)
    path = set_folder / SPLITS / f"{fold}.txt"
    if not path.exists():
        raise ValueError(f"{path} is missing. {_REMOVE}")
    ids = path.read_text(errors="replace").split()
    if len(ids) != facts["records"] or manifest.fold_fingerprint(ids) != facts["fingerprint"]:
        raise ValueError(f"{path} has been changed. {_REMOVE}")
    return ids


def describe(
    record_ids: Sequence[str],
    patient_ids: Sequence[str],
    labels: np.ndarray,
    findings: Sequence[str],
) -> dict:
    """Facts of a fold: how many records, patients, images without and with each finding.

    Args:
      record_ids: of the fold's N records.
      patient_ids: of each record.
      labels: float32 [N, L], NaN where unknown.
      findings: their vocabulary.
    """
    positives = (labels >= 0.5).sum(axis=0).tolist()
    unknown = np.isnan(labels).sum(axis=0).tolist()
    return {
        "records": len(record_ids),
        "patients": len(set(patient_ids)),
        "fingerprint": manifest.fold_fingerprint(record_ids),
        "no_finding": int(labels_lib.is_healthy(labels, findings).sum()),
        "positives": dict(zip(findings, positives, strict=True)),
        "unknown": dict(zip(findings, unknown, strict=True)),
    }


def write(
    set_folder: pathlib.Path,
    fingerprint: str,
    name: str,
    settings: Mapping,
    folds: Mapping[str, Sequence[str]],
    facts: Mapping[str, Mapping],
) -> bool:
    """Writes a split, or what of it is missing or damaged.

    Args:
      set_folder: of the record set.
      fingerprint: of the record set.
      name: of the split.
      settings: how it was made, as JSON takes it.
      folds: record ids of each fold.
      facts: what `describe` says of each fold.

    Returns:
      Whether anything was written; False if the same split was there.

    Raises:
      ValueError: another split of that name is there.
    """
    check_name(name, "split")
    check_folds(list(folds))
    folder = set_folder / SPLITS / name
    lists = {f"{fold}.txt": "".join(f"{i}\n" for i in ids) for fold, ids in folds.items()}
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "records_fingerprint": fingerprint,
        "settings": settings,
        "folds": facts,
        "lists": {file: manifest.sha256_of_text(text) for file, text in lists.items()},
    }
    finished = (folder / SPLIT).exists()
    if finished:
        _check_same(folder, read(set_folder, fingerprint, name), content)
    else:
        for stale in folder.glob("*.txt"):
            stale.unlink()
    damaged = [
        file
        for file in lists
        if not (folder / file).exists()
        or manifest.sha256_of_file(folder / file) != content["lists"][file]
    ]
    for file in damaged:
        manifest.write_text(folder / file, lists[file])
    if not finished:
        manifest.write_json(folder / SPLIT, content)
    return bool(damaged) or not finished


def _check_same(folder: pathlib.Path, there: Mapping, wanted: Mapping) -> None:
    old, new = there["settings"], json.loads(json.dumps(wanted["settings"]))
    lines = [
        f"  {key}: {json.dumps(old.get(key))} there, {json.dumps(new.get(key))} asked"
        for key in {**new, **old}
        if old.get(key) != new.get(key)
    ]
    if lines:
        raise ValueError(
            f"{folder} holds a split of other settings:\n" + "\n".join(lines) + "\nGive another "
            "--name, or remove that folder."
        )
    if there["lists"] != wanted["lists"]:
        raise ValueError(
            f"{folder} was drawn with the same settings but has other folds: it was made by "
            f"another version of this software. Give another --name, or remove that folder."
        )
