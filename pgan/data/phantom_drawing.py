"""How one image of the chest phantom is drawn: its random streams, its exam, its grey values."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import numpy as np

from pgan.data import phantom_deformations, phantom_devices, phantom_findings
from pgan.data.phantom_anatomy import Anatomy, Chest, position_patient, sample_patient
from pgan.data.phantom_imaging import (
    Exposure,
    Technique,
    attenuation,
    display,
    sample_exposure,
)
from pgan.data.phantom_population import (
    CHRONIC,
    USUAL,
    Population,
    sample_image_count,
    sample_strengths,
)
from pgan.data.phantom_texture import Grid, Pose

SMALLEST_DRAWING = 128  # Smaller images are box-filtered from this size.

# Streams of random numbers; the last entry but one of every seed sequence.
(
    _PATIENT, _COUNT, _ILLNESS, _EXAM, _NOISE, _TREE, _WALL, _MOTTLE, _MARKER, _FINDING, _DEVICE,
    _PLACING, EXPORT, SELECTION, LABELS,
) = range(15)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Style:
    """What differs from one site to the next before a picture leaves the unit.

    Attributes:
        population: whom the site sees.
        technique: how it exposes.
        letter: its lead marker, see `phantom_markers.lead_letter`.
        devices: whether patients carry devices.
    """

    population: Population = USUAL
    technique: Technique = Technique()
    letter: str = "L"
    devices: bool = False


PLAIN = Style()


@dataclasses.dataclass(frozen=True)
class Exam:
    """An image without any finding: anatomy, stance, exposure, view, and devices by name."""

    anatomy: Anatomy
    pose: Pose
    exposure: Exposure
    view: str
    devices: tuple[str, ...] = ()


def rng(seed: int, patient: int, image: int, stream: int, part: int = 0) -> np.random.Generator:
    """The generator of one stream of random numbers of one image."""
    return np.random.default_rng([seed, patient, image, stream, part])


@functools.lru_cache(maxsize=256)
def exam(seed: int, patient: int, image: int, style: Style = PLAIN) -> Exam:
    """Anatomy, stance and exposure of an image without any finding."""
    person = rng(seed, patient, 0, _PATIENT)
    anatomy = sample_patient(person, style.population)
    frailty = person.random()
    build = Pose(zoom=person.normal(1.0, 0.04), shift_y=person.normal(0.3, 0.5))
    moment = rng(seed, patient, image, _EXAM)
    bedside = style.population.bedside + style.population.frailty * frailty
    view = "AP" if moment.random() < bedside else "PA"
    supine = view == "AP"
    anatomy = position_patient(anatomy, view, moment.normal(-2.2 if supine else 0.0, 1.0), moment)
    wide = 1.0 if supine else 0.5
    pose = Pose(
        zoom=float(np.clip(build.zoom * moment.normal(1.0, 0.03 * wide), 0.86, 1.14)),
        shift_x=float(np.clip(moment.normal(0, 0.8 * wide), -2.2, 2.2)),
        shift_y=build.shift_y + float(np.clip(moment.normal(0, 0.9 * wide), -2, 2)),
        tilt=float(np.clip(moment.normal(0, 0.022 * wide), -0.06, 0.06)),
    )
    exposure = style.technique.applied_to(sample_exposure(view, moment))
    devices = ()
    if style.devices:
        devices = phantom_devices.sample_devices(
            rng(seed, patient, 0, _DEVICE), rng(seed, patient, image, _DEVICE, 1), view
        )
    return Exam(anatomy, pose, exposure, view, devices)


def exams(seed: int, style: Style = PLAIN) -> Iterator[tuple[int, int]]:
    """Yields (patient, image) without end, a patient's images one after the other."""
    for patient in itertools.count():
        images = sample_image_count(rng(seed, patient, 0, _COUNT), style.population)
        for image in range(images):
            yield patient, image


def illness(seed: int, patient: int, image: int, style: Style = PLAIN) -> np.ndarray:
    """Strengths of the findings of an image, float32 [14]."""
    # Part 0 is the same for all images of the patient, part 1 is this image's own.
    return sample_strengths(
        rng(seed, patient, 0, _ILLNESS, 0),
        rng(seed, patient, image, _ILLNESS, 1),
        style.population,
    )


def render(
    values: np.ndarray,
    seed: int,
    patient: int,
    image: int,
    size: int,
    noisy: bool,
    style: Style = PLAIN,
) -> tuple[np.ndarray, Chest]:
    """Draws an image.

    Args:
        values: float32 [14], strengths of the findings.
        seed: of the population.
        patient: its number.
        image: number of the patient's image.
        size: side of the image.
        noisy: with quantum noise or without.
        style: of the site.

    Returns:
        Grey values float32 [N, N] in [0, 255], N = max(size, SMALLEST_DRAWING), and the chest.
    """
    shown = exam(seed, patient, image, style)
    person = functools.partial(rng, seed, patient, 0)
    moment = functools.partial(rng, seed, patient, image)

    def findings():
        # A chronic finding is found again in the same place, an acute one elsewhere.
        return {
            int(i): (person if CHRONIC[i] else moment)(_FINDING, int(i))
            for i in np.flatnonzero(values)
        }

    anatomy = phantom_deformations.deform(shown.anatomy, values, findings())
    chest = Chest(anatomy, Grid(max(size, SMALLEST_DRAWING), shown.pose))
    lesions = phantom_findings.paint(chest, values, findings())
    metal = None
    if shown.devices:
        metal = phantom_devices.attenuation(
            chest, shown.devices, person(_PLACING), moment(_PLACING, 1)
        )
    rays = attenuation(
        chest,
        lesions,
        tree=person(_TREE),
        wall=person(_WALL),
        mottle=moment(_MOTTLE),
        marker=moment(_MARKER),
        letter=style.letter,
        metal=metal,
    )
    noise = moment(_NOISE) if noisy else None
    return display(rays, shown.exposure, shown.anatomy, chest.grid.pixel, noise), chest
