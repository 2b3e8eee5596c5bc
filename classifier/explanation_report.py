"""What classifiers see in images: sheets as PNG files, rows of numbers."""

import hashlib
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from classifier import explanation, plots
from pgan import region_shares

_CELLS = 16  # of a sheet; an image takes two, or four with a second classifier


def write_sheets(
    folder: pathlib.Path,
    found: Sequence[explanation.Explained],
    judges: Sequence[explanation.Judge],
    title: str,
    common: bool,
) -> list[str]:
    """Draws sheets, in the place of those that are there.

    Args:
        folder: For sheet_01.png, sheet_02.png ...
        found: Images of all sheets.
        judges: One or two classifiers.
        title: Of each sheet.
        common: Whether the maps of all images and classifiers have one scale, or each its own.

    Returns:
        Name of the sheet of each image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    largest = max(float(np.abs(one.maps).max()) for one in found)
    limit = (largest or 1.0) if common else None
    difference_limit = 1.0
    if len(judges) > 1:
        pairs = [one.maps if common else one.densities for one in found]
        # The largest of the usual image: one narrow peak does not pale all others.
        difference_limit = float(np.median([np.abs(a - b).max() for a, b in pairs])) or 1.0
    each, names = _CELLS // (2 * len(judges)), []
    for start in range(0, len(found), each):
        part = found[start : start + each]
        names += [f"sheet_{start // each + 1:02d}.png"] * len(part)
        figure = plots.explanations(part, judges, title, (limit, difference_limit))
        beside = folder / f".{names[-1]}"
        figure.savefig(beside, format="png")
        os.replace(beside, folder / names[-1])
    for old in folder.glob("sheet_*.png"):
        if old.name not in names:
            old.unlink()
    return names


def rows(
    found: Sequence[explanation.Explained], judges: Sequence[explanation.Judge]
) -> list[dict[str, Any]]:
    """A row "explanation" of JSON types for each image."""
    digests = [_digest(judge.trained.classifier) for judge in judges]
    return [
        {
            "name": "explanation",
            "image_id": one.image_id,
            "patient": one.patient,
            "label": _number(one.label),
            "classifiers": [
                {
                    "name": judge.name,
                    "folder": str(judge.folder),
                    "weights_sha256": digest,
                    "probability": score,
                    "threshold": _number(judge.threshold),
                    "positive": None if math.isnan(judge.threshold) else score >= judge.threshold,
                    "layer": judge.layer,
                    "layer_size": [judge.width, judge.width],
                    "largest": float(own.max()),
                    "pointing": _pointing(own, one.region),
                }
                for judge, digest, score, own in zip(
                    judges, digests, one.scores, one.maps, strict=True
                )
            ],
            "overlap": _number(one.overlap) if len(judges) > 1 else None,
        }
        for one in found
    ]


def _digest(classifier):
    digest = hashlib.sha256()
    for value in classifier.get_weights():
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _pointing(own, region):
    if region is None:
        return None
    value = region_shares.measure(own, region)
    return {
        "inside": _number(value.inside), "area": value.area, "ratio": _number(value.ratio),
    }  # fmt: skip


def summary(
    found: Sequence[explanation.Explained], judges: Sequence[explanation.Judge]
) -> list[dict[str, Any]]:
    """A row "pointing" for each classifier: means over the images whose region is known.

    `ratio_elsewhere` is that of the same maps and the regions of the other images: a classifier
    that looks where the finding usually is, and not where it is in this patient, has it as high.
    Empty maps, which point nowhere, are counted and left out.

    Returns:
        Rows of JSON types; none without a known region.
    """
    known = [one for one in found if one.region is not None]
    if not known:
        return []
    table = []
    for place, judge in enumerate(judges):
        pointed = [one for one in known if (one.maps[place] > 0).any()]
        own = [region_shares.measure(one.maps[place], one.region) for one in pointed]
        others = [
            region_shares.measure(one.maps[place], other.region).ratio
            for one in pointed
            for other in known
            if other is not one
        ]
        table.append(
            {
                "name": "pointing",
                "classifier": judge.name,
                "images": len(pointed),
                "empty_maps": len(known) - len(pointed),
                "inside": _mean([value.inside for value in own]),
                "area": _mean([value.area for value in own]),
                "ratio": _mean([value.ratio for value in own]),
                "ratio_elsewhere": _mean(others),
            }
        )
    return table


def _mean(values):
    return float(np.mean(values)) if values else None


def _number(value):
    """JSON has no NaN."""
    return None if math.isnan(value) else value
