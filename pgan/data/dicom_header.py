"""Reading the header of a DICOM file, and nothing of it but what was asked for."""

import logging
import os
import warnings
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom import uid

# pydicom reports each oddity of a header in its log and as a warning, with the value that is odd.
# What matters here is checked here, and a value may be somebody's name.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom\b")


class Refused(ValueError):  # noqa: N818 - nothing is wrong with the file
    """A sound file that is no frontal chest radiograph of one frame; the message says why."""


def is_dicom(start: bytes) -> bool:
    """Whether a file that starts so (at least 132 bytes) is a DICOM file."""
    return start[128:132] == b"DICM"


def read(
    file: BinaryIO, path: str | os.PathLike, tags: Iterable[str]
) -> tuple[pydicom.Dataset, str]:
    """Reads the header.

    Messages of this module and of those that it serves are predicates, to be put after the name of
    the file.

    Args:
      file: the open file. It is left where the element of the pixels starts.
      path: of the same file.
      tags: keywords of the elements to keep.

    Returns:
      The elements, all converted to their types, and the transfer syntax.

    Raises:
      Refused: the file is a DICOMDIR.
      ValueError: it is empty, no DICOM file, deflated, or damaged.
    """
    start = file.read(132)
    if not start:
        raise ValueError("is empty; fetch it again.")
    if not is_dicom(start):
        raise ValueError("is no DICOM file (DICM is not at its byte 128); fetch it again.")
    file.seek(0)
    try:
        meta = pydicom.filereader.read_file_meta_info(path)
        kind = meta.get("MediaStorageSOPClassUID")
        syntax = meta.get("TransferSyntaxUID")
    except Exception as error:  # there is no telling what a damaged header makes pydicom raise
        raise _unreadable(error) from None
    if kind == uid.MediaStorageDirectoryStorage:
        raise Refused("is the table of contents of a DICOM disk.")
    if not syntax:
        raise ValueError("does not say how it is encoded (Transfer Syntax UID); fetch it again.")
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        # pydicom would inflate it to whatever size before anything can be checked.
        raise ValueError(
            "is deflated as a whole, which is not supported; inflate it, for instance with "
            "`dcmconv +te` of DCMTK."
        )
    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(tags))
        for _ in dataset.iterall():
            pass  # values are converted when they are looked at: better here than later
    except Exception as error:
        raise _unreadable(error) from None
    return dataset, syntax


def number(dataset, keyword: str, default: float | None = None) -> float | None:
    """The first value of a numeric element, or the default where it is missing or empty.

    Raises:
      ValueError: it is no finite number.
    """
    value = _values(dataset.get(keyword))
    if not value or value[0] in (None, ""):
        return default
    try:
        first = float(value[0])
    except (TypeError, ValueError):
        first = np.nan
    if not np.isfinite(first):
        raise ValueError(f"has a {keyword} that is no number; fetch it again.")
    return first


def text(dataset, keyword: str) -> str:
    """An element of text without blanks around it; several values are joined by a blank."""
    return " ".join(str(value) for value in _values(dataset.get(keyword)) if value).strip()


def _values(value) -> list:
    if value is None or isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return [value]
    return list(value)


def _unreadable(error: Exception) -> ValueError:
    # The text of an error may quote a value.
    return ValueError(f"has a header that cannot be read ({type(error).__name__}); fetch it again.")
