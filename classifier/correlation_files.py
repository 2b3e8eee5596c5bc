"""Files of correlations: scores, one .npz for each finding, and matrices as CSV.

<output>/correlation.json        what was drawn and who judged it; another one is refused
<output>/scores/01_<finding>.npz strengths and probabilities; all else can be made again from these
"""

import dataclasses
import importlib.resources
import json
import math
import os
import pathlib
import re
from typing import Any

import numpy as np

from classifier import correlation
from pgan import run_folder

_FORMAT = "pgan finding scores"
_VERSION = 1
_PLAN = "correlation.json"
_PAPER = "paper_correlations.csv"
_CORNER = "classifier \\ generator"
_UNDEFINED = "undefined"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is drawn, and who judges it.

    Attributes:
        generator: Its "name", "fingerprint", "resolution" and "training_records" (of its card).
        classifier: Its "name", "fingerprint" and "resolution".
        findings: Of the generator.
        outputs: Findings of the classifier.
        images: Drawn for each finding, at random strengths.
        levels: Strengths of the dose response, ascending.
        dose_images: Latents of the dose response.
        seed: Of latents and strengths.
    """

    generator: dict[str, Any]
    classifier: dict[str, Any]
    findings: tuple[str, ...]
    outputs: tuple[str, ...]
    images: int
    levels: tuple[float, ...]
    dose_images: int
    seed: int

    def identity(self) -> dict[str, Any]:
        """What tells it from another, JSON types: not the names and places of the models."""
        return {
            "generator": self.generator["fingerprint"],
            "classifier": self.classifier["fingerprint"],
            "findings": list(self.findings),
            "outputs": list(self.outputs),
            "images": self.images,
            "levels": list(self.levels),
            "dose_images": self.dose_images,
            "seed": self.seed,
        }

    def path(self, output: pathlib.Path, finding: str) -> pathlib.Path:
        """File of the scores of a finding."""
        number = self.findings.index(finding) + 1
        return output / "scores" / f"{number:02d}_{re.sub('[^A-Za-z0-9-]+', '_', finding)}.npz"


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a classifier says of images that were drawn for one finding, others absent.

    Attributes:
        strengths: float32 [N] in [0, 1].
        scores: float32 [N, L], probabilities.
        dose_scores: float32 [K, D, L], probabilities at the levels of the plan, the same latents at
            each.
    """

    strengths: np.ndarray
    scores: np.ndarray
    dose_scores: np.ndarray


def open_plan(plan: Plan, output: pathlib.Path) -> None:
    """Writes a plan into a folder, or checks that it is there already.

    Raises:
        ValueError: If the folder holds another one.
    """
    path = output / _PLAN
    if path.exists():
        old, new = read_plan(output).identity(), plan.identity()
        changed = [
            f"{name} ({_shown(old[name])} there, {_shown(new[name])} now)"
            for name in new
            if old[name] != new[name]
        ]
        if changed:
            raise ValueError(
                f"{output} holds scores of another plan; it differs in {'; '.join(changed)}. Give "
                "another --output, or the flags that it was started with"
            )
        return
    output.mkdir(parents=True, exist_ok=True)
    run_folder.write_atomically(path, json.dumps(dataclasses.asdict(plan), indent=1) + "\n")


def _shown(value):
    if isinstance(value, list):
        return f"{len(value)}: {', '.join(map(str, value))}"
    return value[:16] if isinstance(value, str) else value


def read_plan(output: pathlib.Path) -> Plan:
    """Reads the plan of a folder.

    Raises:
        ValueError: If there is none, or it cannot be read.
    """
    path = output / _PLAN
    if not path.exists():
        raise ValueError(
            f"{output} holds no scores ({_PLAN} is missing); give --export and --classifier to "
            "make them"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("findings", "outputs", "levels"):
            content[name] = tuple(content[name])
        return Plan(**content)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is no plan of this version: {error}") from error


def save(scores: Scores, plan: Plan, finding: str, output: pathlib.Path) -> None:
    """Writes the scores of a finding, whole or not at all."""
    path = plan.path(output, finding)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.tmp.npz")
    meta = {"format": _FORMAT, "format_version": _VERSION, "finding": finding}
    np.savez_compressed(
        beside,
        meta=np.array(json.dumps({**meta, "plan": plan.identity()})),
        strengths=scores.strengths.astype(np.float32),
        scores=scores.scores.astype(np.float32),
        dose_scores=scores.dose_scores.astype(np.float32),
    )
    os.replace(beside, path)


def load(plan: Plan, finding: str, output: pathlib.Path) -> Scores:
    """Reads the scores of a finding.

    Raises:
        FileNotFoundError: If they are not there yet.
        ValueError: If the file is damaged, of another plan, or holds values that are not finite.
    """
    path = plan.path(output, finding)
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing; the same command with --export and --classifier makes it"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            found = Scores(file["strengths"], file["scores"], file["dose_scores"])
        if (meta["format"], meta["format_version"]) != (_FORMAT, _VERSION):
            raise ValueError(f"it is {meta['format']} version {meta['format_version']}")
        if meta["finding"] != finding or meta["plan"] != plan.identity():
            raise ValueError(f"it is of {meta['finding']} and of another plan or place")
        _check(found, plan)
    except Exception as error:  # zipfile, numpy and json each have their own
        raise ValueError(
            f"{path} holds no scores of this plan: {error}. Remove it to have it made again"
        ) from error
    return found


def _check(found, plan):
    outputs = len(plan.outputs)
    wanted = {
        "strengths": (plan.images,),
        "scores": (plan.images, outputs),
        "dose_scores": (len(plan.levels), plan.dose_images, outputs),
    }
    for name, shape in wanted.items():
        values = getattr(found, name)
        if values.shape != shape:
            raise ValueError(f"{name} are {list(values.shape)}, not {list(shape)}")
        if not np.isfinite(values).all():
            raise ValueError(f"{np.sum(~np.isfinite(values))} values of {name} are not finite")


def to_csv(matrix: correlation.Matrix) -> str:
    """Text of a matrix: a line for each output of the classifier, 6 digits."""
    lines = [",".join([_CORNER, *matrix.findings])]
    for output, row in zip(matrix.outputs, matrix.values, strict=True):
        cells = [_UNDEFINED if math.isnan(value) else f"{value:.6f}" for value in row]
        lines.append(",".join([output, *cells]))
    return "\n".join(lines) + "\n"


def from_csv(text: str, where: str) -> correlation.Matrix:
    """Reads a matrix; empty cells are unknown, lines that begin with # are remarks.

    Args:
        text: As of `to_csv`.
        where: It came from, for messages.

    Raises:
        ValueError: If it is no such matrix.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = [[cell.strip() for cell in line.split(",")] for line in lines]
    if len(rows) < 2 or rows[0][0] != _CORNER or len({*map(len, rows)}) > 1 or len(rows[0]) < 2:
        raise ValueError(
            f"{where} holds no matrix: wanted is matrix.csv of tools/correlate_findings.py, a "
            f"header '{_CORNER}' with findings, then as many cells in each line"
        )
    try:
        values = [[_number(cell) for cell in row[1:]] for row in rows[1:]]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return correlation.Matrix(
        tuple(row[0] for row in rows[1:]), tuple(rows[0][1:]), np.array(values)
    )


def _number(cell):
    if cell in ("", _UNDEFINED):
        return math.nan
    value = float(cell)
    if not -1.0 <= value <= 1.0:
        raise ValueError(f"a correlation is in [-1, 1], got {cell}")
    return value


def of_the_paper() -> correlation.Matrix:
    """The matrix of the paper's NIH-GAN and NIH classifier; see the remarks in its file."""
    file = importlib.resources.files("classifier") / _PAPER
    return from_csv(file.read_text(encoding="utf-8"), _PAPER)
