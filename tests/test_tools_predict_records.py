"""A trained classifier on another record set, as typed, up to the statistics."""

import dataclasses
import json

import numpy as np
import pytest
import tiny_exports
from tiny_classifiers import tiny_backbone  # noqa: F401

from classifier import export, image_table, model, predictions, seen_images, stats, training
from pgan import results
from pgan.data import labels, phantom, record_plan, record_set, record_writer, splits

pytestmark = pytest.mark.usefixtures("tiny_backbone")
_QUICK = ("--redraws=100", "--permutations=99")


def _write(folder, findings, **settings):
    drawn = list(phantom.read(150, seed=3, size=32))
    vectors = labels.project([image.labels for image in drawn], labels.NIH_14, ["Mass", "Effusion"])
    vectors = np.pad(vectors, ((0, 0), (1, 0)), constant_values=np.nan)[:, : len(findings)]
    vectors[::10] = np.nan
    images = [
        dataclasses.replace(image, labels=vector)
        for image, vector in zip(drawn, vectors, strict=True)
    ]
    split = splits.draw(images, 1, ("train", "test"), (0.2, 0.8))
    settings = {"source": "elsewhere", "origin": "phantom", **settings}
    plan = record_plan.make_plan(images, findings, 32, num_shards=2, split=split, **settings)
    record_writer.write_record_set(folder, plan, progress=False)
    return record_set.RecordSet.open(folder)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "elsewhere"
    return _write(folder, ("Fracture", "Mass", "Pleural Effusion"))


@pytest.fixture
def run(records, tmp_path):
    """A classifier that was trained on images of another hospital, prepared in the same way."""
    return _save(tmp_path / "real", records)


def _save(folder, records, seen=(), **changes):
    run = tiny_exports.save_classifier(folder, preparation=records.preparation, **changes)
    return _add(run, seen=list(seen))


def _add(run, **facts):
    path = run / "classifier.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))
    return run


@pytest.fixture
def common(run, records, tmp_path):
    return [
        f"--classifier={run}", f"--records={records.path}", f"--output={tmp_path / 'out.npz'}",
    ]  # fmt: skip


def test_scores_thresholds_and_labels_under_the_names_of_the_record_set(
    run_tool, common, run, records, tmp_path, capsys
):
    assert run_tool("predict_records", *common) == 0
    printed = capsys.readouterr()
    found = predictions.load(tmp_path / "out.npz")
    assert found.findings == ("Mass", "Pleural Effusion")
    table = image_table.of_fold(records, "test", 32, found.findings)
    images = table.read(range(len(table)))
    wanted = model.probabilities(training.load(run).classifier, images)
    np.testing.assert_allclose(found.scores, wanted[:, [1, 0]], atol=1e-6)
    assert np.ptp(found.scores, axis=0).min() > 0.3
    np.testing.assert_array_equal(found.labels, table.labels)
    # In the record set's order, not in the classifier's.
    assert found.thresholds.tolist() == [0.5, 0.4]
    assert (list(found.image_ids), list(found.patients)) == (table.image_ids, table.patients)
    assert set(found.facts) == set(image_table.FACTS)
    assert (found.about["records"], found.about["fold"]) == ("elsewhere", "test")
    assert f"{len(table)} images" in printed.out and "| 0.400 " in printed.out
    assert "not scored, elsewhere has no labels of them: Hernia" in printed.out
    assert "does not judge them: Fracture" in printed.out
    assert printed.err.count("Warning") == 0 and f"{len(table)}/{len(table)}" in printed.err
    # The same again is written again; anything else is not written over.
    assert run_tool("predict_records", *common) == 0
    assert run_tool("predict_records", *common, "--findings=effusion") == 1
    assert "holds other predictions" in capsys.readouterr().err
    assert predictions.load(tmp_path / "out.npz").findings == found.findings
    other = f"--output={tmp_path / 'effusion.npz'}"
    assert run_tool("predict_records", *common, "--findings=effusion", other) == 0
    assert predictions.load(tmp_path / "effusion.npz").findings == ("Pleural Effusion",)
    assert "not scored, not asked for: Mass" in capsys.readouterr().out


def test_an_export_scores_as_its_training_and_says_what_it_has_seen(
    run_tool, common, run, records, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(export, "_check_in_fresh_process", lambda *arguments: 0.0)
    # One finding without a threshold, which a card has as null.
    _add(run, thresholds=[float("nan"), 0.5, 0.3])
    path = export.write(training.load(run), tmp_path / "exports", "chest").path
    assert run_tool("predict_records", *common) == 0
    exported = [f"--classifier={path}", f"--output={tmp_path / 'exported.npz'}"]
    assert run_tool("predict_records", *common, *exported) == 0
    assert "none, no decisions" in capsys.readouterr().out
    first, second = (predictions.load(tmp_path / f"{name}.npz") for name in ("out", "exported"))
    assert first.same_images(second) and second.about["classifier"] == "chest/1"
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-5)
    np.testing.assert_array_equal(first.thresholds, [0.5, np.nan])
    np.testing.assert_array_equal(first.thresholds, second.thresholds)
    seen = seen_images.describe([image_table.Fold(records, "test")])
    path = export.write(training.load(_add(run, seen=seen)), tmp_path / "exports", "chest").path
    assert run_tool("predict_records", *common, f"--classifier={path}") == 1
    assert "holds other predictions (" in capsys.readouterr().err
    fresh = (f"--classifier={path}", f"--output={tmp_path / 'fresh.npz'}")
    assert run_tool("predict_records", *common, *fresh) == 1
    assert "fold test, which chest/2 was trained or validated on" in capsys.readouterr().err


def test_statistics_of_two_classifiers_at_the_thresholds_that_they_bring(
    run_tool, common, records, tmp_path
):
    second = _save(tmp_path / "more", records, thresholds=(0.9, 0.2, 0.5), seed=2)
    files = [tmp_path / "out.npz", tmp_path / "more.npz"]
    assert run_tool("predict_records", *common) == 0
    more = (f"--classifier={second}", f"--output={files[1]}")
    assert run_tool("predict_records", *common, *more) == 0
    given = f"--predictions={files[0]},{files[1]}"
    output = tmp_path / "report"
    assert run_tool("evaluate_predictions", given, f"--output={output}", *_QUICK) == 0
    rows = {
        (row["name"], row.get("classifier"), row["metric"]): row
        for row in results.read(output / "results.jsonl")
        if (row["group"], row["finding"]) == ("all", "Pleural Effusion")
    }
    for file, threshold in zip(files, (0.4, 0.9), strict=True):
        found = predictions.load(file)
        truth, scores = found.labels[:, 1], found.scores[:, 1]
        auc = rows["classifier", file.stem, "auc"]
        assert auc["value"] == pytest.approx(stats.roc_auc(truth, scores))
        assert auc["low"] < auc["value"] < auc["high"]
        assert auc["images"] == np.isfinite(truth).sum() < len(truth)
        for metric, expected in stats.decisions(truth, scores, threshold).items():
            value = rows["classifier", file.stem, metric]["value"]
            assert value is None if np.isnan(expected) else value == pytest.approx(expected)
        for metric in ("ece", "brier"):
            assert 0 < rows["classifier", file.stem, metric]["value"] < 1
    difference = rows["comparison", None, "auc"]
    aucs = [rows["classifier", file.stem, "auc"]["value"] for file in files]
    assert difference["value"] == pytest.approx(aucs[1] - aucs[0])
    assert difference["low"] < difference["high"] and 0 < difference["p_value"] <= 1


def test_patients_that_were_seen_and_those_of_whom_that_is_not_known(
    run_tool, common, run, records, tmp_path, capsys
):
    copy = _write(tmp_path / "larger", ("Fracture", "Mass"))
    _add(run, seen=seen_images.describe([image_table.Fold(copy, "all")]))
    assert run_tool("predict_records", *common, f"--trained_on={copy.path}") == 1
    assert "are in larger, fold all, which" in capsys.readouterr().err
    assert not (tmp_path / "out.npz").exists()
    assert run_tool("predict_records", *common) == 0
    assert "Warning: " in (err := capsys.readouterr().err) and "give --trained_on=" in err
    _add(run, seen=None, preparation=None)
    assert run_tool("predict_records", *common) == 0
    err = capsys.readouterr().err
    assert "does not say which images it was trained on" in err and "were prepared is not" in err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--fold=trian",), "has no fold 'trian'"),
        (("--classifier=/nowhere",), "there is no folder /nowhere"),
        (("--records=/nowhere",), "no record set /nowhere"),
        (("--findings=Hernia",), "asks for Hernia, which cannot be scored: "),
        (("--output=scores.csv",), "--output wants a file such as external.npz, got scores.csv"),
        (("--trained_on=/nowhere",), "no record set /nowhere"),
    ],
)
def test_bad_input_is_answered(run_tool, common, tmp_path, capsys, changes, message):
    assert run_tool("predict_records", *common, *changes) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.npz").exists()


def test_files_and_images_of_something_else(run_tool, common, records, tmp_path, capsys):
    (tmp_path / "out.npz").write_text("notes")
    assert run_tool("predict_records", *common) == 1
    assert "not written over, give another --output" in capsys.readouterr().err
    assert (tmp_path / "out.npz").read_text() == "notes"
    large = _save(tmp_path / "large", records, resolution=64)
    assert run_tool("predict_records", *common, f"--classifier={large}") == 1
    assert "takes images of 64 px" in (err := capsys.readouterr().err)
    assert "--max_resolution=64" in err
    cut = _write(tmp_path / "cut", ("Fracture", "Mass"), geometry="crop")
    assert run_tool("predict_records", *common, f"--records={cut.path}") == 1
    assert "was made with --geometry=pad (here crop)" in capsys.readouterr().err
    strange = _write(tmp_path / "strange", ("Fracture",))
    assert run_tool("predict_records", *common, f"--records={strange.path}") == 1
    assert "no finding can be scored: " in (err := capsys.readouterr().err)
    assert "judges Effusion, Mass, Hernia; " in err and "has labels of Fracture" in err
