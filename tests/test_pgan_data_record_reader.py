import collections

import numpy as np
import pytest
import tensorflow as tf
import tiny_records

from pgan.data import pyramid, record_reader, splits


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny")


def numbers(images):
    """Which images these are, after checking that each is flat."""
    grey = (np.asarray(images) + 1) * 127.5
    assert (grey == grey[:, :1, :1]).all()
    return np.rint(grey[:, 0, 0, 0]).astype(int).tolist()


def draw(records, count, batch_size=7, resolution=8, fold="train", seed=1, **where):
    """The first `count` images of the stream."""
    dataset = record_reader.training_dataset(records, resolution, fold, batch_size, seed, **where)
    batches = dataset.take(-(-count // batch_size))
    return [n for batch in batches for n in numbers(batch["images"])][:count]


def expected(records, fold):
    return sorted(int(name[5:]) for name in records.fold_ids(fold))


@pytest.mark.parametrize("fold", ["train", "val", "all"])
def test_every_epoch_shows_the_fold_once(records, fold):
    size = records.fold_size(fold)
    stream = draw(records, 3 * size, fold=fold)
    epochs = [stream[start : start + size] for start in (0, size, 2 * size)]
    for epoch in epochs:
        assert sorted(epoch) == expected(records, fold)
    assert epochs[0] != epochs[1] != epochs[2]


def test_batches_have_static_shapes_and_the_labels_of_their_images(records):
    dataset = record_reader.training_dataset(records, 16, "train", 5, seed=0)
    assert dataset.element_spec == {
        "images": tf.TensorSpec((5, 16, 16, 1), tf.float32),
        "labels": tf.TensorSpec((5, 2), tf.float32),
    }
    for batch in dataset.take(20):
        n = np.array(numbers(batch["images"]))
        np.testing.assert_allclose(batch["labels"], np.stack([n % 2 == 0, n / 100], 1), rtol=1e-6)
        np.testing.assert_allclose(batch["images"][:, 3, 5, 0], n / 127.5 - 1, atol=1e-6)


def test_order_is_a_function_of_the_seed_only(records):
    reference = draw(records, 100)
    tf.random.set_seed(3)  # the program's global seed has no part in it
    assert draw(records, 100) == reference
    assert draw(records, 100, resolution=4) == reference
    assert draw(records, 100, batch_size=64) == reference
    assert draw(records, 100, seed=2) != reference
    assert draw(records, 100, seed=2**40) not in (reference, draw(records, 100, seed=0))


@pytest.mark.parametrize("start", [1, 20, 42, 43, 100])
def test_resuming_gives_what_would_have_come(records, start):
    assert draw(records, 60, start=start) == draw(records, 60 + start)[start:]


@pytest.mark.parametrize("window_bytes", [1, 5000])
def test_small_windows(records, monkeypatch, window_bytes):
    """As at high resolutions, where a window of records is less than an epoch."""
    monkeypatch.setattr(record_reader, "_WINDOW_BYTES", window_bytes)
    monkeypatch.setattr(record_reader, "_SHARDS_AT_ONCE", 2)
    stream = draw(records, 84)
    assert sorted(stream[:42]) == sorted(stream[42:]) == expected(records, "train")
    assert stream[:42] != stream[42:]
    assert draw(records, 30, start=50) == draw(records, 80)[50:]


def test_pipelines_share_the_stream(records):
    whole = draw(records, 120, batch_size=12)
    parts = [
        draw(records, 40, batch_size=4, num_pipelines=3, pipeline_index=index) for index in range(3)
    ]
    joined = [n for step in range(10) for part in parts for n in part[4 * step : 4 * step + 4]]
    assert joined == whole
    later = draw(records, 40, batch_size=4, start=24, num_pipelines=3, pipeline_index=1)
    assert later[:32] == parts[1][8:]


def test_fold_smaller_than_the_batch(records):
    stream = draw(records, 64, batch_size=32, fold="val")
    assert set(collections.Counter(stream).values()) == {10, 11}


def test_one_shard_and_shards_without_the_fold(tmp_path):
    images = tiny_records.radiographs()
    split = splits.Split({"train": ["image007", "image008"], "test": []}, {})
    records = tiny_records.build(tmp_path / "two", images=images, split=split, num_shards=30)
    assert sorted(draw(records, 4)[:2]) == [7, 8]
    with pytest.raises(ValueError, match="fold 'test' of .* is empty"):
        draw(records, 1, fold="test")
    records = tiny_records.build(tmp_path / "one", num_shards=1)
    assert sorted(draw(records, 42)) == expected(records, "train")


@pytest.mark.parametrize("encoding", ["png", "raw"])
def test_encodings_give_the_pixels(tmp_path, encoding):
    images = tiny_records.radiographs(4, load=textured)
    records = tiny_records.build(
        tmp_path / "set", images=images, encoding=encoding, num_shards=2, max_resolution=32
    )
    assert records.encoding(32) == encoding
    order = [int(name[5:]) for name in records.record_ids()]
    for size in (4, 32):
        pixels = [pyramid.levels(textured(n), (size,), 32)[size] for n in order]
        wanted = np.stack(pixels)[..., None] / np.float32(127.5) - 1
        (batch,) = record_reader.evaluation_dataset(records, size, "all", 4)
        np.testing.assert_array_equal(batch["images"], wanted)
        (batch,) = record_reader.training_dataset(records, size, "all", 4, 0).take(1)
        np.testing.assert_array_equal(np.sort(batch["images"], axis=0), np.sort(wanted, axis=0))


def textured(number):
    return np.random.default_rng(number).integers(0, 256, (32, 32)).astype(np.uint8)


def test_evaluation_is_in_record_order_and_ends(records):
    batches = list(record_reader.evaluation_dataset(records, 8, "test", 5))
    assert [len(batch["images"]) for batch in batches] == [5, 5, 2]
    ids = [name.decode() for batch in batches for name in batch["record_ids"].numpy()]
    assert ids == records.fold_ids("test")
    seen = [n for batch in batches for n in numbers(batch["images"])]
    assert [f"image{n:03d}" for n in seen] == ids
    np.testing.assert_array_equal(
        np.concatenate([batch["labels"] for batch in batches]), records.label_matrix("test")
    )
    limited = list(record_reader.evaluation_dataset(records, 8, "all", 5, limit=7))
    assert [len(batch["images"]) for batch in limited] == [5, 2]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"resolution": 32}, "no r0032 shards"),
        ({"fold": "dev"}, "no fold 'dev'"),
        ({"batch_size": 0}, "batch_size"),
        ({"start": -1}, "start"),
        ({"num_pipelines": 2, "pipeline_index": 2}, "pipeline_index"),
    ],
)
def test_arguments_refused(records, arguments, message):
    given = {"resolution": 8, "fold": "train", "batch_size": 4, "seed": 0, **arguments}
    with pytest.raises(ValueError, match=message):
        record_reader.training_dataset(records, **given)


def test_no_python_runs_in_the_pipeline(records):
    dataset = record_reader.training_dataset(records, 8, "train", 4, 0)
    graph = dataset._as_serialized_graph().numpy()
    assert b"TFRecordDataset" in graph
    assert b"PyFunc" not in graph


def test_a_stream_that_is_given_up_need_not_wait_for_the_tuner(tmp_path):
    records = tiny_records.build(tmp_path / "records")
    dataset = record_reader.training_dataset(records, 8, "train", batch_size=4, seed=1)
    assert dataset.options().autotune.enabled is False
