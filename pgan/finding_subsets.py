"""Which images of several sets are compared finding by finding, in equal numbers.

An image shows a finding from a label of 0.5 on; a label that is not known (NaN) is no finding.
"""

import dataclasses
import zlib
from collections.abc import Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Subset:
    """Images of each set that are compared.

    Attributes:
        setting: Part of the names of its numbers, such as `Pleural_Thickening` or `balanced`.
        findings: Those that its images were chosen for.
        per_finding: Images of each set for each of them.
        images: {set: ascending numbers int64 [len(findings) * per_finding]}.
    """

    setting: str
    findings: tuple[str, ...]
    per_finding: int
    images: dict[str, np.ndarray]


def by_finding(
    labels: Mapping[str, np.ndarray], findings: Sequence[str], seed: int, fewest: int, most: int
) -> tuple[list[Subset], list[str]]:
    """For each finding, as many images that show it of each set as the smallest set has.

    Args:
        labels: {set: float [N, L]}.
        findings: Names of the columns.
        seed: Of the images that are chosen where there are more; an image's chance depends on the
            finding's name, not on the other findings.
        fewest: Images of a set for a finding, at least.
        most: Images of a subset, at most.

    Returns:
        The subsets in the order of the findings, and each finding without one with its counts.
    """
    subsets, left_out = [], []
    for column, finding in enumerate(findings):
        showing = {
            name: np.flatnonzero(np.asarray(rows)[:, column] >= 0.5)
            for name, rows in labels.items()
        }
        count = min(*map(len, showing.values()), most)
        if count < fewest:
            left_out.append(_counted(finding, {k: len(v) for k, v in showing.items()}))
            continue
        images = _draw(showing, count, [seed, zlib.crc32(finding.encode())])
        subsets.append(Subset(finding.replace(" ", "_"), (finding,), count, images))
    return subsets, left_out


def balanced(
    labels: Mapping[str, np.ndarray], findings: Sequence[str], seed: int, fewest: int, most: int
) -> tuple[Subset | None, list[str]]:
    """A subset in which each finding has as many images as every other, in all sets.

    An image that shows several of the findings is there for the rarest of them, so that none is
    there twice; what is rare is decided by the sum over the sets.

    Args:
        labels: {set: float [N, L]}.
        findings: Names of the columns.
        seed: Of the images that are chosen where there are more.
        fewest: Images of a set for a finding, at least.
        most: Images of the subset, at most.

    Returns:
        The subset, None if fewer than two findings remain, and each finding that it does without,
        with its counts.
    """
    present = {name: np.asarray(rows) >= 0.5 for name, rows in labels.items()}
    total = sum(rows.sum(axis=0) for rows in present.values())
    rarest_first = np.argsort(total, kind="stable").tolist()
    left_out = []
    while len(rarest_first) > 1:
        shares = {name: _share_out(rows, rarest_first) for name, rows in present.items()}
        counts = {
            column: {name: len(share[column]) for name, share in shares.items()}
            for column in rarest_first
        }
        scarce = min(rarest_first, key=lambda column: min(counts[column].values()))
        count = min(min(counts[scarce].values()), most // len(rarest_first))
        if count >= fewest:
            break
        left_out.append(_counted(findings[scarce], counts[scarce]))
        rarest_first.remove(scarce)  # Its images are there for other findings then.
    else:
        return None, left_out
    parts = [
        _draw(
            {name: share[column] for name, share in shares.items()},
            count,
            [seed, zlib.crc32(findings[column].encode())],
        )
        for column in rarest_first
    ]
    images = {name: np.sort(np.concatenate([part[name] for part in parts])) for name in labels}
    kept = tuple(finding for i, finding in enumerate(findings) if i in rarest_first)
    return Subset("balanced", kept, count, images), left_out


def _share_out(present, rarest_first):
    """{column: numbers of the images that are there for it}."""
    free = np.ones(len(present), bool)
    share = {}
    for column in rarest_first:
        share[column] = np.flatnonzero(present[:, column] & free)
        free &= ~present[:, column]
    return share


def _draw(candidates, count, seed):
    return {
        name: np.sort(np.random.default_rng([*seed, number]).permutation(images)[:count])
        for number, (name, images) in enumerate(candidates.items())
    }


def _counted(finding, counts):
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{finding} ({listed})"
