"""All measures of one set of images against another, each set looked at once.

Images come in batches and are forgotten; what stays are sums, a bounded number of patches, and the
features of at most FEATURES_KEPT images for the measures that compare neighbours.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from pgan.metrics import (
    features,
    frechet,
    kernel,
    manifold,
    names,
    spectrum,
    wasserstein,
)

FEATURES_KEPT = 10_000
NEIGHBOURS = {"pr": 3, "dc": 5}  # as their authors have it


@dataclasses.dataclass(frozen=True)
class Collected:
    """What a set of images leaves behind.

    Attributes:
        count: Images seen.
        statistics: Of the features of all of them.
        features: float32 [min(count, FEATURES_KEPT), D], of the first images.
        patches: For the sliced Wasserstein distance; None where the size does not permit it.
        spectrum: Mean power spectrum.
    """

    count: int
    statistics: frechet.Statistics
    features: np.ndarray
    patches: wasserstein.Accumulator | None
    spectrum: spectrum.Accumulator


def collect(
    batches: Iterable[np.ndarray], extractor: features.Extractor, resolution: int, seed: int
) -> Collected:
    """Looks at a set of images once.

    Args:
        batches: uint8 [B, R, R] each.
        extractor: The features.
        resolution: R.
        seed: Of the places of patches; the same for sets that are compared.

    Raises:
        ValueError: If there are fewer than two images, or they have another shape.
    """
    sums, kept, count = frechet.Accumulator(), [], 0
    patches = None
    if resolution >= wasserstein.COARSEST:
        patches = wasserstein.Accumulator(resolution, seed)
    power = spectrum.Accumulator(resolution)
    for images in batches:
        found = extractor(images)
        sums.add(found)
        if count < FEATURES_KEPT:
            kept.append(np.asarray(found[: FEATURES_KEPT - count], np.float32))
        if patches is not None:
            patches.add(images)
        power.add(images)
        count += len(images)
    statistics = sums.statistics()
    return Collected(count, statistics, np.concatenate(kept), patches, power)


def compare(
    found: Collected,
    reference: Collected,
    extractor: features.Extractor,
    resolution: int,
    seed: int,
    settings: str = "",
) -> list[dict[str, Any]]:
    """Measures one set against the reference.

    Args:
        found: The set.
        reference: As many images.
        extractor: That both were collected with.
        resolution: Of the images.
        seed: Of subsets and directions.
        settings: Part of the names where the sets were chosen in a special way.

    Returns:
        Rows {"metric", "value"} and more: "spread", the standard deviation of a kernel distance
        over its subsets; "levels" of a sliced Wasserstein distance; and of the spectra, whose
        value is the root mean square of their difference in decibels over all frequencies, the
        curves and the "peaks", waves that the set has and the reference has not.

    Raises:
        ValueError: If the counts differ.
    """
    if found.count != reference.count:
        raise ValueError(f"sets of {found.count} and {reference.count} images do not compare")
    count = found.count

    def name(kind, *parts):
        return names.metric_name(
            kind, count, extractor, "_".join(p for p in (*parts, settings) if p)
        )

    rows = [
        {"metric": name("fd"), "value": frechet.distance(found.statistics, reference.statistics)}
    ]
    kept = len(found.features)
    size = min(kernel.SUBSET_SIZE, kept // 2)  # of all samples at once, subsets would not differ
    if size >= 2:
        part = "" if size == kernel.SUBSET_SIZE else f"m{size}"
        rng = np.random.default_rng([seed, 1])
        value, spread = kernel.kid(reference.features, found.features, subset_size=size, rng=rng)
        rows.append({"metric": name("kd", part), "value": value, "spread": spread})
    pairs = {
        "pr": ("precision", "recall", manifold.precision_recall),
        "dc": ("density", "coverage", manifold.density_coverage),
    }
    for kind, (first, second, function) in pairs.items():
        k = NEIGHBOURS[kind]
        if kept > k:
            values = function(reference.features, found.features, k)
            for label, value in zip((first, second), values, strict=True):
                rows.append({"metric": f"{name(kind, f'k{k}')}_{label}", "value": value})
    if found.patches is not None:
        rng = np.random.default_rng([seed, 2])
        apart = wasserstein.distance(found.patches, reference.patches, rng)
        metric = "_".join(p for p in (wasserstein.name(count, resolution), settings) if p)
        rows.append({"metric": metric, "value": apart.mean, "levels": apart.levels})
    return [*rows, _compare_spectra(found, reference, resolution, settings)]


def _compare_spectra(found, reference, resolution, settings):
    spectra = reference.spectrum.spectrum(), found.spectrum.spectrum()
    compared = spectrum.compare(*spectra)
    whole = compared.frequency <= 0.5  # the corners hold few frequencies
    peaks = []
    if found.count >= spectrum.FEWEST_FOR_PEAKS:
        peaks = [dataclasses.asdict(peak) for peak in spectrum.peaks(*spectra)]
    number = names.number(found.count)
    return {
        "metric": "_".join(p for p in (f"spectrum{number}_{resolution}px_db", settings) if p),
        "value": float(np.sqrt(np.mean(compared.log_ratio[whole] ** 2))),
        "frequency": compared.frequency.tolist(),
        "reference_db": compared.real.tolist(),
        "db": compared.synthetic.tolist(),
        "peaks": peaks,
    }
