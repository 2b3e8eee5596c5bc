import gzip
import json

import pytest
import tiny_records

from pgan.data import record_set, splits

IDS = [str(number) for number in range(100)]


def test_draw_is_a_function_of_seed_and_set():
    first = splits.draw_patients(IDS, 1)
    assert first == splits.draw_patients(IDS[::-1] * 2, 1)
    assert first != splits.draw_patients(IDS, 2)
    # Published splits are repeated from their seed: this must not change.
    assert sorted(first["val"], key=int)[:5] == ["5", "35", "39", "54", "58"]


def test_draw_has_the_fractions_and_everybody_once():
    folds = splits.draw_patients(IDS, 3)
    assert {fold: len(ids) for fold, ids in folds.items()} == {"train": 70, "val": 10, "test": 20}
    assert set.union(*folds.values()) == set(IDS)


def test_draw_keeps_patients_together():
    images = tiny_records.radiographs()
    split = splits.draw(images, 1)
    assert sum(map(len, split.folds.values())) == 60
    patients = {image.image_id: image.patient_id for image in images}
    splits.check_by_patient(split.folds, patients)
    assert all(len(ids) % 3 == 0 for ids in split.folds.values())


def test_other_fractions():
    folds = splits.draw_patients(IDS, 1, ("a", "b"), (0.25, 0.5))
    assert {fold: len(ids) for fold, ids in folds.items()} == {"a": 25, "b": 50}
    split = splits.draw(tiny_records.radiographs(), 1, ("train", "test"), (0.8, 0.2))
    assert {fold: len(ids) for fold, ids in split.folds.items()} == {"train": 48, "test": 12}
    assert split.settings["folds"] == ["train", "test"]
    # The manifests of sets that were built before have these settings.
    settings = {"method": "seed", "seed": 1, "fractions": [0.7, 0.1, 0.2]}
    assert splits.draw(tiny_records.radiographs(), 1).settings == settings
    for fractions in ((0.5, 0.6), (0.5, 0.0), (0.5, -0.1)):
        with pytest.raises(ValueError, match="above 0 and sum to 1 at most, got 0.5"):
            splits.draw_patients(IDS, 1, ("a", "b"), fractions)


def test_parse_fractions():
    assert splits.parse_fractions(["train:0.8", " val : .2"]) == {"train": 0.8, "val": 0.2}
    for part in ("train", "train:", "train:x"):
        with pytest.raises(ValueError, match=f"'train:0.8,val:0.1,test:0.1', got '{part}'"):
            splits.parse_fractions([part])
    with pytest.raises(ValueError, match="'train' is given twice"):
        splits.parse_fractions(["train:0.8", "train:0.2"])


def test_check_by_patient_counts_the_shared():
    patients = {"a": "P1", "b": "P1", "c": "P2", "d": "P2", "e": "P3"}
    with pytest.raises(ValueError, match="^2 patients.*P1"):
        splits.check_by_patient({"train": ["a", "c", "e"], "test": ["b", "d"]}, patients)


def names(*ranges):
    return [f"image{i:03d}" for start, stop in ranges for i in range(start, stop)]


def test_three_lists_are_taken_as_they_are():
    images = tiny_records.radiographs()
    lists = [names((0, 30)), names((30, 36)), names((36, 60))]
    split = splits.from_lists(images, lists)
    assert list(split.folds.values()) == lists
    assert "seed" not in split.settings


def test_val_is_drawn_by_patient_from_the_first_of_two_lists():
    images = tiny_records.radiographs()
    split = splits.from_lists(images, [names((0, 48)), names((48, 60))], seed=5)
    assert {fold: len(ids) for fold, ids in split.folds.items()} == {
        "train": 42, "val": 6, "test": 12,
    }  # fmt: skip
    assert split == splits.from_lists(images, [names((0, 48)), names((48, 60))], seed=5)


@pytest.mark.parametrize(
    "lists, message",
    [
        ([names((0, 60))], "got 1"),
        ([names((0, 40)), names((39, 60))], "more than one"),
        ([names((0, 31)), names((31, 40)), names((40, 60))], "2 patients"),
        ([names((0, 30)), names((30, 63))], "3 .image060, image061, image062. listed"),
        ([names((0, 30)), names((30, 57))], "3 .image057.* in no list"),
    ],
)
def test_lists_refused(lists, message):
    with pytest.raises(ValueError, match=message):
        splits.from_lists(tiny_records.radiographs(), lists)


def test_unmatched_images_on_request():
    split = splits.from_lists(
        tiny_records.radiographs(), [names((0, 30)), names((90, 93)), names((30, 57))],
        allow_missing=True,
    )  # fmt: skip
    assert [len(ids) for ids in split.folds.values()] == [30, 0, 27]


def test_read_list(tmp_path):
    (tmp_path / "list.txt").write_text("a.png\n\n b.png\n")
    with gzip.open(tmp_path / "list.txt.gz", "wt") as file:
        file.write("a.png\nb.png")
    for name in ("list.txt", "list.txt.gz"):
        assert splits.read_list(tmp_path / name) == ["a.png", "b.png"]
    (tmp_path / "list.txt").write_text("a.png\na.png\n")
    with pytest.raises(ValueError, match="twice: 1 .a.png"):
        splits.read_list(tmp_path / "list.txt")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny")


def test_store_and_use(records):
    split = splits.Split({"one": names((0, 6)), "other": names((9, 12))}, {"method": "by hand"})
    assert splits.store(records, "mine", split)
    assert not splits.store(records, "mine", split)
    again = record_set.RecordSet.open(records.path)
    assert again.fold_size("mine/one") == 6
    assert sorted(again.fold_ids("mine/one")) == names((0, 6))
    assert set(again.patient_ids("mine/other")) == {"patient03"}
    facts = json.loads((records.path / "splits/mine/split.json").read_text())["folds"]["one"]
    assert facts["patients"] == 2
    assert facts["positives"] == {"Mass": 3, "Hernia": 0}


@pytest.mark.parametrize(
    "folds, message",
    [
        ({"a": names((0, 2)), "b": names((2, 3))}, "1 patients are in more than one fold"),
        ({"a": []}, "The fold 'a' must hold .* has 0 ids"),
        ({"a": ["image000", "image000"]}, "2 ids, 1 of them different"),
        ({"a": ["image000", "image099"]}, "2 of them different and 1 of that set"),
        ({"a/b": names((0, 3))}, "name of a fold must be"),
    ],
)
def test_store_refuses(records, folds, message):
    with pytest.raises(ValueError, match=message):
        splits.store(records, "refused", splits.Split(folds, {}))
    assert not (records.path / "splits/refused").exists()


def test_check_disjoint(records):
    splits.check_disjoint((records, "train"), (records, "test"))
    with pytest.raises(
        ValueError,
        match="^2 patients of tiny, fold val .6 of its images. are also in tiny, fold all, for "
        "instance patient.*--exclude_records",
    ):
        splits.check_disjoint((records, "val"), (records, "all"))
