"""Small DICOM files for tests, made with pydicom alone."""

import io
import struct

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import encaps, uid

from pgan.data import dicom

# Nothing of these may come out of a reader but through its identifiers.
PATIENT_NAME, PATIENT_ID, IMAGE_ID = "Doe^Jane", "MRN-4711", "2.25.123456789"

# Images of 8 and of 12 bits; the encoder of JPEG 2000 wants 64 px.
GREY = (np.arange(72)[:, None] * 2 + np.arange(65)).astype(np.uint8)
DEEP = np.random.default_rng(2).integers(0, 4096, (72, 65)).astype(np.uint16)


def dataset(pixels, syntax=uid.ExplicitVRLittleEndian, **tags):
    """A chest radiograph, PA, of a woman of 58 years.

    Args:
        pixels: uint8, int16 or uint16 [H, W].
        syntax: transfer syntax; RLE, JPEG 2000, lossless JPEG and JPEG baseline (8 bits, lossy) are
            encoded too.
        **tags: other values of elements by keyword; None leaves an element out.
    """
    pixels = np.asarray(pixels)
    bits = 8 * pixels.dtype.itemsize
    values = {
        "SOPClassUID": uid.DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": IMAGE_ID,
        "PatientName": PATIENT_NAME,
        "PatientID": PATIENT_ID,
        "PatientBirthDate": "19450812",
        "PatientSex": "F",
        "PatientAge": "058Y",
        "InstitutionName": "Saint Nowhere",
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    values |= tags
    values.setdefault("HighBit", values["BitsStored"] - 1)
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    for keyword, value in values.items():
        if value is not None:
            setattr(made, keyword, value)
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    made["PixelData"].VR = "OB" if bits == 8 else "OW"
    if syntax == uid.JPEGBaseline8Bit:
        made.PixelData = encaps.encapsulate([_jpeg(pixels)])
    elif syntax == uid.JPEGLosslessSV1:
        unsigned = pixels.astype(int) % 2 ** values["BitsStored"]
        made.PixelData = encaps.encapsulate([_lossless_jpeg(unsigned, values["BitsStored"])])
    elif uid.UID(syntax).is_compressed:
        made.compress(syntax, generate_instance_uid=False)
    made.file_meta.TransferSyntaxUID = syntax
    return made


def write(path, pixels, syntax=uid.ExplicitVRLittleEndian, **tags):
    """Writes `dataset` of the same arguments and returns the path."""
    made = dataset(pixels, syntax, **tags)
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    return path


def edit(path, **tags):
    """Changes elements of a file without a look at its pixels."""
    made = pydicom.dcmread(path)
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    pydicom.dcmwrite(path, made, enforce_file_format=True)


def errors(path):
    """The message of probe and load, which both have to refuse the file; without its name."""
    messages = set()
    for attempt in (dicom.probe, dicom.load):
        with pytest.raises(ValueError) as error:
            attempt(path)
        message = str(error.value)
        assert message.startswith(f"{path} ")
        for secret in ("Doe", "Jane", PATIENT_ID, IMAGE_ID, "Nowhere"):
            assert secret not in message
        messages.add(message.removeprefix(f"{path} "))
    (message,) = messages
    return message


def table(data, first, bits):
    """An item of a Modality or VOI LUT Sequence, from its entries."""
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(data), first, bits])
    item.add_new("LUTData", "US", list(data))
    return item


def _jpeg(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def _lossless_jpeg(pixels, bits):
    """ITU-T T.81, process 14: differences to the pixel on the left, in the simplest code."""
    before = np.roll(pixels, 1, axis=1)
    before[1:, 0] = pixels[:-1, 0]
    before[0, 0] = 2 ** (bits - 1)
    # All 17 categories, the numbers of bits of a difference, have codes of 5 bits.
    code = []
    for difference in ((pixels - before + 2**15) % 2**16 - 2**15).ravel().tolist():
        category = abs(difference).bit_length()
        code.append(f"{category:05b}")
        if 0 < category < 16:
            value = difference if difference > 0 else difference + 2**category - 1
            code.append(f"{value:0{category}b}")
    code = "".join(code)
    code += "1" * (-len(code) % 8)
    data = int(code, 2).to_bytes(len(code) // 8).replace(b"\xff", b"\xff\0")
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    rows, columns = pixels.shape
    return b"".join(
        [
            b"\xff\xd8\xff\xc3" + struct.pack(">HBHHB", 11, bits, rows, columns, 1) + b"\1\x11\0",
            b"\xff\xc4" + struct.pack(">H", 2 + len(table)) + table,
            b"\xff\xda" + struct.pack(">H", 8) + b"\1\1\0\1\0\0" + data + b"\xff\xd9",
        ]
    )
