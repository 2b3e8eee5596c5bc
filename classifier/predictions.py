"""A classifier's scores on disk, from which every statistic can be made again without a model."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

_FORMAT = "pgan predictions"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Scores of a classifier on images.

    Attributes:
        findings: Names, in the order of the columns.
        labels: float32 [N, L], 1, 0 or NaN.
        scores: float32 [N, L] in [0, 1].
        thresholds: float64 [L], fitted on validation images; NaN where there was no positive.
        image_ids: [N].
        patients: [N].
        facts: {"age", "sex", "view": text of each image, empty where unknown}.
        about: JSON types that say which classifier and images these are.
    """

    findings: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    thresholds: np.ndarray
    image_ids: Sequence[str]
    patients: Sequence[str]
    facts: dict[str, Sequence[str]]
    about: dict[str, Any]

    def __post_init__(self):
        """Checks the shapes.

        Raises:
            ValueError: If they do not fit, or scores are not finite.
        """
        count = len(self.image_ids)
        wanted = (count, len(self.findings))
        shapes = {"labels": self.labels.shape, "scores": self.scores.shape}
        wrong = [f"{name} {shape}" for name, shape in shapes.items() if shape != wanted]
        if wrong or len(self.patients) != count or self.thresholds.shape != wanted[1:]:
            raise ValueError(f"predictions of {wanted} images and findings have {', '.join(wrong)}")
        if not np.isfinite(self.scores).all():
            bad = int((~np.isfinite(self.scores).all(axis=1)).sum())
            raise ValueError(f"the scores of {bad} of {count} images are not finite")

    def same_images(self, other: "Predictions") -> bool:
        """Whether another classifier judged the same images with the same findings and labels."""
        return (
            list(self.image_ids) == list(other.image_ids)
            and list(self.patients) == list(other.patients)
            and self.findings == other.findings
            and np.array_equal(self.labels, other.labels, equal_nan=True)
        )


def save(predictions: Predictions, path: str | os.PathLike) -> None:
    """Writes predictions as an .npz file, whole or not at all."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.stem + ".tmp.npz")
    about = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "findings": list(predictions.findings),
        "about": predictions.about,
    }
    np.savez_compressed(
        beside,
        meta=np.array(json.dumps(about)),
        labels=predictions.labels.astype(np.float32),
        scores=predictions.scores.astype(np.float32),
        thresholds=predictions.thresholds.astype(np.float64),
        image_ids=np.array(predictions.image_ids, dtype=np.str_),
        patients=np.array(predictions.patients, dtype=np.str_),
        **{f"fact_{name}": np.array(v, dtype=np.str_) for name, v in predictions.facts.items()},
    )
    os.replace(beside, path)


def load(path: str | os.PathLike) -> Predictions:
    """Reads predictions.

    Raises:
        ValueError: If the file holds none, or is damaged.
        FileNotFoundError: If there is none.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        meta = json.loads(str(content["meta"]))
        if (meta["format"], meta["format_version"]) != (_FORMAT, _VERSION):
            raise ValueError(f"it is {meta['format']} version {meta['format_version']}")
        return Predictions(
            tuple(meta["findings"]),
            content["labels"],
            content["scores"],
            content["thresholds"],
            content["image_ids"].tolist(),
            content["patients"].tolist(),
            {
                name.removeprefix("fact_"): values.tolist()
                for name, values in content.items()
                if name.startswith("fact_")
            },
            meta["about"],
        )
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile, numpy and json each have their own
        raise ValueError(f"{path} holds no predictions of this version: {error}") from error
