"""Pseudo-patients and what is done to them: one finding from absent to present, one into another.

A latent vector is a pseudo-patient (Han et al. 2020, fig. 5A): drawn with other labels, it is the
same chest with other findings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pgan.data import labels as labels_lib

if TYPE_CHECKING:  # a wrong flag is answered before TensorFlow is loaded
    from pgan import synthesis


@dataclasses.dataclass(frozen=True)
class PseudoPatient:
    """A latent vector by name: image `index` of `seed`, as tools/synthesize_images.py counts."""

    seed: int
    index: int = 0

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.seed}:{self.index}"


def parse(texts: Sequence[str]) -> tuple[PseudoPatient, ...]:
    """Reads pseudo-patients from texts such as "3" (its image 0) or "3:12".

    Raises:
        ValueError: If a text is something else, or a pseudo-patient is there twice.
    """
    patients = []
    for text in texts:
        parts = text.strip().split(":")
        try:
            if len(parts) > 2:
                raise ValueError
            patients.append(PseudoPatient(*map(int, parts)))
        except ValueError:
            raise ValueError(
                f"--seeds takes SEED or SEED:INDEX, such as --seeds=0:0,0:1 or --seeds=7, got "
                f"{text!r}"
            ) from None
    if len(set(patients)) < len(patients) or not patients:
        raise ValueError(f"--seeds must name different images, at least one; got {list(texts)}")
    return tuple(patients)


def latents(
    generator: synthesis.ExportedGenerator, patients: Sequence[PseudoPatient]
) -> np.ndarray:
    """Latent vectors float32 [N, Z] of pseudo-patients."""
    return generator.latents([one.seed for one in patients], [one.index for one in patients])


def with_findings(row: np.ndarray, positions: Sequence[int], strength: float) -> np.ndarray:
    """A label vector float32 [L] with some of its entries set to a strength in [0, 1]."""
    changed = np.array(row, np.float32)
    changed[list(positions)] = strength
    return changed


def sweep(row: np.ndarray, position: int, frames: int) -> np.ndarray:
    """Label vectors float32 [frames, L] along which one finding goes from 0 to 1 in even steps."""
    return np.stack([with_findings(row, [position], s) for s in np.linspace(0, 1, frames)])


def draw_all(
    generator: synthesis.ExportedGenerator, vectors: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Draws each latent vector with each label vector; those that are equal, once.

    Args:
        generator: Draws.
        vectors: float32 [N, Z].
        rows: float32 [M, L].

    Returns:
        float32 [N, M, R, R], grey levels.
    """
    unique, places = np.unique(rows, axis=0, return_inverse=True)
    drawn = generator.draw(
        np.repeat(vectors, len(unique), axis=0), np.tile(unique, (len(vectors), 1))
    )
    return drawn.reshape(len(vectors), len(unique), *drawn.shape[1:])[:, places]


def contrasts(
    generator: synthesis.ExportedGenerator,
    vectors: np.ndarray,
    others: np.ndarray,
    positions: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Draws pseudo-patients without and with each of some findings.

    Args:
        generator: Draws.
        vectors: float32 [N, Z], the pseudo-patients.
        others: float32 [L], what all other findings are held at.
        positions: Of F findings.

    Returns:
        Grey levels float32 [N, F, R, R] without the finding, and with it at strength 1.
    """
    rows = [with_findings(others, [p], strength) for strength in (0, 1) for p in positions]
    drawn = draw_all(generator, vectors, np.stack(rows))
    return drawn[:, : len(positions)], drawn[:, len(positions) :]


def great_circle(start: np.ndarray, end: np.ndarray, frames: int) -> np.ndarray:
    """Latent vectors on the way from one to another along the hypersphere.

    Directions follow the great circle at even speed (Shoemake, "Animating rotation with quaternion
    curves", SIGGRAPH 1985), lengths a straight line. A generator that normalises its latents sees
    the directions only. For one that does not, the way stays as well where its latents are: on a
    straight line, vectors of many normal entries would become too short.

    Args:
        start: float32 [Z].
        end: float32 [Z].
        frames: How many, the ends among them.

    Returns:
        float32 [frames, Z].
    """
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    one, other = start / lengths[0], end / lengths[1]
    angle = np.arccos(np.clip(one @ other, -1.0, 1.0))
    parts = np.linspace(0, 1, frames)[:, np.newaxis]
    if np.sin(angle) < 1e-6:  # the formula divides by it
        return ((1 - parts) * start + parts * end).astype(np.float32)
    ways = (np.sin((1 - parts) * angle) * one + np.sin(parts * angle) * other) / np.sin(angle)
    return (ways * ((1 - parts) * lengths[0] + parts * lengths[1])).astype(np.float32)


def file_name(finding: str) -> str:
    """A finding, or several joined by "+", as name of a file."""
    return "".join(c if c.isalnum() or c in "+-." else "_" for c in finding)


def combination(text: str, findings: Sequence[str]) -> tuple[int, ...]:
    """Positions of the findings of a text such as "Cardiomegaly+Effusion".

    Raises:
        ValueError: If one is unknown, or there are fewer than two different ones.
    """
    positions = tuple(labels_lib.find(name, findings) for name in text.split("+"))
    if len(positions) < 2 or len(set(positions)) < len(positions):
        raise ValueError(
            f"--combinations takes two or more different findings joined by '+', such as "
            f"'{'+'.join(findings[:2])}', got {text!r}"
        )
    return positions
