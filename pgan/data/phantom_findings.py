"""Painting the 14 findings of the chest phantom, each as a radiologist describes it.

A finding acts in two places: `phantom_deformations` has already moved and resized organs; the
painters here change the tissue in the beam. They fill lung with fluid, replace it with free gas,
or add soft tissue. Every effect is continuous in the strength s in [0, 1], grows with it, and
vanishes at 0.
"""

import numpy as np

from pgan.data import labels
from pgan.data.phantom_anatomy import Chest
from pgan.data.phantom_deformations import draw_side
from pgan.data.phantom_texture import chord, fractal_noise, smooth_noise, soft_step


class Lesions:
    """What the findings have done to the tissue of one chest; float32 [size, size] maps.

    Attributes:
        fill: 0..1, share of the lung's air replaced by fluid.
        gas: 0..1, share of the lung replaced by free gas.
        soft: soft tissue added along the beam, cm (negative where gas was added).
        cephalisation: dilation of the upper lung vessels.
    """

    def __init__(self, shape: tuple[int, int]):
        self.fill = np.zeros(shape, np.float32)
        self.gas = np.zeros(shape, np.float32)
        self.soft = np.zeros(shape, np.float32)
        self.cephalisation = 0.0

    def add_fill(self, share: np.ndarray) -> None:
        """Fills a share of the air that is still there, so that findings overlap."""
        self.fill += np.clip(share, 0, 1) * (1 - self.fill)


def _on_side(chest: Chest, side: float) -> np.ndarray:
    return chest.right if side < 0 else ~chest.right


def _above_angle(chest: Chest) -> np.ndarray:
    """Height above the costophrenic angles, cm."""
    return np.float32(chest.anatomy.base) - chest.y


def _atelectasis(chest, strength, rng, lesions):
    side = draw_side(rng)
    on = _on_side(chest, side)
    # Crowded, airless lung above the raised dome, and plates of collapse crossing it.
    above = chest.dome_y - chest.y
    share = 0.55 * np.exp(-np.maximum(above, 0) * np.float32(1 / 2.2)) * on
    anatomy = chest.anatomy
    dome = anatomy.base - anatomy.dome - 2.6
    for _ in range(rng.integers(2, 4)):
        y = dome - rng.uniform(0.3, 4.0)
        slope = rng.uniform(-0.3, 0.25)
        reach, centre = rng.uniform(2.0, 3.6), rng.uniform(5.0, 9.0)
        off = chest.side - np.float32(centre)
        axis = chest.y - np.float32(y) + np.float32(slope) * off
        half = np.float32(rng.uniform(0.3, 0.55)) * chord((off / np.float32(reach)) ** 2)
        share = np.maximum(share, 0.5 * on * soft_step(half - np.abs(axis), 0.5) * (half > 0))
    lesions.add_fill(np.float32(strength) * share)


def _cardiomegaly(chest, strength, rng, lesions):
    """The heart is enlarged by `deform`; nothing is painted."""


def _effusion(chest, strength, rng, lesions):
    side = draw_side(rng)
    both = rng.random() < 0.35
    for where, part in ((side, 1.0), (-side, 0.6)):
        if where == -side and not both:
            continue
        # The meniscus climbs along the side wall; fluid also fills the recess behind the dome.
        level = np.float32(8.5 * part * strength**0.75 - 0.5 * (1 - strength))
        wall = np.maximum(chest.width - chest.side, 0)
        climb = np.float32(3.4 * part * np.sqrt(strength)) * np.exp(-wall * np.float32(1 / 2.2))
        depth = level + climb - _above_angle(chest)
        fluid = soft_step(depth, 0.6 + 1.6 * part * strength)
        lesions.add_fill(fluid * np.float32(min(1.0, 4 * strength)) * _on_side(chest, where))


def _clouds(chest, rng, cells=9, octaves=4):
    return fractal_noise(rng, chest.grid.size, cells, octaves, gain=0.65)


def _blob(chest, x, y, rx, ry):
    return np.exp(
        -(((chest.x - np.float32(x)) / np.float32(rx)) ** 2)
        - ((chest.y - np.float32(y)) / np.float32(ry)) ** 2
    )


def _point_in_lung(chest, rng, side, low, high, inner=0.40, outer=0.80):
    """A point of a lung: `low`..`high` of its height from the apex, inner..outer of its width."""
    anatomy = chest.anatomy
    level = rng.uniform(low, high)
    y = anatomy.apex + level * (anatomy.base - anatomy.dome - anatomy.apex)
    rounding = np.sqrt(min(1.0, level / 0.75) * (2 - min(1.0, level / 0.75)))
    width = 4.4 + (anatomy.lung_width - 4.4) * rounding
    return side * width * rng.uniform(inner, outer), y


def _infiltration(chest, strength, rng, lesions):
    side = draw_side(rng)
    share = 0
    for patch in range(rng.integers(3, 6)):
        where = side if patch < 2 or rng.random() < 0.6 else -side
        x, y = _point_in_lung(chest, rng, where, 0.40, 0.95)
        share = share + _blob(chest, x, y, rng.uniform(2.0, 3.8), rng.uniform(2.0, 3.5))
    mottled = soft_step(_clouds(chest, rng, 11) + np.float32(0.1), 2.6)
    lesions.add_fill(np.float32(0.62 * strength) * np.minimum(share, 1) * mottled)


def _ball(chest, x, y, radius, lumps, rng):
    """Tissue along the beam of a ball with a slightly lobulated outline, cm."""
    dx, dy = chest.x - np.float32(x), chest.y - np.float32(y)
    distance = dx * dx + dy * dy
    if lumps > 0:
        angle = np.arctan2(dy, dx)
        outline = 1.0
        for order in (2, 3, 5):
            outline = outline + np.float32(lumps * rng.normal() / order) * np.cos(
                order * angle + np.float32(rng.uniform(0, 6.3))
            )
        distance = distance / (outline * outline)
    return np.float32(2 * radius) * chord(distance * np.float32(1 / radius**2))


def _mass(chest, strength, rng, lesions):
    x, y = _point_in_lung(chest, rng, draw_side(rng), 0.20, 0.80, 0.45, 0.75)
    # Never below 3 cm across, the definition of a mass; strength fades and enlarges it.
    radius = 1.55 + rng.uniform(0.5, 1.6) * strength
    lesions.soft += (
        np.float32(min(1.0, 1.6 * strength)) * 0.85 * _ball(chest, x, y, radius, 0.12, rng)
    )


def _nodule(chest, strength, rng, lesions):
    for _ in range(rng.integers(1, 4)):
        x, y = _point_in_lung(chest, rng, draw_side(rng), 0.18, 0.88, 0.42, 0.84)
        radius = rng.uniform(0.55, 0.9) + 0.45 * strength
        # Often calcified or denser than water, or it would not be seen at this size.
        lesions.soft += np.float32(1.35 * strength) * _ball(chest, x, y, radius, 0.0, rng)


def _pneumonia(chest, strength, rng, lesions):
    side = draw_side(rng)
    on = _on_side(chest, side)
    upper = rng.random() < 0.3
    x, y = _point_in_lung(chest, rng, side, *((0.25, 0.38) if upper else (0.62, 0.88)), 0.5, 0.7)
    patch = _blob(chest, x, y, rng.uniform(3.8, 5.0), rng.uniform(3.2, 4.4))
    # One border is a fissure and therefore sharp; the others are hazy.
    fissure = (chest.y - np.float32(y)) * (1 if upper else -1)
    fissure = fissure + np.float32(rng.uniform(-0.25, 0.25)) * (chest.x - np.float32(x))
    patch = patch * soft_step(np.float32(2.2) - fissure, 0.7)
    patchy = np.clip(0.62 + 0.30 * _clouds(chest, rng, 8, 3), 0, 1)
    lesions.add_fill(np.float32(0.95 * strength) * np.minimum(1.5 * patch, 1) * patchy * on)


def _outside(chest: Chest, drop: float, inset: float) -> np.ndarray:
    """Distance outside a lung whose apex sank by `drop` and whose side came in by `inset`, cm."""
    # A lung that falls away from the apex is round on top.
    return chest.side - chest.outline(drop, inset, top=4.4 - 2.4 * min(1.0, drop / 2))


def _pneumothorax(chest, strength, rng, lesions):
    side = draw_side(rng)
    # The lung falls away from apex and side wall; gas without vessels lies outside its edge.
    apart = _outside(chest, 5.5 * strength, 3.6 * strength)
    on = _on_side(chest, side)
    gas = soft_step(apart, 2 * chest.edge) * on
    amount = np.float32(min(1.0, 2.5 * strength))
    lesions.gas = np.maximum(lesions.gas, amount * gas)
    line = np.exp(-((apart / np.float32(max(0.13, 0.7 * chest.grid.pixel))) ** 2)) * on
    lesions.soft += amount * np.float32(0.75) * line * (chest.air > 0.5)
    # What is left of the lung is denser.
    lesions.add_fill(np.float32(0.22 * strength) * (1 - gas) * on)


def _consolidation(chest, strength, rng, lesions):
    side = draw_side(rng)
    on = _on_side(chest, side)
    lobe = rng.random()
    x, y = _point_in_lung(
        chest, rng, side, *((0.22, 0.34) if lobe < 0.3 else (0.66, 0.92)), 0.5, 0.66
    )
    dx, dy = (chest.x - np.float32(x)) / 5.4, (chest.y - np.float32(y)) / 4.8
    wavy = 0.3 * smooth_noise(rng, chest.grid.size, 7)
    dense = soft_step(1.0 + wavy - np.sqrt(dx * dx + dy * dy), 0.45)
    # Air-filled bronchi stay dark within it and fan out from the hilum.
    hilum = np.array([side * _hilum_x(chest), chest.anatomy.apex + 10.0])
    target = np.array([x, y]) + rng.normal(0, 1.8, (7, 2))
    begin = hilum + (target - hilum) * rng.uniform(0.2, 0.4, (7, 1))
    end = hilum + (target - hilum) * rng.uniform(1.0, 1.35, (7, 1))
    bronchi = chest.grid.strands(begin, end, np.full(7, 0.24), 0.14)
    lesions.add_fill(np.float32(strength) * dense * on)
    lesions.soft -= np.float32(2.4 * strength) * bronchi * dense * on * (chest.air > 1)


def _hilum_x(chest: Chest) -> float:
    """Distance of the hila from the midline, cm."""
    return chest.anatomy.mediastinum + 0.8


def _edema(chest, strength, rng, lesions):
    anatomy = chest.anatomy
    hilum_y = anatomy.apex + 0.47 * (anatomy.base - anatomy.apex)
    dx = (chest.side - np.float32(anatomy.mediastinum + 1.6)) / np.float32(4.6)
    dy = (chest.y - np.float32(hilum_y)) / np.float32(6.0)
    # Bat wings: dense around the hila, the outer third of the lung spared.
    wings = np.exp(-(dx * dx) - dy * dy)
    fluffy = np.clip(0.72 + 0.28 * _clouds(chest, rng, 10, 4), 0, 1.2)
    lesions.add_fill(np.float32(strength) * wings * fluffy)
    lesions.add_fill(np.float32(0.13 * strength) * np.clip(chest.level, 0, 1))
    lesions.cephalisation = max(lesions.cephalisation, float(strength))
    # Kerley B lines: short, level, touching the side wall above the costophrenic angles.
    count = 16
    side = np.where(np.arange(count) % 2 == 0, -1.0, 1.0)
    y = anatomy.base - rng.uniform(1.5, 7.0, count)
    outer = anatomy.lung_width - rng.uniform(0.3, 0.6, count)
    start = np.stack([side * outer, y], 1)
    end = np.stack(
        [side * (outer - rng.uniform(1.2, 2.2, count)), y + rng.normal(0, 0.1, count)], 1
    )
    kerley = chest.grid.strands(start, end, np.full(count, 0.16), 0.05)
    lesions.soft += np.float32(2.0 * strength) * kerley * (chest.air > 0.5)


def _emphysema(chest, strength, rng, lesions):
    """Hyperinflation comes from `deform`; bullae are painted."""
    share = 0
    for _ in range(4):
        x, y = _point_in_lung(chest, rng, draw_side(rng), 0.12, 0.45, 0.45, 0.85)
        share = np.maximum(share, _blob(chest, x, y, rng.uniform(1.2, 2.4), rng.uniform(1.2, 2.4)))
    lesions.gas = np.maximum(lesions.gas, np.float32(0.7 * strength) * share)


def _fibrosis(chest, strength, rng, lesions):
    # Reticulation: a web along the zero lines of band-limited noise, at the base and the rim.
    web = 0
    for cells in (46, 80):
        noise = smooth_noise(rng, chest.grid.size, cells)
        web = web + np.exp(-(noise * noise) * np.float32(1 / 0.09))
    rim = np.exp(-np.maximum(chest.width - chest.side, 0) * np.float32(1 / 3.2))
    basal = np.exp(-np.maximum(chest.dome_y - chest.y, 0) * np.float32(1 / 5.0))
    where = np.minimum(0.25 + rim + basal, 1.2) * np.clip(0.3 + 1.1 * chest.level, 0, 1)
    lesions.add_fill(np.float32(0.30 * strength) * web * where)


def _pleural_thickening(chest, strength, rng, lesions):
    side = draw_side(rng)
    on = _on_side(chest, side)
    bumps = smooth_noise(rng, chest.grid.size, 8)
    thickness = np.float32(strength) * (np.float32(rng.uniform(0.7, 1.0)) + 0.3 * bumps)
    cap = soft_step(_outside(chest, 0.9 * strength, 0.0) + thickness, 0.35)
    middle = rng.uniform(0.25, 0.6)
    reach = soft_step(np.float32(0.42) - np.abs(chest.level - np.float32(middle)), 0.3)
    apical = soft_step(np.float32(0.16) - chest.level, 0.1)
    lesions.add_fill(
        np.float32(min(1.0, 3 * strength)) * 0.85 * cap * np.maximum(reach, apical) * on
    )


def _hernia(chest, strength, rng, lesions):
    anatomy = chest.anatomy
    radius = (1.8 + 1.6 * strength) * rng.uniform(0.9, 1.15)
    x = rng.uniform(0.6, 2.4) + anatomy.shift
    y = anatomy.base - 0.62 * anatomy.dome - 0.55 * radius
    dx = (chest.x - np.float32(x)) / np.float32(1.15 * radius)
    dy = (chest.y - np.float32(y)) / np.float32(radius)
    sac = dx * dx + dy * dy
    # Stomach in the chest: a thick wall, gas above, fluid with a level surface below.
    lesions.soft += np.float32(1.4 * radius * strength) * chord(sac)
    gas = chord(sac * np.float32(1 / 0.72)) * soft_step(y - 0.05 * radius - chest.y, 0.25)
    lesions.soft -= np.float32(2.9 * radius * strength) * gas


PAINTERS = {
    "Atelectasis": _atelectasis,
    "Cardiomegaly": _cardiomegaly,
    "Effusion": _effusion,
    "Infiltration": _infiltration,
    "Mass": _mass,
    "Nodule": _nodule,
    "Pneumonia": _pneumonia,
    "Pneumothorax": _pneumothorax,
    "Consolidation": _consolidation,
    "Edema": _edema,
    "Emphysema": _emphysema,
    "Fibrosis": _fibrosis,
    "Pleural Thickening": _pleural_thickening,
    "Hernia": _hernia,
}


def paint(chest: Chest, strengths: np.ndarray, rngs: dict) -> Lesions:
    """Paints all findings present; arguments as in `phantom_deformations.deform`."""
    lesions = Lesions(chest.x.shape)
    for position, rng in rngs.items():
        PAINTERS[labels.NIH_14[position]](chest, float(strengths[position]), rng, lesions)
    return lesions
