"""Tables from predictions: groups, undefined findings, comparisons."""

import dataclasses

import numpy as np
import pytest

from classifier import evaluation, predictions, stats

_EFFORT = evaluation.Effort(redraws=200, permutations=199)


def _make(seed=0, gain=1.0, count=240):
    generator = np.random.default_rng(5)
    labels = (generator.random((count, 3)) < 0.4).astype(np.float32)
    labels[:, 2] = 0
    noise = np.random.default_rng(seed).normal(size=labels.shape)
    return predictions.Predictions(
        ("Mass", "Edema", "Hernia"),
        labels,
        (1 / (1 + np.exp(-(gain * labels + noise)))).astype(np.float32),
        np.array([0.6, 0.6, np.nan]),
        [f"image{i}" for i in range(count)],
        [f"patient{i // 2}" for i in range(count)],
        {
            "sex": ["F", "M", "M"] * (count // 3),
            "age": ["17", "40", ""] * (count // 3),
            "view": ["AP", "PA"] * (count // 2),
        },
        {},
    )


def _find(rows, group="all", **wanted):
    rows = [row for row in rows if row["group"] == group]
    [row] = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return row


@pytest.mark.parametrize(
    ("text", "group"),
    [("0", "0-17"), ("17", "0-17"), ("18", "18-39"), ("59", "40-59"), ("90", "80+"), ("", "")],
)
def test_age_groups(text, group):
    assert evaluation.age_group(text) == group


def test_values_are_those_of_the_statistics_and_groups_those_of_the_facts():
    found = _make()
    rows = evaluation.table([found], _EFFORT)
    assert {row["group"] for row in rows} == {
        "all", "sex F", "sex M", "age 0-17", "age 40-59", "view AP", "view PA"
    }  # fmt: skip
    chosen = np.array(found.facts["sex"]) == "F"
    for group, part in (("all", slice(None)), ("sex F", chosen)):
        row = _find(rows, metric="auc", finding="Edema", group=group)
        expected = stats.roc_auc(found.labels[part, 1], found.scores[part, 1])
        assert row["value"] == pytest.approx(expected, abs=1e-9)
        assert row["low"] < row["value"] < row["high"]
        assert row["positives"] == found.labels[part, 1].sum()
    assert _find(rows, metric="auc", finding="Edema", group="sex F")["patients"] == 80
    assert _find(rows, metric="ece", finding="Mass", group="all")["value"] > 0


def test_a_finding_without_positives_is_not_defined_and_neither_is_the_mean():
    rows = evaluation.table([_make()], _EFFORT, by_group=False)
    for finding in ("Hernia", evaluation.MEAN):
        row = _find(rows, metric="auc", finding=finding)
        assert (row["value"], row["low"], row["sd"]) == (None, None, None)
    assert "not defined" in evaluation.markdown(rows)
    both = dataclasses.replace(
        _make(), findings=("Mass", "Edema"), labels=_make().labels[:, :2],
        scores=_make().scores[:, :2], thresholds=np.array([0.6, 0.6]),
    )  # fmt: skip
    rows = evaluation.table([both], _EFFORT, by_group=False)
    aucs = [_find(rows, metric="auc", finding=name)["value"] for name in ("Mass", "Edema", "mean")]
    assert aucs[2] == pytest.approx(np.mean(aucs[:2]))


def test_thresholds_of_the_test_images_are_never_worse_at_the_corner():
    found = dataclasses.replace(_make(), thresholds=np.array([0.9, 0.9, np.nan]))
    distance = {}
    for where in ("validation", "test"):
        rows = evaluation.table([found], _EFFORT, where, by_group=False)
        rates = [
            _find(rows, metric=name, finding="Mass")["value"]
            for name in ("sensitivity", "specificity")
        ]
        distance[where] = sum((1 - rate) ** 2 for rate in rates)
    assert distance["test"] < distance["validation"]


def test_a_better_classifier_differs_and_the_same_one_does_not():
    rows = evaluation.comparison([_make(1)], [_make(2, gain=4.0)], _EFFORT)
    row = _find(rows, metric="auc", finding="Mass")
    assert row["difference"] == row["value"] > 0.1
    assert row["low"] > 0 and row["p_value"] == 1 / 200 and row["p_delong"] < 1e-4
    # Two of three findings are defined.
    assert row["p_holm"] == pytest.approx(2 / 200)
    hernia = _find(rows, metric="auc", finding="Hernia")
    assert (hernia["difference"], hernia["p_value"], hernia["p_delong"]) == (None, None, None)
    rows = evaluation.comparison([_make(1)], [_make(1)], _EFFORT)
    assert _find(rows, metric="auc", finding="Mass")["p_value"] == 1.0


def test_differences_of_a_group_are_those_of_its_images():
    first, second = _make(1), _make(2, gain=4.0)
    rows = evaluation.comparison([first], [second], _EFFORT)
    chosen = np.array(first.facts["view"]) == "AP"
    expected = [
        stats.roc_auc(one.labels[chosen, 0], one.scores[chosen, 0]) for one in (first, second)
    ]
    row = _find(rows, metric="auc", finding="Mass", group="view AP")
    assert row["value"] == pytest.approx(expected[1] - expected[0])
    assert row["images"] == chosen.sum() and row["low"] < row["value"] < row["high"]
    alone = evaluation.comparison([first], [second], _EFFORT, by_group=False)
    assert {row["group"] for row in alone} == {"all"}


def test_few_patients_and_redraws_that_are_all_alike_have_no_interval():
    found = _make()
    few = np.flatnonzero(found.labels[:, 0] == 1)[: evaluation.FEWEST - 1]
    labels = found.labels.copy()
    labels[:, 0] = 0
    labels[few, 0] = 1
    found = dataclasses.replace(found, labels=labels)
    row = _find(evaluation.table([found], _EFFORT, by_group=False), metric="auc", finding="Mass")
    assert row["value"] is not None and row["low"] is None and row["sd"] is None
    other = dataclasses.replace(found, scores=_make(2).scores)
    pair = evaluation.comparison([found], [other], _EFFORT, by_group=False)
    assert _find(pair, metric="auc", finding="Mass")["p_value"] is None
    assert _find(pair, metric="auc", finding="Edema")["p_value"] is not None
    all_found = dataclasses.replace(_make(), thresholds=np.zeros(3))
    rows = evaluation.table([all_found], _EFFORT, by_group=False)
    row = _find(rows, metric="sensitivity", finding="Edema")
    assert (row["value"], row["low"], row["high"]) == (1.0, None, None)


def test_other_images_are_not_compared():
    with pytest.raises(ValueError, match="not judged on the same images"):
        evaluation.comparison([_make()], [_make(count=120)], _EFFORT)


def test_runs_of_several_seeds_are_averaged_and_their_spread_told():
    runs = [_make(seed) for seed in (1, 2, 3)]
    row = _find(evaluation.table(runs, _EFFORT, by_group=False), metric="auc", finding="Mass")
    aucs = [stats.roc_auc(run.labels[:, 0], run.scores[:, 0]) for run in runs]
    assert row["runs"] == 3
    np.testing.assert_allclose(row["each"], aucs, atol=1e-9)
    assert row["value"] == pytest.approx(np.mean(aucs))
    assert row["seed_sd"] == pytest.approx(np.std(aucs, ddof=1))
    better = [_make(seed, gain=2.0) for seed in (4, 5, 6)]
    found = _find(evaluation.comparison(runs, better, _EFFORT), metric="auc", finding="Mass")
    others = [stats.roc_auc(run.labels[:, 0], run.scores[:, 0]) for run in better]
    assert found["difference"] == pytest.approx(np.mean(others) - np.mean(aucs))
    assert found["p_value"] == 1 / 200 and "p_delong" not in found
    np.testing.assert_allclose(found["each"], np.subtract(others, aucs), atol=1e-9)
    assert found["seed_sd"] == pytest.approx(np.std(found["each"], ddof=1))
    with pytest.raises(ValueError, match="as many runs of both"):
        evaluation.comparison(runs, better[:2], _EFFORT)
