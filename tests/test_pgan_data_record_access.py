import functools
import struct

import numpy as np
import pytest
import tensorflow as tf
import tiny_records

from pgan.data import pyramid, record_access, record_reader


def _noise(value):
    return np.random.default_rng(value).integers(0, 256, (128, 128), np.uint8)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """60 images of noise, raw up to 64 px and PNG at 128 px, in 5 shards."""
    images = tiny_records.radiographs(load=_noise)
    folder = tmp_path_factory.mktemp("records") / "noise"
    return tiny_records.build(folder, images=images, max_resolution=128)


def _everything(records, resolution, fold):
    batches = record_reader.evaluation_dataset(records, resolution, fold, 8)
    images = np.concatenate([batch["images"].numpy() for batch in batches])[..., 0]
    return np.rint((images + 1) * 127.5).astype(np.uint8)


@pytest.mark.parametrize("resolution", [4, 16, 128])
@pytest.mark.parametrize("fold", ["train", "val", "all"])
def test_any_order_gives_the_images_of_the_pipeline(records, resolution, fold):
    wanted = _everything(records, resolution, fold)
    rng = np.random.default_rng(1)
    positions = rng.integers(0, len(wanted), 2 * len(wanted))
    images = record_access.read_images(records, resolution, fold, positions)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, wanted[positions])


def test_the_reader_goes_on_and_takes_no_positions(records):
    wanted = _everything(records, 16, "train")
    reader = record_access.ImageReader(records, 16, "train")
    for part in ([3], [], [0, len(wanted) - 1], range(5)):
        np.testing.assert_array_equal(reader.read(part), wanted[np.array(part, int)])
    assert reader.read([]).shape == (0, 16, 16)


def test_what_is_not_there_is_refused(records):
    size = records.fold_size("val")
    for positions in ([size], [-1], [0, size + 3]):
        with pytest.raises(IndexError, match=f"places 0 to {size - 1}, wanted are"):
            record_access.read_images(records, 16, "val", positions)
    with pytest.raises(ValueError, match="has no r0256 shards"):
        record_access.read_images(records, 256, "val", [0])
    with pytest.raises(ValueError, match="no fold 'vall'"):
        record_access.read_images(records, 16, "vall", [0])


def test_only_wanted_records_are_decoded(records, monkeypatch):
    decoded = []
    parse = tf.train.Example.FromString
    monkeypatch.setattr(
        tf.train.Example, "FromString", lambda content: decoded.append(1) or parse(content)
    )
    record_access.read_images(records, 16, "all", [59, 3, 3, 30])
    assert len(decoded) == 3


def _damaged(tmp_path, resolution, change):
    """A set like `records`, with the bytes of a shard changed after it was opened."""
    images = tiny_records.radiographs(load=_noise)
    records = tiny_records.build(tmp_path / "damaged", images=images, max_resolution=128)
    path = records.shard_paths(resolution)[0]
    content = bytearray(open(path, "rb").read())
    with open(path, "wb") as file:
        file.write(change(content))
    return functools.partial(record_access.read_images, records, resolution, "all"), path


def test_damage_is_told_with_the_shard(tmp_path):
    def longer(content):
        content[:8] = struct.pack("<Q", struct.unpack("<Q", content[:8])[0] + 8)
        return content

    def other_record(content):
        size = struct.unpack("<Q", content[:8])[0] + 16
        return content[size : 2 * size] + content[size:]  # raw records have one size

    def broken_png(content):
        at = content.index(b"IDAT") + 40
        content[at : at + 20] = bytes(20)
        return content

    for name, resolution, change in (
        ("longer", 16, longer),
        ("cut", 16, lambda content: content[:-5]),
        ("other", 16, other_record),
        ("png", 128, broken_png),
    ):
        assert (resolution > pyramid.LARGEST_RAW) == (name == "png")
        read, path = _damaged(tmp_path / name, resolution, change)
        with pytest.raises(ValueError, match="damaged") as caught:
            read([0])
        assert path in str(caught.value), name


def test_records_have_the_frames_that_tensorflow_writes(tmp_path):
    """Checksums are left out here; the lengths must be those of the files."""
    path = str(tmp_path / "a.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for length in (0, 3, 1000):
            writer.write(bytes(length))
    content = open(path, "rb").read()
    at = 0
    for length in (0, 3, 1000):
        assert struct.unpack("<Q", content[at : at + 8])[0] == length
        at += length + 16
    assert at == len(content)
