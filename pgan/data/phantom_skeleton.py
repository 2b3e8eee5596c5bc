"""Bones, airways and lung vessels of the chest phantom."""

import numpy as np

from pgan.data.phantom_anatomy import RIBS, Chest
from pgan.data.phantom_texture import chord, soft_step

_CORTEX = 0.16  # cm of compact bone around the marrow


def _tube(distance: np.ndarray, radius, cortex: float, marrow: float) -> np.ndarray:
    """Compact bone along the beam in a hollow cylinder, from the distance to its axis (cm)."""
    outer = radius * chord((distance / radius) ** 2)
    hollow = radius - cortex
    inner = hollow * chord((distance / hollow) ** 2)
    return 2 * (outer - np.float32(1 - marrow) * inner)


def bones(chest: Chest) -> np.ndarray:
    """Compact-bone equivalent along the beam of the whole skeleton, float32 [size, size], cm."""
    total = _ribs(chest) + _spine(chest) + _clavicles(chest) + _shoulder_girdle(chest)
    return np.float32(chest.anatomy.bone) * total


def _ribs(chest: Chest) -> np.ndarray:
    """All ribs at once: a rib is a ridge of a periodic phase, so no rib needs its own map."""
    anatomy = chest.anatomy
    spacing = np.float32(anatomy.rib_spacing)
    radius = np.float32(anatomy.rib_width / 2)
    # The cage encloses the lungs and starts above their apex.
    cage = chest.outline(-1.5, -0.35)
    r = chest.side / cage
    inside = soft_step((1 - r) * cage, 2 * chest.edge)
    # Near the side wall the rib runs along the beam.
    grazing = 1 / np.sqrt(np.maximum(1 - r * r, 0.12))
    first = np.float32(anatomy.apex - 0.9)
    drop = np.float32(anatomy.rib_drop)
    total = 0
    # Posterior arches leave the spine almost level and slope down laterally; anterior arches
    # start where those end and slope steeply down towards the sternum, ending in cartilage.
    posterior = drop * (1.35 * r * r - 0.35 * r)
    away = 1 - r
    anterior = drop + np.float32(1.05 * drop) * away * (1.55 - 0.55 * away)
    slopes = (drop * (2.7 * r - 0.35), np.float32(1.05 * drop) * (1.1 * away - 1.55))
    fades = (
        np.float32(0.30) * soft_step(chest.side - 1.6, 0.8),
        np.float32(0.17) * soft_step(r - 0.42, 0.22),
    )
    for offset, slope, fade, count in zip(
        (posterior, anterior), slopes, fades, (RIBS, RIBS - 3), strict=True
    ):
        phase = (chest.y - first - offset) / spacing
        nearest = np.clip(np.rint(phase), 0, count - 1)
        steep = slope / cage
        distance = (phase - nearest) * spacing / np.sqrt(1 + steep * steep)
        total = total + fade * _tube(distance, radius, _CORTEX, 0.45)
    below = 1 - np.float32(0.5) * soft_step(chest.y - chest.dome_y, 1.0)
    return total * inside * grazing * below


def _spine(chest: Chest) -> np.ndarray:
    """Vertebral bodies with end plates, pedicles and spinous processes."""
    x, y = chest.spine_x, chest.y
    anatomy = chest.anatomy
    pitch = np.float32(anatomy.rib_spacing * 1.02)
    phase = (y - np.float32(anatomy.apex - 0.9)) / pitch
    within = phase - np.rint(phase)  # -0.5 .. 0.5, 0 in the middle of a vertebra
    half = np.float32(1.35) + np.float32(0.018) * y + np.float32(0.9) * within * within
    body = soft_step(half - np.abs(x), 2 * chest.edge)
    disc = soft_step(np.abs(within) - np.float32(0.40), 0.16)
    plate = np.exp(-((np.abs(within) - np.float32(0.37)) ** 2) * np.float32(1 / 0.0016))
    centre = np.float32(0.34) * (1 - np.float32(0.5) * disc) + np.float32(0.10) * plate
    pedicle = ((np.abs(x) - 0.9) / 0.42) ** 2 + ((within + 0.1) * pitch / 0.55) ** 2
    spinous = (x / 0.3) ** 2 + ((within - 0.3) * pitch / 0.7) ** 2
    return body * centre + 0.22 * chord(pedicle) + 0.22 * chord(spinous)


def _clavicles(chest: Chest) -> np.ndarray:
    anatomy = chest.anatomy
    x = chest.x - np.float32(anatomy.rotation)
    along = (np.abs(x) - 1.7) / np.float32(14.5)
    inner = np.float32(anatomy.apex + 2.6)
    # A flat S that rises to the shoulder.
    wave = np.sin(along * np.float32(2 * np.pi)) * np.float32(0.55)
    axis = inner - np.float32(anatomy.clavicle_rise + 0.9) * along + wave
    radius = np.float32(0.62) + np.float32(0.9) * (along - 0.45) ** 2
    ends = soft_step(along, 0.05) * soft_step(1 - along, 0.05)
    return np.float32(0.5) * ends * _tube(chest.y - axis, radius, 0.2, 0.4)


def _shoulder_girdle(chest: Chest) -> np.ndarray:
    """Scapula, humeral head and shaft."""
    anatomy = chest.anatomy
    ax, y = np.abs(chest.x), chest.y
    top = np.float32(anatomy.shoulder)
    # Scapula: a thin blade with thick medial and lateral borders, tapering downwards.
    down = (y - (top + 1.0)) / np.float32(12.5)
    medial = np.float32(anatomy.scapula) + np.float32(1.6) * down
    lateral = np.float32(anatomy.scapula + 6.5) - np.float32(4.6) * down
    blade = np.minimum(ax - medial, lateral - ax)
    inside = soft_step(blade, 0.5) * soft_step(down, 0.1) * soft_step(1 - down, 0.12)
    rim = np.exp(-((blade - 0.35) ** 2) * np.float32(1 / 0.12))
    scapula = inside * (np.float32(0.12) + np.float32(0.28) * rim)
    # Humerus under the tip of the shoulder, following the arm.
    head_x, head_y = np.float32(18.0), top + 3.0
    distance = np.sqrt((ax - head_x) ** 2 + (y - head_y) ** 2)
    head = np.float32(0.25) * _tube(distance, np.float32(2.35), 0.25, 0.45)
    shaft = np.float32(0.6) * _tube(ax - chest.arm_x, np.float32(1.15), 0.35, 0.3)
    shaft = shaft * soft_step(y - head_y - 1.0, 1.0)
    return scapula + np.maximum(head, shaft)


def airways(chest: Chest) -> np.ndarray:
    """Length of gas along the beam in trachea and main bronchi, float32 [size, size], cm."""
    anatomy = chest.anatomy
    carina = np.float32(anatomy.apex + 0.34 * (anatomy.base - anatomy.apex))
    x = chest.spine_x - np.float32(0.5 * (anatomy.shift + anatomy.rotation))
    bend = x - np.float32(0.25) * np.clip((chest.y - 6) / 8, 0, 1)
    trachea = 1.7 * chord((bend / 0.85) ** 2) * soft_step(carina - chest.y, 1.0)
    below = chest.y - carina + 0.5
    # The right main bronchus is wider and steeper than the left.
    right = 1.2 * chord(((x + 0.3 + 0.75 * below) / 0.85) ** 2) * soft_step(3.2 - below, 1.2)
    left = 1.0 * chord(((x - 0.3 - 1.1 * below) / 1.0) ** 2) * soft_step(2.6 - below, 1.2)
    return trachea + (right + left) * soft_step(below, 1.0)


def stomach_gas(chest: Chest) -> np.ndarray:
    """Length of gas along the beam in the gastric bubble, float32 [size, size], cm."""
    anatomy = chest.anatomy
    radius = np.float32(anatomy.gas)
    if radius < 0.3:
        return np.zeros_like(chest.x)
    x = np.float32(0.48 * anatomy.lung_width)
    top = anatomy.base + 0.5 * anatomy.left_drop - anatomy.dome - anatomy.raise_left
    y = np.float32(top + 0.5 * anatomy.left_drop + 0.6 + 0.8 * radius)
    bubble = ((chest.x - x) / (1.5 * radius)) ** 2 + ((chest.y - y) / radius) ** 2
    # Fluid settles below a level line.
    return 1.5 * radius * chord(bubble) * soft_step(y + 0.55 * radius - chest.y, 0.3)


def vessel_tree(
    rng: np.random.Generator, anatomy, cephalisation: float = 0.0
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, float]]:
    """Branching arteries and veins of both lungs.

    Args:
        rng: draws the tree; the same state gives the same tree for any anatomy.
        anatomy: scales the tree.
        cephalisation: 0..1, dilates the upper vessels at the cost of the lower ones.

    Returns:
        per generation (start [N, 2], end [N, 2], radius [N], blur), all cm.
    """
    roots = 15
    hilum_y = anatomy.apex + 0.43 * (anatomy.base - anatomy.apex)
    height = (anatomy.base - anatomy.apex) / 24
    side = np.repeat([-1.0, 1.0], roots)
    fan = np.tile(np.linspace(-1.35, 1.30, roots), 2) + rng.normal(0, 0.1, 2 * roots)
    start = np.stack(
        [
            side * (anatomy.mediastinum + rng.uniform(0.2, 1.6, 2 * roots)) + anatomy.shift,
            hilum_y + 2.0 * np.sin(fan) + rng.normal(0, 0.5, 2 * roots) - 0.5 * (side > 0),
        ],
        axis=1,
    )
    angle = fan
    radius = (0.34 + 0.08 * np.sin(fan)) * rng.uniform(0.75, 1.2, 2 * roots)
    length = rng.uniform(2.4, 4.0, 2 * roots)
    generations = []
    for generation in range(6):
        direction = np.stack([side * np.cos(angle), np.sin(angle)], axis=1)
        end = start + direction * (length * height)[:, None]
        upper = np.clip((hilum_y - end[:, 1]) / 6, -1, 1)
        calibre = anatomy.vessels * radius * (1 + 0.45 * cephalisation * upper)
        if generation > 0:
            calibre = calibre * (1 - anatomy.vessel_fade * (0.45 + 0.1 * generation))
        generations.append((start, end, calibre, 0.05 + 0.45 * float(radius.mean())))
        # Each branch splits unequally in two.
        count = len(angle)
        spread = rng.uniform(0.2, 0.55, count)
        first, second = rng.uniform(0.72, 0.9, count), rng.uniform(0.5, 0.72, count)
        turn = rng.normal(0, 0.12, 2 * count)
        angle = np.concatenate([angle - 0.6 * spread, angle + spread]) + turn
        radius = np.concatenate([radius * first, radius * second])
        length = np.tile(length, 2) * rng.uniform(0.65, 0.95, 2 * count)
        start = np.concatenate([end, end])
        side = np.tile(side, 2)
    return generations
