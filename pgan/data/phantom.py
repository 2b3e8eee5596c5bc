"""Procedural chest phantom: frontal radiographs with 14 controllable findings and ground truth.

An image is drawn as it arises: lengths of soft tissue and bone along the beam
(`phantom_anatomy`, `phantom_skeleton`, `phantom_findings`), attenuation after Beer and Lambert,
scatter, quantum noise, and a display curve as of a film (`phantom_imaging`). It is a stand-in for
patients in demos and tests, not a simulator of a particular unit.

Every number is a function of (seed, patient, image): the same image comes out in any process, in
any order, however many are asked for.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tqdm

from pgan.data import labels, phantom_drawing
from pgan.data.phantom_anatomy import Chest
from pgan.data.phantom_skeleton import bones
from pgan.data.phantom_texture import box_reduce
from pgan.data.radiograph import Radiograph

VERSION = 1  # Raise whenever a change alters the pixels of any image, also of `phantom_sites`.
LARGEST_DRAWING = 1024
_IMAGE_NAME = re.compile(r"phantom(\d+)_(\d{6,})_(\d{3,})\.png")

_exam, _render = phantom_drawing.exam, phantom_drawing.render


@dataclasses.dataclass(frozen=True)
class Truth:
    """What lies where in one drawn image.

    Attributes:
        lungs: bool [size, size], aerated or not, both lungs above the diaphragm outside heart and
            mediastinum.
        right_lung, left_lung: bool [size, size], the two halves of `lungs`.
        heart: bool [size, size], the cardiac silhouette above the diaphragm.
        abdomen: bool [size, size], below the diaphragm, as wide as the chest cavity.
        bones: bool [size, size].
        findings: float32 [14, size, size] in grey levels, how much each finding present changes
            the noiseless image: |with all findings - with all but this one|; 0 for absent ones.
        cardiothoracic_ratio: widest heart over widest chest cavity.
    """

    lungs: np.ndarray
    right_lung: np.ndarray
    left_lung: np.ndarray
    heart: np.ndarray
    abdomen: np.ndarray
    bones: np.ndarray
    findings: np.ndarray
    cardiothoracic_ratio: float


def strengths(findings: Mapping[str, float] | np.ndarray | None) -> np.ndarray:
    """Checks finding strengths.

    Args:
        findings: name -> strength in [0, 1] with the names of `labels.NIH_14`, or [14] strengths
            in that order, or None for a healthy chest.

    Returns:
        float32 [14] in [0, 1].

    Raises:
        ValueError: unknown name, wrong length, or a strength outside [0, 1].
    """
    count = len(labels.NIH_14)
    if findings is None:
        return np.zeros(count, np.float32)
    if isinstance(findings, Mapping):
        values = np.asarray(labels.encode(findings, labels.NIH_14), np.float32)
    else:
        values = np.asarray(findings, np.float32)
    if values.shape != (count,):
        raise ValueError(f"findings need {count} strengths, but got shape {values.shape}.")
    if not (np.all(values >= 0) and np.all(values <= 1)):
        raise ValueError(f"Strengths lie in [0, 1], but got {values.tolist()}.")
    return values


def check_size(size: int) -> None:
    """Raises ValueError unless images of that side can be drawn."""
    if size < 4 or size > LARGEST_DRAWING or size & (size - 1):
        raise ValueError(
            f"size is a power of two from 4 to {LARGEST_DRAWING}, but got {size}; try size=256."
        )


def check_numbers(**numbers: int) -> None:
    """Raises ValueError, with its name, if a number is negative."""
    for name, number in numbers.items():
        if number < 0:
            raise ValueError(f"{name} must be 0 or more, but got {number}.")


def draw(
    findings: Mapping[str, float] | np.ndarray | None = None,
    *,
    patient: int = 0,
    image: int = 0,
    seed: int = 0,
    size: int = 256,
) -> np.ndarray:
    """Draws one radiograph.

    Args:
        findings: strengths, see `strengths`. The other arguments fix everything else, so that
            two drawings that differ only here show the same exposure with other findings.
        patient: number of the patient, >= 0; fixes the anatomy.
        image: number of the patient's image, >= 0; fixes pose, exposure, noise, and place and
            shape of acute findings. Chronic ones (`phantom_population.CHRONIC`) stay in place.
        seed: of the population, >= 0.
        size: side of the image, a power of two up to 1024. Below 128 px the image is box-filtered
            from 128 px.

    Returns:
        uint8 [size, size], bright where the beam was attenuated.

    Raises:
        ValueError: findings, size or a number out of range.
    """
    check_size(size)
    check_numbers(patient=patient, image=image, seed=seed)
    grey, _ = _render(strengths(findings), seed, patient, image, size, True)
    return rounded(box_reduce(grey, min(size, grey.shape[0])))


def rounded(grey: np.ndarray) -> np.ndarray:
    """Grey values as they are stored, uint8."""
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def draw_with_truth(
    findings: Mapping[str, float] | np.ndarray | None = None,
    *,
    patient: int = 0,
    image: int = 0,
    seed: int = 0,
    size: int = 256,
) -> tuple[np.ndarray, Truth]:
    """Draws one radiograph and says what lies where in it.

    Takes one more drawing per finding present. Arguments and errors as in `draw`; the image is
    the same.

    Returns:
        uint8 [size, size] and its Truth.
    """
    check_size(size)
    check_numbers(patient=patient, image=image, seed=seed)
    values = strengths(findings)
    picture = draw(values, patient=patient, image=image, seed=seed, size=size)

    def noiseless(shown):
        return _render(shown, seed, patient, image, size, False)

    return picture, truth_of(values, noiseless, size)


def truth_of(
    values: np.ndarray,
    noiseless: Callable[[np.ndarray], tuple[np.ndarray, Chest]],
    size: int,
    kept: Callable[[np.ndarray], np.ndarray] = lambda square: square,
) -> Truth:
    """Ground truth of an image, however it was processed.

    Args:
        values: float32 [14], strengths of its findings.
        noiseless: draws the image, with any strengths, without noise; returns grey values and
            chest as `phantom_drawing.render` does.
        size: side of the square drawing.
        kept: cuts the drawing to the picture.

    Returns:
        Truth, its maps as `kept` returns them.
    """
    grey, chest = noiseless(values)

    def mask(inside):
        return kept(box_reduce(inside.astype(np.float32), size) > 0.5)

    absent = kept(np.zeros((size, size), np.float32))
    regions = np.tile(absent, (len(values), 1, 1))
    for position in np.flatnonzero(values):
        others = values.copy()
        others[position] = 0
        without, _ = noiseless(others)
        regions[position] = kept(box_reduce(np.abs(grey - without), size))
    heart = chest.silhouette & chest.heart_rows & (chest.y < chest.dome_y)
    lungs = (chest.cavity > 0.5) & ~chest.silhouette
    # Row by row in patient coordinates: cardiothoracic ratio is a ratio of horizontal extents.
    heart_width = float(np.ptp(chest.x[heart]))
    cavity = chest.cavity > 0.5
    return Truth(
        lungs=mask(lungs),
        right_lung=mask(lungs & chest.right),
        left_lung=mask(lungs & ~chest.right),
        heart=mask(heart),
        abdomen=mask((chest.y > chest.dome_y) & (chest.side < chest.anatomy.lung_width)),
        bones=mask(bones(chest) > 0.1),
        findings=regions,
        cardiothoracic_ratio=heart_width / float(np.ptp(chest.x[cavity])),
    )


def truth(radiograph: Radiograph) -> Truth:
    """Ground truth of a radiograph that `read` yielded."""
    return draw_with_truth(**radiograph.load.keywords)[1]


def redraw(image_id: str, size: int) -> tuple[np.ndarray, Truth]:
    """Draws the image of a name that `read` gave, and says what lies where in it.

    Returns:
        As `draw_with_truth`.

    Raises:
        ValueError: If `read` gives no such name, or the size is out of range.
    """
    match = _IMAGE_NAME.fullmatch(image_id)
    if match is None:
        raise ValueError(f"{image_id!r} is no name of a phantom, such as {image_name(1, 0, 0)}")
    seed, patient, image = map(int, match.groups())
    values = phantom_drawing.illness(seed, patient, image)
    return draw_with_truth(values, patient=patient, image=image, seed=seed, size=size)


@functools.lru_cache(maxsize=16)
def finding_regions(
    size: int = 256, seed: int = 0, patients: int = 16, progress: bool = False
) -> np.ndarray:
    """Where each finding acts on average: the mean over patients of |with - without|.

    Args:
        size: side of the maps.
        seed: population that the patients are from.
        patients: number of patients, one image each, with the finding alone at strength 1.
        progress: whether to show a bar.

    Returns:
        float32 [14, size, size] in grey levels, read-only, order of `labels.NIH_14`.
    """
    count = len(labels.NIH_14)
    total = np.zeros((count, size, size), np.float32)
    bar = tqdm.tqdm(range(patients), "Phantoms", unit="patient", disable=not progress)
    for patient in bar:
        healthy, _ = _render(strengths(None), seed, patient, 0, size, False)
        for position, alone in enumerate(np.eye(count, dtype=np.float32)):
            ill, _ = _render(alone, seed, patient, 0, size, False)
            total[position] += box_reduce(np.abs(ill - healthy), size)
    total /= patients
    total.setflags(write=False)
    return total


def read(count: int, seed: int, size: int = 256) -> Iterator[Radiograph]:
    """Yields radiographs of a population of phantoms.

    Patients come one after the other, each with one to eight images (2.8 on average) of the same
    anatomy in other poses, exposures and states of disease. Image i depends only on (seed, i),
    not on `count`.

    Args:
        count: number of images.
        seed: of the population, >= 0.
        size: side of the images, see `draw`.

    Yields:
        Radiograph with labels 0 or 1. `load` draws the image when called and pickles. `extras`
        hold age, sex, view, and "strengths", float32 [14] in [0, 1].

    Raises:
        ValueError: size out of range, or a negative count or seed.
    """
    check_size(size)
    check_numbers(count=count, seed=seed)
    return itertools.islice(_population(seed, size), count)


def patient_name(seed: int, patient: int) -> str:
    """Name of a patient that `read` yields."""
    return f"phantom{seed}_{patient:06d}"


def image_name(seed: int, patient: int, image: int) -> str:
    """Name of an image that `read` yields."""
    return f"{patient_name(seed, patient)}_{image:03d}.png"


def _population(seed: int, size: int) -> Iterator[Radiograph]:
    for patient, image in phantom_drawing.exams(seed):
        values = phantom_drawing.illness(seed, patient, image)
        exam = _exam(seed, patient, image)
        yield Radiograph(
            image_id=image_name(seed, patient, image),
            patient_id=patient_name(seed, patient),
            labels=(values > 0).astype(np.float32),
            load=functools.partial(
                draw, findings=values, patient=patient, image=image, seed=seed, size=size
            ),
            stamp=f"phantom version {VERSION} seed {seed} size {size}",
            extras={
                "age": exam.anatomy.age,
                "sex": exam.anatomy.sex,
                "view": exam.view,
                "strengths": values,
            },
        )
