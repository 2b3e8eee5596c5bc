"""Devices of the chest phantom's patients, as metal in the beam: lines, tubes, pacemakers."""

import numpy as np
from scipy import interpolate

from pgan.data.phantom_anatomy import Anatomy, Chest
from pgan.data.phantom_texture import soft_step

CATHETER = "central venous catheter"
TUBE = "endotracheal tube"
PACEMAKER = "pacemaker"

# Attenuation, 1/cm: plastic made opaque with barium, and the metal of leads and cases.
_OPAQUE_PER_CM = 3.0
_METAL_PER_CM = 6.0


def sample_devices(
    lasting: np.random.Generator, passing: np.random.Generator, view: str
) -> tuple[str, ...]:
    """Which devices an image shows; most are at the bedside.

    Args:
        lasting: generator in the same state for all images of the patient.
        passing: generator of this image.
        view: "AP" or "PA".

    Returns:
        Some of CATHETER, TUBE and PACEMAKER, in this order.
    """
    bedside = view == "AP"
    chance = passing.random(2)
    present = {
        CATHETER: chance[0] < (0.52 if bedside else 0.14),
        TUBE: bedside and chance[1] < 0.22,
        PACEMAKER: lasting.random() < 0.13,
    }
    return tuple(name for name, there in present.items() if there)


def attenuation(
    chest: Chest,
    devices: tuple[str, ...],
    lasting: np.random.Generator,
    passing: np.random.Generator,
) -> np.ndarray:
    """Attenuation of the devices.

    Args:
        chest: where they lie.
        devices: names.
        lasting: draws what stays with the patient; one state per patient.
        passing: draws what is placed anew; one state per image.

    Returns:
        float32 [size, size], dimensionless.
    """
    total = np.zeros_like(chest.x)
    if CATHETER in devices:
        total += _OPAQUE_PER_CM * _cord(chest, _catheter(chest.anatomy, passing), 0.13)
    if TUBE in devices:
        total += _tube(chest, passing)
    if PACEMAKER in devices:
        total += _pacemaker(chest, lasting)
    return total


def _cord(chest: Chest, points: list[tuple[float, float]], radius: float) -> np.ndarray:
    """Length of a smooth cord through the points along the beam, float32 [size, size], cm."""
    points = np.asarray(points)
    steps = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    curve = interpolate.CubicSpline(steps, points)(np.linspace(0, steps[-1], 48))
    return chest.grid.strands(curve[:-1], curve[1:], np.full(47, radius), 0.06)


def _height(anatomy: Anatomy, level: float) -> float:
    """Y at a level between the lung apex, 0, and the costophrenic angles, 1."""
    return anatomy.apex + level * (anatomy.base - anatomy.apex)


def _catheter(anatomy: Anatomy, rng: np.random.Generator) -> list[tuple[float, float]]:
    """From the right side of the neck, or under a clavicle, to the superior vena cava."""
    cava = anatomy.shift - 0.75 * anatomy.mediastinum
    tip = _height(anatomy, rng.uniform(0.33, 0.46))
    end = [(cava - 0.1, _height(anatomy, 0.22)), (cava, tip)]
    entry = rng.random()
    if entry < 0.55:
        neck = -0.75 * anatomy.neck
        return [(neck - 0.6, -3.0), (neck + 0.2, 1.5), (cava - 0.5, _height(anatomy, 0.05)), *end]
    side = -1.0 if entry < 0.8 else 1.0
    collar = anatomy.apex + rng.uniform(0.2, 1.2)
    start = [(side * rng.uniform(11, 13), collar + 2.5), (side * 7.5, collar + 0.1)]
    return [*start, (side * 3.2, collar + 0.2), *end]


def _tube(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """A tube in the trachea, with a line along it that shows where it ends."""
    middle = 0.5 * (chest.anatomy.shift + chest.anatomy.rotation)
    end = _height(chest.anatomy, rng.uniform(0.12, 0.24))

    def along(offset):
        return [(middle + offset + 0.4, -3.0), (middle + offset, 2.0), (middle + offset, end)]

    walls = _cord(chest, along(-0.42), 0.12) + _cord(chest, along(0.42), 0.12)
    return 1.2 * walls + _OPAQUE_PER_CM * _cord(chest, along(0.3), 0.11)


def _pacemaker(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """A case under the left clavicle, and a lead through the veins into the right ventricle."""
    anatomy = chest.anatomy
    x, y = rng.uniform(8.5, 10.5), anatomy.apex + rng.uniform(3.2, 5.2)
    lean = rng.normal(0, 0.2)
    across = np.float32(np.cos(lean)) * (chest.x - np.float32(x)) + np.float32(np.sin(lean)) * (
        chest.y - np.float32(y)
    )
    down = np.float32(np.cos(lean)) * (chest.y - np.float32(y)) - np.float32(np.sin(lean)) * (
        chest.x - np.float32(x)
    )
    # Between an ellipse and a rectangle, 4.6 cm wide and 4 cm high.
    distance = ((across / 2.3) ** 4 + (down / 2.0) ** 4) ** 0.25
    case = soft_step((1 - distance) * 2.1, 2 * chest.edge)
    cava = anatomy.shift - 0.75 * anatomy.mediastinum
    lead = [
        (x - 1.5, y - 1.9),
        (x - 2.5, anatomy.apex + 0.6),
        (3.4, anatomy.apex + 0.8),
        (cava + 0.4, _height(anatomy, 0.2)),
        (cava - 0.2, _height(anatomy, 0.5)),
        (0.2, _height(anatomy, 0.80)),
        (rng.uniform(3.6, 4.8), _height(anatomy, rng.uniform(0.79, 0.83))),
    ]
    tip = np.exp(-((chest.x - np.float32(lead[-1][0])) ** 2) / 0.06)
    tip = tip * np.exp(-((chest.y - np.float32(lead[-1][1])) ** 2) / 0.02)
    return 2.4 * case + _METAL_PER_CM * _cord(chest, lead, 0.1) + 0.8 * tip
