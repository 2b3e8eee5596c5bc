"""Readers' answers: rates, missing answers, agreement, rows; by hand and with scikit-learn."""

import csv
import dataclasses
import math

import numpy as np
import pytest
import tiny_reader_studies as tiny
from sklearn import metrics as sk_metrics

from classifier import (
    agreement,
    reader_answers,
    reader_report,
    reader_results,
    reader_sheet,
    reader_study,
    simulated_readers,
)


def _study(folder, contents, **facts):
    deck = tiny.write_deck(folder, images=5, resolutions=(256,), **facts)
    paths = [
        tiny.write(folder / "answers" / f"{code}.json", tiny.answers(deck, code, **own))
        for code, own in contents.items()
    ]
    return reader_answers.load_study(deck, deck, paths, allow_incomplete=True)


# Images of odd number are synthetic.
_ERRORS = {
    "r1": {"wrong": ["256-000", "256-001", "256-003"]},
    "r2": {"wrong": ["256-000", "256-001"], "timed_out": ["256-002", "256-005"]},
    "r4": {"wrong": ["256-000"], "skipped": ["256-009"], "ticks": ["256-001", "256-002"]},
}


@pytest.fixture
def study(tmp_path):
    return _study(tmp_path, _ERRORS)


def test_rates_by_hand(study):
    [panel] = reader_study.panels(study)
    assert panel.readers == ("r1", "r2", "r4")
    assert panel.synthetic.tolist() == [False, True] * 5
    wanted = {
        ("accuracy", "wrong"): [7 / 10, 6 / 10, 8 / 9],
        ("accuracy", "excluded"): [7 / 10, 6 / 8, 8 / 9],
        ("sensitivity", "wrong"): [3 / 5, 3 / 5, 4 / 4],
        ("sensitivity", "excluded"): [3 / 5, 3 / 4, 4 / 4],
        ("specificity", "wrong"): [4 / 5, 3 / 5, 4 / 5],
        ("specificity", "excluded"): [4 / 5, 3 / 4, 4 / 5],
    }
    for (metric, unanswered), values in wanted.items():
        found = reader_study.estimates(panel, metric, unanswered)
        assert found.values == pytest.approx(values), (metric, unanswered)
    with pytest.raises(ValueError, match="wrong or excluded, got 'right'"):
        reader_study.right(panel, "right")


def test_covariances_are_those_of_means_within_both_kinds(study):
    [panel] = reader_study.panels(study)
    right = reader_study.right(panel)[0]
    kinds = right[panel.synthetic], right[~panel.synthetic]
    wanted = sum(own.var(ddof=1) / 5 * 0.5**2 for own in kinds)
    found = reader_study.estimates(panel, "accuracy").covariance()
    assert found[0, 0] == pytest.approx(wanted)
    # Two readers who always agree have one variance.
    twice = simulated_readers.panel(
        simulated_readers.Population(1.0).draw(1, np.random.default_rng(0)), ("a",), 20,
        np.random.default_rng(0),
    )  # fmt: skip
    assert reader_study.estimates(twice, "accuracy").covariance().shape == (1, 1)


def test_auc_of_signed_confidence_equals_scikit_learn():
    generator = np.random.default_rng(2)
    readers = simulated_readers.Population(1.2, 0.5, 0.2).draw(3, generator)
    panel = simulated_readers.panel(readers, ("a",) * 3, 40, generator)
    for row, value in enumerate(reader_study.estimates(panel, reader_study.AUC).values):
        sign = np.where(panel.called[row] == 1, 1, -1)
        scores = sign * panel.confidence[row]
        assert value == pytest.approx(sk_metrics.roc_auc_score(panel.synthetic, scores))


def test_agreement_leaves_out_images_without_an_answer(study):
    [panel] = reader_study.panels(study)
    found = reader_study.kappa(panel, panel.of_group("CV experts"))
    assert found.subjects == 8
    called = panel.called[:2, [0, 1, 3, 4, 6, 7, 8, 9]]
    counts = np.stack([called.sum(axis=0), 2 - called.sum(axis=0)], axis=1)
    assert found == agreement.fleiss_kappa(counts)
    assert reader_study.kappa(panel, panel.of_group("radiologists")) is None
    assert reader_study.group_names(panel) == ["CV experts", "radiologists", "all readers"]


def test_guessing():
    balanced = np.arange(10) < 5
    assert reader_study.guessing_p_value(balanced, 5) == 1.0
    assert reader_study.guessing_p_value(balanced, 10) == pytest.approx(2 / 2**10)
    # Who always names the more frequent kind is right in 8 of 10.
    assert reader_study.guessing_p_value(np.arange(10) < 8, 8) == 1.0
    assert math.isnan(reader_study.guessing_p_value(np.ones(4, bool), 4))
    assert math.isnan(reader_study.guessing_p_value(np.ones(0, bool), 0))


def _row(rows, **facts):
    [found] = [row for row in rows if all(row.get(k) == value for k, value in facts.items())]
    return found


def test_rows(study):
    panels = reader_study.panels(study)
    rows = reader_results.rows(study, panels, "wrong")
    row = _row(rows, name="reader", metric="accuracy", reader="r2")
    assert (row["value"], row["right"], row["count"], row["without_answer"]) == (0.6, 6, 10, 2)
    assert row["called_synthetic"] == pytest.approx(4 / 8)  # 0 falsely, 3, 7 and 9
    row = _row(rows, name="reader", metric="accuracy", reader="r4")
    assert row["not_shown"] == 1 and not row["complete"]
    row = _row(rows, name="reader_group", metric="accuracy", group="CV experts")
    assert row["value"] == pytest.approx(0.65)
    assert row["se"] == pytest.approx(0.05) and row["low"] is None  # two readers
    row = _row(rows, name="reader_group", metric="accuracy", group="all readers")
    assert row["value"] == pytest.approx((0.65 * 2 + 8 / 9) / 3)
    assert row["low"] < row["value"] < row["high"]
    row = _row(rows, name="reader_group", metric="accuracy", group="radiologists")
    assert row["se"] is None and row["low"] is None
    row = _row(rows, name="reader_time", reader="r2")
    assert (row["value"], row["mean"]) == (4.0, pytest.approx((8 * 4 + 2 * 30) / 10))
    row = _row(rows, name="reader_reason", group="all readers", reason="waves")
    assert (row["value"], row["synthetic_shown"]) == (1, 14)
    assert (row["ticked_on_real"], row["real_shown"]) == (1, 15)
    assert row["ticks"] == {"real": {"256-002": 1}, "synthetic": {"256-001": 1}}
    wrong = {"name": "reader_images", "metric": "everyone_wrong"}
    assert _row(rows, **wrong, origin="real")["items"] == ["256-000"]
    row = _row(rows, **wrong, origin="synthetic")
    assert row["items"] == [] and row["images"] == 3 and row["by_guessing"] == 3 / 8
    row = _row(rows, name="reader_images", metric="everyone_right", origin="synthetic")
    assert row["items"] == ["256-007"]
    row = _row(rows, name="reader_difference", metric="accuracy", between="groups")
    assert row["value"] == pytest.approx(8 / 9 - 0.65) and row["low"] is None


def test_tables_of_answers_and_images(study):
    lines = reader_results.answers_csv(study).splitlines()
    assert len(lines) == 1 + 29
    assert lines[2] == "r1,CV experts,256,1,256-001,synthetic,image1,Mass,phantoms,real,0,3,4.0,,0"
    lines = reader_results.images_csv(study, reader_study.panels(study)).splitlines()
    assert lines[1] == "256,256-000,real,image0,,phantoms,0,3,0,0"
    assert len(lines) == 11


def test_answers_of_simulated_readers_are_marked(tmp_path):
    study = _study(tmp_path, {"r1": {"simulated": True}, "r2": {}, "r4": {"simulated": True}})
    table = list(csv.DictReader(reader_results.answers_csv(study).splitlines()))
    marked = {row["reader"]: row["simulated"] for row in table}
    assert len(table) == 30 and marked == {"r1": "1", "r2": "0", "r4": "1"}
    panels = reader_study.panels(study)
    table = list(csv.DictReader(reader_results.images_csv(study, panels).splitlines()))
    assert {row["simulated_readers"] for row in table} == {"2"}
    rows = reader_results.rows(study, panels, "wrong")
    report = reader_report.text(study, panels, rows)
    assert "**Simulated readers: r1, r4. They have not seen these images" in report
    assert "No person has seen" not in report


def test_a_sheet_of_simulated_readers_says_so(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(reader_sheet, "_read", lambda folder, item: np.zeros((9, 9), np.uint8))
    monkeypatch.setattr(
        reader_sheet.plots, "image_grid", lambda rows, names, title, columns: titles.append(title)
    )
    for simulated in (True, False):
        folder = tmp_path / str(simulated)
        study = _study(folder, {code: {"simulated": simulated} for code in ("r1", "r2")})
        rows = reader_results.rows(study, reader_study.panels(study), "wrong")
        reader_sheet.draw(rows, folder)
    assert titles == [
        "simulated readers: images that all readers judged alike",
        "images that all readers judged alike",
    ]


def _drawn(study, folder, monkeypatch):
    """Names of the rows of a sheet with the images in them, and its title."""
    drawn = []
    monkeypatch.setattr(reader_sheet, "_read", lambda folder, item: np.array([[item]]))
    monkeypatch.setattr(reader_sheet.plots, "image_grid", lambda *given: drawn.append(given))
    reader_sheet.draw(reader_results.rows(study, reader_study.panels(study), "wrong"), folder)
    [(pictures, names, title, _)] = drawn
    items = [picture.ravel().tolist() for picture in pictures]
    return dict(zip(names, items, strict=True)), title


def test_a_sheet_shows_the_images_where_most_readers_ticked_a_reason(tmp_path, monkeypatch):
    ticks = {
        "r1": ["256-003", "256-004", "256-007"],
        "r2": ["256-001", "256-003"],
        "r4": ["256-007", "256-003", "256-001"],
    }
    study = _study(tmp_path, {code: {"ticks": own} for code, own in ticks.items()})
    rows, title = _drawn(study, tmp_path, monkeypatch)
    assert title == (
        "images that all readers judged alike, then those with a ticked reason, most ticked first"
    )
    assert rows["256 px synthetic, waves: images 3, most ticks 3"] == [
        "256-003", "256-001", "256-007"
    ]  # fmt: skip
    assert rows["256 px real, waves: images 1, most ticks 1"] == ["256-004"]
    assert not [name for name in rows if "bones" in name]  # which nobody ticked
    assert len(rows) == 4 and "256 px real, called real by everyone: 5" in rows


def test_a_sheet_needs_no_agreement_if_reasons_were_ticked(tmp_path, monkeypatch):
    every = [f"256-{number:03}" for number in range(10)]
    study = _study(tmp_path, {"r1": {"wrong": every, "ticks": every}, "r2": {}})
    rows, title = _drawn(study, tmp_path, monkeypatch)
    assert title == "images with a ticked reason, most ticked first"
    assert [len(items) for items in rows.values()] == [5, 5]
    study = _study(tmp_path / "none", {"r1": {"wrong": every}, "r2": {}})
    with pytest.raises(ValueError, match="judged alike or ticked a reason for; leave --images out"):
        _drawn(study, tmp_path, monkeypatch)


# As the page of a deck saves them.
_SHOWN = {
    "r1": {
        "quick": ["256-000", "256-001"],
        "wrong": ["256-001"],
        "scales": {"256": 0.625},
        "pixel_ratio": 1.25,
        "reloads": 2,
    },
    "r2": {"scales": {"256": 3}, "pixel_ratio": 1, "reloads": 0, "timed_out": ["256-003"]},
    "r4": {},
    "r5": {"simulated": True, "quick": ["256-000"]},
}


def test_how_images_were_shown_is_reported(tmp_path):
    study = _study(tmp_path, _SHOWN)
    panels = reader_study.panels(study)
    rows = reader_results.rows(study, panels, "wrong")
    row = _row(rows, name="reader_conditions", reader="r1")
    assert (row["value"], row["count"], row["scale"]) == (2, 10, 0.625)
    assert (row["pixel_ratio"], row["reloads"], row["simulated"]) == (1.25, 2, False)
    row = _row(rows, name="reader_conditions", reader="r2")
    assert (row["value"], row["count"], row["scale"], row["reloads"]) == (0, 9, 3, 0)
    row = _row(rows, name="reader_conditions", reader="r4")
    assert row["scale"] is None and row["reloads"] is None
    report = reader_report.text(study, panels, rows)
    assert (
        "* **Look at the conditions of r1 (256 px shown at 62 %, reloads of the page: 2, answers "
        "under 200 ms: 2).**"
    ) in report
    part = report[report.index("## How images were shown") :]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines()[2:7]]
    assert cells[0] == [
        "reader", "group", "256 px", "pixel ratio", "reloads", "answers under 200 ms"
    ]  # fmt: skip
    assert cells[2:] == [
        ["r1", "CV experts", "0.625", "1.25", "2", "2 of 10"],
        ["r2", "CV experts", "3", "1", "0", "0 of 9"],
        ["r4", "radiologists", "n/a", "n/a", "n/a", "0 of 10"],
    ]


def test_nothing_was_shown_to_simulated_readers(tmp_path):
    study = _study(tmp_path, {"r1": {"simulated": True}, "r2": {"simulated": True}})
    panels = reader_study.panels(study)
    report = reader_report.text(study, panels, reader_results.rows(study, panels, "wrong"))
    assert "How images were shown" not in report and "conditions of" not in report


def test_a_reader_who_was_shown_nothing_of_a_kind(tmp_path):
    odd = [f"256-{number:03}" for number in range(1, 10, 2)]
    study = _study(tmp_path, {"r1": {"skipped": odd}, "r2": {}, "r3": {"skipped": odd}})
    rows = reader_results.rows(study, reader_study.panels(study), "wrong")
    row = _row(rows, name="reader", metric="sensitivity", reader="r1")
    assert row["value"] is None and row["low"] is None and row["count"] == 0
    assert _row(rows, name="reader", metric="auc", reader="r1")["value"] is None
    row = _row(rows, name="reader_group", metric="sensitivity", group="CV experts")
    assert (row["value"], row["readers"], row["se"]) == (1.0, 1, None)


def test_without_confidence_there_is_no_auc(tmp_path):
    study = _study(tmp_path, {"r1": {}, "r2": {}})
    panels = reader_study.panels(study)
    for panel in panels:
        panel.confidence[:] = np.nan
    rows = reader_results.rows(study, panels, "wrong")
    assert {row["metric"] for row in rows if row["name"] == "reader"} == set(reader_study.RATES)


def _agreeing(rng, informed):
    """100 images that six readers call alike: whatever they are, or what they are."""
    synthetic = np.arange(100) < 50
    odd = rng.random(100) < 0.5
    called = np.tile(synthetic if informed else odd, (6, 1)).astype(float)
    flips = rng.random(called.shape) < 0.1
    called[flips] = 1 - called[flips]
    names = tuple("abcdef")
    return reader_study.Panel(
        256, tuple(map(str, range(100))), synthetic, names, ("all",) * 6,
        np.ones((6, 100), bool), called, np.full((6, 100), np.nan), np.ones((6, 100)),
    )  # fmt: skip


def test_readers_who_agree_are_no_independent_witnesses():
    rng = np.random.default_rng(1)
    everybody = np.arange(6)
    panels = [_agreeing(rng, False) for _ in range(60)]
    exchanged = [reader_study.group_guessing_p_value(panel, everybody) for panel in panels]
    assert np.mean(np.array(exchanged) < 0.05) <= 0.15  # of 60: 3 expected, 9 with p < 0.004
    naive = [
        reader_study.guessing_p_value(
            np.tile(panel.synthetic, 6), int((panel.called == panel.synthetic).sum())
        )
        for panel in panels
    ]
    assert np.mean(np.array(naive) < 0.05) > 0.3
    assert reader_study.group_guessing_p_value(_agreeing(rng, True), everybody) < 0.001


def test_the_exchange_test_by_hand():
    """One reader, one synthetic image of four: called right in 1 of 4 exchanges."""
    called = np.array([[1.0, 0.0, 0.0, 0.0]])
    panel = reader_study.Panel(
        256, tuple("abcd"), np.array([True, False, False, False]), ("r",), ("g",),
        np.ones((1, 4), bool), called, np.full((1, 4), np.nan), np.ones((1, 4)),
    )  # fmt: skip
    found = reader_study.group_guessing_p_value(panel, np.array([0]))
    assert found == pytest.approx(0.25, abs=0.02)
    assert math.isnan(
        reader_study.group_guessing_p_value(
            dataclasses.replace(panel, synthetic=np.ones(4, bool)), np.array([0])
        )
    )
