import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from pgan.data import dicom, image_files


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (12, 16)).astype(np.uint8)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("ending", ["png", "tif", "jpg"])
def test_eight_bits_are_taken_as_they_are(tmp_path, ending):
    flat = np.full((12, 16), 77, np.uint8)
    loaded = image_files.load(save(tmp_path / f"a.{ending}", flat))
    np.testing.assert_array_equal(loaded.image, flat)
    assert loaded.image.dtype == np.uint8 and loaded.rendering == ""
    facts = image_files.probe(tmp_path / f"a.{ending}")
    assert (facts.width, facts.height, facts.extras) == (16, 12, {})
    assert facts.bytes == (tmp_path / f"a.{ending}").stat().st_size


def test_kinds_are_told_apart_by_content(tmp_path):
    grey = noise()
    save(tmp_path / "a.png", grey).rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(image_files.load(tmp_path / "a.jpg").image, grey)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("window", ["auto", "percentile", "minmax"])
def test_sixteen_bits_are_stretched_and_it_is_recorded(tmp_path, ending, window):
    ramp = np.arange(1000, 1201, dtype=np.uint16).reshape(3, 67)
    loaded = image_files.load(save(tmp_path / f"a.{ending}", ramp), window)
    low, high = (1000, 1200) if window == "minmax" else (1001, 1199)
    expected = np.clip((ramp.astype(float) - low) * 255 / (high - low), 0, 255)
    np.testing.assert_allclose(loaded.image, expected, atol=1e-3)
    name = "minmax" if window == "minmax" else "percentile 0.5-99.5"
    assert loaded.rendering == f"{name} = {low}-{high}"


def test_white_is_zero(tmp_path):
    ramp = np.arange(1000, 1201, dtype=np.uint16).reshape(3, 67)
    usual = image_files.load(save(tmp_path / "a.tif", ramp), "minmax").image
    tifffile.imwrite(tmp_path / "b.tif", ramp, photometric="miniswhite")
    inverse = image_files.load(tmp_path / "b.tif", "minmax").image
    np.testing.assert_allclose(inverse, 255 - usual, atol=1e-3)
    grey = noise()
    tifffile.imwrite(tmp_path / "c.tif", grey, photometric="miniswhite")
    np.testing.assert_array_equal(image_files.load(tmp_path / "c.tif").image, 255 - grey)


def test_minmax_is_the_papers_stretch_of_eight_bits_too(tmp_path):
    pixels = np.uint8([[10, 20, 30], [30, 20, 10]])
    loaded = image_files.load(save(tmp_path / "a.png", pixels), "minmax")
    np.testing.assert_allclose(loaded.image, [[0, 127.5, 255], [255, 127.5, 0]])


def test_grey_in_colour_modes_is_one_channel(tmp_path):
    grey = noise()
    alpha = np.full_like(grey, 255)
    for name, channels in {
        "rgb": [grey] * 3,
        "rgba": [grey] * 3 + [alpha],
        "la": [grey, alpha],
    }.items():
        path = save(tmp_path / f"{name}.png", np.stack(channels, -1))
        np.testing.assert_array_equal(image_files.load(path).image, grey)


def test_colour_becomes_luminance_with_a_warning(tmp_path, caplog):
    path = save(tmp_path / "c.png", np.full((4, 4, 3), [100, 50, 200], np.uint8))
    expected = 0.299 * 100 + 0.587 * 50 + 0.114 * 200
    np.testing.assert_allclose(image_files.load(path).image, expected, rtol=1e-6)
    assert "c.png is coloured" in caplog.text


def test_one_grey_value_cannot_be_stretched(tmp_path):
    path = save(tmp_path / "a.png", np.full((4, 4), 1000, np.uint16))
    with pytest.raises(ValueError, match="one grey value only"):
        image_files.load(path)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_a_file_that_was_cut_off(tmp_path, ending):
    path = save(tmp_path / f"a.{ending}", noise())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f"a.{ending} (is cut off after|cannot be read)"):
        image_files.probe(path)
        image_files.load(path)


def test_damage_inside_a_file_is_found_when_it_is_loaded(tmp_path):
    path = save(tmp_path / "a.png", noise())
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    image_files.probe(path)
    with pytest.raises(ValueError, match="a.png cannot be read"):
        image_files.load(path)


def test_a_head_that_claims_too_many_pixels(tmp_path):
    path = save(tmp_path / "a.png", noise())
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 40_000, 40_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    for look in (image_files.probe, image_files.load):
        with pytest.raises(ValueError, match="a.png claims to have more than 100,000,000 pixels"):
            look(path)


@pytest.mark.parametrize(
    "content, message",
    [(b"", "is empty"), (b"GIF89a" + bytes(200), "cannot be read"), (b"Dear all,", "cannot")],
)
def test_no_image(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.png {message}"):
        image_files.probe(tmp_path / "a.png")


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match="absent.png cannot be read.*No such file"):
        image_files.probe(tmp_path / "absent.png")


def test_several_images_in_a_file_are_refused(tmp_path):
    pages = [Image.fromarray(noise(i)) for i in range(2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(dicom.Refused, match="holds 2 images"):
        image_files.probe(tmp_path / "a.tif")


@pytest.mark.parametrize("window", ["voi_lut", "window", "bright"])
def test_windows_that_a_png_file_does_not_have(tmp_path, window):
    path = save(tmp_path / "a.png", noise())
    with pytest.raises(ValueError, match="window"):
        image_files.load(path, window)
