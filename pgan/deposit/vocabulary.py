"""Findings of several generators and collections, brought together under their common names."""

from collections.abc import Sequence

import numpy as np

from pgan.data import labels


def translate(values: np.ndarray, findings: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Labels in another vocabulary; unlike in `labels.project`, findings may be missing.

    Args:
        values: float32 [N, len(findings)], NaN where unknown.
        findings: The vocabulary they are in.
        wanted: The vocabulary asked for.

    Returns:
        float32 [N, len(wanted)]; NaN, unknown, for what is not labelled. Where "No Finding" is
        wanted and not labelled, it is 1 for images that are known to show nothing.
    """
    result = np.full((len(values), len(wanted)), np.nan, np.float32)
    for place, name in enumerate(wanted):
        if knows(findings, name):
            result[:, place] = labels.project(values, findings, [name])[:, 0]
        elif labels.is_no_finding(name):
            result[:, place] = labels.is_healthy(values, findings)
    return result


def knows(findings: Sequence[str], name: str) -> bool:
    """Whether a vocabulary has a finding, under its own name or that of another collection."""
    return labels.common_name(name) in map(labels.common_name, findings)


def shared(vocabularies: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Findings that all vocabularies have, in the order and by the names of the first.

    "No Finding" is none: an image without any finding is healthy in every vocabulary.
    """
    first, *others = vocabularies
    return tuple(
        name
        for name in first
        if not labels.is_no_finding(name) and all(knows(other, name) for other in others)
    )
