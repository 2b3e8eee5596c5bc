"""Files decoded and scaled down by TensorFlow operations, against the library's own preparation."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tiny_exports

from classifier import image_graph
from pgan.data import image_files, pyramid


def _by_library(file, folder, side, geometry, window):
    path = folder / "image"
    path.write_bytes(file)
    return pyramid.one_level(image_files.load(path, window).image, side, geometry)


@functools.cache
def _graph(side, geometry, window):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def prepare(files):
        return image_graph.prepare(files, side, geometry, window)

    return prepare


def _prepare(files, side=32, geometry="pad", window="auto"):
    return _graph(side, geometry, window)(tf.constant(files)).numpy()


@pytest.mark.parametrize(
    ("side", "geometry", "window"),
    [
        (32, "pad", "auto"),
        (64, "crop", "auto"),
        (37, "stretch", "auto"),
        (72, "stretch", "auto"),
        (48, "pad", "percentile"),
        (128, "stretch", "auto"),
        (32, "pad", "percentile"),
        (32, "crop", "minmax"),
    ],
)
def test_files_become_the_grey_levels_that_records_have(tmp_path, side, geometry, window):
    files = tiny_exports.image_files()
    found = _prepare(list(files.values()), side, geometry, window)
    assert found.shape == (len(files), side, side, 1) and found.dtype == np.uint8
    for (name, file), image in zip(files.items(), found[..., 0], strict=True):
        wanted = _by_library(file, tmp_path, side, geometry, window)
        assert wanted.std() > 20, name
        difference = np.abs(image.astype(int) - wanted)
        # Means half-way between two levels may be rounded either way.
        assert difference.max() <= 1 and (difference > 0).mean() < 0.005, name


def test_larger_levels_of_a_record_set_change_nothing(tmp_path):
    file = tiny_exports.image_files()["grey.png"]
    path = tmp_path / "image"
    path.write_bytes(file)
    levels = pyramid.levels(image_files.load(path).image, (32,), 128)
    np.testing.assert_array_equal(_prepare([file])[0, ..., 0], levels[32])


def test_other_images_of_the_request_change_nothing():
    files = list(tiny_exports.image_files().values())
    together = _prepare(files)
    for number in (0, 5, 10):
        np.testing.assert_array_equal(_prepare(files[number : number + 1])[0], together[number])
    assert _prepare(np.zeros(0, np.bytes_)).shape == (0, 32, 32, 1)


def test_prepared_images_are_scaled_down_as_the_library_does():
    images = tiny_exports.chests(3, 64)
    found = image_graph.scale_down(tf.constant(images), 24).numpy()
    for image, small in zip(images[..., 0], found[..., 0], strict=True):
        np.testing.assert_array_equal(small, pyramid.one_level(image, 24))
    np.testing.assert_array_equal(image_graph.scale_down(tf.constant(images), 64), images)
    # The size of ImageNet: its level is 256 px, which smaller images do not have.
    for size in (512, 256, 240):
        image = tiny_exports.chests(1, 512)[0, :size, :size, 0]
        (small,) = image_graph.scale_down(image[np.newaxis, ..., np.newaxis], 224).numpy()[..., 0]
        np.testing.assert_array_equal(small, pyramid.one_level(image, 224))


_GREY = tiny_exports.encode(np.arange(4096, dtype=np.uint8).reshape(64, 64))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "neither a PNG nor a JPEG file"),
        (b"\0" * 128 + b"DICM" + b"\0" * 100, "neither a PNG nor a JPEG file.*build_records"),
        (tiny_exports.encode(np.zeros((64, 64), np.uint8), "TIFF"), "neither a PNG nor a JPEG"),
        (_GREY[:20], "broken or has more than 100,000,000 pixels"),
        (_GREY[:16] + b"\0\1\0\0" * 2 + _GREY[24:], "more than 100,000,000 pixels.*65536 65536"),
        (_GREY[:-60], "Invalid PNG data"),
        (tiny_exports.encode(np.zeros((20, 64), np.uint8)), r"\[20 64\].*less than the 32 px"),
        (tiny_exports.encode(np.full((64, 64), 7, np.uint16)), "one grey value only"),
    ],
    ids=["empty", "dicom", "tiff", "no size", "vast", "cut off", "small", "flat"],
)
def test_files_that_cannot_be_judged_are_refused_with_their_place(file, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
        _prepare([_GREY, file], geometry="crop")
    if "Invalid PNG" not in message:  # which is the decoder's own
        assert "[image] [1] [of the request]" in str(caught.value)
