"""Measures sets of images against a reference, each image looked at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from pgan import finding_subsets, image_sources, measurements
from pgan.data import pyramid
from pgan.image_sets import Batches, ImageSet
from pgan.metrics import features

REFERENCE, REAL, SYNTHETIC = "reference", "real", "synthetic"
BLURRED_SIZE = 8  # px


def measure(
    sets: Mapping[str, ImageSet],
    count: int,
    subsets: Sequence[finding_subsets.Subset],
    extractor: features.Extractor,
    seed: int,
    facts: Mapping[str, Mapping[str, Any]],
    show_progress: bool = True,
) -> list[dict[str, Any]]:
    """Measures the first images of each set, then subsets.

    The features of images that are in subsets are kept: 8 kB an image for those of Inception.

    Args:
        sets: REFERENCE, SYNTHETIC and, for floor and blur, REAL.
        count: Images of each set.
        subsets: Of images of all sets.
        extractor: The features.
        seed: Of what measures draw.
        facts: {set: JSON types that all of its rows get}.
        show_progress: Whether to draw a bar.

    Returns:
        Rows of `measurements.compare` for each set but the reference, with its name as `images`,
        and of `measurements.compare_features` for each subset.

    Raises:
        ValueError: If a synthetic image is of one grey level throughout, or a set cannot be
            measured.
    """
    # A blurred copy of the other reals comes after them.
    passes = [(kind, kind, None) for kind in sets]
    if REAL in sets:
        place = 1 + list(sets).index(REAL)
        methods = ("bilinear", "nearest")
        passes[place:place] = [(f"{BLURRED_SIZE} px, {method}", REAL, method) for method in methods]
    numbers = np.arange(count)
    kept = numbers[: measurements.FEATURES_KEPT].tolist()
    more = {
        kind: sorted({n for s in subsets for n in s.images[kind].tolist()}.difference(kept))
        for kind in sets
    }
    resolution = sets[REFERENCE].resolution
    reference, known, rows = None, {}, []
    total = count * len(passes) + sum(map(len, more.values()))
    with tqdm.tqdm(total=total, unit="img", disable=not show_progress) as bar:
        for name, kind, blur in passes:
            bar.set_description(name)
            batches = _watched(sets[kind], numbers, bar, must_vary=kind == SYNTHETIC)
            batches = batches if blur is None else blurred(batches, blur)
            found = measurements.collect(batches, extractor, resolution, seed)
            if blur is None:
                known[kind] = dict(zip(kept, found.features, strict=True))
            if kind == REFERENCE:
                reference = found
                continue
            bar.set_description(f"{name}, comparing")
            measured = measurements.compare(found, reference, extractor, resolution, seed)
            rows += [{**row, **facts[kind], "images": name, "count": count} for row in measured]
        bar.set_description("by finding")
        for kind, others in more.items():
            computed = [
                extractor(images)
                for images in _watched(sets[kind], others, bar, must_vary=kind == SYNTHETIC)
            ]
            if others:
                known[kind].update(zip(others, np.concatenate(computed), strict=True))
    for subset in subsets:
        rows += _measure_subset(subset, known, extractor, seed, facts)
    return rows


def _measure_subset(subset, known, extractor, seed, facts):
    chosen = {
        kind: np.stack([known[kind][number] for number in numbers.tolist()])
        for kind, numbers in subset.images.items()
    }
    rows = []
    for kind in chosen:
        if kind != REFERENCE:
            measured = measurements.compare_features(
                chosen[kind], chosen[REFERENCE], extractor, seed, subset.setting
            )
            own = {
                "images": kind,
                "setting": subset.setting,
                "findings": list(subset.findings),
                "images_per_finding": subset.per_finding,
                "count": len(chosen[kind]),
            }
            rows += [{**row, **facts[kind], **own} for row in measured]
    return rows


def blurred(batches: Batches, method: str) -> Batches:
    """Images reduced to 8 px by box filter and brought back to their size.

    Args:
        batches: uint8 [B, R, R].
        method: Of tf.image.resize, `nearest` or `bilinear`.

    Yields:
        uint8 [B, R, R].
    """
    for images in batches:
        size = images.shape[1]
        small = [pyramid.box_filter(image.astype(np.float32), BLURRED_SIZE) for image in images]
        large = tf.image.resize(np.stack(small)[..., np.newaxis], (size, size), method)[..., 0]
        yield np.clip(np.rint(large.numpy()), 0, 255).astype(np.uint8)


def _watched(images, numbers, bar, must_vary):
    """Batches of some images of a set, which move the bar."""
    for batch in images.batches(numbers):
        if must_vary:
            image_sources.require_varied(batch, images.name)
        yield batch
        bar.update(len(batch))
