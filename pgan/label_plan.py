"""Which labels the images of a synthetic set get: rows of labels that are dealt out in turn."""

import csv
import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from pgan.data import labels, manifest, record_set

# Columns of `labels.csv` of a synthetic set that say nothing about labels, so that such a file can
# be given for another set.
ID_COLUMNS = ("path", "seed", "index")
_COUNT = "count"


@dataclasses.dataclass(frozen=True)
class LabelPlan:
    """Label rows; image i gets row i, and after the last row the first one again.

    Attributes:
        rows: float32 [M, L] in [0, 1].
        name: Where they come from, for people.
        origin: Where they come from, in JSON types, for the record of the set.
    """

    rows: np.ndarray
    name: str
    origin: dict[str, str]

    def labels(self, count: int) -> np.ndarray:
        """Labels of images 0 to count - 1, float32 [count, L]."""
        return self.rows[np.arange(count) % len(self.rows)]


def same_for_all(text: str, findings: Sequence[str]) -> LabelPlan:
    """Labels such as "Cardiomegaly=1,Effusion=0.5", or "No Finding", for every image.

    Raises:
        ValueError: As `labels.parse`.
    """
    return LabelPlan(labels.parse(text, findings)[None], text, {"findings": text})


def one_finding_each(findings: Sequence[str]) -> LabelPlan:
    """One finding an image, all findings in turn: uniform over the classes."""
    rows = np.eye(len(findings), dtype=np.float32)
    return LabelPlan(rows, "one finding each", {"uniform_class": "true"})


def from_records(path: str | os.PathLike, fold: str, findings: Sequence[str]) -> LabelPlan:
    """The label rows of a fold, exactly as they are and in record order.

    That is how the paper made its synthetic collections, with the labels of the real one.

    Raises:
        ValueError: If the record set or fold cannot be used, or its findings are others.
    """
    # Only the table is read, whose checksum is always compared; shards are not needed.
    records = record_set.RecordSet.open(path, verify="size")
    records.require_findings(tuple(findings))
    rows = records.condition_matrix(fold)
    if not len(rows):
        raise ValueError(f"the fold {fold!r} of {path} is empty")
    origin = {
        "label_records": records.name,
        "fingerprint": records.fingerprint,
        "fold": fold,
        "fold_fingerprint": records.fold_fingerprint(fold),
    }
    return LabelPlan(rows, f"labels of {records.name}, fold {fold}", origin)


def independent(plan: LabelPlan, findings: Sequence[str], count: int, seed: int) -> LabelPlan:
    """Each finding drawn by itself, present with its prevalence in the rows of another plan.

    Which findings come together is then chance. Row i does not depend on the count, so that more
    rows begin with the same ones.

    Args:
        plan: Of whose rows a finding's mean is its prevalence.
        findings: The vocabulary. Where "No Finding" is one of its classes it is not drawn, which
            could put it beside a finding, but present in the rows without any other.
        count: Rows to draw.
        seed: Of the draw.

    Raises:
        ValueError: If the count is below 1 or the seed below 0.
    """
    if count < 1 or seed < 0:
        raise ValueError(
            f"labels are drawn for a count of at least 1 and a seed of at least 0, got {count} "
            f"and {seed}"
        )
    drawn = np.random.default_rng(seed).random((count, len(findings))) < plan.rows.mean(axis=0)
    none = np.array([labels.is_no_finding(name) for name in findings])
    drawn[:, none] = ~drawn[:, ~none].any(axis=1, keepdims=True)
    origin = {**plan.origin, "label_sampling": "independent", "seed": str(seed)}
    return LabelPlan(drawn.astype(np.float32), f"independent {plan.name}", origin)


def from_csv(path: str | os.PathLike, findings: Sequence[str]) -> LabelPlan:
    """Label rows of a CSV file.

    The header names findings, any of them in any order; those without a column are absent. A
    column `count`, if there, tells how many images in succession get the row.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is no finding or a value no number in its range; names the line.
    """
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        columns = [name.strip() for name in next(reader, [])]
        positions = _positions(columns, findings, path)
        rows, counts = [], []
        for cells in reader:
            if not cells:
                continue
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(columns):
                raise ValueError(f"{where}: {len(columns)} columns expected, got {len(cells)}")
            row = np.zeros(len(findings), np.float32)
            for column, position in positions.items():
                row[position] = _strength(cells[column], f"{where}, {columns[column]}")
            rows.append(row)
            counts.append(_whole(cells[columns.index(_COUNT)], where) if _COUNT in columns else 1)
    if not rows:
        raise ValueError(f"{path} has no rows below its header")
    origin = {"labels_csv": os.path.basename(path), "sha256": manifest.sha256_of_file(path)}
    return LabelPlan(np.repeat(rows, counts, axis=0), f"labels of {path}", origin)


def _positions(columns: list[str], findings: Sequence[str], path: str | os.PathLike) -> dict:
    """{column: position in the vocabulary} of the columns that are findings."""
    positions = {}
    for column, name in enumerate(columns):
        if name == _COUNT or name in ID_COLUMNS:
            continue
        try:
            position = labels.find(name, findings)
        except ValueError as error:
            raise ValueError(
                f"{path}, header: {error} A column 'count' may be there too."
            ) from None
        if position in positions.values():
            raise ValueError(f"{path}, header: the finding {findings[position]!r} is there twice")
        positions[column] = position
    if not positions:
        raise ValueError(
            f"{path}, header: no column is a finding. Known are: {', '.join(findings)}."
        )
    return positions


def _strength(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise ValueError(f"{where}: a strength must be a number in [0, 1], got {text!r}")
    return value


def _whole(text: str, where: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ValueError(f"{where}: count must be a whole number from 1, got {text!r}")
    return value
