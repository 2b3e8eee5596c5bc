"""Synthetic images as DICOM files, secondary captures (PS3.3 A.8.1) of no person.

Each image has a patient, study and series of its own, as every synthetic image of a record set
counts as a patient of its own.
"""

import io
import uuid
from collections.abc import Mapping

import numpy as np
import pydicom
from pydicom import uid as uids

_PATIENT_NAME = "SYNTHETIC^NO PERSON"
_DESCRIPTION = "SYNTHETIC, not a radiograph"
# Of the header: whether a generator repeats images that it learned from is another question.
_DEIDENTIFICATION = "Drawn by a generative model: header describes no person"


def encode(image: np.ndarray, texts: Mapping[str, str]) -> bytes:
    """A DICOM file, Secondary Capture Image Storage in Explicit VR Little Endian.

    Args:
        image: uint8 [H, W], 0 black.
        texts: What the file says of itself: those of `synthetic_mark.facts`, and "seed", "index"
            and "findings", which with the generator's fingerprint decide all identifiers.

    Returns:
        The file's bytes, the same for the same arguments.

    Raises:
        ValueError: If the image is of another kind.
    """
    if image.dtype != np.uint8 or image.ndim != 2:
        raise ValueError(
            f"a DICOM file holds grey images uint8 [H, W], got {image.dtype} {list(image.shape)}; "
            "draw them with `ExportedGenerator.sample` or `stream`"
        )
    file = pydicom.Dataset()
    file.SpecificCharacterSet = "ISO_IR 192"  # UTF-8: findings may have names in any language
    _add_identity(file, texts)
    _add_empty(file)
    _add_origin(file, texts)
    _add_pixels(file, image)
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
    with io.BytesIO() as stream:
        file.save_as(stream, enforce_file_format=True)
        return stream.getvalue()


def _add_identity(file: pydicom.Dataset, texts: Mapping[str, str]) -> None:
    drawn = "/".join(texts[key] for key in ("generator_fingerprint", "seed", "index", "findings"))

    def uid(part):
        # PS3.5 B.2: 2.25 and a UUID as one decimal number.
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{drawn}/{part}').int}"

    file.SOPClassUID = uids.SecondaryCaptureImageStorage
    file.SOPInstanceUID = uid("image")
    file.StudyInstanceUID = uid("study")
    file.SeriesInstanceUID = uid("series")
    file.PatientName = _PATIENT_NAME
    # The findings are left out: with others, the same latent vector draws another image of the
    # same made-up patient.
    name = f"{texts['generator_fingerprint'][:12]}-{texts['seed']}-{int(texts['index']):06d}"
    file.PatientID = f"SYNTHETIC-{name}"
    file.SeriesNumber = file.InstanceNumber = "1"


def _add_empty(file: pydicom.Dataset) -> None:
    """What the standard wants to be there, if only to say that it is not known (Type 2)."""
    file.PatientBirthDate = file.PatientSex = ""
    file.StudyDate = file.StudyTime = file.StudyID = ""
    file.AccessionNumber = file.ReferringPhysicianName = ""
    file.PatientOrientation = ""


def _add_origin(file: pydicom.Dataset, texts: Mapping[str, str]) -> None:
    file.SyntheticData = "YES"
    file.ImageType = ["DERIVED", "SECONDARY"]
    file.ConversionType = "SYN"
    # What the image imitates. Viewers choose their layout by it, and programs for chest radiographs
    # take nothing under "OT", the term for whatever has none.
    file.Modality = "CR"
    file.BodyPartExamined = "CHEST"
    file.StudyDescription = file.SeriesDescription = _DESCRIPTION
    file.PatientIdentityRemoved = "YES"
    file.DeidentificationMethod = _DEIDENTIFICATION
    file.BurnedInAnnotation = "NO"
    file.DerivationDescription = (
        f"Drawn by generator {texts['generator']}, fingerprint {texts['generator_fingerprint']}, "
        f"from seed {texts['seed']}, index {texts['index']}"
    )
    file.ImageComments = "\r\n".join(f"{key}: {text}" for key, text in texts.items())


def _add_pixels(file: pydicom.Dataset, image: np.ndarray) -> None:
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.Rows, file.Columns = image.shape
    file.BitsAllocated, file.BitsStored, file.HighBit = 8, 8, 7
    file.PixelRepresentation = 0
    file.PixelData = image.tobytes() + b"\0" * (image.size % 2)
    file["PixelData"].VR = "OB"
