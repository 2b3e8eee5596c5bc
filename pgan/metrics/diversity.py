"""How alike images with the same finding are, real and synthetic: the study of figure S2.

A generator that lost diversity draws images that resemble one another, so the mean MS-SSIM of
random pairs of its images is higher than that of real ones (Odena et al. 2017,
https://arxiv.org/abs/1610.09585). Han et al. 2020 (figure S2) took 1000 pairs of each finding.
Real pairs are of different patients, since two images of one patient are alike for another reason.

The mean says nothing about quality: noise is very diverse. And it is fair only if the synthetic
images were drawn for label rows as the real ones have them; images with one finding each may be
less diverse than real ones, which have others too.
"""

import concurrent.futures
import dataclasses
import os
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tqdm

from pgan.metrics import similarity

_BATCH = 32  # pairs, so 64 images at once


@dataclasses.dataclass(frozen=True)
class Source:
    """Images that can be asked for by index.

    Attributes:
        name: For people.
        labels: float [N, L]; a finding is present from 0.5 on, NaN is unknown and not present.
        fetch: Function of ascending indices int64 [B], without repetition, to their images
            uint8 [B, H, W].
        patients: Whose image each is; None if each is somebody else's, as of synthetic ones.
    """

    name: str
    labels: np.ndarray
    fetch: Callable[[np.ndarray], np.ndarray]
    patients: Sequence[str] | None = None


def draw_pairs(
    labels: np.ndarray,
    patients: Sequence[str] | None,
    finding: int,
    count: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws random pairs of images that both show a finding, of different patients.

    All such pairs are equally likely, (a, b) and (b, a) being the same pair, and none is drawn
    twice. So there may be fewer than `count`: then all that exist are returned, see `count_pairs`.

    Args:
        labels: float [N, L]; a finding is present from 0.5 on, NaN is unknown and not present.
        patients: N names; None if each image is somebody else's.
        finding: Column of the labels.
        count: Wanted number of pairs.
        rng: Draws the pairs.

    Returns:
        int64 [P, 2], indices of images, P at most `count`.

    Raises:
        ValueError: If there is no pair, or the arguments do not fit together.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    images, first_partners = _candidates(labels, patients, finding)
    # Numbers of the pairs: those of the first image come first, then those of the second ...
    ends = np.cumsum(len(images) - first_partners)
    total = int(ends[-1]) if len(ends) else 0
    if not total:
        whose = "" if patients is None else " of different patients"
        raise ValueError(
            f"column {finding} of the labels has no pair of images{whose}: {len(images)} images "
            "have the finding; leave it out"
        )
    numbers = rng.choice(total, min(count, total), replace=False)
    first = np.searchsorted(ends, numbers, side="right")
    second = len(images) - (ends[first] - numbers)
    return np.stack([images[first], images[second]], axis=1)


def count_pairs(labels: np.ndarray, patients: Sequence[str] | None, finding: int) -> int:
    """How many different pairs `draw_pairs` can draw; arguments and errors as there."""
    images, first_partners = _candidates(labels, patients, finding)
    return int(np.sum(len(images) - first_partners))


def standard_error(values: np.ndarray, owners: np.ndarray) -> float | None:
    """Standard error of the mean over pairs that share owners (patients or images).

    Pairs that have an owner in common are correlated, so SD / sqrt(P) is too small, for 1000 pairs
    of 85 NIH radiographs by a factor of three. With e_k = x_k - mean, T_i the sum of e_k over the
    pairs of owner i, E_ij that over the pairs of i and j, and n owners, it is the root of

        n (n - 1) / (n - 2)^2  sum_i T_i^2 / P^2  -  sum_(i < j) E_ij^2 / P^2,

    at least SD / sqrt(P). The first part is the jackknife over owners of a U-statistic of order two
    (Arvesen, Ann. Math. Stat. 40, 1969). It counts what pairs of the same two owners have in
    common twice, once for each owner; the second part takes one of them away (as Fafchamps &
    Gubert, J. Dev. Econ. 83, 2007, do in sums over pairs).

    Args:
        values: float [P].
        owners: int [P, 2], two different ones of each pair.

    Returns:
        The error; None if there are fewer than three owners.
    """
    values = np.asarray(values, np.float64)
    owners = np.sort(np.asarray(owners), axis=1)
    names, places = np.unique(owners, return_inverse=True)
    n, count = len(names), len(values)
    if n < 3:
        return None
    deviations = values - values.mean()
    by_owner = np.bincount(places, np.repeat(deviations, 2))
    _, pairs = np.unique(owners, axis=0, return_inverse=True)
    by_pair = np.bincount(pairs, deviations)
    shared = n * (n - 1) / (n - 2) ** 2 * (by_owner @ by_owner) - by_pair @ by_pair
    independent = deviations @ deviations * count / (count - 1)
    return float(np.sqrt(max(shared, independent)) / count)


def compare(
    real: Source,
    synthetic: Source,
    findings: Sequence[str],
    count: int = 1000,
    variant: str = "standard",
    seed: int = 0,
    show_progress: bool = True,
) -> list[dict[str, Any]]:
    """Measures the similarity of random pairs, finding by finding.

    The pairs of a finding depend on the source's labels, the seed, and the finding's name, not on
    the other findings. At most 64 images are in memory.

    Args:
        real: The real images.
        synthetic: The synthetic ones.
        findings: Names of the columns of both sources' labels.
        count: Pairs of each finding and source, as far as there are as many.
        variant: Of `similarity.ms_ssim`.
        seed: Of the pairs.
        show_progress: Whether to draw a bar.

    Returns:
        A row of JSON types for each finding:

        * metric: Name of the values, see `similarity.ms_ssim_name`; resolution: shorter side.
        * finding, real, synthetic (names of the sources), pairs_wanted, seed.
        * real_..., synthetic_...: `mean` and `sd` of the pairs, `standard_error` of the mean (see
          `standard_error`), `pairs` measured, `pairs_existing`, `images` with the finding.
        * difference: synthetic mean - real mean, positive if the synthetic images are less
          diverse; difference_standard_error.

        Numbers that the pairs do not suffice for are None; `notes` puts this into words.

    Raises:
        ValueError: If the sources do not fit together, a source has images of several sizes, or no
            finding has pairs in both.
    """
    sources = {"real": real, "synthetic": synthetic}
    for source in sources.values():
        if np.ndim(source.labels) != 2 or np.shape(source.labels)[1] != len(findings):
            raise ValueError(
                f"the labels of {source.name} have shape {list(np.shape(source.labels))}; "
                f"{len(findings)} findings are wanted: {', '.join(findings)}"
            )
    existing = {
        side: [count_pairs(source.labels, source.patients, i) for i in range(len(findings))]
        for side, source in sources.items()
    }
    if not any(map(min, *existing.values())):
        raise ValueError(
            f"no finding has pairs of images both in {real.name} and in {synthetic.name}; "
            "the labels or the order of their findings are not as thought"
        )
    rows = []
    shape = None
    total = sum(min(count, pairs) for pairs in (*existing["real"], *existing["synthetic"]))
    workers = concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    with workers, tqdm.tqdm(total=total, unit="pair", disable=not show_progress) as bar:
        for column, finding in enumerate(findings):
            row = {"finding": finding, "pairs_wanted": count, "seed": seed}
            for number, (side, source) in enumerate(sources.items()):
                bar.set_description(f"{finding}, {side}")
                row[side] = source.name
                pairs, values = np.zeros((0, 2), int), np.zeros(0)
                if existing[side][column]:
                    rng = np.random.default_rng([seed, number, zlib.crc32(finding.encode())])
                    pairs = draw_pairs(source.labels, source.patients, column, count, rng)
                    values, shape = _measure(source, pairs, variant, shape, workers, bar)
                positive = int(np.sum(source.labels[:, column] >= 0.5))
                facts = {
                    **_summary(values, _owners(pairs, source.patients)),
                    "pairs_existing": existing[side][column],
                    "images": positive,
                }
                row |= {f"{side}_{key}": value for key, value in facts.items()}
            rows.append(row | _difference(row))
    size = min(shape)
    name = similarity.ms_ssim_name(size, variant)
    return [{"metric": name, "resolution": size, **row} for row in rows]


def similarities(
    source: Source, finding: int, count: int, rng: np.random.Generator, variant: str = "standard"
) -> tuple[np.ndarray, np.ndarray]:
    """Measures random pairs of one finding of one source; arguments and errors as `draw_pairs`.

    Returns:
        Values float64 [P] of `similarity.ms_ssim`, and their owners int64 [P, 2] for
        `standard_error`.
    """
    pairs = draw_pairs(source.labels, source.patients, finding, count, rng)
    workers = concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    with workers, tqdm.tqdm(total=len(pairs), disable=True) as bar:
        values, _ = _measure(source, pairs, variant, None, workers, bar)
    return values, _owners(pairs, source.patients)


def notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Sentences on findings with fewer pairs than wanted, one for each source, for people.

    Args:
        rows: Of `compare`.
    """
    sentences = []
    for side in ("real", "synthetic"):
        few = [
            f"{row['finding']} ({row[f'{side}_pairs_existing']:,} of "
            f"{row[f'{side}_images']:,} images)"
            for row in rows
            if row[f"{side}_pairs_existing"] < row["pairs_wanted"]
        ]
        if few:
            sentences.append(
                f"Fewer pairs than {rows[0]['pairs_wanted']:,}, in {rows[0][side]}: "
                f"{', '.join(few)}."
            )
    return sentences


def _candidates(labels, patients, finding):
    """Images with a finding, ordered so that an image's partners are all behind it.

    Returns:
        Indices int64 [n] of the images, those of a patient in a row, and int64 [n]: the place of
        the next patient's first image. From there on all are partners.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not 0 <= finding < labels.shape[1]:
        raise ValueError(f"labels of shape {list(labels.shape)} have no column {finding}")
    images = np.flatnonzero(labels[:, finding] >= 0.5)
    if patients is None:
        return images, np.arange(1, len(images) + 1)
    if len(patients) != len(labels):
        raise ValueError(f"{len(labels)} images need as many patients, got {len(patients)}")
    if any(patient is None or patient == "" for patient in patients):
        raise ValueError("the patients of some images are unknown; give None for unrelated images")
    owners = np.asarray(patients)[images]
    order = np.argsort(owners, kind="stable")
    return images[order], np.searchsorted(owners[order], owners[order], side="right")


def _owners(pairs, patients):
    """Numbers of the patients of pairs, or of the images where these have none."""
    if patients is None or not len(pairs):
        return pairs
    numbers = np.unique(np.asarray(patients), return_inverse=True)[1]
    return numbers[pairs]


def _measure(source, pairs, variant, shape, workers, bar):
    """Values float64 [P] of pairs, and the shape (H, W) of their images.

    Raises:
        ValueError: If that is not `shape`, where this is not None.
    """
    values = np.empty(len(pairs))
    for start in range(0, len(pairs), _BATCH):
        part = pairs[start : start + _BATCH]
        wanted, places = np.unique(part, return_inverse=True)
        places = places.reshape(part.shape)
        images = np.asarray(source.fetch(wanted))
        if images.ndim != 3 or len(images) != len(wanted):
            raise ValueError(
                f"{source.name}: {len(wanted)} images [B, H, W] were asked for, got "
                f"{list(images.shape)}"
            )
        if shape not in (None, images.shape[1:]):
            raise ValueError(
                f"{source.name} has images of {list(images.shape[1:])} px, others have "
                f"{list(shape)}; MS-SSIM compares at one resolution only"
            )
        shape = images.shape[1:]

        def measure(row, images=images, places=places):
            a, b = places[row]
            return similarity.ms_ssim(images[a : a + 1], images[b : b + 1], variant)[0]

        values[start : start + len(part)] = list(workers.map(measure, range(len(part))))
        bar.update(len(part))
    return values, shape


def _summary(values, owners):
    return {
        "mean": float(values.mean()) if len(values) else None,
        "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
        "standard_error": standard_error(values, owners) if len(values) > 1 else None,
        "pairs": len(values),
    }


def _difference(row):
    means = row["real_mean"], row["synthetic_mean"]
    errors = row["real_standard_error"], row["synthetic_standard_error"]
    return {
        "difference": None if None in means else means[1] - means[0],
        "difference_standard_error": None if None in errors else float(np.hypot(*errors)),
    }
