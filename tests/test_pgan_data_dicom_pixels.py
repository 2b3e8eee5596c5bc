import io

import numpy as np
import pydicom
import pytest
import tiny_dicoms
from PIL import Image
from pydicom import encaps, uid
from pydicom.pixels.decoders import base
from tiny_dicoms import DEEP, GREY

from pgan.data import dicom

_LOSSLESS = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.RLELossless,
    uid.JPEG2000Lossless,
    uid.JPEGLosslessSV1,
)


def _replace_frame(path, syntax, change):
    """Puts change(compressed image) in the place of the compressed image of a file."""
    made = pydicom.dcmread(path)
    frame = encaps.get_frame(made.PixelData, 0, number_of_frames=1)
    made.PixelData = encaps.encapsulate([change(frame)])
    made["PixelData"].VR = "OB"
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    assert made.file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("syntax", _LOSSLESS, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize(
    "pixels, tags",
    [
        (GREY, {}),
        (GREY[:71], {}),  # an odd number of bytes, which is padded
        (DEEP, {"BitsStored": 12}),
        (DEEP.astype(np.int16) - 2048, {"BitsStored": 12}),
        (DEEP.astype(np.int16) - 2048, {}),
    ],
    ids=["8", "8 odd", "12 of 16", "12 of 16 signed", "16 signed"],
)
def test_lossless_syntaxes(tmp_path, syntax, pixels, tags):
    path = tiny_dicoms.write(tmp_path / "a.dcm", pixels, syntax, **tags)
    low, high = int(pixels.min()), int(pixels.max())
    image = dicom.load(path, "minmax").image
    np.testing.assert_allclose(image, (pixels.astype(int) - low) * (255 / (high - low)), atol=1e-3)
    assert (image.dtype, image.shape) == (np.float32, pixels.shape)


def test_jpeg_of_8_bits_is_taken_as_it_is(tmp_path):
    """As the files of the RSNA challenge are."""
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY, uid.JPEGBaseline8Bit)
    image, rendering = dicom.load(path)
    frame = encaps.get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)
    with Image.open(io.BytesIO(frame)) as decoded:
        np.testing.assert_allclose(image, np.asarray(decoded), atol=1)  # decoders round differently
    assert rendering == "stored range = 0-255; 8 of 8 bits"


@pytest.mark.parametrize("syntax", _LOSSLESS, ids=lambda syntax: syntax.keyword)
def test_files_that_are_cut_off(tmp_path, syntax):
    whole = tiny_dicoms.write(tmp_path / "a.dcm", DEEP, syntax).read_bytes()
    path = tmp_path / "b.dcm"
    for length in (len(whole) - 2, len(whole) - 1000, 900):
        path.write_bytes(whole[:length])
        assert "cut off" in tiny_dicoms.errors(path), length
    for length in (133, 200, 400):
        path.write_bytes(whole[:length])
        assert tiny_dicoms.errors(path).endswith(("fetch it again.", "leave it out."))


def test_compressed_images_that_are_cut_off(tmp_path):
    """Some decoders return an image where the file is whole but the image in it is not."""
    for syntax in (uid.JPEGBaseline8Bit, uid.JPEGLosslessSV1):
        path = tiny_dicoms.write(tmp_path / "a.dcm", GREY, syntax)
        _replace_frame(path, syntax, lambda frame: frame[: len(frame) // 2])
        assert tiny_dicoms.errors(path) == "has a JPEG image that is cut off; fetch it again."
    for syntax in (uid.JPEG2000Lossless, uid.RLELossless):
        path = tiny_dicoms.write(tmp_path / "b.dcm", DEEP, syntax)
        _replace_frame(path, syntax, lambda frame: frame[: len(frame) // 2])
        assert dicom.probe(path).width == 65
        with pytest.raises(ValueError, match="b.dcm has pixels that cannot be decoded"):
            dicom.load(path)


def test_jpeg_images_may_come_in_pieces_and_padded(tmp_path):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY, uid.JPEGBaseline8Bit)
    expected = dicom.load(path).image
    made = pydicom.dcmread(path)
    frame = encaps.get_frame(made.PixelData, 0, number_of_frames=1).rstrip(b"\0")
    frame += b"\0" * (1 + len(frame) % 2)
    made.PixelData = encaps.encapsulate([frame + b"\xff\0"], fragments_per_frame=3, has_bot=False)
    made["PixelData"].VR = "OB"
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    np.testing.assert_array_equal(dicom.load(path).image, expected)


@pytest.mark.parametrize(
    "syntax, start, offset, integer",
    [
        (uid.JPEGBaseline8Bit, b"\xff\xc0", 5, 2),
        (uid.JPEGLosslessSV1, b"\xff\xc3", 5, 2),
        (uid.JPEG2000Lossless, b"\xff\x51", 6, 4),
    ],
    ids=["jpeg", "lossless jpeg", "jpeg2000"],
)
def test_compressed_images_of_another_size_take_no_memory(tmp_path, syntax, start, offset, integer):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY, syntax)

    def enlarge(frame):
        place = frame.index(start) + offset
        size = (40000).to_bytes(integer) * 2
        return frame[:place] + size + frame[place + len(size) :]

    _replace_frame(path, syntax, enlarge)
    with pytest.raises(ValueError, match="40000x40000 px by the image itself, but 65x72 px by the"):
        dicom.load(path)


def test_compressed_values_must_fit_the_header(tmp_path):
    path = tiny_dicoms.write(tmp_path / "a.dcm", DEEP, uid.JPEG2000Lossless)
    tiny_dicoms.edit(path, BitsStored=10, HighBit=9)
    with pytest.raises(ValueError, match="compressed values .* too large for the 10 bits"):
        dicom.load(path)


def test_missing_decoders_name_their_package(tmp_path, monkeypatch):
    path = tiny_dicoms.write(tmp_path / "a.dcm", GREY, uid.JPEGBaseline8Bit)
    decoder = base.get_decoder(uid.JPEGBaseline8Bit)
    missing = {"gdcm": ("gdcm>=3.0.10",), "pylibjpeg": ("pylibjpeg>=2.0", "pylibjpeg-libjpeg>=2.1")}
    monkeypatch.setattr(decoder, "_available", {})
    monkeypatch.setattr(decoder, "_unavailable", missing)
    assert tiny_dicoms.errors(path) == (
        "is encoded as JPEG Baseline (Process 1), for which no decoder is installed; run: "
        "pip install pylibjpeg pylibjpeg-libjpeg"
    )


@pytest.mark.parametrize(
    "syntax, message",
    [
        (uid.MPEG2MPML, "is encoded as MPEG2 Main Profile / Main Level, for which pydicom has no"),
        (uid.DeflatedExplicitVRLittleEndian, "is deflated as a whole, which is not supported"),
    ],
    ids=["mpeg", "deflated"],
)
def test_syntaxes_without_a_decoder(tmp_path, syntax, message):
    similar = uid.JPEGBaseline8Bit if syntax.is_encapsulated else uid.ExplicitVRLittleEndian
    made = tiny_dicoms.dataset(GREY, similar)
    made.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(tmp_path / "a.dcm", made, enforce_file_format=True)
    assert message in tiny_dicoms.errors(tmp_path / "a.dcm")
