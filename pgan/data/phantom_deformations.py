"""Findings of the chest phantom that move or resize organs."""

import dataclasses

import numpy as np

from pgan.data import labels
from pgan.data.phantom_anatomy import Anatomy

_INDEX = {name: position for position, name in enumerate(labels.NIH_14)}


def draw_side(rng: np.random.Generator) -> float:
    """Side of a one-sided finding: -1 the patient's right, slightly more common, or 1 the left."""
    return -1.0 if rng.random() < 0.54 else 1.0


def deform(anatomy: Anatomy, strengths: np.ndarray, rngs: dict) -> Anatomy:
    """Anatomy changed by the findings that move or resize organs.

    Args:
        anatomy: the healthy chest.
        strengths: float [14] in the order of `labels.NIH_14`.
        rngs: index of a present finding -> its generator. Painters get generators in the same
            state, so that the first draw, the side, agrees.

    Returns:
        The deformed anatomy.
    """
    changes = {}

    def add(name, value):
        changes[name] = changes.get(name, getattr(anatomy, name)) + float(value)

    strength = strengths[_INDEX["Cardiomegaly"]]
    if strength > 0:
        # From s = 0.3 on the heart is wider than half the chest.
        target = rngs[_INDEX["Cardiomegaly"]].uniform(0.62, 0.69)
        start = anatomy.heart_ratio
        reached = strength * target + (1 - strength) * max(start, 0.475)
        blend = min(1.0, strength / 0.3)
        add("heart_ratio", blend * (reached - start))
    strength = strengths[_INDEX["Emphysema"]]
    if strength > 0:
        rng = rngs[_INDEX["Emphysema"]]
        add("base", 1.3 * strength)
        add("dome", -0.72 * strength * anatomy.dome)
        add("lung_width", 0.5 * strength)
        add("depth", 2.6 * strength)
        add("heart_ratio", -0.085 * strength)
        add("heart_apex", 0.04 * strength)
        add("vessel_fade", rng.uniform(0.55, 0.7) * strength)
        add("lung_density", -0.5 * strength * anatomy.lung_density)
        add("rib_spacing", 0.12 * strength)
    strength = strengths[_INDEX["Atelectasis"]]
    if strength > 0:
        side = draw_side(rngs[_INDEX["Atelectasis"]])
        add("raise_right" if side < 0 else "raise_left", 2.6 * strength)
        add("shift", 0.8 * side * strength)
    strength = strengths[_INDEX["Fibrosis"]]
    if strength > 0:
        add("raise_right", 1.3 * strength)
        add("raise_left", 1.3 * strength)
        add("lung_width", -0.35 * strength)
    strength = strengths[_INDEX["Pneumothorax"]]
    if strength > 0:
        side = draw_side(rngs[_INDEX["Pneumothorax"]])
        add("shift", -0.7 * side * strength * max(0.0, strength - 0.3))
    return dataclasses.replace(anatomy, **changes) if changes else anatomy
