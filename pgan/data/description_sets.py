"""Descriptions of record sets and of label tables, fold by fold."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from pgan.data import (
    chexpert,
    description,
    folder,
    labels,
    manifest,
    nih,
    record_set,
    rsna,
    sources,
    splits,
)
from pgan.data.radiograph import Radiograph

ALL = "all"


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """Radiographs of a label table, without images.

    Attributes:
      name: for headings.
      facts: file name and SHA-256 of the table, and how it was read.
      radiographs: its rows.
      findings: vocabulary of their labels.
    """

    name: str
    facts: dict[str, str]
    radiographs: list[Radiograph]
    findings: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class DescribedSet:
    """Descriptions of the folds of a record set or a label table.

    Attributes:
      name: for headings.
      facts: where the labels are from.
      folds: description of each fold; ALL is the whole.
    """

    name: str
    facts: dict[str, str]
    folds: dict[str, description.Description]

    def headings(self, alone: bool) -> dict[str, str]:
        """Heading of each fold's column; `alone` if no other set is shown beside."""
        if list(self.folds) == [ALL]:
            return {ALL: self.name}
        return {fold: fold if alone else f"{self.name} {fold}" for fold in self.folds}


def read_tables(
    source: str,
    path: str | os.PathLike,
    findings: Sequence[str] | None = None,
    uncertain: Sequence[str] = ("paper",),
    detailed_csv: str | os.PathLike | None = None,
    mapping_json: str | os.PathLike | None = None,
) -> list[LabelTable]:
    """Reads the label table of a collection.

    Args:
      source: one of `sources.SOURCES`.
      path: of the table.
      findings: names of the vocabulary; needed for a folder, which has none of its own.
      uncertain: readings of CheXpert's -1, see `chexpert.UNCERTAIN`; a table for each.
      detailed_csv: see `rsna.read_table`.
      mapping_json: likewise.

    Raises:
      ValueError: an unknown source, a folder without findings, or a fault in the table.
    """
    if source == "nih":
        read = [("nih", {}, nih.read_table(path), nih.FINDINGS)]
    elif source == "chexpert":
        read = [
            (
                f"chexpert ({policy})" if len(uncertain) > 1 else "chexpert",
                {"uncertain": policy},
                chexpert.read_table(path, policy),
                chexpert.FINDINGS,
            )
            for policy in uncertain
        ]
    elif source == "rsna":
        patients = {} if mapping_json else {"patients_are": "unknown, each exam counts as one"}
        images = rsna.read_table(path, detailed_csv, mapping_json)
        read = [("rsna", patients, images, rsna.FINDINGS)]
    elif source == "folder":
        if not findings:
            raise ValueError("A folder has no vocabulary: say it, for instance --findings=nih_14.")
        wanted = sources.vocabulary(findings)
        read = [("folder", {}, folder.read_table(path, wanted), wanted)]
    else:
        raise ValueError(f"The source is one of {', '.join(sources.SOURCES)}, got {source!r}.")
    facts = {
        "source": source,
        "labels": os.path.basename(path),
        "sha256": manifest.sha256_of_file(path),
    }
    return [LabelTable(name, {**facts, **more}, *rest) for name, more, *rest in read]


def describe_table(
    table: LabelTable,
    folds: Sequence[str] | None = None,
    findings: Sequence[str] | None = None,
    split: splits.Split | None = None,
) -> DescribedSet:
    """Describes folds of a label table.

    Args:
      table: the labels.
      folds: names of those wanted; None is all of the split and ALL.
      findings: names of the vocabulary to describe; None is the table's own.
      split: image ids of folds beside ALL.

    Raises:
      ValueError: no such fold, or a finding that the table does not label.
    """
    position = {image.image_id: place for place, image in enumerate(table.radiographs)}
    members = dict(split.folds if split else {})
    members[ALL] = list(position)
    wanted = sources.vocabulary(findings) if findings else table.findings
    matrix = np.array([image.labels for image in table.radiographs], np.float32)
    matrix = labels.project(matrix.reshape(-1, len(table.findings)), table.findings, wanted)
    described = {}
    for fold in _chosen(members, folds, table.name):
        places = [position[image_id] for image_id in members[fold]]
        described[fold] = description.describe(
            matrix[places],
            [table.radiographs[place].patient_id for place in places],
            [table.radiographs[place].extras for place in places],
            wanted,
        )
    return DescribedSet(table.name, table.facts, described)


def describe_records(
    path: str | os.PathLike,
    folds: Sequence[str] | None = None,
    findings: Sequence[str] | None = None,
) -> DescribedSet:
    """Describes folds of a finished record set.

    Args:
      path: its folder.
      folds: names of those wanted; None is all that it was built with.
      findings: names of the vocabulary to describe; None is the set's own.

    Raises:
      ValueError: no finished record set there, no such fold, or a finding that is not labelled.
    """
    # Shards are not read here, so their checksums need not be compared.
    records = record_set.RecordSet.open(path, verify="size")
    wanted = sources.vocabulary(findings) if findings else records.findings
    described = {
        fold: description.describe(
            labels.project(records.label_matrix(fold), records.findings, wanted),
            records.patient_ids(fold),
            records.extras(fold),
            wanted,
        )
        for fold in _chosen(records.folds, folds, records.name)
    }
    facts = {"records": records.name, "fingerprint": records.fingerprint}
    return DescribedSet(records.name, facts, described)


def with_own_names(
    described: Sequence[DescribedSet], paths: Sequence[str | os.PathLike]
) -> list[DescribedSet]:
    """The sets, those of one name told apart by the ends of their paths.

    Raises:
      ValueError: one path is there twice.
    """
    names = [one.name for one in described]
    result = []
    for one, path in zip(described, paths, strict=True):
        if names.count(one.name) > 1:
            end = "/".join(pathlib.Path(path).absolute().parts[-2:])
            one = dataclasses.replace(one, name=f"{one.name} ({end})")
        if one.name in {other.name for other in result}:
            raise ValueError(f"{one.name} is given twice, or two files have paths that end alike.")
        result.append(one)
    return result


def _chosen(there: Mapping, folds: Sequence[str] | None, name: str) -> list[str]:
    missing = [fold for fold in folds or () if fold not in there]
    if missing:
        raise ValueError(f"{name} has no fold {missing[0]!r}; its folds are {', '.join(there)}.")
    return list(folds or there)
