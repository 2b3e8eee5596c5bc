"""Kept blocks: whole or not there, under one set of settings; images of records, decoded once."""

import numpy as np
import pytest
import tiny_records

from pgan.data import record_reader
from pgan.search import block_store

# Fingerprints


def test_a_fingerprint_tells_content_order_and_shape():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 4), np.uint8)
    changed = images.copy()
    changed[3, 2, 1] ^= 1
    others = [
        changed,
        images[::-1],
        images[:5],
        images.reshape(6, 4, 8),
        images.reshape(3, 16, 4),
    ]
    prints = {block_store.fingerprint(part) for part in (images, *others)}
    assert len(prints) == 6
    assert block_store.fingerprint(images.copy()) == block_store.fingerprint(images)
    assert block_store.fingerprint(np.asfortranarray(images)) == block_store.fingerprint(images)


def test_a_fingerprint_does_not_depend_on_how_images_are_read(monkeypatch, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 4), np.uint8)
    whole = block_store.fingerprint(images)
    monkeypatch.setattr(block_store, "_SLICE_BYTES", 3 * 32)
    assert block_store.fingerprint(images) == whole
    np.save(tmp_path / "images.npy", images)
    assert block_store.fingerprint(np.load(tmp_path / "images.npy", mmap_mode="r")) == whole


def test_images_may_bring_their_own_fingerprint():
    class Images:
        fingerprint = "f" * 64

    assert block_store.fingerprint(Images()) == "f" * 64


# Blocks


def test_blocks_come_back_as_they_were(tmp_path):
    folder = block_store.Folder(tmp_path / "new" / "search", {"k": 3, "names": ("a", "b")})
    assert folder.load("block") is None
    arrays = {
        "positions": np.arange(6).reshape(2, 3),
        "values": np.array([0.1, np.nan, -np.inf]),
        "images": np.zeros((0, 4, 4), np.uint8),
    }
    folder.save("block", arrays)
    # Tuples are lists in JSON, which must not look like other settings.
    again = block_store.Folder(tmp_path / "new" / "search", {"names": ["a", "b"], "k": 3})
    found = again.load("block")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    again.save("block", {"values": np.ones(2)})
    assert folder.load("block").keys() == {"values"}


def test_without_a_folder_nothing_is_kept():
    folder = block_store.Folder(None, {"k": 3})
    folder.save("block", {"values": np.ones(2)})
    assert folder.load("block") is None


def test_other_settings_are_refused_and_named(tmp_path):
    block_store.Folder(tmp_path, {"k": 3, "seed": 1, "old": True})
    with pytest.raises(ValueError) as error:
        block_store.Folder(tmp_path, {"k": 4, "seed": 1, "new": 2.5})
    assert str(error.value) == (
        f"{tmp_path} was begun with k 3 instead of 4, new None instead of 2.5, old True instead of "
        "None; give another folder, or delete this one whole"
    )
    block_store.Folder(tmp_path, {"k": 3, "seed": 1, "old": True})


def _dies(*arguments, **settings):
    raise KeyboardInterrupt


def test_a_file_that_was_half_written_never_looks_whole(tmp_path, monkeypatch):
    folder = block_store.Folder(tmp_path, {"k": 3})

    def half(file, **arrays):
        file.write(b"PK")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", half)
        with pytest.raises(KeyboardInterrupt):
            folder.save("block", {"values": np.ones(2)})
    assert folder.load("block") is None
    # Nor if it was written and not yet moved.
    with monkeypatch.context() as patch:
        patch.setattr(block_store.os, "replace", _dies)
        with pytest.raises(KeyboardInterrupt):
            folder.save("block", {"values": np.ones(2)})
    assert folder.load("block") is None
    folder.save("block", {"values": np.ones(2)})
    assert folder.load("block")["values"].tolist() == [1, 1]


def test_settings_that_were_half_written_are_written_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(block_store.os, "replace", _dies)
        with pytest.raises(KeyboardInterrupt):
            block_store.Folder(tmp_path, {"k": 3})
    block_store.Folder(tmp_path, {"k": 4}).save("block", {})
    with pytest.raises(ValueError, match="k 4 instead of 3"):
        block_store.Folder(tmp_path, {"k": 3})


# Images of records


def _ramp(value):
    """All grey levels, moved by the number of the image."""
    return ((np.arange(256) + value) % 256).astype(np.uint8).reshape(16, 16)


@pytest.fixture(scope="module", params=["raw", "png"])
def records(request, tmp_path_factory):
    images = tiny_records.radiographs(load=_ramp)
    folder = tmp_path_factory.mktemp(request.param) / "records"
    found = tiny_records.build(folder, images=images, encoding=request.param)
    assert found.encoding(16) == request.param
    return found


@pytest.mark.parametrize("fold", ["train", "test", "all"])
def test_images_of_records_are_those_that_were_written(records, fold, tmp_path):
    numbers = [int(record_id[-3:]) for record_id in records.record_ids(fold)]
    expected = np.stack([_ramp(number) for number in numbers])
    np.testing.assert_array_equal(block_store.images_of_records(records, 16, fold), expected)
    path = tmp_path / "new" / "images.npy"
    mapped = block_store.images_of_records(records, 16, fold, path)
    assert isinstance(mapped, np.memmap) and not mapped.flags.writeable
    np.testing.assert_array_equal(mapped, expected)


def test_images_that_were_kept_are_not_decoded_again(records, tmp_path, monkeypatch):
    path = tmp_path / "images.npy"
    block_store.images_of_records(records, 16, "test", path)
    monkeypatch.setattr(record_reader, "evaluation_dataset", _dies)
    assert len(block_store.images_of_records(records, 16, "test", path)) == records.fold_size(
        "test"
    )
    with pytest.raises(KeyboardInterrupt):
        block_store.images_of_records(records, 16, "test", tmp_path / "others.npy")


def test_a_file_of_other_images_is_refused(records, tmp_path):
    path = tmp_path / "images.npy"
    block_store.images_of_records(records, 16, "test", path)
    for resolution, fold in ((8, "test"), (16, "train")):
        with pytest.raises(ValueError, match="images.npy holds other images; give another file"):
            block_store.images_of_records(records, resolution, fold, path)
    path.with_suffix(".txt").unlink()
    with pytest.raises(ValueError, match="holds other images"):
        block_store.images_of_records(records, 16, "test", path)
    with pytest.raises(ValueError, match="--max_resolution=32"):
        block_store.images_of_records(records, 32, "test")
    with pytest.raises(ValueError, match="no fold 'nothing'"):
        block_store.images_of_records(records, 16, "nothing")


def test_decoding_that_was_ended_begins_again(records, tmp_path, monkeypatch):
    path = tmp_path / "images.npy"
    whole = record_reader.evaluation_dataset

    def half(*arguments):
        yield from whole(*arguments).take(1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(record_reader, "evaluation_dataset", half)
        with pytest.raises(KeyboardInterrupt):
            block_store.images_of_records(records, 16, "train", path)
    assert not path.exists()
    found = block_store.images_of_records(records, 16, "train", path)
    np.testing.assert_array_equal(found, block_store.images_of_records(records, 16, "train"))
