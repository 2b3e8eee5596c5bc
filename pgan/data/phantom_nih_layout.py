"""The phantom site `nih` in the files of ChestX-ray14.

Data_Entry_2017_v2020.csv
train_val_list.txt, test_list.txt    80 and 20 % of the patients
images/00000001_000.png              8 bits of grey
"""

import functools
from collections.abc import Sequence

from pgan.data import labels, phantom_sites, splits
from pgan.data.phantom_files import File, Plan, csv_text, png
from pgan.data.phantom_texture import FIELD_CM
from pgan.data.radiograph import Radiograph

LABELS_CSV = "Data_Entry_2017_v2020.csv"
_LISTS = ("train_val_list.txt", "test_list.txt")
_FRACTIONS = (0.8, 0.2)

# The last four share two names with a comma inside, as the header of NIH's file has them.
COLUMNS = (
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
    "OriginalImage[Width",
    "Height]",
    "OriginalImagePixelSpacing[x",
    "y]",
)


def image_name(patient: int, image: int) -> str:
    """Name of an image file by the phantom's numbers of patient and image."""
    return f"{patient + 1:08d}_{image:03d}.png"


def plan(count: int, seed: int, size: int) -> Plan:
    """The files of a folder; arguments as in `phantom_layouts.write`."""
    images = list(phantom_sites.read("nih", count, seed, size))
    files = [File(f"images/{_name(image)}", functools.partial(png, image.load)) for image in images]
    tables = functools.partial(_tables, images, seed, size)
    return Plan(files, (*_LISTS, LABELS_CSV), tables)


def _name(image: Radiograph) -> str:
    return image_name(image.load.keywords["patient"], image.load.keywords["image"])


def _tables(images: Sequence[Radiograph], seed: int, size: int, _) -> dict[str, str]:
    rows = [_row(image, size) for image in images]
    column = COLUMNS.index("Patient ID")
    patients = splits.draw_patients((row[column] for row in rows), seed, _LISTS, _FRACTIONS)
    lists = {
        name: "".join(f"{row[0]}\n" for row in rows if row[column] in patients[name])
        for name in _LISTS
    }
    return {**lists, LABELS_CSV: csv_text(COLUMNS, rows)}


def _row(image: Radiograph, size: int) -> list:
    findings = sorted(labels.present(image.labels, labels.NIH_14))
    numbers = image.load.keywords
    # Millimetres on the plate; the file has the pixels of the plate.
    spacing = round(10 * FIELD_CM / size, 6)
    return [
        _name(image),
        "|".join(findings).replace(" ", "_") or labels.NO_FINDING,
        numbers["image"],
        str(numbers["patient"] + 1),
        image.extras["age"],
        image.extras["sex"],
        image.extras["view"],
        size,
        size,
        spacing,
        spacing,
    ]
