"""Verdicts on precisions by hand, and the tool on runs that are there."""

import math
import shutil

import pytest
import tiny_runs

from pgan import distance_curves, precision_comparison, results, run_folder
from pgan.metrics import plots
from pgan.precision_comparison import UNDECIDED, WITHIN, WORSE

_METRIC = "fd8_fixed_to_train"


def _run(precision, seed, *values):
    """A run whose last phase, from 2,000 images on, has these distances."""
    points = [(1000, 99.0)] + [(2100 + i, value) for i, value in enumerate(values)]
    phases = [(0, 4, False), (1000, 8, True), (2000, 8, False)]
    curves = distance_curves.Curves("run", {_METRIC: points}, phases, 3000, None)
    return precision_comparison.Run(precision, seed, curves, _METRIC)


def _runs(base, other):
    return [
        _run(precision, seed, value)
        for precision, values in (("float32", base), ("mixed_bfloat16", other))
        for seed, value in enumerate(values)
    ]


def test_summary_is_the_geometric_mean_of_the_last_stable_phase():
    assert _run("float32", 1, 2.0, 8.0).summary == pytest.approx(math.log(4.0))


def test_verdict_by_hand():
    # Logarithms of the baseline 0, 1 and 2: SD 1. Differences 0.5, 0.5 and 0.8: mean 0.6, SD
    # 0.1732, so the interval is 0.6 +- 4.303 * 0.1.
    base = [math.exp(i) for i in range(3)]
    other = [math.exp(i + d) for i, d in enumerate((0.5, 0.5, 0.8))]
    [verdict] = precision_comparison.judge(_runs(base, other))
    assert (verdict.precision, verdict.pairs, verdict.text) == ("mixed_bfloat16", 3, WITHIN)
    assert math.log(verdict.ratio) == pytest.approx(0.6)
    assert math.log(verdict.between_seeds) == pytest.approx(1.0)
    assert math.log(verdict.low) == pytest.approx(0.6 - 0.4303, abs=1e-4)
    assert math.log(verdict.high) == pytest.approx(0.6 + 0.4303, abs=1e-4)


@pytest.mark.parametrize(
    ("factors", "text"),
    [((1.05, 1.06, 1.04), WITHIN), ((3, 3.1, 2.9), WORSE), ((1.01, 4, 1.01), UNDECIDED)],
)
def test_verdict_follows_the_rule(factors, text):
    base = [1.0, 1.2, 1.1]
    other = [value * factor for value, factor in zip(base, factors, strict=True)]
    assert precision_comparison.judge(_runs(base, other))[0].text == text


@pytest.mark.parametrize(
    ("factor", "sd", "text"),
    [(1.05, 0.1, WITHIN), (1.2, 0.1, UNDECIDED), (1.5, 0.1, WORSE), (1.0, None, UNDECIDED)],
)
def test_a_single_pair_is_judged_by_the_spread_of_other_runs(factor, sd, text):
    [verdict] = precision_comparison.judge(_runs([2.0], [2.0 * factor]), sd)
    assert verdict.text == text
    assert verdict.ratio == pytest.approx(factor)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="no pair of runs of one seed"):
        precision_comparison.judge([_run("float32", 1, 2.0), _run("mixed_bfloat16", 2, 2.0)])
    other = precision_comparison.Run(
        "mixed_bfloat16", 1, _run("float32", 1, 2.0).curves, "fd9_fixed_to_train"
    )
    with pytest.raises(ValueError, match="watched different distances"):
        precision_comparison.judge([_run("float32", 1, 2.0), other])


def test_figure_has_a_line_for_each_run_and_a_part_for_each_study():
    figure = plots.precision_pairs(
        {"a": _runs([1, 2], [1, 2]), "b": _runs([1], [2]), "c": _runs([1], [2])}
    )
    drawn = [part for part in figure.axes if part.get_title(loc="left")]
    assert [part.get_title(loc="left").strip() for part in drawn] == [
        "a, 2 seeds", "b, 1 seed", "c, 1 seed"
    ]  # fmt: skip
    # All runs begin at 99; the line where a resolution begins does not.
    assert [sum(99 in line.get_ydata() for line in part.lines) for part in drawn] == [4, 2, 2]
    legend = [text.get_text() for text in drawn[0].get_legend().get_texts()]
    assert legend == ["float32", "bfloat16"]


@pytest.fixture
def finished_runs(tmp_path):
    """A comparison whose runs are there already, as after an interruption at the very end."""
    for precision, values in (("float32", (2.0, 3.0)), ("mixed_bfloat16", (2.1, 2.9))):
        for seed, value in zip((1, 2), values, strict=True):
            path = tmp_path / precision_comparison.folder_name(precision, seed)
            tiny_runs.make_run(path, precision=precision, seed=seed)
            run_folder.RunFolder(path).append_stats(
                {"images_shown": 3000, "monitor/fd8_fixed_to_train": value}
            )
    return tmp_path


_ARGUMENTS = ("--train_flags=none.flags", "--records=none", "--seeds=1,2")


def test_the_tool_reports_finished_runs_without_training(run_tool, finished_runs, capsys):
    assert run_tool("compare_precisions", *_ARGUMENTS, f"--output={finished_runs}") == 0
    assert WITHIN in capsys.readouterr().out
    [row] = results.read(finished_runs / "results.jsonl")
    assert row["ratio"] == pytest.approx(math.sqrt(2.1 / 2.0 * 2.9 / 3.0))
    assert (finished_runs / "comparison.png").stat().st_size > 10_000


def test_the_tool_shows_other_comparisons_beside(run_tool, finished_runs, capsys):
    own, other = finished_runs / "own", finished_runs / "other"
    for path in list(finished_runs.iterdir()):
        shutil.copytree(path, own / path.name)
        shutil.copytree(path, other / path.name)
    arguments = (*_ARGUMENTS, f"--output={own}", f"--beside={other}")
    assert run_tool("compare_precisions", *arguments) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if WITHIN in line]
    assert [row.split("|")[1].strip() for row in rows] == ["own", "other"]


def test_the_tool_names_a_run_that_failed(run_tool, tmp_path, capsys):
    assert run_tool("compare_precisions", *_ARGUMENTS, f"--output={tmp_path / 'new'}") == 1
    message = capsys.readouterr().err
    assert "float32_1 ended with status" in message
    assert "none.flags" in (tmp_path / "new" / "float32_1.out").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--precisions=mixed_bfloat16",), "--precisions needs float32"),
        (("--precisions=float32,half",), "got 'half'"),
        (("--seeds=one",), "--seeds wants whole numbers"),
        (("--distance=to_held_out",), "has watched no distance that ends with 'to_held_out'"),
    ],
)
def test_the_tool_refuses_what_it_cannot_do(run_tool, finished_runs, capsys, changes, message):
    arguments = (*_ARGUMENTS, f"--output={finished_runs}", *changes)
    assert run_tool("compare_precisions", *arguments) == 1
    assert message in capsys.readouterr().err
