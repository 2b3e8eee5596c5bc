"""Which images are explained, and what the rows say of them."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tiny_classifiers
from tiny_classifiers import layered_backbone  # noqa: F401

from classifier import explanation, explanation_report, grad_cam, image_table
from pgan import region_shares
from pgan.data import labels, phantom, record_plan, record_set, record_writer


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "phantom"
    plan = record_plan.make_plan(
        list(phantom.read(150, seed=3, size=32)), labels.NIH_14, 32,
        source="phantom", origin="phantom",
    )  # fmt: skip
    record_writer.write_record_set(folder, plan, progress=False)
    return image_table.of_fold(record_set.RecordSet.open(folder), "all", 32, ["Effusion"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    vocabularies = {"arm1": ("Mass", "Effusion"), "arm2": ("Pleural Effusion",)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.keras.applications, "DenseNet121", tiny_classifiers.layered)
        return [
            tiny_classifiers.save_untrained(
                folder / name, findings, [0.5] * len(findings), seed=seed
            )
            for seed, (name, findings) in enumerate(vocabularies.items())
        ]


@pytest.fixture(scope="module")
def judges(folders, table):
    """Two classifiers that call half of all images positive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.keras.applications, "DenseNet121", tiny_classifiers.layered)
        loaded = explanation.load_judges(folders, "effusion", "late")
    for judge in loaded:  # whatever is in an image speaks for the finding, so that no map is empty
        judge.trained.classifier.head.kernel.assign(abs(judge.trained.classifier.head.kernel))
    images = table.read(range(len(table)))
    return [_with_threshold(judge, np.median(judge.scores(images))) for judge in loaded]


def _with_threshold(judge, value):
    thresholds = np.full(len(judge.trained.thresholds), value)
    return dataclasses.replace(
        judge, trained=dataclasses.replace(judge.trained, thresholds=thresholds)
    )


@pytest.mark.parametrize("kind", explanation.KINDS)
def test_images_of_a_kind_are_drawn_by_seed(table, judges, kind, monkeypatch):
    judge = judges[0]
    called = judge.scores(table.read(range(len(table)))) >= judge.threshold
    present, positive = explanation.KINDS[kind]
    expected = np.flatnonzero((table.labels[:, 0] == present) & (called == positive))
    chosen = explanation.choose(table, judge, kind, 1000, 1, progress=False)
    assert sorted(chosen) == expected.tolist() and chosen != sorted(chosen)
    # Fewer are the first of more, however many are looked at together.
    monkeypatch.setattr(explanation, "_BATCH", 7)
    assert explanation.choose(table, judge, kind, 4, 1, progress=False) == chosen[:4]
    assert explanation.choose(table, judge, kind, 1000, 2, progress=False) != chosen


def test_any_images_are_drawn_and_named_ones_are_found(table, judges):
    first, second = (
        explanation.choose(table, judges[0], explanation.RANDOM, 9, seed, progress=False)
        for seed in (1, 2)
    )
    assert len(set(first)) == 9 and first != second
    names = [table.image_ids[number] for number in first]
    assert explanation.find_images(table, names) == first
    with pytest.raises(ValueError, match="the fold 'all' of .* has no image 'x.png'; its images"):
        explanation.find_images(table, ["x.png"])


def test_what_cannot_be_chosen_is_told(table, judges):
    positives = int(table.labels.sum())
    message = f"no true positive: of {positives} images with .*calls none positive"
    with pytest.raises(ValueError, match=message):
        explanation.choose(
            table, _with_threshold(judges[1], 2.0), "true_positive", 3, 1, progress=False
        )
    message = f"no true negative: of {150 - positives} images without .*calls each positive"
    with pytest.raises(ValueError, match=message):
        explanation.choose(
            table, _with_threshold(judges[1], 0.0), "true_negative", 3, 1, progress=False
        )
    with pytest.raises(ValueError, match="no threshold for Pleural Effusion.*--choose=random"):
        explanation.choose(
            table, _with_threshold(judges[1], np.nan), "true_positive", 3, 1, progress=False
        )


@pytest.mark.usefixtures("layered_backbone")
def test_classifiers_that_cannot_be_asked_are_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="arm2: it judges Pleural Effusion, not 'Mass'"):
        explanation.load_judges(folders, "Mass")
    with pytest.raises(ValueError, match=r"arm1: .*no layer 'relu'.*early \(8 x 8\), late"):
        explanation.load_judges(folders, "Effusion", "relu")
    large = tiny_classifiers.save_untrained(tmp_path / "large", ["Effusion"], [0.5], 64)
    with pytest.raises(ValueError, match="arm1 takes images of 32 px, .*large of 64 px"):
        explanation.load_judges([folders[0], large], "Effusion")
    assert [j.name for j in explanation.load_judges([large, large], "Effusion")] == [str(large)] * 2


def test_images_are_explained_as_if_alone_and_rows_say_what_was_found(table, judges, monkeypatch):
    numbers = explanation.choose(table, judges[0], "true_positive", 3, 1, progress=False)
    numbers += explanation.choose(table, judges[0], "false_positive", 2, 1, progress=False)
    found = explanation.explain(table, numbers, judges, progress=False)
    monkeypatch.setattr(explanation, "_BATCH", 2)
    again = explanation.explain(table, numbers, judges, progress=False)
    for number, one, other in zip(numbers, found, again, strict=True):
        np.testing.assert_allclose(one.maps, other.maps, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(one.image, table.read([number])[0])
        assert (one.image_id, one.label) == (table.image_ids[number], table.labels[number, 0])
        assert (one.region is None) == (one.label == 0)
        for k, judge in enumerate(judges):
            network = judge.trained.classifier
            own = grad_cam.maps(network, table.read([number]), ["Effusion"], "late")
            np.testing.assert_allclose(one.maps[k], grad_cam.upsample(own, 32)[0, 0], atol=1e-6)
    rows = explanation_report.rows(found, judges)
    text = json.dumps(rows, allow_nan=False)
    assert json.loads(text) == rows
    first, second = rows[0]["classifiers"]
    assert (first["name"], first["layer"], first["layer_size"]) == ("arm1", "late", [4, 4])
    assert first["positive"] is True and first["probability"] >= first["threshold"]
    assert first["weights_sha256"] != second["weights_sha256"]
    assert rows[3]["label"] == 0 and rows[3]["classifiers"][0]["pointing"] is None
    value = region_shares.measure(found[0].maps[0], found[0].region)
    assert first["pointing"]["ratio"] == pytest.approx(value.ratio)
    a, b = found[0].maps / found[0].maps.sum((1, 2), keepdims=True)
    assert rows[0]["overlap"] == pytest.approx(np.minimum(a, b).sum(), rel=1e-4)
    assert rows[0]["overlap"] < 1


def _explained(maps, region):
    image = np.zeros((4, 4), np.uint8)
    return explanation.Explained("a", "b", 1.0, image, (0.5,) * len(maps), np.array(maps), region)


def test_summary_tells_this_place_from_the_usual_one(judges):
    left, right = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    left[:, 0], right[:, 3] = True, True
    empty = np.zeros((4, 4))
    found = [
        _explained([left * 2.0, left * 1.0 + right], left),
        _explained([right * 1.0, left * 1.0 + right], right),
        _explained([empty, left * 1.0], left),
        _explained([left * 1.0, left * 1.0], None),  # not known, not counted
    ]
    here, usual = explanation_report.summary(found, judges)
    assert (here["images"], here["empty_maps"]) == (2, 1)
    assert (here["inside"], here["area"], here["ratio"]) == (1.0, 0.25, 4.0)
    # Left in the regions right, left: 0, 4; right in the regions left, left: 0, 0.
    assert here["ratio_elsewhere"] == pytest.approx(1)
    # Both halves: 2 in either region, four times; left in the regions left, right: 4, 0.
    assert usual["ratio"] == pytest.approx(8 / 3)
    assert usual["ratio_elsewhere"] == pytest.approx(2)
    assert explanation_report.summary(found[3:], judges) == []
    assert found[0].overlap == pytest.approx(0.5) and np.isnan(found[2].overlap)
