"""The files of a record set that are not shards: manifest, record table and fold lists.

    manifest.json                       what the set is, with the checksum of every other file
    records.csv                         one line per record, in record order
    folds/train.txt                     record ids, one a line
    r0064/00003-of-00008.tfrecord       shards; number k holds the same records at any resolution

The manifest is written last: a folder without one is unfinished.
"""

import csv
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

FORMAT = "pgan record set"
FORMAT_VERSION = 2

MANIFEST = "manifest.json"
RECORDS = "records.csv"
FOLDS = "folds"

# Facts of a record that are kept beside its labels. Nothing else of `Radiograph.extras` is stored.
# "group" is a class of the collection beside its findings, such as RSNA's "normal"; "twin_id" is
# the pseudonym of the same image in the collection that it was taken from.
EXTRAS = ("age", "sex", "view", "group", "twin_id")
# Ages from here on are stored as this age: in the oldest patients an age can tell who somebody is.
OLDEST_AGE = 90

_ID_COLUMNS = ("record_id", "patient_id")


def shard_name(resolution: int, shard: int, num_shards: int) -> str:
    """Path of a shard in its record set, such as "r0064/00003-of-00008.tfrecord"."""
    return f"{level_folder(resolution)}/{shard:05d}-of-{num_shards:05d}.tfrecord"


def level_folder(resolution: int) -> str:
    """Folder of a resolution's shards, such as "r0064"."""
    return f"r{resolution:04d}"


def fold_name(fold: str) -> str:
    """Path of a fold's list in its record set."""
    return f"{FOLDS}/{fold}.txt"


def sha256_of_file(path: str | os.PathLike) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    """Hex SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_lines(lines: Iterable[str]) -> str:
    """Hex SHA-256 of lines of text, each ended by a line feed."""
    return sha256_of_text("".join(f"{line}\n" for line in lines))


def fold_fingerprint(record_ids: Iterable[str]) -> str:
    """Fingerprint of a set of records, whatever their order."""
    return sha256_of_lines(sorted(record_ids))


def set_fingerprint(shards: Mapping[str, Mapping], folds: Mapping[str, Mapping]) -> str:
    """Fingerprint of a record set: of its shards' checksums and of its folds."""
    lines = [f"{name} {shards[name]['sha256']}" for name in sorted(shards)]
    lines += [f"{name} {folds[name]['fingerprint']}" for name in sorted(folds)]
    return sha256_of_lines(lines)


def preparation(content: Mapping) -> dict | None:
    """What was done to the images, from a manifest; see `RecordSet.preparation`."""
    provenance = content["provenance"]
    if content["origin"] == "synthetic":
        return provenance.get("training_records", {}).get("preparation")
    return {
        "geometry": content["geometry"],
        "mask_markers": content["mask_markers"],
        "window": provenance.get("window"),
    }


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file so that it is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".tmp")
    try:
        with open(scratch, "w", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def write_json(path: pathlib.Path, content: Mapping) -> None:
    """Writes a JSON file so that it is there as a whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def records_csv(
    record_ids: Sequence[str],
    patient_ids: Sequence[str],
    labels: Sequence[np.ndarray],
    extras: Sequence[Mapping],
    findings: Sequence[str],
) -> str:
    """Text of the record table; the columns are the ids, EXTRAS and the findings."""
    lines = [",".join([*_ID_COLUMNS, *EXTRAS, *findings])]
    for record, patient, vector, facts in zip(record_ids, patient_ids, labels, extras, strict=True):
        kept = {name: facts.get(name, "") for name in EXTRAS}
        if kept["age"] != "":
            kept["age"] = min(int(kept["age"]), OLDEST_AGE)
        # str of a float32 is its shortest decimal form, which reads back to the same bits.
        strengths = [str(np.float32(value)).removesuffix(".0") for value in vector]
        lines.append(",".join([record, patient, *(str(kept[name]) for name in EXTRAS), *strengths]))
    return "\n".join(lines) + "\n"


def read_records_csv(path: pathlib.Path, findings: Sequence[str]) -> dict:
    """Reads a record table.

    Returns:
      {"record_ids": list, "patient_ids": list, "labels": float32 [N, L], "extras": list of dict};
      extras are texts, empty where unknown.

    Raises:
      ValueError: the table has other columns.
    """
    with open(path, newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if header != [*_ID_COLUMNS, *EXTRAS, *findings]:
            raise ValueError(f"{path} has other columns than the manifest's findings ask for.")
        table = list(rows)
    first = len(_ID_COLUMNS) + len(EXTRAS)
    labels = np.array([row[first:] for row in table], np.float32)
    return {
        "record_ids": [row[0] for row in table],
        "patient_ids": [row[1] for row in table],
        "labels": labels.reshape(len(table), len(findings)),
        "extras": [dict(zip(EXTRAS, row[2:first], strict=True)) for row in table],
    }
