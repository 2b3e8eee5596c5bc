import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny_records
from PIL import Image

from pgan.data import (
    manifest,
    pseudonyms,
    pyramid,
    record_set,
    split_store,
    splits,
    verification,
)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny").path


@pytest.fixture
def path(original, tmp_path):
    return shutil.copytree(original, tmp_path / "set")


@pytest.fixture
def verify(run_tool, path):
    return lambda *arguments: run_tool("verify_records", f"--records={path}", *arguments)


def reseal(path):
    """Makes the manifest agree with whatever the files are now."""
    content = json.loads((path / manifest.MANIFEST).read_text())
    for name, facts in content["shards"].items():
        facts["bytes"] = (path / name).stat().st_size
        facts["sha256"] = manifest.sha256_of_file(path / name)
    for name in content["tables"]:
        content["tables"][name] = manifest.sha256_of_file(path / name)
    for fold, facts in content["folds"].items():
        ids = (path / manifest.fold_name(fold)).read_text().split()
        facts["records"], facts["fingerprint"] = len(ids), manifest.fold_fingerprint(ids)
    content["fingerprint"] = manifest.set_fingerprint(content["shards"], content["folds"])
    (path / manifest.MANIFEST).write_text(json.dumps(content))


def rewrite(path, change):
    """Passes the serialized records of a shard through a function."""
    records = [bytes(r) for r in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in change(records):
            writer.write(record)


def edited(number, change):
    def edit(records):
        example = tf.train.Example.FromString(records[number])
        change(example.features.feature)
        return [*records[:number], example.SerializeToString(), *records[number + 1 :]]

    return edit


def test_whole(verify, capsys):
    assert verify() == 0
    out = capsys.readouterr().out
    assert "Read: 180 records in 15 shards, 4 to 16 px" in out
    assert "Decoded: images of 60 records at every resolution" in out
    assert "by 0.00 grey values at most" in out
    assert "GOOD: 60 records of 20 patients" in out and "BAD" not in out


@pytest.mark.parametrize("sample, decoded", [("0", 0), ("7", 7), ("all", 60), ("1000", 60)])
def test_sample(verify, capsys, sample, decoded):
    assert verify(f"--sample={sample}") == 0
    out = capsys.readouterr().out
    assert (f"images of {decoded} records" in out) == (decoded > 0)


def test_unknown_labels_are_equal(tmp_path, run_tool, capsys):
    images = tiny_records.radiographs(20)
    for image in images[::2]:
        image.labels[1] = np.nan
    records = tiny_records.build(tmp_path / "unknown", images=images)
    assert np.isnan(records.label_matrix()).sum() == 10
    assert run_tool("verify_records", f"--records={records.path}") == 0
    assert "GOOD" in capsys.readouterr().out


def test_levels_are_rounded_means(tmp_path):
    """Noise, whose rounding errors are the largest that there are."""
    from pgan.data.radiograph import Radiograph

    generator = np.random.default_rng(0)
    images = [
        Radiograph(f"i{n}", f"p{n}", np.zeros(2, np.float32), NoisyImage(generator.integers(1e6)))
        for n in range(20)
    ]
    records = tiny_records.build(tmp_path / "noise", images=images, encoding="png")
    result = verification.verify(records, None)
    assert result.problems == [] and result.images == 20
    assert 0.6 < result.level_difference <= 1


class NoisyImage:
    def __init__(self, seed):
        self.seed = seed

    def __call__(self):
        return np.random.default_rng(self.seed).random((40, 40), np.float32) * 255


def test_flipped_byte(verify, path, capsys):
    shard = path / "r0016/00001-of-00005.tfrecord"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    assert verify() == 1
    assert "BAD: " in capsys.readouterr().out
    assert verify("--verify=size") == 1  # the record has a checksum of its own
    out = capsys.readouterr().out
    assert "r0016/00001-of-00005.tfrecord cannot be read as a whole (DataLossError)." in out
    assert "has 0 records instead of 12." in out
    assert "BAD: 2 problems" in out


def test_missing_shard(verify, path, capsys):
    (path / "r0008/00003-of-00005.tfrecord").unlink()
    assert verify() == 1
    assert "BAD: The shard" in capsys.readouterr().out


def test_unfinished_set(verify, path, capsys):
    (path / manifest.MANIFEST).unlink()
    assert verify() == 1
    assert "holds no finished record set" in capsys.readouterr().out


SHARD = "r0008/00002-of-00005.tfrecord"


@pytest.mark.parametrize(
    "change, problem",
    [
        (lambda r: [r[1], r[0], *r[2:]],
         "another record than the table in a place: not {0}, as have 1 more."),
        (lambda r: [*r, r[0]], "has 13 records instead of 12."),
        (lambda r: r[:-1], "has 11 records instead of 12."),
        (edited(3, lambda f: f["patient_id"].bytes_list.value.__setitem__(0, b"patient99")),
         "has a record of another patient than the table: {3}."),
        (edited(3, lambda f: f["labels"].float_list.value.__setitem__(1, 0.123)),
         "has a record of other labels than the table: {3}."),
        (edited(3, lambda f: f["labels"].float_list.value.append(0)),
         "has a record of other labels than the table: {3}."),
        (edited(3, lambda f: f["shape"].int64_list.value.__setitem__(0, 9)),
         "has a record of another shape: {3}."),
        (edited(3, lambda f: f["note"].bytes_list.value.append(b"")),
         "has a record with unknown features: note."),
        (edited(3, lambda f: f["image"].bytes_list.value.__setitem__(0, b"123")),
         "has an image that cannot be decoded: {3}"),
        (lambda r: [b"\xff", *r[1:]], "has a record that is no tf.train.Example: {0}."),
    ],
)  # fmt: skip
def test_wrong_records_in_a_sealed_set(verify, path, capsys, change, problem):
    rewrite(path / SHARD, change)
    reseal(path)
    ids = record_set.RecordSet.open(path, "full").record_ids()[24:36]
    assert verify() == 1
    out = capsys.readouterr().out
    assert f"  {SHARD} " in out and problem.format(*ids) in out
    assert "BAD: 1 problems" in out


def test_wrong_label_in_a_sealed_table(verify, path, capsys):
    lines = (path / "records.csv").read_text().splitlines()
    head, label = lines[1].rsplit(",", 1)
    lines[1] = f"{head},{(float(label) + 0.5) % 1}"
    (path / "records.csv").write_text("\n".join(lines) + "\n")
    reseal(path)
    assert verify() == 1
    record = head.split(",")[0]
    out = capsys.readouterr().out
    assert out.count(f"has a record of other labels than the table: {record}.") == 3


def test_levels_of_different_images(verify, path, capsys):
    def swap_images(records):
        examples = [tf.train.Example.FromString(record) for record in records]
        images = [example.features.feature["image"].bytes_list for example in examples[:2]]
        images[0].value[0], images[1].value[0] = images[1].value[0], images[0].value[0]
        return [example.SerializeToString() for example in examples]

    rewrite(path / SHARD, swap_images)
    reseal(path)
    assert verify("--sample=all") == 1
    out = capsys.readouterr().out
    assert out.count("are not means of each other") == 2
    assert verify("--sample=0") == 0  # nobody looked


def test_coloured_png(verify, path, tmp_path, capsys):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "c.png")
    content = (tmp_path / "c.png").read_bytes()
    rewrite(path / SHARD, edited(0, lambda f: f["image"].bytes_list.value.__setitem__(0, content)))
    reseal(path)
    assert verify() == 1
    assert "cannot be decoded" in capsys.readouterr().out
    assert pyramid.encode(np.zeros((8, 8), np.uint8), "png") != content


@pytest.mark.parametrize(
    "name, problem",
    [
        ("r0016/00001-of-00005.tfrecord.tmp", "left of an interrupted build"),
        ("samples.tmp.png", "left of an interrupted build"),
        ("unfinished.json", "left of an interrupted build"),
        ("r0016/00001-of-00007.tfrecord", "a shard that the manifest does not have"),
    ],
)
def test_leftovers(verify, path, capsys, name, problem):
    (path / name).write_text("")
    assert verify() == 1
    out = capsys.readouterr().out
    assert f"  {name} is {problem}" in out and "BAD: 1 problems" in out


def test_patient_in_two_folds(verify, path, capsys):
    ids = (path / "folds/train.txt").read_text().split()
    (path / "folds/test.txt").open("a").write(f"{ids[0]}\n")
    reseal(path)
    assert verify() == 1
    out = capsys.readouterr().out
    assert "Patients in the fold 'train' and in 'test': 1, such as patient" in out
    assert "The fold 'test' has 5 patients, not 4." in out


def test_further_splits(path):
    records = record_set.RecordSet.open(path)
    pairs = list(zip(records.record_ids(), records.patient_ids(), strict=True))
    folds = {
        "a": [record for record, patient in pairs if patient == "patient00"],
        "b": [record for record, patient in pairs if patient != "patient00"],
    }
    splits.store(records, "two", splits.Split(folds, {"method": "test"}))
    assert verification.verify(records, 0).problems == []
    content = json.loads((path / "splits/two/split.json").read_text())
    facts = split_store.describe(folds["b"][:1], ["p"], np.zeros((1, 2)), records.findings)
    content["folds"]["a"] = facts
    (path / "splits/two/split.json").write_text(json.dumps(content))
    (path / "splits/two/a.txt").write_text(folds["b"][0])
    (problem,) = verification.verify(record_set.RecordSet.open(path), 0).problems
    assert problem.startswith("Patients in the fold 'two/a' and in 'two/b': 1, such as patient")
    (path / "splits/two/a.txt").write_text(folds["b"][1])
    (problem,) = verification.verify(record_set.RecordSet.open(path), 0).problems
    assert "splits/two/a.txt has been changed" in problem


def test_strangers_and_repeats_in_a_fold(path):
    records = record_set.RecordSet.open(path)
    with open(path / "folds/val.txt", "a") as file:
        file.write(f"stranger\n{records.fold_ids('val')[0]}\n")
    problems = verification.verify(records, 0).problems
    assert "The fold 'val' has records that the set lacks, such as stranger." in problems
    assert "The fold 'val' has a record twice." in problems
    assert "The fold 'val' differs from its fingerprint in the manifest." in problems


@pytest.mark.parametrize("arguments", [["--sample=some"], ["stray"], ["--records=absent"]])
def test_usage(verify, capsys, arguments):
    assert verify(*arguments) != 0
    assert "GOOD" not in capsys.readouterr().out


def test_patients_shared_with_another_set(run_tool, tmp_path, capsys):
    def build(name, numbers, key=bytes(32)):
        images = [tiny_records.radiographs()[number] for number in numbers]
        names = pseudonyms.Pseudonymizer(key, "test")
        tiny_records.build(
            tmp_path / name,
            images=images,
            origin="real",
            pseudonyms=names,
            split=splits.Split({"train": [image.image_id for image in images]}, {}),
            num_shards=2,
        )
        return f"--records={tmp_path / name}", f"--against={tmp_path / name}"

    (first, _), (_, same), (_, other) = (
        build("a", range(30)), build("b", range(27, 60)), build("c", range(30, 60))
    )  # fmt: skip
    (_, foreign) = build("d", range(30), key=bytes(31) + b"1")
    assert run_tool("verify_records", first, other) == 0
    assert "of the fold train that are in c/train: 0" in capsys.readouterr().out
    assert run_tool("verify_records", first, same) == 1
    assert "of the fold train that are in b/train: 1" in capsys.readouterr().out
    assert run_tool("verify_records", first, foreign) == 1
    assert "cannot be compared: made with different keys" in capsys.readouterr().err
