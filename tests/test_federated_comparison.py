"""Means, intervals and paired differences by hand; the tool on runs that are there."""

import math

import pytest
import tiny_runs

from federated import comparison, plots
from pgan import results, run_folder

_NAMES = {
    comparison.DISTANCE: "monitor/fd8_to_held_out",
    comparison.WITH_LABELS: "labels/fjd8_fixed_to_train",
    comparison.CRITIC: "critic/x",
    comparison.LABELS: "critic/y",
}


def _run(variant, seed, *values):
    """A run with these distances, and a critic loss of a tenth of them."""
    distances = [(10 * (i + 1), value) for i, value in enumerate(values)]
    critic = [(number, value / 10) for number, value in distances]
    points = {
        comparison.DISTANCE: distances,
        comparison.WITH_LABELS: [(number, 2 * value) for number, value in distances],
        comparison.CRITIC: critic,
        comparison.LABELS: critic,
    }
    return comparison.Run(variant, seed, points, _NAMES)


def test_summaries():
    run = _run("federated", 1, 9.0, 2.0, 3.0)
    assert run.summary(comparison.DISTANCE, "final") == 3
    assert run.summary(comparison.DISTANCE, "best") == 2
    assert run.summary(comparison.CRITIC, "best") == pytest.approx(0.2)
    assert _run("a", 1, 5.0, math.nan).summary(comparison.DISTANCE, "best") == 5
    assert math.isnan(_run("a", 1).summary(comparison.DISTANCE, "final"))


def test_interval_by_hand():
    # Mean 2, SD 1, t of 97.5 % with 2 degrees of freedom 4.30265.
    mean, sd, low, high = comparison.estimate([1.0, 2.0, 3.0])
    assert (mean, sd) == (2, 1)
    assert (low, high) == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)
    assert comparison.estimate([5.0])[0] == 5 and math.isnan(comparison.estimate([5.0])[1])


def test_differences_are_paired_by_seed():
    runs = [_run("centralized", seed, 10.0 * seed) for seed in (1, 2, 3)]
    runs += [_run("federated", seed, 10.0 * seed + 1 + seed / 10) for seed in (3, 2, 1)]
    table = comparison.estimates(runs, "centralized")
    [one] = [
        e for e in table if e.baseline and e.metric == comparison.DISTANCE and e.kind == "final"
    ]
    assert (one.variant, one.baseline, one.seeds) == ("federated", "centralized", 3)
    assert (one.mean, one.sd) == pytest.approx((1.2, 0.1))
    assert (one.low, one.high) == pytest.approx((1.2 - 0.24841, 1.2 + 0.24841), abs=1e-4)
    assert sum(not e.baseline for e in table) == 2 * 8
    assert "federated - centralized" in comparison.markdown(table)
    other = comparison.Run("a", 1, runs[0].points, {**_NAMES, comparison.DISTANCE: "monitor/z"})
    with pytest.raises(ValueError, match="measured different distances"):
        comparison.estimates([*runs, other])


def test_attacks_stand_in_lines_and_aggregators_in_columns():
    values = {"none+mean": (1.0, 3.0), "none+median": (2.0, 2.0), "noise+mean": (8.0, 9.0)}
    runs = [
        _run(variant, seed, 5.0, value)
        for variant, own in {**values, "noise+median": (4.0, 4.0)}.items()
        for seed, value in enumerate(own)
    ]

    def cells(table):
        lines = comparison.attack_table(table, comparison.DISTANCE).splitlines()
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    header, _, *lines = cells(comparison.estimates(runs))
    assert header == ["attack", "mean", "median"]
    assert lines == [["none", "2 (1.4)", "2 (0)"], ["noise", "8.5 (0.71)", "4 (0)"]]
    # By seed 8 - 1 and 9 - 3: 6.5, SD 0.707, t of 97.5 % with a degree of freedom 12.706.
    assert cells(comparison.damages(runs))[2:] == [["noise", "6.5 (0.147 to 12.9)", "2 (2 to 2)"]]
    assert comparison.damages([run for run in runs if "none" not in run.variant]) == []


def test_runs_that_never_measured_it_have_no_part():
    runs = [_run("none+mean", seed, 1.0 + seed) for seed in (1, 2)]
    runs[0].points[comparison.WITH_LABELS].clear()
    [row] = [
        one
        for one in comparison.estimates(runs)
        if (one.metric, one.kind) == (comparison.WITH_LABELS, "final")
    ]
    assert (row.seeds, row.mean) == (1, 6)
    table = comparison.attack_table(comparison.estimates(runs), comparison.WITH_LABELS)
    assert "| 6 " in table
    runs[1].points[comparison.WITH_LABELS].clear()
    assert comparison.WITH_LABELS not in {one.metric for one in comparison.estimates(runs)}


def test_figure_has_a_line_and_a_band_for_each_variant():
    runs = [_run(arm, seed, 4.0, 2.0 * seed) for arm in ("federated", "single") for seed in (1, 2)]
    distance, critic = plots.variants(runs, "study").axes
    assert distance.get_yscale() == "log" and critic.get_yscale() == "linear"
    assert [list(line.get_ydata()) for line in distance.lines] == [[4.0, 3.0]] * 2
    assert [line.get_label() for line in distance.lines] == ["federated", "single"]
    assert len(distance.collections) == len(critic.collections) == 2
    assert distance.get_title(loc="left") == "study, 2 seeds"


def test_figure_of_attacks_has_a_dot_for_each_seed_and_a_colour_for_each_aggregator():
    runs = [
        _run(f"{attack}+{aggregator}", seed, 9.0, value * seed)
        for attack, aggregator, value in (("none", "mean", 2.0), ("none", "median", 3.0),
                                          ("sign_flip", "mean", 50.0), ("sign_flip", "median", 4.0))
        for seed in (1, 2)
    ]  # fmt: skip
    images, labels, _ = plots.attacks(runs, "study").axes
    assert [list(line.get_xdata()) for line in images.lines[::2]] == [
        [2.0, 4.0], [3.0, 6.0], [50.0, 100.0], [4.0, 8.0],
    ]  # fmt: skip
    assert [line.get_xdata()[0] for line in images.lines[1::2]] == [3.0, 4.5, 75.0, 6.0]
    assert [line.get_xdata()[0] for line in labels.lines[1::2]] == [6.0, 9.0, 150.0, 12.0]
    colours = [line.get_color() for line in images.lines[::2]]
    assert colours[0] == colours[2] != colours[1] == colours[3]
    heights = [line.get_ydata()[0] for line in images.lines[::2]]
    assert heights == sorted(heights) and len(set(heights)) == 4
    assert [one.get_text() for one in images.get_yticklabels()] == ["none", "sign flip"]
    for run in runs[:2]:  # of a version that did not measure it
        run.points[comparison.WITH_LABELS].clear()
    labels = plots.attacks(runs, "study").axes[1]
    assert [list(line.get_xdata()) for line in labels.lines[:2]] == [[], []]
    for run in runs:
        for points in run.points.values():
            points.clear()
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.attacks(runs, "study")


def _finished(folder, variant, seed, value, measured=True):
    path = folder / comparison.folder_name(variant, seed)
    tiny_runs.make_run(path, seed=seed)
    row = {"images_shown": 3000, "round": 1}
    if measured:
        row |= {
            "monitor/fd8_to_train": 99.0,
            "monitor/fd8_to_held_out": value,
            "labels/fjd8_fixed_to_train": 2 * value,
            "critic/negative_loss_held_out": -value,
            "critic/labels_real_held_out": 3 * value,
        }
    run_folder.RunFolder(path).append_stats(row)


@pytest.fixture
def finished_runs(tmp_path):
    for arm, values in (("federated", (3.0, 5.0)), ("centralized", (2.0, 3.0)), ("single", (7, 9))):
        for seed, value in zip((1, 2), values, strict=True):
            _finished(tmp_path, arm, seed, value)
    return tmp_path


def test_the_tool_reports_finished_runs_without_training(run_tool, finished_runs, capsys):
    arguments = ("--records=none", "--seeds=1,2", f"--output={finished_runs}")
    for _ in range(2):
        assert run_tool("compare_federations", *arguments) == 0
    rows = results.read(finished_runs / "results.jsonl")
    found = {
        (row["variant"], row["baseline"]): row["mean"]
        for row in rows
        if row["metric"] == comparison.DISTANCE and row["kind"] == "best"
    }
    assert found == {
        ("federated", ""): 4.0,
        ("centralized", ""): 2.5,
        ("single", ""): 8.0,
        ("federated", "centralized"): 1.5,
        ("single", "centralized"): 5.5,
        ("single", "federated"): 4.0,
    }
    assert len(rows) == 6 * 8
    assert "federated - centralized" in capsys.readouterr().out
    assert (finished_runs / "comparison.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_tool_sets_attacks_against_aggregators(run_tool, tmp_path, capsys):
    for attack, values in (("none", (2, 2.5)), ("sign_flip", (9, 3))):
        for aggregator, value in zip(("weighted_mean", "median"), values, strict=True):
            _finished(tmp_path, f"{attack}+{aggregator}", 1, value)
    arguments = (
        "--records=none", "--seeds=1", f"--output={tmp_path}",
        "--attacks=none,sign_flip", "--aggregators=weighted_mean,median",
    )  # fmt: skip
    assert run_tool("compare_federations", *arguments) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["|", "sign_flip", "|", "9", "|", "3", "|"] in lines
    assert ["|", "sign_flip", "|", "18", "|", "6", "|"] in lines  # with labels
    assert ["|", "sign_flip", "|", "27", "|", "9", "|"] in lines  # the critic's label loss
    means = {
        row["variant"]: row["mean"]
        for row in results.read(tmp_path / "results.jsonl")
        if row["baseline"] and row["metric"] == comparison.DISTANCE and row["kind"] == "final"
    }
    assert means == {"none+median": 0.5, "sign_flip+weighted_mean": 7.0, "sign_flip+median": 0.5}
    # A run that is not there is trained, with the attack's flags; there are no records here.
    assert run_tool("compare_federations", *arguments, "--seeds=2", "--attack_scale=5") == 1
    assert "none+weighted_mean_2 ended with status 1" in capsys.readouterr().err
    command = (tmp_path / "none+weighted_mean_2.out").read_text().splitlines()[0]
    for part in ("--attack=none", "--attack_scale=5.0", "--client_share=1", "--seed=2"):
        assert part in command


@pytest.mark.parametrize(
    "changes, message",
    [
        (("--arms=federated,pooled",), "got 'pooled'"),
        (("--attacks=magic",), "got 'magic'"),
        (("--attacks=none", "--aggregators=krum"), "got 'krum'"),
        (("--attacks=none", "--aggregators=clipped_mean"), "needs --clip_norm"),
        (("--seeds=one",), "--seeds wants whole numbers"),
        (("--seeds=1,1,2",), "--seeds has one twice: 1,1,2"),
        (("--arms=single,single",), "--arms has one twice"),
        (("--attack_scale=5",), "--attack_scale: of no use without --attacks"),
        (("--attacks=none", "--arms=single"), "--arms: of no use with --attacks"),
    ],
)
def test_the_tool_refuses_what_it_cannot_do(run_tool, tmp_path, capsys, changes, message):
    assert run_tool("compare_federations", "--records=none", f"--output={tmp_path}", *changes) == 1
    assert message in capsys.readouterr().err


def test_runs_without_measurements_are_refused(tmp_path):
    _finished(tmp_path, "federated", 1, 0.0, measured=False)
    with pytest.raises(ValueError, match="--metric_every_rounds above 0"):
        comparison.read_run(tmp_path, "federated", 1)
