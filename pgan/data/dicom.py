"""DICOM files of frontal chest radiographs: what their header says, and their grey values.

The parts are `dicom_header`, `dicom_selection` (is it a frontal chest radiograph?),
`dicom_pixels` and `dicom_rendering`.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import pydicom

from pgan.data import dicom_header, dicom_pixels, dicom_rendering, dicom_selection
from pgan.data.dicom_header import Refused
from pgan.data.radiograph import Pixels

# Which values become black to white; dicom_rendering says what each means.
WINDOWS = dicom_rendering.WINDOWS
LARGEST_PIXELS = dicom_pixels.LARGEST_PIXELS

# All that a record keeps of a header: age, sex and view. Everything else is used and forgotten: the
# elements that rendering needs, whose numbers are in `Pixels.rendering`, and the two identifiers,
# which become pseudonyms. Elements that no module here names are not even read.
KEPT_TAGS = ("PatientAge", "PatientSex", "ViewPosition")

_IDENTIFIERS = ("PatientID", "SOPInstanceUID")
_TAGS = sorted(
    {
        *KEPT_TAGS,
        *_IDENTIFIERS,
        *dicom_pixels.TAGS,
        *dicom_rendering.TAGS,
        *dicom_selection.TAGS,
    }
)
_OLDEST_PLAUSIBLE = 120  # years
_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12, "Y": 1, "": 1}


class Header(NamedTuple):
    """What a header says.

    Attributes:
      width, height: in pixels.
      view: "AP", "PA" or "" if it is not known.
      age: in whole years, None if it is not known or not plausible.
      sex: "F", "M" or "" if it is not known.
      patient_id, image_id: PatientID and SOPInstanceUID, "" if they are missing.
      size: of the file in bytes.
    """

    width: int
    height: int
    view: str
    age: int | None
    sex: str
    patient_id: str
    image_id: str
    size: int


def is_dicom(start: bytes) -> bool:
    """Whether a file that starts so (at least 132 bytes) is a DICOM file."""
    return dicom_header.is_dicom(start)


def probe(path: str | os.PathLike, window: str = "auto") -> Header:
    """Reads the header and checks all that can be known before pixels are decoded.

    Args:
      path: of the file.
      window: one of WINDOWS, which the file has to allow.

    Raises:
      Refused: the file is sound, but no frontal chest radiograph of one frame.
      ValueError: it is broken, cut off, far too large, lacks the window, or needs a decoder that
        is not installed. All messages name the file, and nothing of its header that tells who is
        on it.
    """
    with _naming(path), _open(path) as file:
        dataset, layout = _read(file, path, window)
        sex = dicom_header.text(dataset, "PatientSex").upper()
        return Header(
            width=layout.options["columns"],
            height=layout.options["rows"],
            view=dicom_selection.view(dataset),
            age=_age(dicom_header.text(dataset, "PatientAge")),
            sex=sex if sex in ("F", "M") else "",
            patient_id=dicom_header.text(dataset, "PatientID"),
            image_id=dicom_header.text(dataset, "SOPInstanceUID"),
            size=os.fstat(file.fileno()).st_size,
        )


def load(path: str | os.PathLike, window: str = "auto") -> Pixels:
    """Grey values of a radiograph.

    Args:
      path: of the file.
      window: one of WINDOWS.

    Returns:
      float32 [H, W] in [0, 255], dense tissue bright, and a text of what was applied, such as
      "MONOCHROME1 inverted; rescale 1 0; window linear 2047 4096; 12 of 16 bits".

    Raises:
      Refused, ValueError: as `probe`, and ValueError if the pixels cannot be decoded.
    """
    with _naming(path), _open(path) as file:
        dataset, layout = _read(file, path, window)
        file.seek(layout.start)
        words = dicom_pixels.decode(layout, file.read(layout.length))
        return dicom_rendering.render(words, dataset, window)


def _read(
    file: BinaryIO, path: str | os.PathLike, window: str
) -> tuple[pydicom.Dataset, dicom_pixels.Layout]:
    dataset, syntax = dicom_header.read(file, path, _TAGS)
    dicom_selection.check(dataset)
    layout = dicom_pixels.find(file, dataset, syntax)
    dicom_rendering.check(dataset, window)
    return dataset, layout


@contextlib.contextmanager
def _naming(path: str | os.PathLike) -> Iterator[None]:
    """Puts the name of the file before a message."""
    try:
        yield
    except Refused as error:
        raise Refused(f"{path} {error}") from None
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None


def _open(path: str | os.PathLike) -> BinaryIO:
    try:
        return open(path, "rb")
    except IsADirectoryError:
        raise ValueError("is a folder; name a file in it.") from None
    except OSError as error:
        raise ValueError(f"cannot be opened ({error.strerror}).") from None


def _age(text: str) -> int | None:
    """Whole years of an age such as 058Y, 018M, 003W, 010D, or of a bare number."""
    match = re.fullmatch(r"(\d{1,3})([DWMY]?)", text.upper())
    if not match:
        return None
    years = int(int(match[1]) / _PER_YEAR[match[2]])
    return years if years <= _OLDEST_PLAUSIBLE else None
