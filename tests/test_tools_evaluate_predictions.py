"""Statistics from files of scores, as typed."""

import dataclasses

import numpy as np
import pytest

from classifier import predictions
from pgan import results


@pytest.fixture
def files(tmp_path):
    """Scores of a poor and a better classifier on the same 120 images, and of another set."""
    generator = np.random.default_rng(1)
    labels = (generator.random((120, 2)) < 0.5).astype(np.float32)
    made = {}
    for name, gain in (("poor", 0.5), ("better", 4.0)):
        scores = 1 / (1 + np.exp(-(gain * labels + generator.normal(size=labels.shape))))
        made[name] = predictions.Predictions(
            ("Mass", "Edema"),
            labels,
            scores.astype(np.float32),
            np.array([0.7, 0.7]),
            [f"i{i}" for i in range(120)],
            [f"p{i // 2}" for i in range(120)],
            {"view": ["AP", "PA"] * 60},
            {},
        )
    ids = [f"other{i}" for i in range(120)]
    made["elsewhere"] = dataclasses.replace(made["poor"], image_ids=ids)
    for name, one in made.items():
        predictions.save(one, tmp_path / f"{name}.npz")
    return tmp_path


_QUICK = ("--redraws=100", "--permutations=99")


def test_report_and_rows_of_two_classifiers(run_tool, files, capsys):
    given = f"--predictions={files / 'poor.npz'},{files / 'better.npz'}"
    assert run_tool("evaluate_predictions", given, f"--output={files / 'out'}", *_QUICK) == 0
    text = (files / "out" / "report.md").read_text()
    for heading in ("## poor", "## better", "### view AP, 60 images", "## better minus poor"):
        assert heading in text
    rows = results.read(files / "out" / "results.jsonl")
    [row] = [
        row
        for row in rows
        if (row["name"], row["metric"], row["finding"]) == ("comparison", "auc", "Mass")
        and row["group"] == "all"
    ]
    assert row["value"] > 0.2 and row["p_value"] == 0.01 and row["p_holm"] == 0.02
    assert "report:" in capsys.readouterr().out
    # Once more gives the same file, not a longer one.
    before = [{k: v for k, v in row.items() if k != "timestamp"} for row in rows]
    assert run_tool("evaluate_predictions", given, f"--output={files / 'out'}", *_QUICK) == 0
    again = results.read(files / "out" / "results.jsonl")
    assert [{k: v for k, v in row.items() if k != "timestamp"} for row in again] == before


def test_thresholds_of_the_papers_code_are_warned_of(run_tool, files, capsys):
    arguments = (f"--predictions={files / 'poor.npz'}", f"--output={files / 'out'}", *_QUICK)
    assert run_tool("evaluate_predictions", *arguments, "--thresholds=paper_code") == 0
    assert "fitted on the images that are judged" in capsys.readouterr().err
    assert "too good" in (files / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("poor", "elsewhere"), "not judged on the same images"),
        (("none",), "No such file"),
        (("text",), "holds no predictions"),
    ],
)
def test_files_that_cannot_be_used(run_tool, files, capsys, names, message):
    (files / "text.npz").write_text("no scores")
    given = ",".join(str(files / f"{name}.npz") for name in names)
    arguments = (f"--predictions={given}", f"--output={files / 'out'}", *_QUICK)
    assert run_tool("evaluate_predictions", *arguments) == 1
    assert message in capsys.readouterr().err
