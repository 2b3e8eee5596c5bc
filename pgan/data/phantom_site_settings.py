"""How the sites of the chest phantom differ; `phantom_sites` draws what they show."""

import dataclasses

from pgan.data import labels, phantom_drawing
from pgan.data.phantom_drawing import Style
from pgan.data.phantom_imaging import Technique
from pgan.data.phantom_population import Population
from pgan.data.phantom_processing import Processing


@dataclasses.dataclass(frozen=True)
class Site:
    """A hospital with its patients, its units, and the way its pictures leave it.

    Attributes:
        name: key of SITES.
        style: patients, exposure, lead marker, devices.
        processing: of the grey values.
        cropped: whether pictures are landscape, portrait or square rather than square.
        burned_in: whether text is written into the picture.
        jpeg_quality: 1 .. 95 of the files that `phantom_layouts` writes; None is lossless.
        selects: share of exams with pneumonia in a selection of the exams of the site `nih`;
            None for a site that shows all exams of its own patients.
    """

    name: str
    style: Style = phantom_drawing.PLAIN
    processing: Processing = Processing()
    cropped: bool = False
    burned_in: bool = False
    jpeg_quality: int | None = None
    selects: float | None = None


# Shares close to those that CheXpert's frontal images are labelled with, rare ones raised. What
# its labels do not name (infiltration, emphysema, fibrosis, hernia) is here too.
_CHEXPERT_PREVALENCE = {
    "Atelectasis": 0.24,
    "Cardiomegaly": 0.15,
    "Effusion": 0.38,
    "Infiltration": 0.12,
    "Mass": 0.04,
    "Nodule": 0.05,
    "Pneumonia": 0.08,
    "Pneumothorax": 0.09,
    "Consolidation": 0.12,
    "Edema": 0.26,
    "Emphysema": 0.04,
    "Fibrosis": 0.05,
    "Pleural Thickening": 0.04,
    "Hernia": 0.02,
}

SITES = {
    "nih": Site("nih"),
    "chexpert": Site(
        "chexpert",
        style=Style(
            population=Population(
                prevalence=tuple(_CHEXPERT_PREVALENCE[name] for name in labels.NIH_14),
                female=0.41,
                age=61,
                age_sd=18,
                bedside=0.66,
                frailty=0.34,
            ),
            technique=Technique(scatter=1.25, dose=0.35, middle=0.95, contrast=0.95),
            letter="",
            devices=True,
        ),
        # The curve spreads the grey values of lungs and soft tissue over the whole range.
        processing=Processing(
            blur=0.035,
            local=0.9,
            reach=2.2,
            curve=(0.0, 0.05, 0.13, 0.25, 0.41, 0.58, 0.75, 0.90, 1.0),
        ),
        cropped=True,
        burned_in=True,
        jpeg_quality=85,
    ),
    "rsna": Site(
        "rsna",
        style=Style(technique=Technique(middle=1.18, contrast=1.04, sharpening=0.9), letter="R"),
        processing=Processing(blur=0.04),
        jpeg_quality=90,
        selects=0.225,
    ),
}
