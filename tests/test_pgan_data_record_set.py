import json
import shutil

import numpy as np
import pytest
import tiny_records

from pgan.data import manifest, record_set


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny")


@pytest.fixture
def copied(records, tmp_path):
    return shutil.copytree(records.path, tmp_path / "copy")


def test_facts(records):
    assert records.name == "tiny"
    assert records.findings == ("Mass", "Hernia")
    assert records.resolutions == (4, 8, 16)
    assert records.max_resolution == 16
    assert records.num_records == 60
    assert records.folds == {"train": 42, "val": 6, "test": 12, "all": 60}
    assert records.encoding(8) == "raw"
    assert len(records.fingerprint) == 64


def test_tables_are_in_record_order(records):
    numbers = np.array([int(name[5:]) for name in records.record_ids()])
    expected = np.stack([numbers % 2 == 0, np.float32(numbers / 100)], 1)
    np.testing.assert_array_equal(records.label_matrix(), expected.astype(np.float32))
    assert records.patient_ids() == [f"patient{number // 3:02d}" for number in numbers]
    assert [facts["age"] for facts in records.extras()] == [str(30 + n) for n in numbers]
    train = records.fold_mask("train")
    np.testing.assert_array_equal(records.label_matrix("train"), expected[train])
    assert records.fold_ids("train") == [f"image{n:03d}" for n in numbers[train]]


def test_folds_are_disjoint_by_patient(records):
    patients = [set(records.patient_ids(fold)) for fold in ("train", "val", "test")]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 20


def test_fingerprints_tell_sets_and_folds_apart(records, tmp_path):
    again = tiny_records.build(tmp_path / "again", num_shards=4)
    assert again.fingerprint != records.fingerprint
    assert again.fold_fingerprint("train") == records.fold_fingerprint("train")
    assert records.fold_fingerprint("train") != records.fold_fingerprint("val")
    assert records.fold_fingerprint("val") == manifest.fold_fingerprint(
        reversed(records.fold_ids("val"))
    )


def test_requirements(records):
    records.require_resolution(8)
    with pytest.raises(ValueError, match=r"no r0064 shards \(found 4-16\).*--max_resolution=64"):
        records.require_resolution(64)
    records.require_findings(("Mass", "Hernia"))
    with pytest.raises(ValueError, match="another vocabulary.*Mass, Hernia; wanted.*Hernia, Mass"):
        records.require_findings(("Hernia", "Mass"))
    with pytest.raises(ValueError, match="no fold 'dev'; its folds are train, val, test, all"):
        records.fold_size("dev")


def test_missing_shard(copied):
    (copied / "r0008/00003-of-00005.tfrecord").unlink()
    for verify in record_set.VERIFY:
        with pytest.raises(ValueError, match="r0008/00003-of-00005.tfrecord is missing. Run the"):
            record_set.RecordSet.open(copied, verify)


def test_short_shard(copied):
    path = copied / "r0008/00003-of-00005.tfrecord"
    path.write_bytes(path.read_bytes()[:-10])
    for verify in record_set.VERIFY:
        with pytest.raises(ValueError, match="00003-of-00005.tfrecord has .* bytes instead of"):
            record_set.RecordSet.open(copied, verify)


def test_damaged_shard(copied, monkeypatch):
    path = copied / "r0016/00001-of-00005.tfrecord"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    for verify in ("auto", "full"):
        with pytest.raises(ValueError, match="r0016/00001-of-00005.tfrecord is damaged"):
            record_set.RecordSet.open(copied, verify)
    record_set.RecordSet.open(copied, "full", max_resolution=8)  # does not use that shard
    record_set.RecordSet.open(copied, "size")
    monkeypatch.setattr(record_set, "_AUTO_FULL_BYTES", 100)
    record_set.RecordSet.open(copied, "auto")


@pytest.mark.parametrize("name", ["records.csv", "folds/train.txt", "folds/all.txt"])
def test_changed_tables(copied, name):
    (copied / name).write_text((copied / name).read_text()[:-3])
    with pytest.raises(ValueError, match=f"{name} has been changed"):
        record_set.RecordSet.open(copied)
    (copied / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        record_set.RecordSet.open(copied)


def test_changed_manifest(copied):
    path = copied / "manifest.json"
    content = json.loads(path.read_text())
    content["shards"]["r0004/00000-of-00005.tfrecord"]["sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="manifest.json has been changed"):
        record_set.RecordSet.open(copied)
    path.write_text(json.dumps({**content, "format_version": 3}))
    with pytest.raises(ValueError, match="version 3; expected .* version 2"):
        record_set.RecordSet.open(copied)
    path.write_text("{")
    with pytest.raises(ValueError, match="manifest.json is damaged"):
        record_set.RecordSet.open(copied)


def test_no_record_set(tmp_path):
    with pytest.raises(ValueError, match="no record set"):
        record_set.RecordSet.open(tmp_path / "absent")
    with pytest.raises(ValueError, match="no finished record set"):
        record_set.RecordSet.open(tmp_path)
    with pytest.raises(ValueError, match="verify must be one of auto, full, size"):
        record_set.RecordSet.open(tmp_path, verify="no")


def test_preparation_is_recorded_and_compared(tmp_path):
    records = tiny_records.build(tmp_path / "crop", geometry="crop", provenance={"window": "auto"})
    assert records.preparation == {"geometry": "crop", "mask_markers": False, "window": "auto"}
    records.require_preparation(records.preparation, "nih")
    records.require_preparation(None, "a generator of unknown make")
    other = {"geometry": "stretch", "mask_markers": False, "window": "minmax"}
    with pytest.raises(ValueError, match="nih was made with --geometry=stretch .here crop., --win"):
        records.require_preparation(other, "nih")
    synthetic = tiny_records.build(
        tmp_path / "drawn",
        origin="synthetic",
        provenance={"training_records": {"preparation": other}},
    )
    assert synthetic.preparation == other
    assert tiny_records.build(tmp_path / "old", origin="synthetic").preparation is None
