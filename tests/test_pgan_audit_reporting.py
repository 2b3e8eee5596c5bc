"""The verdict of an audit on reports made by hand, its sentences and its rows."""

import csv
import dataclasses
import itertools
import json
import types

import numpy as np
import pytest

from pgan import results
from pgan.audit import copy_criterion, neighbour_spaces, planted, procedure, report_text, reporting


def _planted(caught=20):
    return {
        name: {
            "text": kind.text,
            "count": 20,
            "caught": caught,
            "interval": {"low": 0.8, "high": 1.0},
            "required": kind.required,
            "passed": caught >= 20 * kind.required,
            "nearest_by_ssim": 12,
        }
        for name, kind in planted.KINDS.items()
    }


def _attack(name="generator_ssim", low=0.45, **changes):
    return {
        "name": name,
        "members": 1500,
        "others": 1500,
        "member_patients": 500,
        "other_patients": 500,
        "auc": 0.52,
        "auc_interval": {"low": low, "high": 0.58},
        "tpr": 0.012,
        "tpr_interval": {"low": 0.005, "high": 0.02},
        "reason": "",
        **changes,
    }


def _control(**changes):
    return {
        "images": 16,
        "images_shown": 320_000,
        "resolution": 32,
        "drawn": 96,
        "suspected": 80,
        "caught": 78,
        "originals_found": 15,
        "interval": {"low": 0.7, "high": 0.9},
        "required": 0.5,
        "passed": True,
        "attack": _attack("control_generator_ssim", 0.9, members=16, others=500, auc=0.97),
        "attack_passed": True,
        **changes,
    }


def _distances(p_value=0.4):
    return {
        "preference": {
            "share": 0.51,
            "interval": {"low": 0.45, "high": 0.57},
            "p_value": p_value,
            "images": 1000,
        },
        "copying": {"nearer": 0.48, "interval": {"low": 0.44, "high": 0.53}, "z": 1.2},
        "authenticity": 71.5,
    }


def _suspect(image):
    return {
        "image": image,
        "record": f"record{image}",
        "similarity": 0.999,
        "near": 6.9,
        "alone": np.log(20.0),
    }


def _threshold(value):
    return {
        "value": value,
        "largest": value - 0.5,
        "extrapolated": value,
        "reals": 3210,
        "images": 1000,
        "false_alarms": 0.025,
    }


def _report(**changes):
    """An audit that found nothing, with all controls caught."""
    return {
        "facts": {
            "count": 1000,
            "neighbours": 3,
            "seed": 0,
            "generator": "nih at 12,000,000 images",
            "features": {"network": "fixed"},
            "trained_on_known": True,
            "images_existed": False,
        },
        "compared_px": 256,
        "copies_px": 128,
        "train": {"fold": "train", "images": 78_000, "patients": 21_000},
        "held_out": {"fold": "test", "images": 22_000, "patients": 6_000},
        "pool": {"patients": 500, "images": 1500},
        "search": {"recall": 0.995, "images": 64},
        "nearest": {"ssim": {"smallest": 0.1, "median": 0.3, "largest": 0.6}},
        "criterion": {"near": _threshold(4.0), "alone": _threshold(1.5)},
        "suspects": [],
        "planted": _planted(),
        "control": _control(),
        "distances": {"ssim": _distances(), "fixed": _distances()},
        "attacks": [_attack(), _attack("generator_fixed"), _attack("discriminator")],
        "discriminator_shown": 12_000_000,
        **changes,
    }


def _text(report, sheets="sheets/index.html"):
    verdict = reporting.judge(report)
    limits = reporting.limits(report)
    return report_text.write(report, verdict.failed_controls, verdict.found, limits, sheets)


# The verdict


def test_nothing_was_found():
    verdict = reporting.judge(_report())
    assert verdict == reporting.Verdict([], {})
    assert verdict.status(list(reporting.KINDS)) == 0


def test_missed_planted_copies_are_a_failed_control():
    rows = _planted()
    rows["noise"].update(caught=11, passed=False)
    verdict = reporting.judge(_report(planted=rows))
    (text,) = verdict.failed_controls
    assert text == "planted copies, Gaussian noise of 8 grey levels: 11 of 20 caught, 80% required"
    assert verdict.status(["controls", "copies"]) == 3
    assert verdict.status(["copies"]) == 0
    assert len(reporting.judge(_report(planted=_planted(0))).failed_controls) == len(planted.KINDS)


def test_a_missed_control_generator_is_a_failed_control():
    missed = reporting.judge(_report(control=_control(caught=10, passed=False)))
    assert missed.failed_controls == [
        "over-trained generator: 10 of 96 of its images caught, 50% required"
    ]
    attack = _attack("control_generator_ssim", 0.41, auc=0.55)
    missed = reporting.judge(_report(control=_control(attack=attack, attack_passed=False)))
    assert missed.failed_controls == [
        "over-trained generator: membership of its images not recognised (AUC 0.55, lower end of "
        "the interval 0.41)"
    ]
    assert missed.status(["controls"]) == 3
    assert reporting.judge(_report(control=None)).failed_controls == []


FINDINGS = {
    "copies": {"suspects": [_suspect(7), _suspect(3)]},
    "distances": {"distances": {"ssim": _distances(), "fixed": _distances(0.0099)}},
    "membership": {"attacks": [_attack(), _attack("discriminator", 0.501)]},
}


@pytest.mark.parametrize("kind", FINDINGS)
def test_each_kind_of_finding(kind):
    verdict = reporting.judge(_report(**FINDINGS[kind]))
    assert list(verdict.found) == [kind] and len(verdict.found[kind]) == 1
    assert not verdict.failed_controls
    for fail_on in itertools.chain.from_iterable(
        itertools.combinations(reporting.KINDS, length) for length in range(5)
    ):
        assert verdict.status(fail_on) == (4 if kind in fail_on else 0)


def test_sentences_of_findings():
    everything = FINDINGS["copies"] | FINDINGS["distances"] | FINDINGS["membership"]
    assert reporting.judge(_report(**everything)).found == {
        "copies": ["2 of 1,000 synthetic images are suspected copies of training images"],
        "distances": [
            "in fixed, synthetic images are nearer to training patients than to others: 51.0% of "
            "them, p = 0.0099"
        ],
        "membership": [
            "membership is recognised better than by luck by the attack discriminator: AUC 0.520 "
            "(0.501 to 0.580)"
        ],
    }


def test_few_patients_that_are_recognised_for_sure_are_a_finding():
    """Where 5 % of the members are copied, the AUC is nearly that of luck."""
    sure = {"tpr": 0.03, "tpr_interval": {"low": 0.016, "high": 0.04}}
    (text,) = reporting.judge(_report(attacks=[_attack(**sure)])).found["membership"]
    assert "TPR at 1 % FPR 0.030 (0.016 to 0.040)" in text
    unknown = {"tpr": None, "tpr_interval": None}
    assert reporting.judge(_report(attacks=[_attack(**unknown)])).found == {}


def test_what_lies_on_the_border_is_no_finding():
    border = reporting.SIGNIFICANT
    report = _report(
        distances={"ssim": _distances(border)},
        attacks=[_attack(low=0.5, tpr_interval={"low": 0.01, "high": 0.1})],
    )
    assert reporting.judge(report).found == {}


def test_a_failed_control_comes_before_findings():
    verdict = reporting.judge(_report(planted=_planted(0), **FINDINGS["copies"]))
    assert verdict.found and verdict.failed_controls
    assert verdict.status(["controls", "copies"]) == 3
    assert verdict.status(["copies"]) == 4
    assert verdict.status([]) == 0


# What it says


def test_the_report_says_what_was_found_and_what_was_not():
    nothing = _text(_report())
    assert "All controls were caught." in nothing
    assert "No copy of a training image was found among 1,000 synthetic images" in nothing
    assert "**0 of 1,000 synthetic images are suspected.**" in nothing
    some = _text(_report(**FINDINGS["copies"]))
    assert "No copy of a training image was found" not in some
    assert "**Found:**" in some and "2 of 1,000 synthetic images are suspected copies" in some
    assert "record7" in some and "0.050" in some  # 1 / 20 as dissimilar as the next
    missed = _text(_report(planted=_planted(0)))
    assert "**FAILED CONTROL.**" in missed and "FAILED CONTROL |" in missed
    assert "All controls were caught" not in missed
    assert "No copy of a training image was found" not in missed


def test_thresholds_are_told_as_similarities():
    text = _text(_report())
    # 1 - e^-4, what was largest 1 - e^-3.5, and e^-1.5.
    assert "SSIM to a training image is above 0.9817" in text
    assert "one of 3,210 real images reached to a training image of another patient: 0.9698" in text
    assert "is less than 0.223 of that to any other (smallest of the real images: 0.368)" in text


def test_long_lists_are_cut():
    text = _text(_report(suspects=[_suspect(i) for i in range(report_text._LISTED + 5)]))
    assert text.count("| record") == report_text._LISTED
    assert "And 5 more in `report.json`." in text


def test_what_an_attack_cannot_tell_is_said():
    attack = _attack(tpr=None, tpr_interval=None, reason="not resolvable: few")
    assert "| not resolvable: few |" in _text(_report(attacks=[attack]))


def test_limits_are_those_of_this_audit():
    texts = reporting.limits(_report())
    assert len(texts) == len(reporting.LIMITS)
    joined = "\n".join(texts)
    assert "{" not in joined
    # 0.997^1000 = 0.05
    assert "One draw of 1,000 images" in joined and "once in 333 times" in joined
    assert "rests on 3,210 real images" in joined
    facts = {**_report()["facts"], "trained_on_known": False}
    more = reporting.limits(_report(facts=facts, control=None, discriminator_shown=None))
    assert len(more) == len(texts) + 3
    for text in ("taken on trust", "No discriminator was attacked", "planted copies only"):
        assert text in "\n".join(more) and text not in joined
    assert all(f"* {text}" in _text(_report()) for text in texts)


def test_sheets_are_named_or_missed():
    assert "[sheets/index.html](sheets/index.html)" in _text(_report())
    assert "No sheets were drawn" in _text(_report(), sheets=None)


@pytest.mark.parametrize("control", [None, _control(), _control(caught=1, passed=False)])
@pytest.mark.parametrize("found", [{}, *FINDINGS.values()])
def test_nothing_is_called_anonymous(control, found):
    """Whatever an audit finds or not, it does not show that."""
    report = _report(control=control, **found)
    assert "anonym" not in _text(report).lower()
    assert "anonym" not in json.dumps(reporting.rows(report)).lower()


# Rows


@pytest.mark.parametrize("control", [None, _control()])
def test_rows_have_names_of_their_own_and_all_facts(control):
    report = _report(control=control, **FINDINGS["copies"])
    rows = reporting.rows(report)
    values = {row["metric"]: row["value"] for row in rows}
    assert len(values) == len(rows)
    assert all(row["features"] == {"network": "fixed"} and row["seed"] == 0 for row in rows)
    assert values["suspected_copies1k_t78k_128px"] == 2
    assert values["search_recall64_k3_256px"] == 0.995
    assert values["planted_jpeg_caught20_128px"] == 1.0
    assert values["prefer_train1k_p1500_ssim_256px"] == 0.51
    assert values["ct1cell1k_t78k_fixed_256px"] == 1.2
    assert values["authpct1k_t78k_other_patients_ssim_256px"] == 71.5
    assert values["mia_discriminator_tpr_at_fpr1pct_m1500_o1500"] == 0.012
    assert ("control_caught96_32px" in values) == (control is not None)


def test_files_of_a_report(tmp_path):
    """Written again they are the same, but for the times of the rows."""
    report = _report(**FINDINGS["copies"])
    material = types.SimpleNamespace(
        train=types.SimpleNamespace(record_ids=np.array(["a", "b", "c"]))
    )
    nearest = neighbour_spaces.Nearest(np.array([[2, 0], [1, 2]]), np.array([[0.1, 0.25], [0, 1]]))
    scores = copy_criterion.Scores(np.zeros(2), np.zeros(2), np.zeros(2, np.int64))
    result = procedure.Result(
        report, material, {"ssim": nearest}, scores, np.zeros(2, bool), np.arange(2)
    )
    for _ in range(2):
        verdict = reporting.write(tmp_path, result, None)
    assert verdict == reporting.judge(report)
    kept = json.loads((tmp_path / "report.json").read_text())
    assert kept["verdict"] == dataclasses.asdict(verdict)
    assert kept["limits"] == reporting.limits(report)
    assert (tmp_path / "report.md").read_text() == _text(report, sheets=None)
    rows = results.read(tmp_path / "results.jsonl")
    assert [row["metric"] for row in rows] == [row["metric"] for row in reporting.rows(report)]
    with open(tmp_path / "neighbours.csv", newline="") as file:
        table = list(csv.reader(file))
    assert table == [
        ["image", "space", "rank", "record", "distance"],
        ["0", "ssim", "1", "c", "0.1"],
        ["0", "ssim", "2", "a", "0.25"],
        ["1", "ssim", "1", "b", "0"],
        ["1", "ssim", "2", "c", "1"],
    ]


def test_a_part_of_the_fold_is_a_limit():
    report = _report()
    assert not any("passed for training images" in text for text in reporting.limits(report))
    report["facts"]["trained_images"] = 1000
    [text] = [text for text in reporting.limits(report) if "passed for training images" in text]
    assert "1,000 of the training fold's 78,000 images" in text
