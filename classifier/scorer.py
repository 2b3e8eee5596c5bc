"""A trained classifier as what scores images, from the folder of its training or its export."""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from classifier import export, model, training
from pgan import export_folder, model_card

_BATCH = 64
_NAMED = 3  # parts of a training's path, <experiment>/seed<number>/<arm>; more is about a machine


@dataclasses.dataclass(frozen=True)
class Scorer:
    """What scores images.

    Attributes:
        name: For people.
        fingerprint: Hex SHA-256 of what it computes with.
        findings: Names of the scores, in order.
        thresholds: float64 [L], fitted on its validation images; NaN where there is none.
        resolution: Side of its images in px.
        preparation: What was done to its training images, see `RecordSet.preparation`; None if
            that is not known.
        seen: What it was trained and validated on, see `seen_images.describe`; None if it does not
            say.
        judge: uint8 [N, R, R] to float32 [N, L].
    """

    name: str
    fingerprint: str
    findings: tuple[str, ...]
    thresholds: np.ndarray
    resolution: int
    preparation: dict[str, Any] | None
    seen: list[dict[str, Any]] | None
    judge: Callable[[np.ndarray], np.ndarray]

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Probabilities float32 [N, L] in [0, 1] of images uint8 [N, R, R].

        Raises:
            ValueError: If the images do not fit, or a score is not finite.
        """
        images = model.check_images(images, self.resolution)[..., 0]
        scores = self.judge(images)
        bad = int((~np.isfinite(scores).all(axis=1)).sum())
        if bad:
            raise ValueError(
                f"scores of {self.name} for {bad} of {len(scores)} images are not finite: its "
                "weights are broken; train it again with a smaller step size"
            )
        return scores


def load(path: str | os.PathLike) -> Scorer:
    """Loads a classifier.

    Args:
        path: Folder of a finished training (an arm of tools/run_experiment.py), or of an export
            of tools/export_classifier.py.

    Raises:
        FileNotFoundError: If there is no such version of an export.
        ValueError: If it is no classifier, or its files are damaged.
        export_folder.ExportError: If its weights are not finite.
    """
    path = pathlib.Path(path)
    if (path / model_card.CARD).exists() or model_card.versions(path):
        return _exported(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"there is no folder {path}; give that of a finished training of "
            "tools/run_experiment.py, or of an export of tools/export_classifier.py"
        )
    return _trained(path)


def _exported(path):
    module, card = export.load(path)
    signature = module.signatures["images"]

    def judge(images):
        parts = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        # The signatures do not keep the module, and with it their variables, alive.
        _ = module
        return np.concatenate(
            [
                signature(images=tf.constant(part[..., np.newaxis]))["probabilities"]
                for part in parts
            ]
        )

    return Scorer(
        f"{card['name']}/{card['version']}",
        card["fingerprint"],
        tuple(card["findings"]),
        np.array(card["thresholds"], np.float64),  # which makes NaN of None
        card["resolution"],
        card["preparation"],
        card.get("seen"),
        judge,
    )


def _trained(path):
    trained = training.load(path)
    classifier = trained.classifier
    resolution = classifier.backbone.input_shape[1]
    facts = {"findings": list(classifier.findings), "resolution": resolution}
    return Scorer(
        "/".join(path.resolve().parts[-_NAMED:]),
        export_folder.fingerprint(facts, classifier.variables),
        classifier.findings,
        trained.thresholds,
        resolution,
        trained.facts.get("preparation"),
        trained.facts.get("seen"),
        lambda images: model.probabilities(classifier, images, _BATCH),
    )
