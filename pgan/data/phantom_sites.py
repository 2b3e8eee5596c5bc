"""Three sites of the chest phantom that differ as ChestX-ray14, CheXpert and RSNA's images do.

             nih               chexpert                      rsna
  patients   the population    older, more ill, mostly in    a selection of those
             of `phantom`      bed                           of nih
  marker     lead L            burned-in text, boxed L       lead R
  picture    as of a film      equalised, noisier            darker, sharper edges
  devices    none              lines, tubes, pacemakers      none
  outline    square            landscape, portrait, square   square

`nih` is `phantom.read` to the last bit. `rsna` shows exams of `nih` again, as RSNA's images are
ChestX-ray14's: every exam with pneumonia and a part of the others, through another export, so that
each has a known twin. What is drawn where, and how strongly, stays known in all three.

Every number is a function of (site, seed, patient, image).
"""

import functools
import hashlib
import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from pgan.data import labels, phantom, phantom_drawing, phantom_markers, phantom_processing
from pgan.data.phantom_population import PREVALENCE
from pgan.data.phantom_processing import Cut
from pgan.data.phantom_site_settings import SITES, Site
from pgan.data.phantom_texture import box_reduce
from pgan.data.radiograph import Radiograph

_PNEUMONIA = labels.find("Pneumonia", labels.NIH_14)


def site_named(name: str) -> Site:
    """The site of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in SITES:
        raise ValueError(f"There is no site {name!r}. Known are: {', '.join(SITES)}.")
    return SITES[name]


def population_seed(site: Site, seed: int) -> int:
    """Seed of the population that the site's patients are drawn from.

    Sites that show the same patients have the same one.
    """
    if site.name == "nih" or site.selects is not None:
        return seed
    return int.from_bytes(hashlib.sha256(f"{site.name}/{seed}".encode()).digest()[:8])


def _cut(site: Site, seed: int, patient: int, image: int) -> Cut:
    if not site.cropped:
        return phantom_processing.FULL
    rng = phantom_drawing.rng(seed, patient, image, phantom_drawing.EXPORT)
    return phantom_processing.sample_cut(rng)


def _square(values, site, seed, patient, image, size, noisy):
    """The processed drawing before it is cut, float32, and the chest."""
    grey, chest = phantom_drawing.render(values, seed, patient, image, size, noisy, site.style)
    return site.processing.applied_to(grey, chest.grid.pixel), chest


def draw_unrounded(
    site: str,
    findings: Mapping[str, float] | np.ndarray | None = None,
    *,
    patient: int = 0,
    image: int = 0,
    seed: int = 0,
    size: int = 256,
) -> np.ndarray:
    """As `draw`, but float32 before rounding; may go slightly beyond [0, 255]."""
    site = site_named(site)
    phantom.check_size(size)
    phantom.check_numbers(patient=patient, image=image, seed=seed)
    seed = population_seed(site, seed)
    values = phantom.strengths(findings)
    square, _ = _square(values, site, seed, patient, image, size, True)
    picture = _cut(site, seed, patient, image).applied_to(box_reduce(square, size))
    if site.burned_in:
        view = phantom_drawing.exam(seed, patient, image, site.style).view
        rng = phantom_drawing.rng(seed, patient, image, phantom_drawing.EXPORT, 1)
        picture = phantom_markers.burn_in(picture, view, rng)
    return picture


def draw(
    site: str,
    findings: Mapping[str, float] | np.ndarray | None = None,
    *,
    patient: int = 0,
    image: int = 0,
    seed: int = 0,
    size: int = 256,
) -> np.ndarray:
    """Draws one radiograph as a site shows it.

    Args:
        site: key of SITES.
        findings: strengths, see `phantom.strengths`.
        patient: number of the patient, >= 0. Patients of `nih` and `rsna` are the same.
        image: number of the patient's image, >= 0.
        seed: of the population, >= 0.
        size: longer side of the picture, a power of two up to 1024.

    Returns:
        uint8 [H, W] with max(H, W) = size, without the losses of a JPEG file.

    Raises:
        ValueError: an unknown site, or findings, size or a number out of range.
    """
    return phantom.rounded(
        draw_unrounded(site, findings, patient=patient, image=image, seed=seed, size=size)
    )


def draw_with_truth(
    site: str,
    findings: Mapping[str, float] | np.ndarray | None = None,
    *,
    patient: int = 0,
    image: int = 0,
    seed: int = 0,
    size: int = 256,
) -> tuple[np.ndarray, phantom.Truth]:
    """Draws one radiograph as a site shows it, and says what lies where in it.

    Arguments, errors and image as in `draw`.

    Returns:
        uint8 [H, W], and its Truth with maps of the same height and width. Findings are measured
        in the site's grey levels. Its lungs and organs know nothing of devices and markers.
    """
    picture = draw(site, findings, patient=patient, image=image, seed=seed, size=size)
    site = site_named(site)
    seed = population_seed(site, seed)

    def noiseless(values):
        return _square(values, site, seed, patient, image, size, False)

    kept = _cut(site, seed, patient, image).applied_to
    return picture, phantom.truth_of(phantom.strengths(findings), noiseless, size, kept)


def change(
    values: np.ndarray,
    others: np.ndarray,
    *,
    site: str,
    patient: int,
    image: int,
    seed: int,
    size: int,
) -> np.ndarray:
    """Difference that findings make to the noiseless square drawing, float32 [size, size] >= 0.

    Args:
        values: float32 [14], strengths.
        others: float32 [14], those of the drawing that it is compared with.
        site: key of SITES.
        patient: number of the patient.
        image: number of the patient's image.
        seed: of the population.
        size: side of the drawing.
    """
    site = site_named(site)
    place = (site, population_seed(site, seed), patient, image, size, False)
    shown, compared = _square(values, *place)[0], _square(others, *place)[0]
    return box_reduce(np.abs(shown - compared), size).astype(np.float32)


def truth(radiograph: Radiograph) -> phantom.Truth:
    """Ground truth of a radiograph that `read` yielded for any site."""
    if "site" in radiograph.load.keywords:
        return draw_with_truth(**radiograph.load.keywords)[1]
    return phantom.truth(radiograph)


def read(site: str, count: int, seed: int, size: int = 256) -> Iterator[Radiograph]:
    """Yields radiographs of a site, in the way of `phantom.read`.

    Image i depends only on (site, seed, i), not on `count`.

    Args:
        site: key of SITES; "nih" gives what `phantom.read` does.
        count: number of images.
        seed: of the population, >= 0.
        size: longer side of the images, see `draw`.

    Yields:
        Radiograph with labels 0 or 1 in the order of `labels.NIH_14`, whatever vocabulary the
        site's own files have. `extras` hold age, sex, view, "strengths", and "devices", a tuple
        of names. Images of `rsna` have their twin, ("phantom", image id of `nih`), that one's
        patient, and a group: "opacity", "abnormal" or "normal" as pneumonia, another finding or
        none is there.

    Raises:
        ValueError: an unknown site, size out of range, or a negative count or seed.
    """
    site = site_named(site)
    phantom.check_size(size)
    phantom.check_numbers(count=count, seed=seed)
    if site.name == "nih":
        return phantom.read(count, seed, size)
    return itertools.islice(_population(site, seed, size), count)


def _population(site: Site, seed: int, size: int) -> Iterator[Radiograph]:
    own_seed = population_seed(site, seed)
    for patient, image in phantom_drawing.exams(own_seed, site.style):
        values = phantom_drawing.illness(own_seed, patient, image, site.style)
        if site.selects is not None and not _selected(site, own_seed, patient, image, values):
            continue
        exam = phantom_drawing.exam(own_seed, patient, image, site.style)
        extras = {
            "age": exam.anatomy.age,
            "sex": exam.anatomy.sex,
            "view": exam.view,
            "strengths": values,
            "devices": exam.devices,
        }
        twin, place = None, f"{site.name}{seed}"
        if site.selects is not None:
            twin = ("phantom", phantom.image_name(seed, patient, image))
            extras["group"] = group(values)
        draws = functools.partial(
            draw,
            site=site.name,
            findings=values,
            patient=patient,
            image=image,
            seed=seed,
            size=size,
        )
        yield Radiograph(
            image_id=f"{place}_{patient:06d}_{image:03d}",
            patient_id=phantom.patient_name(seed, patient) if twin else f"{place}_{patient:06d}",
            labels=(values > 0).astype(np.float32),
            load=draws,
            stamp=f"phantom version {phantom.VERSION} site {site.name} seed {seed} size {size}",
            extras=extras,
            twin=twin,
        )


def group(values: np.ndarray) -> str:
    """Class of an exam by the strengths of its findings: "opacity", "abnormal" or "normal"."""
    if values[_PNEUMONIA] > 0:
        return "opacity"
    return "abnormal" if np.any(values > 0) else "normal"


def _selected(site: Site, seed: int, patient: int, image: int, values: np.ndarray) -> bool:
    """Whether an exam is selected: if it shows pneumonia, else by chance."""
    if values[_PNEUMONIA] > 0:
        return True
    there = PREVALENCE[_PNEUMONIA]
    share = there / (1 - there) * (1 - site.selects) / site.selects
    rng = phantom_drawing.rng(seed, patient, image, phantom_drawing.SELECTION)
    return rng.random() < share
