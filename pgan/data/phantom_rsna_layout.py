"""The phantom site `rsna` in the files of the RSNA Pneumonia Detection Challenge of 2018.

    stage_2_train_images/<uuid>.dcm
    stage_2_train_labels.csv           a row per box of pneumonia, or one without a box
    stage_2_detailed_class_info.csv
    pneumonia-challenge-dataset-mappings_2018.json    the twin of each exam at the site `nih`

Boxes lie around the regions that pneumonia changes. "Lung Opacity" is pneumonia and nothing else:
a consolidation without it is "Not Normal". DICOM files are of `phantom_dicom.KINDS`.
"""

import functools
import hashlib
import json
import uuid
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from pgan.data import labels, phantom_dicom, phantom_drawing, phantom_nih_layout, phantom_sites
from pgan.data.phantom_files import File, Plan, csv_text
from pgan.data.radiograph import Radiograph

LABELS_CSV = "stage_2_train_labels.csv"
DETAILED_CSV = "stage_2_detailed_class_info.csv"
MAPPING_JSON = "pneumonia-challenge-dataset-mappings_2018.json"
COLUMNS = ("patientId", "x", "y", "width", "height", "Target")
CLASSES = {
    "normal": "Normal",
    "abnormal": "No Lung Opacity / Not Normal",
    "opacity": "Lung Opacity",
}

_PNEUMONIA = labels.find("Pneumonia", labels.NIH_14)
_FAINTEST = 4.0  # grey levels that a region must reach to be seen
_SMOOTHING = 0.018  # of the image's side: a reader draws one box around neighbouring patches
_EDGE = 0.3  # of the strongest smoothed effect; a region ends there
_SMALLEST = 0.12  # of the largest region's area; smaller ones get no box
_BOX_DRAWING = 256  # boxes are measured in drawings of at most this size

Box = tuple[float, float, float, float]


def exam_id(seed: int, patient: int, image: int) -> str:
    """The challenge's patientId, which stands for an exam: a UUID made from the numbers."""
    digest = hashlib.sha256(f"phantom rsna/{seed}/{patient}/{image}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def boxes(image: Radiograph) -> list[Box]:
    """Boxes around the regions that pneumonia changes.

    Args:
        image: an exam of the site `rsna`.

    Returns:
        (x, y, width, height) of each in pixels of the image, whole numbers, largest region first;
        empty without pneumonia.
    """
    size = image.load.keywords["size"]
    numbers = {**image.load.keywords, "size": min(size, _BOX_DRAWING)}
    values = numbers.pop("findings")
    if not values[_PNEUMONIA]:
        return []
    others = values.copy()
    others[_PNEUMONIA] = 0
    region = phantom_sites.change(values, others, **numbers)
    if region.max() < _FAINTEST:
        # Other findings hide it, such as a large effusion: the box is where it would be seen.
        alone = values - others
        region = phantom_sites.change(alone, np.zeros_like(alone), **numbers)
    region = ndimage.gaussian_filter(region, _SMOOTHING * region.shape[0])
    parts, count = ndimage.label(region > _EDGE * region.max())
    areas = ndimage.sum_labels(np.ones_like(region), parts, np.arange(1, count + 1))
    places = ndimage.find_objects(parts)
    scale = size / region.shape[0]
    result = []
    for position in np.argsort(-areas, kind="stable"):
        if areas[position] < _SMALLEST * areas.max():
            break
        rows, columns = places[position]
        x, y = np.floor(columns.start * scale), np.floor(rows.start * scale)
        width, height = np.ceil(columns.stop * scale) - x, np.ceil(rows.stop * scale) - y
        result.append((float(x), float(y), float(width), float(height)))
    return result


def plan(count: int, seed: int, size: int) -> Plan:
    """The files of a folder; arguments as in `phantom_layouts.write`."""
    images = list(phantom_sites.read("rsna", count, seed, size))
    # The challenge lists its exams by id.
    images.sort(key=_exam_id)
    files = [
        File(
            f"stage_2_train_images/{_exam_id(image)}.dcm",
            functools.partial(_encode, image),
            functools.partial(boxes, image) if image.labels[_PNEUMONIA] else None,
        )
        for image in images
    ]
    tables = functools.partial(_tables, images)
    return Plan(files, (MAPPING_JSON, DETAILED_CSV, LABELS_CSV), tables, _twins_within(images))


def _exam_id(image: Radiograph) -> str:
    numbers = image.load.keywords
    return exam_id(numbers["seed"], numbers["patient"], numbers["image"])


def _encode(image: Radiograph) -> bytes:
    numbers = dict(image.load.keywords)
    place = (numbers["seed"], numbers["patient"], numbers["image"])
    numbers.pop("site")
    grey = phantom_sites.draw_unrounded("rsna", numbers.pop("findings"), **numbers)
    kind = phantom_dicom.sample_kind(phantom_drawing.rng(*place, phantom_drawing.EXPORT))
    return phantom_dicom.encode(
        grey,
        kind,
        exam=exam_id(*place),
        name=f"Phantom^P{place[1] + 1:06d}",
        age=image.extras["age"],
        sex=image.extras["sex"],
        view=image.extras["view"],
        jpeg_quality=phantom_sites.SITES["rsna"].jpeg_quality,
    )


def _tables(images: Sequence[Radiograph], found: Sequence[list[Box] | None]) -> dict[str, str]:
    rows, classes, twins = [], [], []
    for image, places in zip(images, found, strict=True):
        exam, numbers = _exam_id(image), image.load.keywords
        these = [(exam, *box, 1) for box in places or ()] or [(exam, "", "", "", "", 0)]
        rows.extend(these)
        # The challenge repeats the class for every box.
        classes.extend([(exam, CLASSES[image.extras["group"]])] * len(these))
        twins.append(
            {
                "SOPInstanceUID": phantom_dicom.uid(exam, "image"),
                "img_id": phantom_nih_layout.image_name(numbers["patient"], numbers["image"]),
                "subset_img_id": exam,
            }
        )
    return {
        MAPPING_JSON: json.dumps(twins, indent=1) + "\n",
        DETAILED_CSV: csv_text(("patientId", "class"), classes),
        LABELS_CSV: csv_text(COLUMNS, rows),
    }


def _twins_within(images: Sequence[Radiograph]) -> dict[str, int]:
    """How many images of `nih` with the same seed hold all twins."""
    wanted = {(image.load.keywords["patient"], image.load.keywords["image"]) for image in images}
    if not wanted:
        return {"twins_within": 0}
    for count, numbers in enumerate(phantom_drawing.exams(images[0].load.keywords["seed"]), 1):
        wanted.discard(numbers)
        if not wanted:
            return {"twins_within": count}
    raise AssertionError("exams() never ends")
