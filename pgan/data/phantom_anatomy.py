"""Anatomy of the chest phantom: sampled patients and their tissue along the beam.

All lengths are centimetres. x runs from the patient's right (image left, negative) to the left,
y runs down. A frontal radiograph is a shadow, so each structure is a map of the path length that
the beam travels in it; `pgan.data.phantom` turns the maps into an image.
"""

import dataclasses

import numpy as np
from scipy import interpolate

from pgan.data.phantom_population import USUAL, Population
from pgan.data.phantom_texture import Grid, chord, soft_step

LUNG_DENSITY = 0.26  # g/cm^3 of inflated lung: air with a quarter of tissue.
RIBS = 10


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """Everything that shapes one chest; cm unless said otherwise."""

    sex: str
    age: int
    lung_width: float  # half width of the rib cage inside, at the base
    apex: float  # y of the lung apex
    base: float  # y of the right costophrenic angle
    dome: float  # height of the diaphragm domes above the costophrenic angles
    left_drop: float  # how much lower the left dome lies
    depth: float  # front-to-back depth of the chest cavity
    wall: float  # thickness of skin, fat and muscle at the side
    front_wall: float  # the same, front plus back
    belly: float  # front-to-back depth of the abdomen
    mediastinum: float  # half width above the heart
    heart_ratio: float  # cardiothoracic ratio
    heart_apex: float  # where the heart is widest: 0 at the lung apex, 1 on the diaphragm
    knob: float  # radius of the aortic knob
    rib_spacing: float
    rib_drop: float  # from spine to side wall
    rib_width: float
    bone: float  # relative mineral density
    scoliosis: float  # sideways bow of the spine
    shoulder: float  # y of the shoulder tip
    neck: float  # half width of the neck
    breast: float  # thickness of breast tissue, 0 in most men
    breast_y: float
    gas: float  # radius of the gastric bubble
    vessels: float  # relative calibre of the lung vessels
    vessel_fade: float  # fraction of the small vessels that cannot be seen
    texture: float  # relative strength of the fine lung texture
    lung_density: float  # g/cm^3
    scapula: float  # x of the medial border; smaller lies over the lung, as in AP views
    arm: float  # x of the arms' axis at the lower edge
    clavicle_rise: float
    raise_right: float = 0.0  # lift of the right diaphragm dome
    raise_left: float = 0.0
    shift: float = 0.0  # of the heart and upper mediastinum, positive to the patient's left
    rotation: float = 0.0  # of the front of the chest against the spine, as a shift


def sample_patient(rng: np.random.Generator, population: Population = USUAL) -> Anatomy:
    """The chest of one person, in deep inspiration, upright, postero-anterior."""
    female = rng.random() < population.female
    age = int(np.clip(rng.normal(population.age, population.age_sd), 16, 90))
    habitus = float(np.clip(rng.normal(0, 1), -1.8, 2.4))  # lean to obese
    scale = rng.normal(0.955 if female else 1.02, 0.045)
    ageing = (age - 48) / 17
    breast = max(0.0, rng.normal(2.6 + 0.9 * habitus, 0.9)) if female else 0.0
    return Anatomy(
        sex="F" if female else "M",
        age=age,
        lung_width=13.6 * scale * rng.normal(1, 0.035),
        apex=rng.normal(5.0, 0.6),
        base=rng.normal(29.0, 0.9) + 6 * (scale - 1),
        dome=float(np.clip(rng.normal(4.2, 0.9), 2.2, 6.5)),
        left_drop=float(np.clip(rng.normal(1.1, 0.6), -0.3, 2.6)),
        depth=16.5 * scale * rng.normal(1, 0.05),
        wall=2.2 + max(0.0, 1.2 + 0.9 * habitus),
        front_wall=3.0 + max(0.0, 1.3 + 1.1 * habitus),
        belly=20.0 + 2.4 * habitus,
        mediastinum=float(np.clip(rng.normal(2.7 + 0.2 * ageing, 0.25), 2.1, 3.6)),
        heart_ratio=float(np.clip(rng.normal(0.435 + 0.012 * ageing, 0.025), 0.36, 0.485)),
        heart_apex=float(np.clip(rng.normal(0.87 - 0.02 * habitus, 0.025), 0.8, 0.93)),
        knob=float(np.clip(rng.normal(1.45 + 0.2 * ageing, 0.15), 0.9, 2.2)),
        rib_spacing=rng.normal(2.45, 0.12) * scale,
        rib_drop=rng.normal(5.0, 0.9),
        rib_width=rng.normal(1.12, 0.08) * scale,
        bone=float(np.clip(rng.normal(1.0 - 0.12 * ageing, 0.1), 0.6, 1.4)),
        scoliosis=rng.normal(0, 0.45),
        shoulder=rng.normal(7.4, 0.7),
        neck=rng.normal(5.0 if female else 5.7, 0.4) + 0.35 * habitus,
        breast=breast,
        breast_y=rng.normal(22.5, 1.2) + 0.5 * breast,
        gas=float(np.clip(rng.normal(1.2, 0.8), 0, 2.6)),
        vessels=rng.normal(1.0, 0.1),
        vessel_fade=0.0,
        texture=float(np.clip(rng.normal(1.0, 0.2), 0.5, 1.6)),
        lung_density=LUNG_DENSITY * rng.normal(1.0, 0.07),
        scapula=rng.normal(14.2, 0.7) * scale,
        arm=rng.normal(24.0, 2.0),
        clavicle_rise=rng.normal(2.2, 0.6),
    )


def position_patient(
    anatomy: Anatomy, view: str, inspiration: float, rng: np.random.Generator
) -> Anatomy:
    """One examination of a patient: view PA or AP, breath and stance.

    Args:
        anatomy: the patient.
        view: "PA" or "AP". AP images are made in bed: magnified heart and mediastinum, less
            air, scapulae over the lungs, arms at the side.
        inspiration: cm by which the diaphragm stands lower than the patient's usual.
        rng: stance.
    """
    supine = view == "AP"
    return dataclasses.replace(
        anatomy,
        base=anatomy.base + 0.7 * inspiration,
        dome=float(np.clip(anatomy.dome - 0.3 * inspiration, 1.8, 6.8)),
        mediastinum=anatomy.mediastinum * (1.13 if supine else 1.0),
        # The heart lies further from the plate in AP; ratios of healthy hearts stay below 0.5.
        heart_ratio=min(anatomy.heart_ratio * (1.05 if supine else 1.0), 0.49),
        scapula=anatomy.scapula - (3.2 if supine else 0.0) + rng.normal(0, 0.3),
        arm=anatomy.arm - (3.0 if supine else 0.0) + rng.normal(0, 0.8),
        clavicle_rise=anatomy.clavicle_rise + (0.8 if supine else 0.0) + rng.normal(0, 0.3),
        gas=max(0.0, anatomy.gas + rng.normal(0, 0.6)),
        rotation=float(np.clip(rng.normal(0, 0.35), -0.9, 0.9)),
        vessels=anatomy.vessels * rng.normal(1.0, 0.04),
    )


class Chest:
    """Path lengths of a chest on a grid; float32 [size, size] maps, cm.

    Attributes:
        x, y: patient coordinates; `side` is |x| from the bowed midline.
        level: 0 at the lung apex, 1 at the costophrenic angle.
        width: half width of the chest cavity at this y.
        dome_y: y of the diaphragm.
        cavity: 0..1, inside the chest cavity and above the diaphragm.
        air: length of lung along the beam.
        heart: length of heart along the beam.
        silhouette: bool, heart and great vessels.
        body: length of body, lungs included.
        bone: length of compact bone.
    """

    def __init__(self, anatomy: Anatomy, grid: Grid):
        self.anatomy, self.grid = anatomy, grid
        # Half a pixel of blur keeps every edge free of staircases.
        self.edge = max(0.16, 1.2 * grid.pixel)
        self.x, self.y = grid.x, grid.y
        self.right = self.x < 0
        bow = anatomy.scoliosis * np.sin((self.y - anatomy.apex) * np.float32(np.pi / 24))
        self.spine_x = self.x - bow
        self.side = np.abs(self.spine_x)
        self.level = (self.y - anatomy.apex) / np.float32(anatomy.base - anatomy.apex)
        self.width = self.outline(0.0, 0.0)
        self._place_diaphragm()
        self._fill_lungs()
        self._shape_body()

    def outline(self, drop: float, inset: float, top: float = 4.4) -> np.ndarray:
        """Half width at every y of a cavity like the chest's, in cm.

        Args:
            drop: how far its apex lies below that of the lungs.
            inset: how far its base lies inside the chest wall.
            top: half width at the apex.
        """
        anatomy = self.anatomy
        height = 0.72 * (anatomy.base - anatomy.apex)
        t = (self.y - np.float32(anatomy.apex + drop)) * np.float32(1 / height)
        t = np.clip(t, 0, 1)
        rounding = np.sqrt(t * (2 - t))  # a quarter of an ellipse
        return np.float32(top) + np.float32(anatomy.lung_width - top - inset) * rounding

    def _place_diaphragm(self) -> None:
        anatomy = self.anatomy
        top = anatomy.lung_width * 0.47
        # Far above the diaphragm, at the apex, the chest may be narrower than `top`.
        across = (self.side - top) / np.maximum(self.width - top, 1)
        medial = (top - self.side) / np.float32(top)
        # Lateral slope is an ellipse that ends vertically in a sharp costophrenic angle.
        fall = np.where(across > 0, 1 - np.sqrt(np.maximum(1 - across**2, 0)), 0.45 * medial**2)
        lift = np.where(
            self.right,
            np.float32(anatomy.dome + anatomy.raise_right),
            np.float32(anatomy.dome + anatomy.raise_left - 0.5 * anatomy.left_drop),
        )
        foot = np.where(self.right, 0.0, 0.5 * anatomy.left_drop).astype(np.float32)
        self.dome_y = np.float32(anatomy.base) + foot - lift * (1 - fall)

    def _silhouette(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Right border, left border (x) and thickness of heart and great vessels at every y."""
        anatomy = self.anatomy
        m, knob = anatomy.mediastinum, anatomy.knob
        total = 2 * anatomy.heart_ratio * anatomy.lung_width
        right = 3.8 + 0.24 * (total - 11.5)
        left = total - right
        apex = anatomy.heart_apex
        # Right, downwards: brachiocephalic vein, superior vena cava, right atrium.
        right_border = np.array(
            [
                (-0.25, 1.6 * m), (-0.02, 1.25 * m), (0.10, 0.97 * m), (0.25, 0.90 * m),
                (0.42, 0.95 * m), (0.53, 0.55 * m + 0.45 * right), (0.70, 0.97 * right),
                (0.80, right), (0.93, 0.90 * right), (1.05, 0.66 * right), (1.5, 0.6 * right),
            ]
        )  # fmt: skip
        # Left: subclavian artery, aortic knob, window, pulmonary trunk, auricle, left ventricle.
        waist = m + 0.22 * (left - m)
        left_border = np.array(
            [
                (-0.25, 1.6 * m), (-0.02, 1.25 * m), (0.10, 0.92 * m), (0.17, 0.82 * m),
                (0.225, 0.62 * m + 0.65 * knob), (0.28, 0.62 * m + 0.87 * knob),
                (0.335, 0.62 * m + 0.68 * knob), (0.385, 0.98 * m), (0.45, 1.10 * waist),
                (0.52, 0.35 * left + 0.62 * waist), (apex - 0.20, 0.80 * left),
                (apex - 0.07, 0.965 * left), (apex, left), (apex + 0.06, 0.95 * left),
                (1.04, 0.84 * left), (1.14, 0.55 * left), (1.5, 0.1 * left),
            ]
        )  # fmt: skip
        # Thickness along the beam grows from the vessels to the ventricles.
        depth = np.array([(-0.3, 0.85), (0.2, 0.78), (0.45, 0.78), (0.7, 0.88), (1.5, 0.92)])
        floor = anatomy.base - 0.42 * anatomy.dome
        position = (self.y - np.float32(anatomy.apex)) / np.float32(floor - anatomy.apex)
        # One smooth table per border; the lookup is linear in a fine table.
        fine = np.linspace(-0.25, 1.5, 257)
        index = (position + np.float32(0.25)) * np.float32(256 / 1.75)
        index = np.clip(index, 0, np.float32(255.99))
        whole = index.astype(np.int32)
        part = index - whole

        def look_up(points):
            table = interpolate.PchipInterpolator(*points.T)(fine).astype(np.float32)
            start, rise = table[:-1], np.diff(table)
            return start[whole] + part * rise[whole]

        self.heart_rows = position > np.float32(0.42)
        return -look_up(right_border), look_up(left_border), look_up(depth)

    def _fill_lungs(self) -> None:
        anatomy, edge = self.anatomy, self.edge
        right, left, depth = self._silhouette()
        # The spine stays; heart and vessels follow shift and rotation, the neck does not.
        mobile = np.clip(self.level * 4, 0, 1) * np.float32(anatomy.shift + anatomy.rotation)
        x = self.spine_x - mobile
        half = 0.5 * (left - right)
        across = (x - 0.5 * (left + right)) / half
        across *= across
        # Blunter than an ellipse: the silhouette is even inside and steep at its borders.
        profile = np.sqrt(np.maximum(1 - across * across, 0))
        profile = profile * soft_step((1 - np.sqrt(across)) * half, 2 * edge)

        across_wall = self.side / self.width
        low = np.clip(self.level * np.float32(2.2), 0, 1)
        cavity_depth = np.float32(anatomy.depth) * np.sqrt(low * (2 - low))
        above = soft_step(self.dome_y - self.y, 2 * edge)
        # The lung's posterior recess reaches behind the dome and thins out downwards.
        recess = np.clip((self.y - self.dome_y) * np.float32(1 / 4.5), 0, 1)
        behind = np.float32(0.2) * (1 - recess) ** 2 * (1 - above) * (self.level < 1.0)
        chest = cavity_depth * chord(across_wall * across_wall)
        self.cavity = above * (across_wall < 1) * (self.level > 0)
        self.silhouette = profile > 0.05
        self.heart = np.float32(anatomy.depth) * depth * profile * self.heart_rows
        # Close to the spine no lung is left in front of the vertebrae.
        spine = soft_step(1.9 - self.side, 2.4)
        share = (above + behind) * (1 - depth * profile) * (1 - np.float32(0.6) * spine)
        self.air = chest * share

    def _shape_body(self) -> None:
        anatomy, y = self.anatomy, self.y
        ax = np.abs(self.x)
        thin = np.float32(anatomy.depth + anatomy.front_wall)
        # Trunk: a rounded cross-section, deeper at the belly, tapering to the shoulders.
        flank = np.float32(anatomy.lung_width + anatomy.wall)
        belly = np.clip((y - np.float32(anatomy.base - 6)) * np.float32(1 / 8), 0, 1)
        taper = np.clip((y - np.float32(anatomy.apex - 2)) * np.float32(1 / 9), 0, 1)
        thick = thin * (np.float32(0.66) + np.float32(0.34) * taper * (2 - taper))
        thick = thick + belly * (np.float32(anatomy.belly) - thin)
        q = ax / flank
        trunk = thick * chord(q * q * np.sqrt(q))

        # Shoulders: everything below a line that falls from the neck to the shoulder's tip.
        out = np.clip((ax - np.float32(anatomy.neck)) * np.float32(1 / 13), 0, 1.3)
        slope = out * (np.float32(1.75) - np.float32(0.75) * np.minimum(out, 1))
        top = np.float32(anatomy.shoulder - 2.5) * slope - np.float32(0.2)
        under = y - top
        full = np.clip(under * np.float32(1 / 5.5), 0, 1)
        rounded = np.sqrt(full * (2 - full))
        # Arms hang from them; between arm and trunk there is air below the armpit.
        fall = np.clip((y - np.float32(anatomy.shoulder)) * np.float32(1 / 30), 0, 1.2)
        self.arm_x = np.float32(18.0) + np.float32(anatomy.arm - 18.0) * fall
        arm_radius = np.float32(4.6 + 0.5 * (anatomy.wall - 3))
        off = (ax - self.arm_x) / arm_radius
        arm = 2.5 * arm_radius * chord(off * off)
        armpit = np.float32(anatomy.shoulder + 11.5) - np.float32(0.1) * (ax - flank) ** 2
        muscle = np.float32(14.5 + 0.5 * (anatomy.front_wall - 4)) * soft_step(armpit - y, 8.0)
        muscle = np.maximum(muscle * chord(np.maximum(off, 0) ** 2), arm)
        throat = np.float32(anatomy.neck + 0.5) + np.float32(0.05) * np.maximum(y + 1, 0) ** 2
        neck = np.float32(14.0) * chord((ax / throat) ** 3)
        neck = neck * soft_step(np.float32(anatomy.apex + 6) - y, 6.0)
        self.body = np.maximum(np.maximum(trunk, muscle) * rounded, neck)
        # Pectoral muscles, stronger in men.
        dx = (ax - 8.5) * np.float32(1 / 5.5)
        dy = (y - np.float32(anatomy.apex + 8)) * np.float32(1 / 7.5)
        pectoral = np.float32(1.5 if anatomy.sex == "M" else 0.8)
        self.body = self.body + pectoral * chord(dx * dx + dy * dy)
        if anatomy.breast > 0.2:
            self.body = self.body + self._breasts()

    def _breasts(self) -> np.ndarray:
        anatomy = self.anatomy
        dx = np.abs(self.x - np.float32(anatomy.rotation)) - np.float32(0.62 * anatomy.lung_width)
        dy = self.y - np.float32(anatomy.breast_y)
        # Rounded below, drawn out above.
        fall = np.where(dy > 0, dy / np.float32(4.2 + 0.5 * anatomy.breast), dy / np.float32(8))
        across = dx / np.float32(5.2 + 0.45 * anatomy.breast)
        return np.float32(1.2 * anatomy.breast) * np.maximum(1 - across**2 - fall**2, 0)
