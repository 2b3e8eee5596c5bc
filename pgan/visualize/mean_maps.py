"""What findings change on average over many pseudo-patients, and whether it is in the right place.

On phantoms, where the truth is known: the mean over phantoms of |drawn with the finding - drawn
without| (`phantom.finding_regions`) is where a finding acts; its region are the pixels with at
least `region_shares.EDGE` of the largest value. A map's energy is the sum of the absolute
differences |with - without| of one pseudo-patient. The share of the energy within the region, over
the region's share of the area, is 1 for a map that knows nothing of it.

What changes brightness anywhere in the lungs has more than 1 in many regions, since these are in
the lungs too. So the maps of the other findings are measured in the same region: only a map that
lies there more than theirs shows this finding.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm

from pgan import region_shares, synthesis
from pgan.data import labels as labels_lib
from pgan.data import phantom
from pgan.search import block_store
from pgan.visualize import pseudo_patients

PART = "part"  # what is kept while maps are measured
_BLOCK = 16  # pseudo-patients between two saves
_RESAMPLES = 2000
_LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class MeanMaps:
    """Of F findings over N pseudo-patients.

    Attributes:
        without: float32 [F, R, R], the mean image without each finding, grey levels.
        difference: float32 [F, R, R], the mean of with - without.
        changes: float64 [N, F], mean |with - without| of each, grey levels.
        inside: float64 [N, F, F], share of the energy of the map of the second index within the
            region of the third; NaN without a change or a region.
    """

    without: np.ndarray
    difference: np.ndarray
    changes: np.ndarray
    inside: np.ndarray


def regions_of_phantoms(
    findings: Sequence[str], resolution: int, patients: int, progress: bool = True
) -> np.ndarray:
    """Where findings act in phantoms on average.

    Args:
        findings: Names, F.
        resolution: R.
        patients: How many phantoms; their findings are drawn at strength 1, one at a time.
        progress: Whether to show a bar.

    Returns:
        bool [F, R, R]; all false for what phantoms have not.
    """
    changes = phantom.finding_regions(resolution, patients=patients, progress=progress)
    places = {labels_lib.common_name(name): i for i, name in enumerate(labels_lib.NIH_14)}
    regions = np.zeros((len(findings), resolution, resolution), bool)
    for number, name in enumerate(findings):
        place = places.get(labels_lib.common_name(name))
        if place is not None:
            regions[number] = region_shares.region(changes[place])
    return regions


def measure(
    generator: synthesis.ExportedGenerator,
    others: np.ndarray,
    positions: Sequence[int],
    count: int,
    seed: int,
    regions: np.ndarray | None = None,
    folder: block_store.Folder | None = None,
    progress: bool = True,
) -> MeanMaps:
    """Draws many pseudo-patients without and with each finding.

    Args:
        generator: Draws.
        others: float32 [L], what all other findings are held at.
        positions: Of F findings.
        count: N; they are images 0 to N - 1 of the seed.
        seed: Of the pseudo-patients.
        regions: bool [F, R, R]; None without.
        folder: Keeps what is done as `PART`, from where the same call goes on.
        progress: Whether to show a bar.
    """
    folder = folder or block_store.Folder(None, {})
    size, findings = generator.resolution, len(positions)
    if regions is None:
        regions = np.zeros((findings, size, size), bool)
    state = folder.load(PART) or {
        "without": np.zeros((findings, size, size)),
        "difference": np.zeros((findings, size, size)),
        "changes": np.zeros((0, findings)),
        "inside": np.zeros((0, findings, findings)),
    }
    done = len(state["changes"])
    bar = tqdm.tqdm(
        total=count, initial=done, desc="Mean maps", unit="latent", disable=not progress
    )
    with bar:
        for start in range(done, count, _BLOCK):
            indices = np.arange(start, min(start + _BLOCK, count))
            block = _measure_block(generator, others, positions, seed, indices, regions)
            for name in ("without", "difference"):
                state[name] += block[name]
            for name in ("changes", "inside"):
                state[name] = np.concatenate([state[name], block[name]])
            folder.save(PART, state)
            bar.update(len(indices))
    means = {name: (state[name] / count).astype(np.float32) for name in ("without", "difference")}
    return MeanMaps(**{**state, **means})


def _measure_block(generator, others, positions, seed, indices, regions):
    sums = np.zeros((2, len(positions), generator.resolution, generator.resolution))
    changes = np.zeros((len(indices), len(positions)))
    inside = np.full((len(indices), len(positions), len(positions)), np.nan)
    flat = regions.reshape(len(regions), -1).T.astype(np.float64)
    known = flat.any(axis=0)
    for number, vector in enumerate(generator.latents(seed, indices)):
        without, shown = pseudo_patients.contrasts(generator, vector[np.newaxis], others, positions)
        difference = shown[0].astype(np.float64) - without[0]
        sums += (without[0], difference)
        energy = np.abs(difference).reshape(len(positions), -1)
        changes[number] = energy.mean(axis=1)
        total = energy.sum(axis=1)
        some = total > 0
        inside[number][np.ix_(some, known)] = (
            energy[some] @ flat[:, known] / total[some, np.newaxis]
        )
    return {"without": sums[0], "difference": sums[1], "changes": changes, "inside": inside}


def rows(
    maps: MeanMaps, findings: Sequence[str], regions: np.ndarray | None, seed: int
) -> list[dict[str, Any]]:
    """Rows "map_change" and, where regions are known, "map_ratio" of each finding.

    Intervals are percentiles of a bootstrap of the pseudo-patients: they tell how far the number
    depends on those that were drawn, not how another training would have ended.

    Args:
        maps: The maps.
        findings: Names, F.
        regions: bool [F, R, R]; None if they are not known.
        seed: Of the bootstrap.

    Returns:
        JSON types. "map_change": mean |with - without| in grey levels. "map_ratio": the mean of
        the share of energy inside over the region's area; "of_others", the same of the maps of the
        other findings in this region; "margin", by how much the first is larger; "of_mean_map",
        the ratio of the mean of the signed maps.
    """
    rng = np.random.default_rng(seed)
    table = []
    for number, finding in enumerate(findings):
        facts = {"finding": finding, "count": len(maps.changes)}
        table.append({"name": "map_change", **facts, **_mean(maps.changes[:, number], rng)})
        if regions is None or not regions[number].any():
            continue
        area = float(regions[number].mean())
        ratios = maps.inside[:, :, number] / area
        own = ratios[:, number]
        rest = _mean_of_known(np.delete(ratios, number, axis=1))
        margin = own - rest
        energy = np.abs(maps.difference[number])
        table.append(
            {
                "name": "map_ratio",
                **facts,
                **_mean(own[~np.isnan(own)], rng),
                "without_change": int(np.isnan(own).sum()),
                "area": area,
                "largest": 1 / area,
                "of_others": _mean(rest[~np.isnan(rest)], rng)["value"],
                "margin": _mean(margin[~np.isnan(margin)], rng),
                "of_mean_map": region_shares.measure(energy, regions[number]).ratio
                if energy.any()
                else None,
            }
        )
    return table


def _mean_of_known(values):
    """Mean of each row without its NaN; NaN where there is nothing else."""
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0).sum(axis=1), known.sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _mean(values, rng):
    if not len(values):
        return {"value": None, "low": None, "high": None, "level": _LEVEL}
    drawn = values[rng.integers(0, len(values), (_RESAMPLES, len(values)))].mean(axis=1)
    tail = 50 * (1 - _LEVEL)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return {"value": float(values.mean()), "low": float(low), "high": float(high), "level": _LEVEL}
