"""What a classifier has seen, and whose images it is therefore not judged on."""

import pytest
import tiny_records

from classifier import image_table, seen_images
from pgan.data import record_plan, record_set, record_writer, splits


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "own")


@pytest.fixture
def table(records):
    return image_table.of_fold(records, "test", 16)


def _described(records, *folds):
    return seen_images.describe([image_table.Fold(records, fold) for fold in folds])


def _check(table, seen, *at_hand):
    return seen_images.require_unseen(table, seen, at_hand, "judge")


def _synthetic(folder, training_records):
    images = tiny_records.radiographs(20)
    plan = record_plan.make_plan(
        images, tiny_records.FINDINGS, 16, source="gan/1", origin="synthetic", num_shards=2,
        split=splits.draw(images, 1), provenance={"training_records": training_records},
    )  # fmt: skip
    record_writer.write_record_set(folder, plan, progress=False)
    return record_set.RecordSet.open(folder)


def test_each_fold_is_told_once_and_no_patient(records):
    seen = _described(records, "train", "val", "train")
    assert [facts["fold"] for facts in seen] == ["train", "val"]
    assert seen[0] == {
        "name": "own", "origin": "phantom", "source": "test", "fingerprint": records.fingerprint,
        "fold": "train", "fold_fingerprint": records.fold_fingerprint("train"),
    }  # fmt: skip
    assert "patient" not in str(seen)


def test_patients_of_the_same_record_set(records, table):
    assert _check(table, _described(records, "train", "val")) == []
    with pytest.raises(ValueError, match="fold test, are in own, fold all, which judge was traine"):
        _check(table, _described(records, "train", "all"))
    redrawn = [{**facts, "fold_fingerprint": "0" * 64} for facts in _described(records, "train")]
    (warning,) = _check(table, redrawn)
    assert "the fold train of own, which" in warning and "does not hold any more" in warning
    gone = [{**facts, "fold": "old/train"} for facts in _described(records, "train")]
    assert "does not hold any more" in _check(table, gone)[0]


def test_patients_of_another_record_set_of_the_collection(records, table, tmp_path):
    # The same images at another size, so that nothing but the names is the same.
    other = tiny_records.build(tmp_path / "other", max_resolution=8)
    assert other.fingerprint != records.fingerprint
    (warning,) = _check(table, _described(other, "all"))
    assert "trained or validated on other, fold all" in warning and "--trained_on=" in warning
    with pytest.raises(ValueError, match="are in other, fold all, which judge was trained"):
        _check(table, _described(other, "all"), other)
    assert _check(table, _described(other, "train"), other) == []
    with pytest.raises(ValueError, match=r"is no record set that judge was trained on \(own\)"):
        _check(table, _described(records, "train"), other)
    with pytest.raises(ValueError, match=r"was trained on \(it does not say\)"):
        _check(table, None, other)


def test_collections_of_other_hospitals_are_not_warned_of(records, table, tmp_path):
    seen = _described(records, "train")
    assert _check(table, [{**seen[0], "source": "chexpert", "fingerprint": "0"}]) == []
    assert _check(table, [{**seen[0], "origin": "real", "fingerprint": "0"}]) == []
    # Images of RSNA's challenge were taken from NIH's collection.
    rsna = tiny_records.build(tmp_path / "rsna", source="rsna")
    of_nih = [{**seen[0], "source": "nih", "name": "nih", "fingerprint": "0"}]
    (warning,) = _check(image_table.of_fold(rsna, "test", 16), of_nih)
    assert "with which rsna may share patients" in warning


def test_what_generators_of_synthetic_images_saw_counts(records, table, tmp_path):
    facts = {
        "name": "own", "origin": "phantom", "fingerprint": records.fingerprint, "fold_size": 1,
        "fold": "test", "fold_fingerprint": records.fold_fingerprint("test"),
    }  # fmt: skip
    kept = {name: value for name, value in facts.items() if name != "fold_size"}
    drawn = _synthetic(tmp_path / "direct", facts)
    assert _described(drawn, "train")[1:] == [kept]
    with pytest.raises(ValueError, match="are in own, fold test, which judge was trained"):
        _check(table, _described(drawn, "train"))
    apart = {**facts, "fold": "train", "fold_fingerprint": records.fold_fingerprint("train")}
    assert _check(table, _described(_synthetic(tmp_path / "apart", apart), "train")) == []
    started = _synthetic(tmp_path / "started", {**apart, "ancestors": [facts]})
    with pytest.raises(ValueError, match="are in own, fold test"):
        _check(table, _described(started, "train"))
    # The collection behind a generator's record set is not told: any may be it.
    elsewhere = {**apart, "name": "far", "fingerprint": "0", "origin": "phantom, real"}
    (warning,) = _check(table, _described(_synthetic(tmp_path / "far", elsewhere), "train"))
    assert "validated on far, fold train" in warning
    # What a federation of sites says of itself is of all of them together; and a card of old.
    for name, facts in (("sites", {**apart, "sites": ["a", "b"]}), ("old", {"name": "nih"})):
        drawn = _synthetic(tmp_path / name, facts)
        (warning,) = _check(table, _described(drawn, "train"))
        assert f"which images the generators of {name} saw is not known" in warning
    pooled = _synthetic(tmp_path / "pooled", {"preparation": None})
    (warning,) = _check(table, _described(pooled, "train"))
    assert "which images the generators of pooled saw is not known" in warning


def test_a_classifier_that_does_not_say_is_warned_of(table):
    (warning,) = _check(table, None)
    assert "judge does not say which images it was trained on" in warning
