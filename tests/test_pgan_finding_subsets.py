import numpy as np
import pytest

from pgan import finding_subsets

FINDINGS = ("Mass", "Pleural Thickening", "Hernia")


def _labels(*counts, both=0):
    """Rows with one finding each, `counts` of them; the first `both` rows have Hernia too."""
    rows = np.concatenate([np.tile(np.eye(3)[i], (n, 1)) for i, n in enumerate(counts)])
    rows[:both, 2] = 1
    return rows


def test_each_finding_has_equal_numbers_of_images_that_show_it():
    labels = {"a": _labels(30, 12, 3), "b": _labels(11, 50, 40), "c": _labels(25, 20, 20)}
    subsets, left_out = finding_subsets.by_finding(labels, FINDINGS, 0, 10, 1000)
    assert [(s.setting, s.findings, s.per_finding) for s in subsets] == [
        ("Mass", ("Mass",), 11),
        ("Pleural_Thickening", ("Pleural Thickening",), 12),
    ]
    assert left_out == ["Hernia (3 a, 40 b, 20 c)"]
    for column, subset in enumerate(subsets):
        for name, numbers in subset.images.items():
            assert len(numbers) == subset.per_finding
            assert (np.diff(numbers) > 0).all()
            assert labels[name][numbers, column].all()
    assert subsets[1].images["a"].tolist() == list(range(30, 42))


def test_chosen_images_follow_the_seed_and_the_name_only():
    labels = {"a": _labels(40, 40, 40), "b": _labels(20, 20, 20)}

    def mass(columns, seed):
        chosen = {name: rows[:, columns] for name, rows in labels.items()}
        names = [FINDINGS[i] for i in columns]
        subsets, _ = finding_subsets.by_finding(chosen, names, seed, 10, 15)
        (subset,) = (s for s in subsets if s.setting == "Mass")
        assert subset.per_finding == 15
        return subset.images["a"].tolist()

    assert mass([0, 1, 2], 1) == mass([2, 0], 1) != mass([0, 1, 2], 2)


def test_strength_and_unknown_labels():
    labels = np.full((40, 1), np.nan)
    labels[:12], labels[12:20] = 0.5, 0.49
    (subset,), _ = finding_subsets.by_finding({"a": labels}, ["Mass"], 0, 2, 100)
    assert subset.images["a"].tolist() == list(range(12))


def test_balanced_sets_hold_each_image_once_for_its_rarest_finding():
    labels = {"a": _labels(60, 30, 14, both=6), "b": _labels(80, 40, 18)}
    subset, left_out = finding_subsets.balanced(labels, FINDINGS, 0, 10, 1000)
    assert (subset.setting, subset.findings, subset.per_finding) == ("balanced", FINDINGS, 18)
    assert left_out == []
    for name, numbers in subset.images.items():
        assert len(numbers) == len(set(numbers.tolist())) == 3 * 18
        rows = labels[name][numbers]
        assert rows[:, 2].sum() == 18 and rows[:, 1].sum() == 18
        assert ((rows[:, 0] == 1) & (rows[:, 2] == 0)).sum() == 18


def test_balanced_sets_do_without_what_is_too_rare():
    labels = {"a": _labels(60, 30, 4, both=4), "b": _labels(80, 40, 18)}
    subset, left_out = finding_subsets.balanced(labels, FINDINGS, 0, 10, 1000)
    assert subset.findings == ("Mass", "Pleural Thickening") and subset.per_finding == 30
    assert left_out == ["Hernia (8 a, 18 b)"]
    # Images with Hernia and a mass are there for the mass then.
    subset, _ = finding_subsets.balanced({"a": labels["a"][:90]}, FINDINGS, 0, 10, 1000)
    assert subset.per_finding == 30
    nothing, left_out = finding_subsets.balanced({"a": _labels(60, 9, 9)}, FINDINGS, 0, 10, 1000)
    assert nothing is None and len(left_out) == 2


@pytest.mark.parametrize("most", [90, 40, 30])
def test_balanced_sets_are_bounded(most):
    subset, _ = finding_subsets.balanced({"a": _labels(60, 60, 60)}, FINDINGS, 0, 2, most)
    assert subset.per_finding == most // 3
    assert len(subset.images["a"]) <= most
