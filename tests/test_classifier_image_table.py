"""Tables of images from record sets: labels, reading, joining, patients in two folds."""

import numpy as np
import pytest
import tiny_records

from classifier import image_table
from pgan.data import (
    labels,
    phantom,
    pyramid,
    record_access,
    record_plan,
    record_set,
    record_writer,
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny")


def test_images_labels_and_facts_are_those_of_the_fold(records):
    findings = tuple(reversed(records.findings))
    table = image_table.of_fold(records, "train", 8, findings)
    assert len(table) == records.fold_size("train")
    np.testing.assert_array_equal(table.labels, records.label_matrix("train")[:, ::-1])
    numbers = [3, 0, 3]
    expected = record_access.read_images(records, 8, "train", numbers)
    np.testing.assert_array_equal(table.read(numbers), expected)
    assert table.patients == records.patient_ids("train")
    assert set(table.facts) == set(image_table.FACTS)
    assert set(table.origins) == {f"{records.manifest['origin']}: {records.manifest['source']}"}


def test_sizes_that_sets_lack_are_made_of_the_next_larger_level(tmp_path):
    drawn = list(phantom.read(6, seed=1, size=64))
    plan = record_plan.make_plan(
        drawn, labels.NIH_14, max_resolution=64, source="phantom", origin="phantom"
    )
    record_writer.write_record_set(tmp_path / "set", plan, progress=False)
    records = record_set.RecordSet.open(tmp_path / "set")
    table = image_table.of_fold(records, "all", 48)
    large = record_access.read_images(records, 64, "all", [4, 0])
    images = table.read([4, 0])
    assert images.shape == (2, 48, 48) and images.dtype == np.uint8
    np.testing.assert_array_equal(images, pyramid.scale_down(large, 48))
    by_file = {image.image_id: np.asarray(image.load()) for image in drawn}
    for name, image in zip([table.image_ids[4], table.image_ids[0]], images, strict=True):
        np.testing.assert_array_equal(image, pyramid.one_level(by_file[name], 48))
    assert np.array_equal(image_table.join([table, table]).select([7]).read([0]), table.read([1]))
    with pytest.raises(ValueError, match=r"no r0256 shards \(found 4-64\).*--max_resolution=256"):
        image_table.of_fold(records, "all", 224)


def test_selected_and_joined_images_keep_what_belongs_to_them(records):
    first = image_table.of_fold(records, "train", 8).select([2, 1])
    second = image_table.of_fold(records, "val", 8)
    both = image_table.join([second, first])
    assert len(both) == len(second) + 2
    numbers = [len(second), 0, len(second) + 1]
    images = both.read(numbers)
    np.testing.assert_array_equal(images[[0, 2]], first.read([0, 1]))
    np.testing.assert_array_equal(images[1], second.read([0])[0])
    assert both.image_ids[len(second) :] == first.image_ids
    np.testing.assert_array_equal(both.labels[len(second) :], first.labels)
    again = both.select(numbers)
    np.testing.assert_array_equal(again.read([0, 1, 2]), images)


def test_what_does_not_fit_is_not_joined(records):
    small, large = (image_table.of_fold(records, "train", size) for size in (4, 8))
    with pytest.raises(ValueError, match="8 px .* cannot be joined with those of 4 px"):
        image_table.join([small, large])
    with pytest.raises(ValueError, match="not labelled: Fracture"):
        image_table.of_fold(records, "train", 8, ("Fracture",))


def test_patients_that_something_was_trained_on_are_refused(records):
    train = image_table.Fold(records, "train")
    use = "which the generator was trained on"
    image_table.of_fold(records, "val", 8).require_no_patient_of([train], use)
    both = image_table.join([image_table.of_fold(records, f, 8) for f in ("val", "train")])
    with pytest.raises(ValueError, match=r"patients of .*train.* which the generator was trained"):
        both.require_no_patient_of([train], use)


def test_an_empty_fold_is_refused(tmp_path, records, monkeypatch):
    monkeypatch.setattr(record_set.RecordSet, "fold_size", lambda self, fold: 0)
    with pytest.raises(ValueError, match="the fold 'train' .* is empty"):
        image_table.of_fold(records, "train", 8)
