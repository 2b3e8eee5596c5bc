"""Correlations as typed, with tiny models: files, rows, figures, again without models, refusals."""

import json
import pathlib
import subprocess
import sys
import unittest.mock

import numpy as np
import pytest
import tiny_classifiers
import tiny_exports
import tiny_runs
from PIL import Image
from tiny_classifiers import tiny_backbone  # noqa: F401

from classifier import export, training
from pgan import config, results

_ROOT = pathlib.Path(__file__).parents[1]
_FINDINGS = ("Mass", "Pleural Thickening", "Hernia")


def _make_generator(folder):
    network = config.NetworkConfig(
        resolution=32, findings=_FINDINGS, latent_size=8, fmap_base=64, fmap_max=8
    )
    plan = config.ScheduleConfig(stage_kimg="1", fade_kimg="1", total_kimg=7, batch_sizes="8")
    return tiny_runs.make_export(folder, network=network, schedule=plan, images_shown=7000)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return _make_generator(tmp_path_factory.mktemp("generator"))


@pytest.fixture
def common(generator, tmp_path, tiny_backbone):  # noqa: F811
    judge = tiny_classifiers.save_untrained(tmp_path / "judge", _FINDINGS, (0.5, 0.5, 0.5))
    return [
        f"--export={generator}", f"--classifier={judge}", "--images=20", "--dose_images=3",
        f"--output={tmp_path / 'out'}",
    ]  # fmt: skip


def test_files_rows_and_figures_and_all_again_without_models(run_tool, common, tmp_path, capsys):
    output = tmp_path / "out"
    assert run_tool("correlate_findings", *common, "--blocks=2") == 0
    printed = capsys.readouterr().out
    assert "Of 3 findings, " in printed and "report.md" in printed
    rows = results.read(output / "results.jsonl")
    names = [row["name"] for row in rows]
    counts = {name: names.count(name) for name in names}
    assert counts == {
        "correlation": 9, "generated_finding": 3, "correlation_blocks": 1,
        "correlation_comparison": 3,
    }  # fmt: skip
    table = (output / "matrix.csv").read_text().splitlines()
    assert table[0] == "classifier \\ generator,Mass,Pleural Thickening,Hernia"
    scores = np.load(output / "scores" / "02_Pleural_Thickening.npz")
    wanted = np.corrcoef(scores["strengths"], scores["scores"][:, 2])[0, 1]
    assert float(table[3].split(",")[2]) == pytest.approx(wanted, abs=1e-6)
    (cell,) = (
        r for r in rows
        if (r["name"], r.get("finding"), r.get("output"))
        == ("correlation", "Pleural Thickening", "Hernia")
    )  # fmt: skip
    assert cell["value"] == pytest.approx(wanted) and cell["low"] < cell["value"] < cell["high"]
    assert (cell["same_finding"], cell["images"], cell["seed"]) == (False, 20, 1)
    compared = {r["cells"]: r["count"] for r in rows if r["name"] == "correlation_comparison"}
    assert compared == {"diagonal": 3, "off diagonal": 6, "all": 9}
    report = (output / "report.md").read_text()
    assert str(tmp_path) not in report + json.dumps(rows)
    for name in ("matrix", "scatter", "dose_response", "findings", "comparison"):
        assert f"({name}.png)" in report
        assert np.asarray(Image.open(output / f"{name}.png").convert("L")).std() > 5
    assert len((output / "dose_response.csv").read_text().splitlines()) == 1 + 3 * 3 * 11
    # Once more from the scores, with another wish; old figures go.
    before = {path: path.read_bytes() for path in output.glob("*.csv")}
    again = (f"--output={output}", "--compare=none", "--scatter=mass:hernia,Hernia:Hernia")
    assert run_tool("correlate_findings", *again) == 0
    assert {path: path.read_bytes() for path in output.glob("*.csv")} == before
    assert not (output / "comparison.png").exists()
    assert "Mass to Hernia; Hernia to Hernia" in (output / "report.md").read_text()
    # The same against its own matrix.
    assert run_tool("correlate_findings", again[0], f"--compare={output / 'matrix.csv'}") == 0
    (all_cells,) = (
        r for r in results.read(output / "results.jsonl") if r.get("cells") == "all"
    )  # fmt: skip
    assert all_cells["mean_absolute_difference"] < 1e-6


def test_the_same_command_continues(run_tool, common, tmp_path, capsys):
    output = tmp_path / "out"
    assert run_tool("correlate_findings", *common) == 0
    matrix = (output / "matrix.csv").read_bytes()
    kept = output / "scores" / "01_Mass.npz"
    before = kept.stat().st_mtime_ns
    (output / "scores" / "03_Hernia.npz").unlink()
    assert run_tool("correlate_findings", f"--output={output}") == 1
    assert "03_Hernia.npz is missing" in capsys.readouterr().err
    assert run_tool("correlate_findings", *common) == 0
    assert kept.stat().st_mtime_ns == before and (output / "matrix.csv").read_bytes() == matrix
    assert run_tool("correlate_findings", *common, "--seed=2") == 1
    assert "holds scores of another plan; it differs in seed" in capsys.readouterr().err


def test_an_exported_classifier_of_another_vocabulary(run_tool, common, tmp_path, capsys):
    folder = tiny_exports.save_classifier(tmp_path / "three")
    with unittest.mock.patch.object(export, "_check_in_fresh_process", return_value=0.0):
        path = export.write(training.load(folder), tmp_path / "exports", "three").path
    arguments = (*common, f"--classifier={path}")
    assert run_tool("correlate_findings", *arguments) == 1
    printed = capsys.readouterr().err
    assert "Both: Mass, Hernia. Drawn only: Pleural Thickening. Judged only: Effusion." in printed
    assert run_tool("correlate_findings", *arguments, "--allow_other_vocabulary") == 0
    assert "no output of the classifier: 1 (Pleural Thickening)" in capsys.readouterr().out
    rows = results.read(tmp_path / "out" / "results.jsonl")
    cells = [row for row in rows if row["name"] == "correlation"]
    assert len(cells) == 9 and sum(row["same_finding"] for row in cells) == 2
    assert {row["output"] for row in cells} == {"Effusion", "Mass", "Hernia"}
    # The folder of its training says the same.
    scores = np.load(tmp_path / "out" / "scores" / "01_Mass.npz")["scores"]
    direct = (*common[:1], *common[2:], f"--classifier={folder}", "--allow_other_vocabulary")
    assert run_tool("correlate_findings", *direct, f"--output={tmp_path / 'direct'}") == 0
    again = np.load(tmp_path / "direct" / "scores" / "01_Mass.npz")["scores"]
    np.testing.assert_allclose(again, scores, atol=1e-4)


def test_constant_probabilities_are_undefined(run_tool, common, tmp_path, capsys):
    judge = training.load(tmp_path / "judge").classifier
    kernel, bias = judge.head.get_weights()
    kernel[:, 1] = 0.0
    judge.head.set_weights([kernel, bias])
    judge.save_weights(str(tmp_path / "judge" / "best.weights.h5"))
    assert run_tool("correlate_findings", *common, "--scatter=Mass:Pleural Thickening") == 0
    assert "r is undefined: 1 (Pleural Thickening)" in capsys.readouterr().out
    output = tmp_path / "out"
    table = (output / "matrix.csv").read_text().splitlines()
    assert table[2] == "Pleural Thickening,undefined,undefined,undefined"
    text = (output / "results.jsonl").read_text()
    assert "NaN" not in text
    rows = [json.loads(line) for line in text.splitlines()]
    undefined = [r for r in rows if r["name"] == "correlation" and r["value"] is None]
    assert [row["output"] for row in undefined] == ["Pleural Thickening"] * 3
    report = (output / "report.md").read_text()
    assert "Undefined are 3 of 9 cells" in report and "Pleural Thickening (all of 3)" in report


def test_training_images_stand_beside_the_findings(run_tool, common, phantom_records, tmp_path):
    output = tmp_path / "out"
    assert run_tool("correlate_findings", *common) == 0
    plan = json.loads((output / "correlation.json").read_text())
    own = plan["generator"]["training_records"]
    own |= {
        "fingerprint": phantom_records.fingerprint,
        "fold_fingerprint": phantom_records.fold_fingerprint("train"),
    }
    (output / "correlation.json").write_text(json.dumps(plan))
    arguments = (f"--output={output}", f"--records={phantom_records.path}")
    assert run_tool("correlate_findings", *arguments) == 0
    column = phantom_records.findings.index("Mass")
    wanted = int((phantom_records.label_matrix("train")[:, column] >= 0.5).sum())
    (row,) = (
        r for r in results.read(output / "results.jsonl")
        if (r["name"], r.get("finding")) == ("generated_finding", "Mass")
    )  # fmt: skip
    assert row["training_images"] == wanted
    assert "training images" in (output / "report.md").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--export=/nowhere",), "/nowhere is no export"),
        (("--classifier=/nowhere",), "there is no folder /nowhere"),
        (("--classifier=/",), "holds no trained classifier"),
        (("--classifier=",), "give both --export and --classifier, or neither"),
        (("--export=", "--classifier="), "out holds no scores (correlation.json is missing)"),
        (("--scatter=Mass",), "--scatter takes pairs such as Cardiomegaly:Fibrosis"),
        (("--scatter=Mass:Edema",), "Unknown finding 'Edema'"),
        (("--compare=/nowhere",), "--compare=/nowhere is no file; give paper, none"),
        ((f"--compare={__file__}",), "holds no matrix"),
        (("--records=/nowhere",), "no record set /nowhere"),
    ],
)
def test_bad_input_is_answered(run_tool, common, capsys, tmp_path, changes, message):
    assert run_tool("correlate_findings", *common, *changes) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_records_of_another_training_are_refused(run_tool, common, phantom_records, capsys):
    assert run_tool("correlate_findings", *common, f"--records={phantom_records.path}") == 1
    assert "was not trained on the fold 'train' of" in capsys.readouterr().err


def test_a_classifier_of_larger_images_is_refused(run_tool, common, tmp_path, capsys):
    large = tiny_classifiers.save_untrained(tmp_path / "large", _FINDINGS, (0.5,) * 3, 64)
    assert run_tool("correlate_findings", *common, f"--classifier={large}") == 1
    assert "draws images of 32 px, the classifier takes 64 px" in capsys.readouterr().err


@pytest.mark.slow
def test_in_a_process_of_its_own_with_densenet(generator, tmp_path):
    judge = tiny_classifiers.save_untrained(tmp_path / "judge", _FINDINGS, (0.5, 0.5, 0.5))
    command = [
        sys.executable, _ROOT / "tools/correlate_findings.py", f"--export={generator}",
        f"--classifier={judge}", "--images=5", "--dose_images=2", f"--output={tmp_path / 'out'}",
    ]  # fmt: skip
    subprocess.run(command, check=True, cwd=_ROOT)
    assert (tmp_path / "out" / "matrix.png").exists()
