import functools
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pydicom
import pytest
import tiny_dicoms
from pydicom import uid
from tiny_dicoms import DEEP, GREY

from pgan.data import dicom


def test_rendering_names_all_steps(tmp_path):
    tags = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12}
    tags |= {"RescaleSlope": 1, "RescaleIntercept": 0, "WindowCenter": 2047, "WindowWidth": 4096}
    pixels = np.array([[0, 1, 2046, 4095]], np.uint16)
    path = tiny_dicoms.write(tmp_path / "a.dcm", pixels, **tags)
    image, rendering = dicom.load(path)
    assert rendering == (
        "MONOCHROME1 inverted; rescale 1 0; window linear 2047 4096; 12 of 16 bits"
    )
    np.testing.assert_allclose(
        image, [[255 - 255 / 4095, 255 - 2 * 255 / 4095, 255 - 2047 * 255 / 4095, 0]], atol=1e-4
    )
    path = tiny_dicoms.write(tmp_path / "b.dcm", DEEP, BitsStored=12)
    low, high = (np.sort(DEEP.ravel())[rank - 1] for rank in (24, 4657))  # of 4680 pixels
    assert dicom.load(path).rendering == f"percentile 0.5-99.5 = {low}-{high}; 12 of 16 bits"


def test_header(tmp_path):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY)
    assert dicom.probe(path) == dicom.Header(
        width=65,
        height=72,
        view="PA",
        age=58,
        sex="F",
        patient_id=tiny_dicoms.PATIENT_ID,
        image_id=tiny_dicoms.IMAGE_ID,
        size=path.stat().st_size,
    )


@pytest.mark.parametrize(
    "text, age",
    [
        ("058Y", 58),
        ("051", 51),
        ("017M", 1),
        ("011M", 0),
        ("003W", 0),
        ("800D", 2),
        ("148Y", None),
        ("120Y", 120),
        ("", None),
        ("old", None),
        (None, None),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_age(tmp_path, text, age):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY, PatientAge=text)
    assert dicom.probe(path).age == age


def test_what_a_header_leaves_open(tmp_path):
    unknown = dict.fromkeys(("PatientSex", "PatientID", "ViewPosition", "Modality", "PatientAge"))
    header = dicom.probe(tiny_dicoms.write(tmp_path / "a.dcm", GREY, **unknown))
    assert header[2:6] == ("", None, "", "")
    other = tiny_dicoms.write(tmp_path / "b.dcm", GREY, PatientSex="O", ViewPosition="LLD")
    assert (dicom.probe(other).sex, dicom.probe(other).view) == ("", "")


def test_only_what_is_needed_is_read_and_kept(tmp_path):
    assert dicom.KEPT_TAGS == ("PatientAge", "PatientSex", "ViewPosition")
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY)
    assert b"Doe^Jane" in path.read_bytes()
    read = []
    original = pydicom.dcmread

    def spy(*args, **kwargs):
        read.append(original(*args, **kwargs))
        return read[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pydicom, "dcmread", spy)
        dicom.load(path)
    assert "PatientSex" in read[0]
    for tag in ("PatientName", "PatientBirthDate", "InstitutionName"):
        assert tag not in read[0]


@pytest.mark.parametrize(
    "tags, message",
    [
        ({"ViewPosition": "LL"}, "is a lateral view"),
        ({"NumberOfFrames": 2}, "has 2 frames"),
        ({"Modality": "CT"}, "has the modality 'CT'"),
        ({"BodyPartExamined": "KNEE"}, "shows no chest"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "is coloured"),
    ],
)
def test_sound_files_of_something_else(tmp_path, tags, message):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY)
    tiny_dicoms.edit(path, **tags)
    assert tiny_dicoms.errors(path).startswith(message)
    with pytest.raises(dicom.Refused):
        dicom.probe(path)


@pytest.mark.parametrize(
    "tags, message",
    [
        (
            {"PhotometricInterpretation": "PALETTE COLOR"},
            "Interpretation 'PALETTE COLOR'; expected",
        ),
        ({"Rows": 40000, "Columns": 40000}, "has 40000x40000 px by its header, more than 100,000,"),
        ({"Rows": 0}, "has 65x0 px by its header"),
        ({"Rows": 200}, "has 4680 bytes of pixels where its size needs 13000"),
        ({"Rows": 30}, "has 4680 bytes of pixels where its size needs 1950"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "has 32 of 32 bits stored"),
        ({"BitsStored": 12, "HighBit": 11}, "has 12 of 8 bits stored"),
        ({"BitsStored": 6, "HighBit": 7}, "has 6 of 8 bits stored, the highest being bit 7"),
        ({"PixelRepresentation": 2}, "has the Pixel Representation 2"),
        ({"WindowCenter": 3, "WindowWidth": 0}, "has the Window Width 0"),
    ],
)
def test_headers_that_make_no_sense(tmp_path, tags, message):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY)
    tiny_dicoms.edit(path, **tags)
    assert message in tiny_dicoms.errors(path)
    with pytest.raises(ValueError) as error:
        dicom.probe(path)
    assert not isinstance(error.value, dicom.Refused)


@pytest.mark.parametrize("tag", ["Rows", "BitsStored", "PixelRepresentation", "PixelData"])
def test_elements_that_are_missing(tmp_path, tag):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY)
    made = pydicom.dcmread(path)
    del made[tag]
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    expected = "has no pixels" if tag == "PixelData" else f"its header has no {tag}"
    assert expected in tiny_dicoms.errors(path)


def test_a_huge_header_takes_no_memory(tmp_path):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY)
    tiny_dicoms.edit(path, Rows=40000, Columns=40000)
    tracemalloc.start()
    try:
        tiny_dicoms.errors(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5e6


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty; fetch it again."),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "is no DICOM file"),
        (bytes(128) + b"DICM", "does not say how it is encoded"),
    ],
    ids=["empty", "png", "start only"],
)
def test_files_of_another_kind(tmp_path, content, message):
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    assert message in tiny_dicoms.errors(path)


def test_elements_that_are_damaged(tmp_path):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY)
    rows = b"\x28\x00\x10\x00US\x02\x00"
    assert rows in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(rows, rows[:-2] + b"\x03\x00"))
    assert tiny_dicoms.errors(path).startswith("has a header that cannot be read (")


def test_folders_and_missing_files(tmp_path):
    assert tiny_dicoms.errors(tmp_path) == "is a folder; name a file in it."
    assert tiny_dicoms.errors(tmp_path / "b.dcm") == "cannot be opened (No such file or directory)."


def test_a_dicomdir_is_refused(tmp_path):
    path = tiny_dicoms.write(tmp_path / "DICOMDIR", GREY)
    made = pydicom.dcmread(path)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = uid.MediaStorageDirectoryStorage
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    with pytest.raises(dicom.Refused, match="table of contents"):
        dicom.probe(path)


def test_windows_that_the_file_lacks_are_found_before_pixels_are_read(tmp_path):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY)
    with pytest.raises(ValueError, match="a.dcm has no VOI LUT Sequence; use --window=auto"):
        dicom.probe(path, "voi_lut")
    with pytest.raises(ValueError, match="a.dcm cannot have the window 'bone'; use one of auto,"):
        dicom.probe(path, "bone")


def test_load_pickles_for_worker_processes(tmp_path):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY)
    loaded = pickle.loads(pickle.dumps(functools.partial(dicom.load, path, window="minmax")))()
    assert loaded.rendering == "minmax = 0-206; 8 of 8 bits"


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_nothing_is_said_about_odd_values_and_no_framework_is_loaded(tmp_path):
    odd = {"PatientAge": "Doe^Jane", "ViewPosition": "Jane Doe erect", "PatientID": "Doe" * 50}
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY, **odd)
    program = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG)\n"
        "from pgan.data import dicom\n"
        "header = dicom.probe(sys.argv[1]); dicom.load(sys.argv[1])\n"
        "assert header.age is None and header.view == ''\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    command = [sys.executable, "-W", "always", "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Doe" not in done.stdout + done.stderr
