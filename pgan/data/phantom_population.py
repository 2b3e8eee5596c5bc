"""Who has what in a population of chest phantoms."""

import dataclasses

import numpy as np
from scipy import special

# Share of images with each finding, in the order of labels.NIH_14. The order of frequency is close
# to ChestX-ray14's; rare ones are raised so that a few hundred images hold positives of each.
PREVALENCE = (
    0.11, 0.07, 0.13, 0.16, 0.07, 0.08, 0.05, 0.07, 0.07, 0.05, 0.05, 0.045, 0.055, 0.03,
)  # fmt: skip

# Findings come together as they do in ChestX-ray14 because each is a thresholded sum of shared
# causes (heart failure, infection, smoking, tumour, scars) and a cause of its own.
_CAUSES = np.array(
    [
        [0.30, 0.35, 0.10, 0.15, 0.00],  # Atelectasis
        [0.60, 0.00, -0.05, 0.00, 0.00],  # Cardiomegaly
        [0.50, 0.30, 0.00, 0.25, 0.10],  # Effusion
        [0.25, 0.40, 0.00, 0.00, 0.10],  # Infiltration
        [0.00, 0.10, 0.05, 0.60, 0.10],  # Mass
        [0.00, 0.05, 0.00, 0.55, 0.10],  # Nodule
        [0.25, 0.60, 0.00, 0.00, 0.00],  # Pneumonia
        [-0.05, 0.00, 0.55, 0.15, 0.10],  # Pneumothorax
        [0.20, 0.50, 0.00, 0.20, 0.00],  # Consolidation
        [0.60, 0.35, -0.10, -0.05, 0.00],  # Edema
        [-0.10, 0.00, 0.70, 0.05, 0.05],  # Emphysema
        [-0.05, 0.05, 0.10, 0.00, 0.60],  # Fibrosis
        [0.10, 0.05, 0.10, 0.25, 0.45],  # Pleural Thickening
        [0.10, 0.00, 0.00, 0.00, 0.00],  # Hernia
    ]
)
# Share of a finding's variance that stays with the patient from one image to the next.
_PERSISTENCE = np.array([0.3, 0.9, 0.4, 0.3, 0.8, 0.8, 0.2, 0.3, 0.2, 0.3, 0.95, 0.95, 0.9, 0.95])

# bool [14], findings that stay with a patient for life or for long.
CHRONIC = _PERSISTENCE >= 0.8
_OWN_CAUSE = np.sqrt(1 - (_CAUSES**2).sum(1))

WEAKEST = 0.35  # Strength of the faintest finding that a radiologist would report.

# Chance of 1, 2, ... 8 images; 2.8 on average.
IMAGES_PER_PATIENT = (0.34, 0.22, 0.15, 0.10, 0.08, 0.05, 0.04, 0.02)


@dataclasses.dataclass(frozen=True)
class Population:
    """Whom a site sees: how ill, how old, how often, and in bed or standing.

    Attributes:
        prevalence: share of images with each finding, in the order of `labels.NIH_14`.
        images_per_patient: chance of 1, 2, ... images.
        female: share of women among the patients.
        age, age_sd: mean and standard deviation in years; ages are cut to 16 .. 90.
        bedside: share of AP images among the sturdiest patients; the others are PA.
        frailty: by how much that share is higher among the frailest.
    """

    prevalence: tuple[float, ...] = PREVALENCE
    images_per_patient: tuple[float, ...] = IMAGES_PER_PATIENT
    female: float = 0.44
    age: float = 48
    age_sd: float = 17
    bedside: float = 0.15
    frailty: float = 0.5


USUAL = Population()


def sample_image_count(rng: np.random.Generator, population: Population = USUAL) -> int:
    """Number of images of a patient, at least 1."""
    upper = np.cumsum(population.images_per_patient)[:-1]
    return 1 + int(np.searchsorted(upper, rng.random(), side="right"))


def _liabilities(rng: np.random.Generator) -> np.ndarray:
    """One draw of the 14 correlated standard normals."""
    shared = (_CAUSES * rng.standard_normal(_CAUSES.shape[1])).sum(1)
    return shared + _OWN_CAUSE * rng.standard_normal(len(_OWN_CAUSE))


def sample_strengths(
    lasting: np.random.Generator, passing: np.random.Generator, population: Population = USUAL
) -> np.ndarray:
    """Findings of one image.

    Args:
        lasting: generator in the same state for all images of the patient.
        passing: generator of this image.
        population: has the prevalences. The same generators give a patient the same liabilities
            in every population.

    Returns:
        float32 [14], 0 for an absent finding and `WEAKEST` .. 1 for one that is present.
    """
    liability = np.sqrt(_PERSISTENCE) * _liabilities(lasting)
    liability += np.sqrt(1 - _PERSISTENCE) * _liabilities(passing)
    # A chronic finding keeps about its strength from image to image; an acute one varies.
    usual = lasting.uniform(WEAKEST, 1.0, len(_PERSISTENCE))
    current = passing.uniform(WEAKEST, 1.0, len(_PERSISTENCE))
    strength = _PERSISTENCE * usual + (1 - _PERSISTENCE) * current
    thresholds = special.ndtri(np.asarray(population.prevalence))
    return np.where(liability < thresholds, strength, 0).astype(np.float32)
