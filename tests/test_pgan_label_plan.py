"""Label rows of synthetic sets."""

import numpy as np
import pytest

from pgan import label_plan

FINDINGS = ("Mass", "Pleural Thickening", "Hernia")


def _csv(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return path


def test_rows_are_dealt_out_in_turn():
    plan = label_plan.one_finding_each(FINDINGS)
    np.testing.assert_array_equal(plan.labels(7).argmax(axis=1), [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(plan.labels(7).sum(axis=1), np.ones(7))


def test_same_for_all():
    plan = label_plan.same_for_all("Hernia=0.25", FINDINGS)
    np.testing.assert_array_equal(plan.labels(2), [[0, 0, 0.25], [0, 0, 0.25]])


def test_csv_columns_come_in_any_order_and_count_repeats_rows(tmp_path):
    path = _csv(tmp_path, "hernia,count,Pleural_Thickening\n0.5,2,0\n0,1,1\n\n")
    plan = label_plan.from_csv(path, FINDINGS)
    np.testing.assert_array_equal(plan.rows, [[0, 0, 0.5], [0, 0, 0.5], [0, 1, 0]])


def test_table_of_a_synthetic_set_can_be_given_again(tmp_path):
    path = _csv(tmp_path, "path,seed,index,Mass\nimages/000/000000.png,1,0,0.1\n")
    rows = label_plan.from_csv(path, FINDINGS).rows
    np.testing.assert_array_equal(rows, np.array([[0.1, 0, 0]], np.float32))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no column is a finding"),
        ("count\n3\n", "no column is a finding. Known are: Mass"),
        ("Mass\n", "no rows"),
        ("Mass,Fracture\n1,1\n", "header: Unknown finding 'Fracture'"),
        ("Mass,mass\n1,1\n", "'Mass' is there twice"),
        ("Mass\n0\n1.5\n", r"line 3, Mass: a strength must be a number in \[0, 1\], got '1.5'"),
        ("Mass\n\n\nyes\n", "line 4, Mass: .*got 'yes'"),
        ("Mass,Hernia\n1,\n", "line 2, Hernia: .*got ''"),
        ("Mass,Hernia\n1\n", "line 2: 2 columns expected, got 1"),
        ("Mass,count\n1,0\n", "count must be a whole number from 1, got '0'"),
    ],
)
def test_wrong_csv_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        label_plan.from_csv(_csv(tmp_path, text), FINDINGS)


def test_label_rows_of_a_record_set(phantom_records):
    plan = label_plan.from_records(phantom_records.path, "train", phantom_records.findings)
    np.testing.assert_array_equal(plan.rows, phantom_records.label_matrix("train"))
    assert plan.origin["fold_fingerprint"] == phantom_records.fold_fingerprint("train")


def _plan(rows):
    return label_plan.LabelPlan(np.array(rows, np.float32), "of a test", {"fold": "train"})


def test_independent_findings_keep_prevalences_and_lose_their_company():
    together = _plan([[1, 1, 0]] + [[0, 0, 0]] * 3)
    plan = label_plan.independent(together, FINDINGS, 40_000, seed=5)
    assert set(np.unique(plan.rows)) == {0, 1} and plan.rows.dtype == np.float32
    # Standard errors are 0.0022 and, of the pair, 0.0012.
    np.testing.assert_allclose(plan.rows.mean(axis=0), [0.25, 0.25, 0], atol=0.01)
    assert (plan.rows[:, 0] * plan.rows[:, 1]).mean() == pytest.approx(0.25**2, abs=0.006)
    assert plan.origin == {"fold": "train", "label_sampling": "independent", "seed": "5"}


def test_independent_rows_depend_on_the_seed_and_not_on_the_count():
    plan = _plan([[0.5, 0.5, 0.5]])
    few, many, others = (
        label_plan.independent(plan, FINDINGS, count, seed).rows
        for count, seed in ((7, 1), (50, 1), (50, 2))
    )
    np.testing.assert_array_equal(few, many[:7])
    assert (many != others).any()


def test_no_finding_is_drawn_beside_no_finding():
    plan = _plan([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1]])
    rows = label_plan.independent(plan, ("No Finding", "Edema", "Mass"), 400, seed=1).rows
    np.testing.assert_array_equal(rows[:, 0], ~rows[:, 1:].any(axis=1))
    assert 0 < rows[:, 0].sum() < 400


@pytest.mark.parametrize("count, seed", [(0, 1), (3, -1)])
def test_independent_rows_of_wrong_numbers_are_refused(count, seed):
    with pytest.raises(ValueError, match=f"got {count} and {seed}"):
        label_plan.independent(_plan([[1, 0, 0]]), FINDINGS, count, seed)


def test_record_sets_of_other_findings_or_folds_are_refused(phantom_records):
    with pytest.raises(ValueError, match="another vocabulary"):
        label_plan.from_records(phantom_records.path, "train", FINDINGS)
    with pytest.raises(ValueError, match="no fold 'other'"):
        label_plan.from_records(phantom_records.path, "other", phantom_records.findings)
