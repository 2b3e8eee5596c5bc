import gzip

import pytest
import tiny_records

from pgan.data import splits

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
