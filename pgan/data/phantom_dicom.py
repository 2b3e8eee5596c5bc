"""Pictures of the chest phantom as DICOM files, secondary captures of made-up patients."""

import hashlib
import io

import numpy as np
import pydicom
from PIL import Image
from pydicom import encaps
from pydicom import uid as uids

from pgan.data.phantom_texture import FIELD_CM

# How pixels are stored, and the share of files that store them so. The challenge's own files are
# all of the first kind; the others are what a hospital's archive has besides.
#   jpeg8       8 bits, JPEG baseline, MONOCHROME2
#   inverted12  12 bits in 16, uncompressed, MONOCHROME1: high values are black
#   windowed12  12 bits in 16, uncompressed, MONOCHROME2, with a window narrower than the values
KINDS = {"jpeg8": 0.7, "inverted12": 0.15, "windowed12": 0.15}

_LARGEST = 4095
# Black and white of a windowed file; values beyond them are kept.
_BLACK, _WHITE = 700, 3300


def sample_kind(rng: np.random.Generator) -> str:
    """Draws one of KINDS by their shares."""
    bounds = np.cumsum(list(KINDS.values()))
    return list(KINDS)[min(int(np.searchsorted(bounds, rng.random(), "right")), len(KINDS) - 1)]


def uid(exam: str, part: str) -> str:
    """A unique identifier that depends on nothing but the exam's id and the name of a part."""
    digest = hashlib.sha256(f"{exam}/{part}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def encode(
    grey: np.ndarray,
    kind: str,
    *,
    exam: str,
    name: str,
    age: int,
    sex: str,
    view: str,
    jpeg_quality: int,
) -> bytes:
    """A DICOM file.

    Args:
        grey: float32 [H, W], grey levels, 0 black and 255 white; what is beyond them is kept only
            in "windowed12".
        kind: one of KINDS.
        exam: id of the exam; PatientID, and source of all identifiers.
        name: PatientName.
        age: in years.
        sex: "F" or "M".
        view: "AP" or "PA".
        jpeg_quality: of "jpeg8".

    Returns:
        The file's bytes, the same for the same arguments.
    """
    file = pydicom.Dataset()
    file.SpecificCharacterSet = "ISO_IR 100"
    file.SOPClassUID = uids.SecondaryCaptureImageStorage
    file.SOPInstanceUID = uid(exam, "image")
    file.StudyInstanceUID = uid(exam, "study")
    file.SeriesInstanceUID = uid(exam, "series")
    file.StudyDate, file.StudyTime = "19010101", "000000.00"
    file.AccessionNumber = file.StudyID = file.ReferringPhysicianName = ""
    file.Modality = "CR"
    file.ConversionType = "WSD"
    file.SeriesDescription = f"view: {view}"
    file.PatientName, file.PatientID = name, exam
    file.PatientBirthDate = ""
    file.PatientSex, file.PatientAge = sex, f"{age:03d}Y"
    file.BodyPartExamined, file.ViewPosition = "CHEST", view
    file.SeriesNumber = file.InstanceNumber = "1"
    file.PatientOrientation = ""
    file.Rows, file.Columns = grey.shape
    spacing = f"{10 * FIELD_CM / max(grey.shape):.5g}"
    file.PixelSpacing = [spacing, spacing]
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    syntax = _add_jpeg(file, grey, jpeg_quality) if kind == "jpeg8" else _add_raw(file, grey, kind)
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = syntax
    with io.BytesIO() as stream:
        file.save_as(stream, enforce_file_format=True)
        return stream.getvalue()


def _add_jpeg(file: pydicom.Dataset, grey: np.ndarray, quality: int) -> str:
    pixels = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    with io.BytesIO() as stream:
        Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
        coded = stream.getvalue()
    file.PhotometricInterpretation = "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit = 8, 8, 7
    file.LossyImageCompression = "01"
    file.LossyImageCompressionRatio = f"{pixels.size / len(coded):.2f}"
    file.LossyImageCompressionMethod = "ISO_10918_1"
    file.PixelData = encaps.encapsulate([coded])
    file["PixelData"].VR = "OB"
    return uids.JPEGBaseline8Bit


def _add_raw(file: pydicom.Dataset, grey: np.ndarray, kind: str) -> str:
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
    share = grey / np.float32(255)
    if kind == "inverted12":
        file.PhotometricInterpretation = "MONOCHROME1"
        stored = _LARGEST * (1 - share)
        black, white = 0, _LARGEST
    else:
        file.PhotometricInterpretation = "MONOCHROME2"
        stored = _BLACK + (_WHITE - _BLACK) * share
        black, white = _BLACK, _WHITE
    # PS3.3 C.11.2.1.2: a window of width w spans w - 1 values around its centre minus a half.
    file.WindowCenter, file.WindowWidth = f"{(black + white + 1) / 2:g}", str(white - black + 1)
    pixels = np.clip(np.rint(stored), 0, _LARGEST).astype("<u2")
    file.PixelData = pixels.tobytes()
    file["PixelData"].VR = "OW"
    return uids.ExplicitVRLittleEndian
