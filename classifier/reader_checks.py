"""What could betray real or synthetic images of a deck without anybody reading them."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from classifier import reader_items, stats
from pgan.data import record_set

# An AUC from here on is more than what readers reach by looking closely, so it would be a study of
# brightness or borders. Of few images, chance alone must not reach it: three standard errors.
_TRIVIAL_AUC = 0.8
_ERRORS = 3


def _border(image: np.ndarray) -> np.ndarray:
    """The outermost pixels."""
    return np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])


# Each of an image float64 [R, R] in grey values.
STATISTICS: Mapping[str, Callable[[np.ndarray], float]] = {
    "mean": np.mean,
    "sd": np.std,
    "minimum": np.min,
    "maximum": np.max,
    "border mean": lambda image: np.mean(_border(image)),
    "border sd": lambda image: np.std(_border(image)),
    "grey levels": lambda image: len(np.unique(image)),
    "neighbour difference": lambda image: np.abs(np.diff(image)).mean(),
}


def require_alike(
    real: record_set.RecordSet,
    synthetic: record_set.RecordSet,
    mask_markers: bool,
    allow_markers: bool,
) -> list[str]:
    """Checks that the sets are of the right origins and were prepared alike.

    Args:
        real: Real images, or phantoms in their place.
        synthetic: Synthetic ones.
        mask_markers: Whether the deck covers markers in all images.
        allow_markers: Whether markers may be seen.

    Returns:
        Warnings.

    Raises:
        ValueError: If the sets differ in a way that readers could see, or show markers.
    """
    warnings = []
    for records, wanted in ((real, False), (synthetic, True)):
        origin = records.manifest["origin"]
        if (origin == "synthetic") != wanted:
            kind, flag = ("synthetic", "--synthetic") if wanted else ("real", "--records")
            raise ValueError(f"{flag} wants {kind} images; those of {records.path} are {origin}")
    if real.manifest["origin"] != "real":
        warnings.append(f"the images of {real.path} are {real.manifest['origin']}s, not real ones")
    trained_on = synthetic.preparation
    if trained_on is None:
        warnings.append(
            f"how the images that the generator of {synthetic.path} was trained on were prepared "
            "is not known; look whether its markers and borders are like those of the real ones"
        )
    real.require_preparation(trained_on, f"What the generator of {synthetic.path} was trained on")
    if not real.preparation["mask_markers"] and not mask_markers:
        text = (
            f"markers and letters of {real.path} are not covered, and can tell real from "
            "synthetic images"
        )
        if not allow_markers:
            raise ValueError(
                f"{text}. Cover them with tools/build_records.py --mask_markers and train the "
                "generator on such records; or give --mask_markers here, which covers them in real "
                "and synthetic images of 128 px or more alike; or --allow_markers."
            )
        warnings.append(text)
    return warnings


def separation(items: Sequence[reader_items.Item]) -> dict[int, dict[str, float]]:
    """How well simple statistics alone tell synthetic (positive) from real images.

    Returns:
        {resolution: {statistic: AUC}}; 0.5 is chance, 0 and 1 a giveaway.
    """
    found = {}
    for resolution in sorted({item.resolution for item in items}):
        level = [item for item in items if item.resolution == resolution]
        truth = np.array([item.origin == reader_items.SYNTHETIC for item in level], np.float64)
        images = [item.pixels.astype(np.float64) for item in level]
        found[resolution] = {
            name: stats.roc_auc(truth, np.array([measure(image) for image in images]))
            for name, measure in STATISTICS.items()
        }
    return found


def giveaways(found: Mapping[int, Mapping[str, float]], count: int) -> list[str]:
    """Warnings of statistics that tell real from synthetic images.

    Args:
        found: From `separation`.
        count: Images of each origin at each resolution.
    """
    # Of the AUC of two samples of n without a difference (Mann and Whitney 1947).
    error = math.sqrt((2 * count + 1) / (12 * count**2))
    limit = max(_TRIVIAL_AUC, 0.5 + _ERRORS * error)
    return [
        f"at {resolution} px the {name} of an image alone tells real from synthetic: synthetic "
        f"images have {'larger' if auc > 0.5 else 'smaller'} ones (AUC {auc:.2f})"
        for resolution, values in found.items()
        for name, auc in values.items()
        if max(auc, 1 - auc) >= limit
    ]


def with_findings(items: Sequence[reader_items.Item], origin: str) -> float:
    """Share of the images of an origin that show a finding."""
    return float(np.mean([bool(item.findings) for item in items if item.origin == origin]))
