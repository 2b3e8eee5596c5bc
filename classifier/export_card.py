"""What the card of an exported classifier says about it."""

import math
from typing import Any

from pgan import model_card

CLASSIFIER = model_card.Kind("pgan classifier", 1, "tools/export_classifier.py")

INTENDED_USE = (
    "Research only, on frontal chest radiographs: comparing training sets, methods and generators, "
    "and as a feature network for distances between sets of images. It is no medical device, and "
    "nothing it returns may enter into the care of a patient."
)
_LIMITS = (
    "Accuracy: no measurement on test images is recorded in this card. "
    "tools/evaluate_predictions.py makes one from the predictions of an experiment.",
    "Probabilities are scores: their calibration has not been measured here, and depends on how "
    "frequent a finding was among the training images.",
    "Findings: labels of many public collections were extracted from reports and contain errors, "
    "which a classifier learns, too.",
    "Population: with other patients, devices, positions or exposures than those of the training "
    "images it judges otherwise, and nothing here notices that an image is no frontal chest "
    "radiograph.",
    "Privacy: nothing has been tested. A classifier can reveal whether an image was among its "
    "training images; handle it as these.",
    "Files: PNG and JPEG, not smaller than the resolution. 8 bits are taken as they are, of "
    "colours the luminance, of 16-bit colours the upper 8 bits; of 16-bit grey PNG the percentiles "
    "0.5 to 99.5 become black and white. DICOM and TIFF are not read: their windows and inversion "
    "are the business of tools/build_records.py, whose images the signature 'images' takes.",
)
_NO_THRESHOLD = (
    "Thresholds: for {names} there is none, since no validation image had it, or all had: the "
    "decision is 255, none."
)
_MARKED = (
    "Markers: letters and blocks near the border were covered in the training images. Files are "
    "judged with theirs, which is another preparation; for the same one build records with "
    "--mask_markers and use the signature 'images'."
)
_OWN_WINDOW = (
    "Windows: training images were made with --window={window}, which only DICOM files have; files "
    "sent here are taken as by --window=auto."
)


def facts(content: dict[str, Any], geometry: str) -> dict[str, Any]:
    """Describes a training for the model card.

    Args:
        content: `training.Trained.facts`.
        geometry: How files become square.

    Returns:
        JSON types; unknown thresholds are None.
    """
    preparation = content.get("preparation") or {}
    thresholds = [None if math.isnan(value) else value for value in content["thresholds"]]
    best = content["history"][content["best_epoch"] - 1]
    return {
        "findings": content["findings"],
        "thresholds": thresholds,
        "thresholds_from": "validation images: the point of the ROC curve nearest to its corner",
        "decisions": {"1": "at least the threshold", "0": "less", "255": "none: no threshold"},
        "resolution": content["settings"]["resolution"],
        "precision": content["settings"]["precision"],
        "preparation": {**preparation, "geometry": geometry},
        "initial_weights": content["initial_weights"],
        "training_images": content["training_images"],
        "validation_images": content["validation_images"],
        "training": content["about"],
        "seen": content.get("seen"),
        "training_settings": content["settings"],
        "epochs": content["epochs"],
        "best_epoch": content["best_epoch"],
        "validation_loss": best["val_loss"],
        "intended_use": INTENDED_USE,
        "limits": _limits(content["findings"], thresholds, preparation),
    }


def _limits(findings, thresholds, preparation):
    limits = [
        "Thresholds were fitted on the validation images, for their mixture of patients and their "
        "frequency of findings; elsewhere sensitivity and specificity are others.",
        *_LIMITS,
    ]
    without = [name for name, value in zip(findings, thresholds, strict=True) if value is None]
    if without:
        limits.append(_NO_THRESHOLD.format(names=", ".join(without)))
    if preparation.get("mask_markers"):
        limits.append(_MARKED)
    if preparation.get("window") in ("voi_lut", "window"):
        limits.append(_OWN_WINDOW.format(window=preparation["window"]))
    return limits
