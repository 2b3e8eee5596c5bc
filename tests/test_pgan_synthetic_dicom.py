"""Synthetic images as DICOM files, checked byte by byte and against tables typed from PS3.3."""

import io
import struct
import uuid

import numpy as np
import pydicom
import pytest
from pydicom import datadict

from pgan import synthetic_dicom, synthetic_mark
from pgan.data import dicom

IMAGE = np.arange(256, dtype=np.uint8).reshape(16, 16)
TEXTS = synthetic_mark.facts("tiny", 1, "c0ffee" * 10 + "beef") | {
    "seed": "-3",
    "index": "12",
    "findings": "Mass=1, Hernia=0.5",
}

# Attributes of the modules that a Secondary Capture Image has to have (PS3.3 A.8.1.3): Patient,
# General Study, General Series, SC Equipment, General Image, Image Pixel and SOP Common. Of the
# conditional ones those whose condition is met.
TYPE_1 = """
    StudyInstanceUID Modality SeriesInstanceUID ConversionType SamplesPerPixel
    PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    PixelData SOPClassUID SOPInstanceUID SpecificCharacterSet DeidentificationMethod
""".split()
TYPE_2 = """
    PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName
    StudyID AccessionNumber SeriesNumber InstanceNumber PatientOrientation
""".split()
UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}


def _parse(content):
    """(tag, VR, value) of all elements, by the rules of PS3.5 7.1.2 for explicit VR."""
    elements, position = [], 132
    while position < len(content):
        tag = struct.unpack_from("<HH", content, position)
        kind = content[position + 4 : position + 6].decode("ascii")
        if kind in _LONG:
            assert content[position + 6 : position + 8] == b"\0\0"
            (length,) = struct.unpack_from("<I", content, position + 8)
            position += 12
        else:
            (length,) = struct.unpack_from("<H", content, position + 6)
            position += 8
        assert length % 2 == 0 and position + length <= len(content), tag
        elements.append((tag, kind, content[position : position + length]))
        position += length
    return elements


def _read(image=IMAGE, **changes):
    return pydicom.dcmread(io.BytesIO(synthetic_dicom.encode(image, TEXTS | changes)))


@pytest.mark.parametrize("image", [IMAGE, IMAGE[:5, :3]])
def test_the_file_is_laid_out_as_the_standard_says(image):
    content = synthetic_dicom.encode(image, TEXTS)
    assert content[:132] == bytes(128) + b"DICM"
    elements = _parse(content)
    tags = [tag for tag, _, _ in elements]
    assert tags == sorted(set(tags))
    for (group, element), kind, _ in elements:
        if group != 2:
            assert kind in datadict.dictionary_VR((group, element)).split(" or ")
    (_, _, group_length), *_ = elements
    first_of_dataset = next(n for n, tag in enumerate(tags) if tag[0] != 2)
    meta = content[132 + 12 : content.index(struct.pack("<HH", *tags[first_of_dataset]) + b"CS")]
    assert struct.unpack("<I", group_length) == (len(meta),)
    values = {tag: value for tag, _, value in elements}
    assert values[2, 0x10] == b"1.2.840.10008.1.2.1\0"
    assert values[2, 0x02] == values[8, 0x16] == b"1.2.840.10008.5.1.4.1.1.7\0"
    assert values[2, 0x03] == values[8, 0x18]
    assert values[0x7FE0, 0x10] == image.tobytes() + bytes(image.size % 2)
    assert max(tags) == (0x7FE0, 0x10)


def test_required_attributes_are_there():
    file = _read()
    for keyword in TYPE_1:
        assert file[keyword].value not in (None, ""), keyword
    for keyword in TYPE_2:
        assert keyword in file, keyword
    assert (file.Rows, file.Columns) == IMAGE.shape
    assert (file.BitsAllocated, file.BitsStored, file.HighBit) == (8, 8, 7)
    assert (file.SamplesPerPixel, file.PhotometricInterpretation) == (1, "MONOCHROME2")
    assert file.PixelRepresentation == 0


def test_the_file_says_that_it_is_synthetic_and_of_no_person():
    file = _read()
    assert str(file.PatientName) == "SYNTHETIC^NO PERSON"
    assert file.PatientID == "SYNTHETIC-c0ffeec0ffee--3-000012"
    assert file.PatientBirthDate == file.PatientSex == ""
    assert (file.SyntheticData, file.ConversionType) == ("YES", "SYN")
    assert file.ImageType == ["DERIVED", "SECONDARY"]
    assert (file.PatientIdentityRemoved, file.BurnedInAnnotation) == ("YES", "NO")
    assert "generative model" in file.DeidentificationMethod
    for keyword in ("StudyDescription", "SeriesDescription"):
        assert "SYNTHETIC" in file[keyword].value
    for fact in ("tiny/1", TEXTS["generator_fingerprint"], "seed -3", "index 12"):
        assert fact in file.DerivationDescription
    lines = file.ImageComments.splitlines()
    assert "findings: Mass=1, Hernia=0.5" in lines and f"Warning: {TEXTS['Warning']}" in lines
    assert {"seed: -3", "index: 12", "generator: tiny/1"} <= set(lines)


def test_nothing_in_the_file_is_a_date_or_time():
    assert [e.keyword for e in _read().iterall() if e.VR in ("DA", "TM", "DT") and e.value] == []


def test_identifiers_are_uuids_that_depend_on_what_decides_the_image():
    seen = set()
    changes = {"generator_fingerprint": "d" * 64, "seed": "3", "index": "13", "findings": "Mass=1"}
    for change in ({}, *({key: value} for key, value in changes.items())):
        for keyword in UIDS:
            root, number = _read(**change)[keyword].value.rsplit(".", 1)
            assert root == "2.25" and uuid.UUID(int=int(number)).variant == uuid.RFC_4122
            seen.add(number)
    assert len(seen) == len(UIDS) * (1 + len(changes))
    # The same tomorrow and on another machine.
    assert _read().SOPInstanceUID == "2.25.41818876052997201045061067134418778627"


def test_texts_fit_their_elements():
    """With the lowest seed and a vocabulary of other letters."""
    findings = ", ".join(f"Ergu\u00df \u80f8 {number}=0.123456789" for number in range(100))
    file = _read(seed=str(-(2**63)), index="123456789", findings=findings)
    limits = {"LO": 64, "PN": 64, "SH": 16, "CS": 16, "ST": 1024, "LT": 10240, "UI": 64}
    for element in file.iterall():
        values = element.value if element.VM > 1 else [element.value]
        for value in values if element.VR in limits else ():
            assert len(str(value)) <= limits[element.VR], element.keyword
    assert file.ImageComments.endswith(findings)


@pytest.mark.parametrize("image", [IMAGE, IMAGE[:5, :3], IMAGE[3:5] * 0 + 7])
def test_our_own_reader_gives_the_same_pixels(tmp_path, image):
    path = tmp_path / "image.dcm"
    path.write_bytes(synthetic_dicom.encode(image, TEXTS))
    pixels = dicom.load(path)
    np.testing.assert_array_equal(pixels.image, image)
    header = dicom.probe(path)
    assert (header.age, header.sex, header.view) == (None, "", "")


@pytest.mark.parametrize(
    "image, came",
    [
        (IMAGE.astype(np.float32), r"float32 \[16, 16\]"),
        (IMAGE.astype(np.uint16), r"uint16 \[16, 16\]"),
        (IMAGE[..., np.newaxis], r"uint8 \[16, 16, 1\]"),
    ],
)
def test_other_images_are_refused(image, came):
    with pytest.raises(ValueError, match=rf"uint8 \[H, W\], got {came}"):
        synthetic_dicom.encode(image, TEXTS)
