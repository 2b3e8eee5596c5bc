import dataclasses
import errno
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import tensorflow as tf
import tiny_records

from pgan.data import (
    manifest,
    pseudonyms,
    radiograph,
    record_folder,
    record_forecast,
    record_reader,
    record_set,
    record_writer,
    splits,
)


def write(path, plan, **arguments):
    return record_writer.write_record_set(path, plan, progress=False, **arguments).shards


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "whole"
    assert write(path, tiny_records.plan()) == 15
    return path


def test_layout_and_manifest(whole):
    assert sorted(tiny_records.files(whole)) == sorted(
        ["manifest.json", "records.csv"]
        + [f"folds/{fold}.txt" for fold in ("all", "train", "val", "test")]
        + [f"r{size:04d}/{k:05d}-of-00005.tfrecord" for size in (4, 8, 16) for k in range(5)]
    )
    content = json.loads((whole / "manifest.json").read_text())
    assert content["origin"] == "phantom"
    assert content["num_records"] == 60
    assert content["num_patients"] == 20
    assert content["findings"] == ["Mass", "Hernia"]
    assert content["folds"]["train"]["patients"] == 14
    assert content["folds"]["all"]["positives"] == {"Mass": 30, "Hernia": 10}
    assert content["folds"]["all"]["no_finding"] == 25


def test_a_record_holds_everything_at_every_resolution(whole):
    for size in (4, 8, 16):
        path = str(whole / f"r{size:04d}/00000-of-00005.tfrecord")
        record = next(iter(tf.data.TFRecordDataset(path))).numpy()
        features = tf.train.Example.FromString(record).features.feature
        assert sorted(features) == [
            "image",
            "labels",
            "patient_id",
            "record_id",
            "rendering",
            "shape",
        ]
        assert list(features["shape"].int64_list.value) == [size, size, 1]
        name = features["record_id"].bytes_list.value[0].decode()
        number = int(name.removeprefix("image"))
        assert features["image"].bytes_list.value[0] == bytes([number] * size * size)
        expected = [number % 2 == 0, np.float32(number / 100)]
        assert list(features["labels"].float_list.value) == expected


def test_table_keeps_listed_facts_only(whole):
    table = (whole / "records.csv").read_text().splitlines()
    assert table[0] == "record_id,patient_id,age,sex,view,group,twin_id,Mass,Hernia"
    assert "image007,patient02,37,F,,,,0,0.07" in table
    assert "secret" not in (whole / "records.csv").read_text()


def test_oldest_ages_are_one_group():
    text = manifest.records_csv(["r"], ["p"], [np.zeros(0)], [{"age": 97}], ())
    assert text.splitlines()[1] == "r,p,90,,,,"


def test_images_are_mixed_over_the_shards(whole):
    ids = record_set.RecordSet.open(whole).record_ids()
    assert sorted(ids) == [f"image{i:03d}" for i in range(60)]
    steps = np.abs(np.diff([int(name[5:]) for name in ids]))
    assert steps.mean() > 10


def test_same_bytes_from_several_processes(whole, tmp_path):
    write(tmp_path / "set", tiny_records.plan(), workers=2)
    assert tiny_records.files(tmp_path / "set") == tiny_records.files(whole)


def test_a_complete_set_is_left_alone(whole):
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*")}
    assert write(whole, tiny_records.plan()) == 0
    assert {p: p.stat().st_mtime_ns for p in whole.rglob("*")} == before


@pytest.mark.parametrize("workers", [0, 1])
def test_stopping_at_an_image_keeps_whole_shards_and_goes_on(whole, tmp_path, workers):
    path = tmp_path / "set"
    plan = tiny_records.plan()
    bad_plan = tiny_records.plan(tiny_records.radiographs(load=tiny_records.broken))
    with pytest.raises(ValueError, match="image031: file.png cannot be read"):
        write(path, bad_plan, workers=workers)
    shard = plan.record_ids.index("image031") // 12
    left = tiny_records.files(path)
    assert sorted(left) == sorted(
        ["unfinished.json"]
        + [f"r{size:04d}/{k:05d}-of-00005.tfrecord" for size in (4, 8, 16) for k in range(shard)]
    )
    with pytest.raises(ValueError, match="no finished record set"):
        record_set.RecordSet.open(path)
    assert write(path, plan) == 15 - 3 * shard
    assert tiny_records.files(path) == tiny_records.files(whole)


def is_running(process):
    try:
        state = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_killed_writer_leaves_no_process_and_the_same_call_goes_on(whole, tmp_path):
    marks, path = tmp_path / "marks", tmp_path / "set"
    marks.mkdir()
    here = pathlib.Path(__file__)
    code = f"import tiny_records; tiny_records.write_and_die({str(path)!r}, {str(marks)!r})"
    paths = os.pathsep.join([str(here.parent), str(here.parent.parent)])
    killed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    worker = next(marks.iterdir()).read_text()
    deadline = time.monotonic() + 30
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)
    assert (path / record_folder.UNFINISHED).exists()
    assert 0 < write(path, tiny_records.plan()) < 15
    assert tiny_records.files(path) == tiny_records.files(whole)


def copy(source, target):
    for name, content in tiny_records.files(source).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    return target


def test_damaged_and_missing_files_are_mended(whole, tmp_path):
    path = copy(whole, tmp_path / "set")
    shard = path / "r0008/00002-of-00005.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    (path / "r0016/00004-of-00005.tfrecord").unlink()
    (path / "folds/val.txt").unlink()
    assert write(path, tiny_records.plan()) == 2
    assert tiny_records.files(path) == tiny_records.files(whole)


def test_a_shard_that_comes_out_otherwise_is_not_put_into_a_finished_set(whole, tmp_path):
    path = copy(whole, tmp_path / "set")
    (path / "r0008/00002-of-00005.tfrecord").unlink()
    other = tiny_records.plan(
        tiny_records.radiographs(load=lambda value: tiny_records.flat(value) + 1)
    )
    with pytest.raises(ValueError, match="r0008/00002-of-00005.tfrecord differs"):
        write(path, other)
    assert not (path / "r0008/00002-of-00005.tfrecord").exists()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_shards": 4}, "num_shards: 5 there, 4 asked"),
        ({"max_resolution": 8}, "encoding: "),
        ({"encoding": "png"}, "encoding: "),
        ({"provenance": {"generator": "b"}}, "provenance"),
    ],
)
def test_other_settings_are_refused(whole, tmp_path, settings, message):
    with pytest.raises(ValueError, match=f"a finished record set of other(.|\n)*{message}"):
        write(whole, tiny_records.plan(**settings))
    path = tmp_path / "unfinished"
    with pytest.raises(ValueError):
        write(path, tiny_records.plan(tiny_records.radiographs(load=tiny_records.broken)))
    with pytest.raises(ValueError, match=f"an unfinished record set(.|\n)*{message}"):
        write(path, tiny_records.plan(**settings))


def test_a_changed_source_is_refused_only_where_it_was_used(tmp_path):
    def plan(load=tiny_records.flat, **stamps):
        images = [
            dataclasses.replace(image, stamp=stamps.get(image.image_id, ""))
            for image in tiny_records.radiographs(load=load)
        ]
        return tiny_records.plan(images)

    with pytest.raises(ValueError, match="image031"):
        write(tmp_path / "set", plan(tiny_records.broken))
    written = plan().record_ids[0]
    with pytest.raises(ValueError, match="changed since .*r0004/00000-of-00005.tfrecord was"):
        write(tmp_path / "set", plan(**{written: "other size"}))
    write(tmp_path / "set", plan(image031="fetched again"))
    with pytest.raises(ValueError, match="source_fingerprint"):
        write(tmp_path / "set", plan())


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds no record set .it has thesis.txt"):
        write(tmp_path, tiny_records.plan())
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_two_writers_at_once(tmp_path):
    with record_folder.claimed(tmp_path):
        with pytest.raises(ValueError, match="Another process"):
            write(tmp_path, tiny_records.plan())


def test_too_little_space_is_said_before_writing(tmp_path, monkeypatch):
    usage = types.SimpleNamespace(free=10_000)
    monkeypatch.setattr(record_forecast.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"need 0\.1 MB but .* has 0\.0 MB free"):
        write(tmp_path / "set", tiny_records.plan())
    assert not os.listdir(tmp_path / "set")


def test_disk_full_while_writing(whole, tmp_path, monkeypatch):
    left = iter(range(100))

    class Full(tf.io.TFRecordWriter):
        def write(self, record):
            if next(left, None) is None:
                raise tf.errors.UnknownError(None, None, "x.tfrecord; No space left on device")
            super().write(record)

    with monkeypatch.context() as patch:
        patch.setattr(tf.io, "TFRecordWriter", Full)
        with pytest.raises(OSError, match="is full. Finished shards are kept"):
            write(tmp_path / "set", tiny_records.plan())
    assert not list((tmp_path / "set").rglob("*.tmp"))
    assert not (tmp_path / "set" / "manifest.json").exists()
    write(tmp_path / "set", tiny_records.plan())
    assert tiny_records.files(tmp_path / "set") == tiny_records.files(whole)


def test_a_file_that_lacks_bytes_is_no_shard(tmp_path):
    (tmp_path / "a.tmp").write_bytes(b"123")
    with pytest.raises(OSError) as caught:
        record_writer._seal(tmp_path / "a.tmp", tmp_path / "a", 4)
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "a").exists()


def test_images_that_are_made_in_batches(whole, tmp_path):
    """As for synthetic images: no load, and only what is missing is asked for."""
    images = [dataclasses.replace(i, load=None) for i in tiny_records.radiographs()]
    plan = tiny_records.plan(images)
    asked = []

    def make(positions):
        asked.append(list(positions))
        for position in positions:
            yield tiny_records.flat(int(plan.radiographs[position].image_id[5:]))

    write(tmp_path / "set", plan, load_images=make)
    assert asked == [list(range(60))]
    assert tiny_records.files(tmp_path / "set") == tiny_records.files(whole)
    (tmp_path / "set/r0008/00001-of-00005.tfrecord").unlink()
    write(tmp_path / "set", plan, load_images=make, workers=1)
    assert asked[1] == list(range(12, 24))
    assert tiny_records.files(tmp_path / "set") == tiny_records.files(whole)
    (tmp_path / "set/r0008/00001-of-00005.tfrecord").unlink()
    with pytest.raises(ValueError, match="no image for"):
        write(tmp_path / "set", plan, load_images=lambda positions: [])


def test_names_of_real_images_are_nowhere(tmp_path):
    images = tiny_records.radiographs()
    plan = tiny_records.plan(
        images, origin="real", pseudonyms=pseudonyms.Pseudonymizer(bytes(32), "test")
    )
    write(tmp_path / "set", plan)
    for name, content in tiny_records.files(tmp_path / "set").items():
        assert b"image0" not in content and b"patient0" not in content, name
    assert len(set(plan.patient_ids)) == 20
    records = record_set.RecordSet.open(tmp_path / "set")
    batch = next(iter(record_reader.evaluation_dataset(records, 8, "all", 60)))
    assert [i.decode() for i in batch["record_ids"].numpy()] == plan.record_ids


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"origin": "real"}, "need pseudonyms"),
        ({"origin": "dream"}, "origin"),
        ({"encoding": "jpeg"}, "encoding"),
        ({"geometry": "circle"}, "geometry must be one of pad, crop, stretch, got 'circle'"),
        ({"max_resolution": 12}, "power of two"),
        ({"num_shards": 61}, "1 ... 60"),
    ],
)
def test_plans_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny_records.plan(**settings)


def test_images_refused():
    images = tiny_records.radiographs(3)
    with pytest.raises(ValueError, match="image000 is there twice"):
        tiny_records.plan([*images, images[0]], num_shards=1)
    with pytest.raises(ValueError, match="no images"):
        tiny_records.plan([])
    images[1].labels[0] = 2
    with pytest.raises(ValueError, match="labels of image001"):
        tiny_records.plan(images, num_shards=1)


def test_a_patient_in_two_folds_is_refused():
    split = splits.Split({"train": ["image000"], "test": ["image001"]}, {})
    with pytest.raises(ValueError, match="1 patients are in more than one fold"):
        tiny_records.plan(split=split)


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_images_are_set_aside_up_to_a_number(tmp_path, workers):
    bad = tiny_records.plan(tiny_records.radiographs(load=tiny_records.broken))
    result = record_writer.write_record_set(
        tmp_path, bad, workers=workers, progress=False, max_bad=1
    )
    assert result.set_aside == {"image031": "image031: file.png cannot be read"}
    records = record_set.RecordSet.open(tmp_path)
    assert records.num_records == 59 and records.manifest["num_images"] == 60
    assert records.manifest["set_aside"] == ["image031"]
    assert "image031" not in records.record_ids()
    assert sum(records.folds[fold] for fold in ("train", "val", "test")) == 59
    shown = record_reader.evaluation_dataset(records, 16, "all", 60)
    batch = next(iter(shown))
    assert [i.decode() for i in batch["record_ids"].numpy()] == records.record_ids()
    greys = np.rint((batch["images"].numpy()[:, 0, 0, 0] + 1) * 127.5).astype(int)
    assert greys.tolist() == [int(name[5:]) for name in records.record_ids()]
    # The same command again finds nothing to do, and still says what is left out.
    again = record_writer.write_record_set(tmp_path, bad, progress=False)
    assert again == (0, {"image031": ""})
    # A shard mended later is what it was.
    files = tiny_records.files(tmp_path)
    (tmp_path / "r0008/00001-of-00005.tfrecord").unlink()
    shutil.rmtree(tmp_path / "r0016")
    record_writer.write_record_set(tmp_path, bad, progress=False)
    assert tiny_records.files(tmp_path) == files


def test_what_was_set_aside_is_known_after_a_stop_and_tried_again_where_nothing_is_written(
    whole, tmp_path
):
    bad = tiny_records.plan(tiny_records.radiographs(load=tiny_records.broken))
    shard = bad.record_ids.index("image031") // 12
    record_writer.write_record_set(tmp_path, bad, progress=False, max_bad=1)
    (tmp_path / "manifest.json").rename(tmp_path / "unfinished.json")
    content = json.loads((tmp_path / "unfinished.json").read_text())
    content["stamps"] = bad.stamps
    (tmp_path / "unfinished.json").write_text(json.dumps(content))
    (tmp_path / "set_aside.txt").write_text("image031\n")
    one_level = tmp_path / f"r0008/{shard:05d}-of-00005.tfrecord"
    one_level.unlink()
    result = record_writer.write_record_set(tmp_path, tiny_records.plan(), progress=False)
    assert result == (1, {"image031": ""})  # its shard is there at other levels, without it
    assert sum(1 for _ in tf.data.TFRecordDataset(str(one_level))) == 11
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "unfinished.json").write_text(json.dumps(content))
    (tmp_path / "set_aside.txt").write_text("image031\n")
    for size in (4, 8, 16):
        (tmp_path / f"r{size:04d}/{shard:05d}-of-00005.tfrecord").unlink()
    result = record_writer.write_record_set(tmp_path, tiny_records.plan(), progress=False)
    assert result == (3, {})  # mended in the meantime
    assert tiny_records.files(tmp_path) == tiny_records.files(whole)


def test_what_was_applied_to_the_grey_values_is_recorded_per_image(tmp_path):
    images = [
        dataclasses.replace(
            image, load=functools.partial(radiograph.Pixels, tiny_records.flat(7), f"window {i}")
        )
        for i, image in enumerate(tiny_records.radiographs(3))
    ]
    plan = tiny_records.plan(images, num_shards=1, split=None)
    write(tmp_path, plan)
    for size in (4, 16):
        path = str(tmp_path / f"r{size:04d}/00000-of-00001.tfrecord")
        examples = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(path)]
        seen = [example.features.feature["rendering"].bytes_list.value[0] for example in examples]
        assert seen == [f"window {int(i[5:])}".encode() for i in plan.record_ids]


def test_unknown_labels_are_kept_as_such(tmp_path):
    images = tiny_records.radiographs(3)
    images[1].labels[0] = np.nan
    write(tmp_path, tiny_records.plan(images, num_shards=1, split=None))
    records = record_set.RecordSet.open(tmp_path)
    facts = records.manifest["folds"]["all"]
    assert facts["unknown"] == {"Mass": 1, "Hernia": 0}
    assert facts["positives"] == {"Mass": 2, "Hernia": 0}
    assert facts["no_finding"] == 0  # of image 1 nobody knows
    row = records.record_ids().index("image001")
    expected = np.float32([np.nan, 0.01])
    np.testing.assert_array_equal(records.label_matrix()[row], expected)
    np.testing.assert_array_equal(records.condition_matrix()[row], np.float32([0, 0.01]))
    batch = next(iter(record_reader.evaluation_dataset(records, 4, "all", 3)))
    np.testing.assert_array_equal(batch["labels"].numpy()[row], expected)


def test_a_twin_is_known_by_its_pseudonym_in_the_other_collection(tmp_path):
    key = pseudonyms.Pseudonymizer(bytes(32), "rsna")
    images = [
        dataclasses.replace(tiny_records.radiographs(1)[0], twin=("nih", "00000013_005.png")),
        tiny_records.radiographs(2)[1],
    ]
    plan = tiny_records.plan(images, origin="real", pseudonyms=key, num_shards=1, split=None)
    write(tmp_path, plan)
    records = record_set.RecordSet.open(tmp_path)
    row = records.record_ids().index(key.image("image000"))
    assert records.extras()[row]["twin_id"] == key.of("nih").image("00000013_005.png")
    assert records.patient_ids()[row] == key.of("nih").patient("patient00")
    assert records.extras()[1 - row]["twin_id"] == ""
    assert records.patient_ids()[1 - row] == key.patient("patient00")


def test_a_forecast_prints_size_and_time_and_writes_nothing(tmp_path, capsys):
    record_forecast.foresee(tmp_path / "set", tiny_records.plan(), workers=2)
    assert not (tmp_path / "set").exists()
    text = capsys.readouterr().out
    assert "To write: about 0.1 MB" in text and "h:m:s with 2 processes, by 8 images" in text
