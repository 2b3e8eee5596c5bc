import json

import numpy as np
import pytest
import tiny_records

from pgan.data import manifest, record_reader, record_set, split_store

FOLDS = {"a": ["image000", "image001"], "b": ["image030"]}


def facts(folds):
    return {
        fold: {"records": len(ids), "fingerprint": manifest.fold_fingerprint(ids)}
        for fold, ids in folds.items()
    }


def write(folder, folds=FOLDS, fingerprint="f", name="s", **settings):
    return split_store.write(folder, fingerprint, name, settings, folds, facts(folds))


def test_written_and_read(tmp_path):
    assert write(tmp_path, seed=1, shares=(1, 2))
    assert split_store.names(tmp_path) == ["s"]
    content = split_store.read(tmp_path, "f", "s")
    assert content["settings"] == {"seed": 1, "shares": [1, 2]}
    assert split_store.read_facts(tmp_path, "f", "s/b")["records"] == 1
    assert split_store.read_ids(tmp_path, "f", "s/a") == FOLDS["a"]
    assert sorted(path.name for path in (tmp_path / "splits/s").iterdir()) == [
        "a.txt", "b.txt", "split.json",
    ]  # fmt: skip


def test_the_same_again_changes_nothing(tmp_path):
    write(tmp_path, seed=1, shares=(1, 2))
    before = tiny_records.files(tmp_path)
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert not write(tmp_path, seed=1, shares=(1, 2))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == times
    (tmp_path / "splits/s/b.txt").unlink()
    (tmp_path / "splits/s/a.txt").write_text("image000\n")
    assert write(tmp_path, seed=1, shares=(1, 2))
    assert tiny_records.files(tmp_path) == before


def test_other_settings_are_refused_with_the_difference(tmp_path):
    write(tmp_path, seed=1, quotas=["x"])
    with pytest.raises(ValueError, match="(?s)other settings:\n  seed: 1 there, 2 asked\nGive"):
        write(tmp_path, seed=2, quotas=["x"])
    with pytest.raises(ValueError, match=r'quotas: \["x"\] there, null asked'):
        write(tmp_path, seed=1)
    with pytest.raises(ValueError, match="has other folds.*another version"):
        write(tmp_path, {**FOLDS, "b": ["image031"]}, seed=1, quotas=["x"])
    assert split_store.read_ids(tmp_path, "f", "s/b") == ["image030"]


def test_unfinished_is_as_good_as_absent(tmp_path):
    write(tmp_path, {"old": ["image059"]}, seed=1)
    (tmp_path / "splits/s/split.json").unlink()
    assert split_store.names(tmp_path) == []
    with pytest.raises(ValueError, match="no split 's'; its splits are: none.*split_records.py"):
        split_store.read(tmp_path, "f", "s")
    assert write(tmp_path, seed=2)
    assert not (tmp_path / "splits/s/old.txt").exists()


def test_split_json_is_written_last(tmp_path, monkeypatch):
    written, original = [], manifest.write_text
    monkeypatch.setattr(
        manifest, "write_text", lambda path, text: (written.append(path.name), original(path, text))
    )
    write(tmp_path)
    assert written == ["a.txt", "b.txt", "split.json"]


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "ä", "x" * 65])
def test_names_refused(tmp_path, name):
    with pytest.raises(ValueError, match="name of a split must be"):
        write(tmp_path, name=name)
    with pytest.raises(ValueError, match="name of a fold must be"):
        write(tmp_path, {name: ["image000"]})
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match="made for another record set .*Remove that folder"):
        split_store.read_ids(tmp_path, "g", "s/a")
    with pytest.raises(ValueError, match="has no fold 'c'; its folds are a, b"):
        split_store.read_facts(tmp_path, "f", "s/c")
    path = tmp_path / "splits/s/a.txt"
    path.write_text("image000\nimage002\n")
    with pytest.raises(ValueError, match="a.txt has been changed.*make the split again"):
        split_store.read_ids(tmp_path, "f", "s/a")
    path.unlink()
    with pytest.raises(ValueError, match="a.txt is missing"):
        split_store.read_ids(tmp_path, "f", "s/a")
    assert split_store.read_ids(tmp_path, "f", "s/b") == ["image030"]
    path = tmp_path / "splits/s/split.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "format_version": 9}))
    with pytest.raises(ValueError, match="version 9; expected 'pgan split' version 1"):
        split_store.read(tmp_path, "f", "s")
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(ValueError, match="split.json is damaged"):
            split_store.read(tmp_path, "f", "s")


def test_describe():
    labels = np.array([[1, 0], [0, 0], [np.nan, 0], [0.5, np.nan]], np.float32)
    described = split_store.describe(list("wxyz"), list("PPQR"), labels, ("Mass", "Hernia"))
    assert described == {
        "records": 4,
        "patients": 3,
        "fingerprint": manifest.fold_fingerprint("zyxw"),
        "no_finding": 1,
        "positives": {"Mass": 2, "Hernia": 0},
        "unknown": {"Mass": 1, "Hernia": 1},
    }


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    records = tiny_records.build(tmp_path_factory.mktemp("records") / "tiny")
    write(records.path, fingerprint=records.fingerprint, name="good")
    write(records.path, fingerprint="other", name="foreign")
    write(records.path, fingerprint=records.fingerprint, name="unfinished")
    (records.path / "splits/unfinished/split.json").unlink()
    return record_set.RecordSet.open(records.path)


def test_record_sets_offer_the_folds(records):
    assert records.split_folds("good") == ["good/a", "good/b"]
    assert records.fold_size("good/a") == 2
    assert records.fold_fingerprint("good/a") == manifest.fold_fingerprint(FOLDS["a"])
    assert sorted(records.fold_ids("good/a")) == FOLDS["a"]
    assert records.fold_mask("good/b").sum() == 1
    assert records.patient_ids("good/b") == ["patient10"]
    assert list(records.folds) == ["train", "val", "test", "all"]


def test_training_reads_the_folds(records):
    (batch,) = record_reader.training_dataset(records, 4, "good/a", 2, 0).take(1)
    # Image i is flat grey i.
    assert sorted(np.unique(np.round((batch["images"].numpy() + 1) * 127.5))) == [0, 1]


def test_record_sets_with_unusable_splits_stay_usable(records):
    with pytest.raises(ValueError, match="made for another record set"):
        records.fold_size("foreign/a")
    for fold in ("unfinished/a", "absent/a"):
        with pytest.raises(ValueError, match="no split .*; its splits are: foreign, good"):
            records.fold_mask(fold)
    with pytest.raises(ValueError, match="no fold 'a'; its folds are train, .*splits foreign, g"):
        records.fold_fingerprint("a")
