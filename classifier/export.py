"""Writes a trained classifier as a SavedModel; see `pgan.export_folder` for the layout."""

import dataclasses
import io
import os
import pathlib
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from classifier import export_card, model, serving_graph, training
from pgan import export_folder, model_card
from pgan.data import image_files, phantom, pyramid

# Largest deviation from the live classifier by precision: of probabilities, and of features
# relative to their largest value but at least to 1.
TOLERANCES = {"float32": 1e-4, "mixed_bfloat16": 0.05, "mixed_float16": 0.01}

_CHECKED_IMAGES = 3


@dataclasses.dataclass(frozen=True)
class Export:
    """A finished export.

    Attributes:
        path: Its folder.
        card: Its model card.
        deviation: Largest difference of a probability from the live classifier's.
        tolerance: Largest that was allowed.
    """

    path: pathlib.Path
    card: dict[str, Any]
    deviation: float
    tolerance: float


def write(
    trained: training.Trained,
    output_dir: str | os.PathLike,
    name: str,
    version: int | None = None,
    geometry: str | None = None,
    model_license: str = "not stated",
) -> Export:
    """Exports a classifier and proves that the export works.

    Args:
        trained: From `training.load`; the export computes in its precision.
        output_dir: Folder of exports.
        name: Name of the model.
        version: A number from 1; None is the one after the highest there is.
        geometry: How its training images were made square, one of `pyramid.GEOMETRIES`, where
            the training does not say it; None where it does.
        model_license: Terms under which the model is passed on, for the model card.

    Raises:
        ValueError: If the name or version cannot be used, or the geometry is unknown or another.
        FileExistsError: If there is that version already.
        export_folder.ExportError: If the weights are not finite, or the saved model fails the
            check.
        OSError: If it cannot be written.
    """
    version = export_folder.choose_version(output_dir, name, version)
    facts = export_card.facts(trained.facts, _geometry(trained, geometry))
    weights = trained.classifier.variables
    decisive = ("findings", "thresholds", "resolution", "preparation", "precision")
    facts = {
        "fingerprint": export_folder.fingerprint({key: facts[key] for key in decisive}, weights),
        **facts,
        "parameters": sum(int(np.prod(variable.shape)) for variable in weights),
    }
    kind = export_card.CLASSIFIER
    card = export_folder.complete_card(kind, name, version, model_license, facts)
    geometry, window = card["preparation"]["geometry"], card["preparation"].get("window") or "auto"
    module, signatures = serving_graph.build(
        trained.classifier, trained.thresholds, geometry, window
    )
    images, files = _example_images(card["resolution"])
    inputs = {"images": images[..., np.newaxis], "image_bytes": np.array(files)}
    requests = {name: {key: inputs[key]} for name, key in serving_graph.SIGNATURES.items()}
    first = {name: {k: v[:1] for k, v in request.items()} for name, request in requests.items()}

    def check(folder):
        return _check_in_fresh_process(folder, trained, requests, (geometry, window))

    path, deviation = export_folder.write(output_dir, card, module, signatures, first, check)
    return Export(path, card, deviation, TOLERANCES[card["precision"]])


def load(path: str | os.PathLike) -> tuple[Any, dict[str, Any]]:
    """Loads an export after comparing the checksums of its files.

    Args:
        path: Folder of a version, such as "exports/pneumonia/1".

    Returns:
        The SavedModel, to be kept as long as its `signatures` are used, and its model card.

    Raises:
        FileNotFoundError: If there is no export.
        ValueError: If it is no classifier, was written by an unknown version, or a file is missing
            or damaged.
    """
    card = model_card.read(path, export_card.CLASSIFIER)
    model_card.check_files(path, card, export_card.CLASSIFIER)
    return tf.saved_model.load(str(path)), card


def _geometry(trained, wanted):
    known = (trained.facts.get("preparation") or {}).get("geometry")
    if known is None and wanted is None:
        raise ValueError(
            "the training does not say how its images were made square; give --geometry as it was "
            f"given to tools/build_records.py, one of {', '.join(pyramid.GEOMETRIES)} (there it is "
            f"{pyramid.GEOMETRIES[0]} by default)"
        )
    if wanted is not None and wanted not in pyramid.GEOMETRIES:
        raise ValueError(f"--geometry must be of {', '.join(pyramid.GEOMETRIES)}, got {wanted!r}")
    if None not in (known, wanted) and known != wanted:
        raise ValueError(
            f"the images of the training were made with --geometry={known}, not {wanted}; leave it "
            "out"
        )
    return known or wanted


def _example_images(side):
    """Drawn chests uint8 [3, side, side], and larger ones that are not square as files."""
    size = min(2 ** side.bit_length(), 1024)
    drawn = [np.asarray(image.load()) for image in phantom.read(_CHECKED_IMAGES, seed=0, size=size)]
    images = np.stack([pyramid.one_level(image, side) for image in drawn])
    wide = [np.pad(image, ((0, 0), (3, 4)), mode="edge") for image in drawn]
    kinds = (("PNG", wide[0]), ("JPEG", wide[1]), ("PNG", wide[2].astype(np.uint16) * 16 + 1000))
    files = []
    for kind, image in kinds:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, kind)
        files.append(stream.getvalue())
    return images, files


def _check_in_fresh_process(folder, trained, requests, preparation):
    """Compares the export, loaded without this project, with the classifier; both on the CPU.

    Args:
        folder: The export.
        trained: The classifier.
        requests: Inputs by signature.
        preparation: Geometry and window of files.

    Returns:
        Largest difference of a probability.

    Raises:
        export_folder.ExportError: If it cannot be loaded or run, or differs by more than the
            tolerance.
    """
    answers = export_folder.answers_of_fresh_process(folder, list(requests.items()))
    exported = dict(zip(requests, answers, strict=True))
    images = requests["images"]["images"]
    files = requests["serving_default"]["image_bytes"]
    prepared = _prepared_by_library(files, images.shape[1], *preparation)
    classifier, tolerance = trained.classifier, TOLERANCES[trained.facts["settings"]["precision"]]
    deviation = 0.0
    with tf.device("/cpu:0"):
        features = classifier.features(tf.constant(images)).numpy()
        for name, inputs in (("images", images), ("serving_default", prepared)):
            scores = model.probabilities(classifier, inputs)
            found = _largest(exported[name]["probabilities"] - scores)
            _require_within(found, tolerance, f"probabilities of {name}")
            deviation = max(deviation, found)
            _check_decisions(name, exported[name], trained, scores, tolerance)
    found = _largest(exported["features"]["features"] - features)
    _require_within(found, tolerance * max(1.0, _largest(features)), "features")
    return deviation


def _prepared_by_library(files, side, geometry, window):
    images = []
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            path = pathlib.Path(folder) / "image"
            path.write_bytes(bytes(file))
            # Windows that only DICOM files have are no windows of these.
            own = window if window in ("percentile", "minmax") else "auto"
            grey = image_files.load(path, own).image
            images.append(pyramid.one_level(grey, side, geometry))
    return np.stack(images)


def _largest(values):
    return float(np.abs(values).max())


def _require_within(found, tolerance, what):
    # Written so that a NaN fails.
    if not found <= tolerance:
        raise export_folder.ExportError(
            f"{what} of the export differ by {found:g} from the classifier's, more than "
            f"{tolerance:g}"
        )


def _check_decisions(name, exported, trained, scores, tolerance):
    limits = serving_graph.single_precision(trained.thresholds)
    wanted = np.where(
        limits < serving_graph.NO_THRESHOLD, scores >= limits, serving_graph.NO_DECISION
    )
    # A score at the threshold may be decided either way.
    sure = np.abs(scores - limits) > tolerance
    names = np.array(trained.classifier.findings).astype(np.bytes_)
    if (
        (exported["decisions"] != wanted)[sure].any()
        or (exported["findings"] != names).any()
        or (exported["thresholds"] != limits).any()
    ):
        raise export_folder.ExportError(
            f"decisions, findings or thresholds of {name} are not the classifier's"
        )
