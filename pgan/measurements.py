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

SMALLEST = 16  # px
FEATURES_KEPT = 10_000
NEIGHBOURS = {"pr": 3, "dc": 5}  # as their authors have it
FEWEST_FOR_KERNEL = 4  # two in each of two subsets
_PAIRS = {
    "pr": ("precision", "recall", manifold.precision_recall),
    "dc": ("density", "coverage", manifold.density_coverage),
}


@dataclasses.dataclass(frozen=True)
class Collected:
    """What a set of images leaves behind.

    Attributes:
        count: Images seen.
        statistics: Of the features of all of them.
        features: float32 [min(count, FEATURES_KEPT), D], of the first images.
        patches: For the sliced Wasserstein distance; None where the size does not permit it.
        spectrum: Mean power spectrum; None where the size does not permit it.
    """

    count: int
    statistics: frechet.Statistics
    features: np.ndarray
    patches: wasserstein.Accumulator | None
    spectrum: spectrum.Accumulator | None


def require_size(resolution: int, name: str) -> None:
    """Raises ValueError if images of that side in px are too small to be measured."""
    if resolution < SMALLEST:
        raise ValueError(
            f"{name} has images of {resolution} px; {SMALLEST} px are the fewest that can be "
            "measured. Take a later checkpoint, or a larger --resolution when training"
        )


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
        ValueError: If there are fewer than two images, they have another shape, or features are
            not finite.
    """
    sums, kept, count = frechet.Accumulator(), [], 0
    patches = wasserstein.Accumulator(resolution, seed) if _has_patches(resolution) else None
    power = spectrum.Accumulator(resolution) if _has_spectrum(resolution) else None
    for images in batches:
        found = extractor(images)
        sums.add(found)
        if count < FEATURES_KEPT:
            kept.append(np.asarray(found[: FEATURES_KEPT - count], np.float32))
        if patches is not None:
            patches.add(images)
        if power is not None:
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
) -> list[dict[str, Any]]:
    """Measures one set against the reference.

    Args:
        found: The set.
        reference: As many images.
        extractor: That both were collected with.
        resolution: Of the images.
        seed: Of subsets and directions.

    Returns:
        Rows {"metric", "value"} and more: "spread", the standard deviation of a kernel distance
        over its subsets; "levels" of a sliced Wasserstein distance; and of the spectra, whose
        value is the root mean square of their difference in decibels over all frequencies, the
        curves and the "peaks", waves that the set has and the reference has not. What `left_out`
        lists is not among them.

    Raises:
        ValueError: If the counts differ.
    """
    if found.count != reference.count:
        raise ValueError(f"sets of {found.count} and {reference.count} images do not compare")
    distance = frechet.distance(found.statistics, reference.statistics)
    rows = [{"metric": names.metric_name("fd", found.count, extractor), "value": distance}]
    rows += _kernel_distance(found.features, reference.features, extractor, seed)
    rows += _neighbours(found.features, reference.features, extractor)
    if found.patches is not None:
        rng = np.random.default_rng([seed, 2])
        apart = wasserstein.distance(found.patches, reference.patches, rng)
        metric = wasserstein.name(found.count, resolution)
        rows.append({"metric": metric, "value": apart.mean, "levels": apart.levels})
    if found.spectrum is not None:
        rows.append(_compare_spectra(found, reference, resolution))
    return rows


def compare_features(
    found: np.ndarray,
    reference: np.ndarray,
    extractor: features.Extractor,
    seed: int,
    setting: str,
) -> list[dict[str, Any]]:
    """Frechet and kernel distance of features that are in memory.

    Args:
        found: float32 [N, D].
        reference: float32 [N, D].
        extractor: That made them.
        seed: Of subsets.
        setting: Part of the names: how the images were chosen.

    Returns:
        Rows as of `compare`.
    """
    statistics = frechet.statistics(found), frechet.statistics(reference)
    metric = names.metric_name("fd", len(found), extractor, setting)
    rows = [{"metric": metric, "value": frechet.distance(*statistics)}]
    return rows + _kernel_distance(found, reference, extractor, seed, setting)


def left_out(count: int, resolution: int) -> list[str]:
    """Sentences on what cannot be measured of so many images of that size, and why.

    Args:
        count: Images of each set.
        resolution: Their side in px.
    """
    reasons = []
    few = f"of each set, there are {count}"
    if count < FEWEST_FOR_KERNEL:
        reasons.append(f"Kernel distance: {FEWEST_FOR_KERNEL} images are needed {few}.")
    for kind, (first, second, _) in _PAIRS.items():
        if count <= NEIGHBOURS[kind]:
            title = f"{first.capitalize()} and {second}"
            reasons.append(f"{title}: {NEIGHBOURS[kind] + 1} images are needed {few}.")
    if not _has_patches(resolution):
        reasons.append(
            f"Sliced Wasserstein distance: images must have {wasserstein.COARSEST} px times a "
            f"power of two, these have {resolution}."
        )
    if not _has_spectrum(resolution):
        reasons.append(f"Spectra: the side of images must be even, it is {resolution} px.")
    elif count < spectrum.FEWEST_FOR_PEAKS:
        reasons.append(
            f"Peaks in the spectra: {spectrum.FEWEST_FOR_PEAKS} images are needed {few}."
        )
    return reasons


def _kernel_distance(found, reference, extractor, seed, setting=""):
    # Of all samples at once, subsets would not differ.
    size = min(kernel.SUBSET_SIZE, len(found) // 2)
    if len(found) < FEWEST_FOR_KERNEL:
        return []
    parts = ["" if size == kernel.SUBSET_SIZE else f"m{size}", setting]
    metric = names.metric_name("kd", len(found), extractor, "_".join(filter(None, parts)))
    rng = np.random.default_rng([seed, 1])
    value, spread = kernel.kid(reference, found, subset_size=size, rng=rng)
    return [{"metric": metric, "value": value, "spread": spread}]


def _neighbours(found, reference, extractor):
    rows = []
    for kind, (*labels, function) in _PAIRS.items():
        k = NEIGHBOURS[kind]
        if len(found) > k:
            metric = names.metric_name(kind, len(found), extractor, f"k{k}")
            values = function(reference, found, k)
            rows += [
                {"metric": f"{metric}_{label}", "value": value}
                for label, value in zip(labels, values, strict=True)
            ]
    return rows


def _has_patches(resolution):
    ratio = resolution / wasserstein.COARSEST
    return ratio >= 1 and float(ratio).is_integer() and not int(ratio) & (int(ratio) - 1)


def _has_spectrum(resolution):
    return resolution % 2 == 0


def _compare_spectra(found, reference, resolution):
    spectra = reference.spectrum.spectrum(), found.spectrum.spectrum()
    compared = spectrum.compare(*spectra)
    whole = compared.frequency <= 0.5  # the corners hold few frequencies
    peaks = []
    if found.count >= spectrum.FEWEST_FOR_PEAKS:
        peaks = [dataclasses.asdict(peak) for peak in spectrum.peaks(*spectra)]
    return {
        "metric": f"spectrum{names.number(found.count)}_{resolution}px_db",
        "value": float(np.sqrt(np.mean(compared.log_ratio[whole] ** 2))),
        "frequency": compared.frequency.tolist(),
        "reference_db": compared.real.tolist(),
        "db": compared.synthetic.tolist(),
        "peaks": peaks,
    }
