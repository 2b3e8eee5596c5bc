"""How the chest phantom's tissue becomes grey values: attenuation, scatter, noise, display."""

import dataclasses

import numpy as np
from scipy import ndimage

from pgan.data.phantom_anatomy import Anatomy, Chest
from pgan.data.phantom_findings import Lesions
from pgan.data.phantom_markers import lead_letter
from pgan.data.phantom_skeleton import airways, bones, stomach_gas, vessel_tree
from pgan.data.phantom_texture import fractal_noise, wide_blur

# Linear attenuation in a filtered chest beam, about 70 keV on average, 1/cm: NIST's tables of
# X-ray mass attenuation coefficients for soft tissue and cortical bone times density, rounded.
SOFT_TISSUE_PER_CM = 0.19
BONE_PER_CM = 0.48


@dataclasses.dataclass(frozen=True)
class Exposure:
    """How a plate was exposed and its image displayed."""

    scatter: float  # relative to the primary beam behind soft tissue
    dose: float  # detected quanta per square cm of the open beam
    middle: float  # relative attenuation that is shown as middle grey
    contrast: float  # relative steepness of the display curve
    sharpening: float  # weight of the unsharp mask, 0 for none


@dataclasses.dataclass(frozen=True)
class Technique:
    """How the exposures of a site differ from the usual ones; neutral by default.

    Attributes:
        scatter, dose, middle, contrast: factors of the same attributes of `Exposure`.
        sharpening: what is added to that of `Exposure`.
    """

    scatter: float = 1.0
    dose: float = 1.0
    middle: float = 1.0
    contrast: float = 1.0
    sharpening: float = 0.0

    def applied_to(self, exposure: Exposure) -> Exposure:
        """The exposure as this site makes it."""
        return Exposure(
            scatter=exposure.scatter * self.scatter,
            dose=exposure.dose * self.dose,
            middle=exposure.middle * self.middle,
            contrast=exposure.contrast * self.contrast,
            sharpening=exposure.sharpening + self.sharpening,
        )


def sample_exposure(view: str, rng: np.random.Generator) -> Exposure:
    """Draws the exposure of an image; AP images, made in bed, are hazier."""
    supine = view == "AP"
    return Exposure(
        scatter=rng.uniform(0.35, 0.6) if supine else rng.uniform(0.15, 0.3),
        dose=float(np.exp(rng.normal(np.log(4e6), 0.4))),
        middle=float(np.exp(np.clip(rng.normal(0, 0.13), -0.25, 0.25))),
        contrast=float(np.clip(rng.normal(0.92 if supine else 1.05, 0.10), 0.7, 1.35)),
        sharpening=rng.uniform(0.0, 0.5),
    )


def attenuation(
    chest: Chest,
    lesions: Lesions,
    *,
    tree: np.random.Generator,
    wall: np.random.Generator,
    mottle: np.random.Generator,
    marker: np.random.Generator,
    letter: str = "L",
    metal: np.ndarray | None = None,
) -> np.ndarray:
    """Exponent of Beer and Lambert's law along every ray.

    Args:
        chest: the organs.
        lesions: the findings.
        tree: draws the lung vessels; one state per patient.
        wall: draws the unevenness of the body; one state per patient.
        mottle: draws the lung's fine structure; one state per image.
        marker: draws the side marker; one state per image.
        letter: the side marker, see `phantom_markers.lead_letter`.
        metal: attenuation of devices in the beam, float32 [size, size], or None.

    Returns:
        float32 [size, size], >= 0, dimensionless.
    """
    density = np.float32(chest.anatomy.lung_density)
    aerated = (1 - lesions.fill) * (1 - lesions.gas)
    lung = chest.air * (density + (1 - density) * lesions.fill) * (1 - lesions.gas)
    lung += _lung_structure(chest, lesions.cephalisation, tree, mottle) * aerated
    soft = chest.body - chest.air + lung + lesions.soft
    # Fat, folds and muscle make the wall uneven.
    uneven = fractal_noise(wall, chest.grid.size, cells=5, octaves=4)
    soft += np.float32(0.28) * uneven * np.minimum(chest.body * np.float32(0.1), 1)
    soft -= airways(chest) + stomach_gas(chest)
    bone = bones(chest) * (chest.body > 0)
    total = np.float32(SOFT_TISSUE_PER_CM) * np.maximum(soft, 0) + np.float32(BONE_PER_CM) * bone
    if metal is not None:
        total = total + metal
    return total + lead_letter(chest.grid.size, marker, letter)


def _lung_structure(chest: Chest, cephalisation: float, tree, mottle) -> np.ndarray:
    """Vessels and fine structure of aerated lung, cm of tissue."""
    total = 0
    for start, end, radius, blur in vessel_tree(tree, chest.anatomy, cephalisation):
        total = total + chest.grid.strands(start, end, radius, blur)
    fine = fractal_noise(mottle, chest.grid.size, cells=32, octaves=3, gain=0.8)
    # Air is what vessels stand out against: none show where there is no lung in the beam.
    visible = np.minimum(chest.air * np.float32(0.12), 1)
    return (total + np.float32(0.09 * chest.anatomy.texture) * fine) * visible


def display(
    attenuation_map: np.ndarray,
    exposure: Exposure,
    anatomy: Anatomy,
    pixel: float,
    noise: np.random.Generator | None,
) -> np.ndarray:
    """Grey values of an attenuation map.

    Args:
        attenuation_map: float32 [size, size].
        exposure: of this image.
        anatomy: the healthy chest, which sets the display window. A finding must not change the
            image elsewhere, as it would through a window set by the image itself.
        pixel: side of a pixel, cm.
        noise: draws quantum noise; None for a noiseless image.

    Returns:
        float32 [size, size] in [0, 255], dense tissue bright.
    """
    primary = np.exp(-attenuation_map)
    # Scatter arises in tissue, not in the open beam beside the patient.
    scattered = wide_blur(primary * attenuation_map, 3.5, pixel)
    intensity = primary + np.float32(0.45 * exposure.scatter) * scattered
    if noise is not None:
        quanta = np.float32(1 / (exposure.dose * pixel**2))
        grain = noise.standard_normal(intensity.shape, dtype=np.float32)
        intensity = intensity + grain * np.sqrt(intensity * quanta)
    density = -np.log(np.maximum(intensity, np.float32(1e-4)))
    smooth = ndimage.gaussian_filter(density, 0.35 / pixel, truncate=2.5)
    density = density + np.float32(exposure.sharpening) * (density - smooth)

    thick = anatomy.depth + anatomy.front_wall
    lung = 0.92 * thick - (1 - anatomy.lung_density) * 0.80 * anatomy.depth
    middle = exposure.middle * SOFT_TISSUE_PER_CM * (0.89 * lung + 0.11 * thick)
    # A film's curve: steep over lungs and soft tissue, flat towards black air and white bone.
    relative = np.maximum(density, 0) * np.float32(1 / middle)
    return 255 * (1 - np.exp2(-(relative ** np.float32(1.85 * exposure.contrast))))
