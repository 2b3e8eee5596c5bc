"""What the gate says of numbers, by numbers typed in; vocabularies that are brought together."""

import types

import numpy as np
import pytest
from PIL import Image

from pgan import evaluation
from pgan.audit import comparison_sets, copy_criterion, reporting
from pgan.data import labels
from pgan.deposit import gate, measuring, vocabulary

MEASURED = {
    "metric": "fd500_fixed",
    "distance": 1.0,
    "floor": 0.5,
    "blur": 4.5,
    "ratio": 2.0,
    "blur_share": 0.125,
    "coverage": 0.8,
    "floor_coverage": 0.9,
    "similarity_gap": 0.05,
    "similarity_gap_error": 0.01,
    "similarity_metric": "ms_ssim",
    "count": 500,
    "reference": "nih, test",
    "resolution": 64,
}
CLAIM = {"metric": "fd500_fixed", "value": 0.95}
AUDIT = {
    "count": 1000,
    "planted": 20,
    "copies_px": 64,
    "failed_controls": [],
    "found": {},
    "control_generator": True,
}


def _judge(measured=None, claim=CLAIM, audit=AUDIT, **thresholds):
    return gate.judge(MEASURED | (measured or {}), claim, audit, gate.Thresholds(**thresholds))


def test_a_good_generator_is_admitted():
    decision = _judge()
    assert decision.event == "admitted" and decision.reasons == []
    assert decision.flags == ["the audit is the site's word; its images never leave the site"]


@pytest.mark.parametrize(
    "measured, thresholds, message",
    [
        ({"ratio": 20.1}, {}, "20.1 times that between real images"),
        ({"ratio": 2.0}, {"max_floor_ratio": 1.9}, "at most 1.9 times"),
        ({"ratio": float("nan")}, {}, "nan times"),
        ({"blur_share": 0.51}, {}, "51% of the way"),
        ({"coverage": 0.44}, {}, "coverage is 0.44, at least 0.45"),
        ({"similarity_gap": 0.13}, {}, "more alike than real ones by 0.13"),
        ({"count": 199}, {}, "199 images of each set"),
        ({"distance": 1.05}, {}, "claims a fd500_fixed of 0.95, 1.05 was measured"),
    ],
)
def test_each_threshold_rejects_by_itself(measured, thresholds, message):
    decision = _judge(measured, **thresholds)
    assert decision.event == "rejected" and len(decision.reasons) == 1
    assert message in decision.reasons[0]


def test_at_the_threshold_and_within_the_errors_is_good_enough():
    at = {"ratio": 20.0, "blur_share": 0.5, "coverage": 0.45, "similarity_gap": 0.12}
    assert _judge(at).reasons == []
    assert _judge({"distance": 0.5}).reasons == []  # better than claimed
    missing = {"coverage": None, "similarity_gap": None, "similarity_gap_error": None}
    assert _judge(missing).reasons == [] and len(_judge(missing).flags) == 3


def test_a_claim_of_another_reference_is_flagged_or_rejected():
    assert "claims no fd500_fixed against nih, test" in _judge(claim=None).flags[0]
    assert _judge(claim=None, require_claim=True).event == "rejected"
    assert _judge(claim={"value": float("nan")}).event == "rejected"


@pytest.mark.parametrize(
    "audit, message",
    [
        (None, "sent no privacy audit"),
        ({"count": 999}, "looked at 999 images"),
        ({"planted": 19}, "planted 19 copies of a kind, 20 are wanted"),
        ({"copies_px": 32}, "at 32 px, 64 px are wanted of a generator of 64 px"),
        ({"failed_controls": ["planted copies, moved"]}, "controls: planted copies"),
        ({"found": {"copies": ["3 of 1,000"]}}, "copies: 3 of 1,000"),
        ({"failed_controls": ["copies"], "found": {"controls": []}}, "controls: copies"),
    ],
)
def test_audits_that_reject(audit, message):
    decision = _judge(audit=audit and AUDIT | audit)
    assert len(decision.reasons) == 1 and message in decision.reasons[0]


def test_audits_that_are_flagged():
    found = {"found": {"membership": ["AUC 0.6"]}, "control_generator": False}
    decision = _judge(audit=AUDIT | found)
    assert decision.reasons == [] and len(decision.flags) == 3
    assert _judge(audit=AUDIT | found, audit_fail_on=("membership",)).event == "rejected"


@pytest.mark.parametrize("resolution", [128, 256, 1024])
def test_audits_look_for_copies_at_128_px_at_most(resolution):
    measured = {"resolution": resolution}
    decision = _judge(measured, audit=AUDIT | {"copies_px": 64})
    assert "128 px are wanted" in decision.reasons[0]
    decision = _judge(measured, audit=AUDIT | {"copies_px": 128})
    told = f"at 128 px, the generator draws {resolution} px" in " ".join(decision.flags)
    assert decision.reasons == [] and told == (resolution > 128)


def test_what_is_wanted_of_audits_is_what_they_do_by_themselves():
    assert gate.COPIES_PX == copy_criterion.LARGEST_SIZE
    assert gate.PLANTED == comparison_sets.Settings().planted == comparison_sets.FEWEST_PATIENTS


def test_thresholds_are_checked_and_know_all_kinds_of_audit_findings():
    assert set(gate.AUDIT_KINDS) == set(reporting.KINDS)
    with pytest.raises(ValueError, match="--max_blur_share must be at least 0, got -1"):
        gate.Thresholds(max_blur_share=-1.0)
    with pytest.raises(ValueError, match="--audit_fail_on"):
        gate.Thresholds(audit_fail_on=("coppies",))


def _found(**values):
    """An evaluation whose numbers are typed in."""
    facts = {
        "count": 200,
        "resolution": 32,
        "reference": "nih, test",
        "reference_fingerprint": "r",
        "features": {"network": "fixed"},
        "seed": 0,
    }
    own = {"labels": {"label_sampling": "dataset"}}
    rows = [
        {"metric": metric, "images": images, "value": value, **facts}
        | (own if images == "synthetic" else {})
        for metric, sets in values.items()
        for images, value in sets.items()
    ]
    pairs = [
        {
            "metric": "ms_ssim",
            "difference": difference,
            "difference_standard_error": error,
            "synthetic_pairs": pairs,
        }
        for difference, error, pairs in ((0.1, 0.03, 30), (0.0, 0.04, 10), (None, None, 0))
    ]
    rows.append({"metric": "fd9_Mass_fixed", "images": "synthetic", "setting": "Mass", "value": 9})
    return evaluation.Evaluation(rows, pairs, [], [], Image.new("L", (1, 1)))


def test_numbers_that_a_decision_rests_on():
    distances = {
        "real": 0.5, "8 px, bilinear": 9.0, "8 px, nearest": 4.5, "synthetic": 1.5
    }  # fmt: skip
    coverage = {"real": 0.9, "synthetic": 0.7}
    found = measuring.summarise(_found(fd200_fixed=distances, dc200_k5_fixed_coverage=coverage))
    assert found["distance"] == 1.5 and found["floor"] == 0.5 and found["blur"] == 4.5
    assert found["ratio"] == 3.0 and found["blur_share"] == 0.25
    assert found["coverage"] == 0.7 and found["floor_coverage"] == 0.9
    assert found["similarity_gap"] == pytest.approx(0.075)
    # sqrt((0.75 * 0.03)^2 + (0.25 * 0.04)^2)
    assert found["similarity_gap_error"] == pytest.approx(0.0246, abs=1e-4)
    assert set(found["rows"]) == {"fd200_fixed", "dc200_k5_fixed_coverage"}


def test_only_a_claim_of_the_same_number_compares():
    found = measuring.summarise(_found(fd200_fixed={"real": 1, "8 px, nearest": 4, "synthetic": 2}))
    same = {
        "metric": "fd200_fixed",
        "value": 2.0,
        "resolution": 32,
        "reference_fingerprint": "r",
        "features": {"network": "fixed"},
        "labels": {"label_sampling": "dataset"},
    }
    others = [
        same | change
        for change in (
            {"metric": "fd100_fixed"},
            {"resolution": 64},
            {"reference_fingerprint": "own"},
            {"features": {"network": "x"}},
            {"labels": {"label_sampling": "uniform_class"}},
        )
    ]
    assert measuring.comparable_claim(others, found) is None
    assert measuring.comparable_claim([same, same | {"value": 3.0}], found)["value"] == 3.0


def test_a_graph_that_breaks_the_loader_is_unusable_and_stops_nothing(monkeypatch):
    """Whatever TensorFlow raises of it, and not an error that ends all of the admission."""

    def fail(path):
        raise AttributeError("'_UserObject' object has no attribute 'x'")

    monkeypatch.setattr(measuring, "require_fit", lambda *_: None)
    monkeypatch.setattr(measuring.image_sources, "from_export", fail)
    submission = types.SimpleNamespace(facts={"findings": ["Mass"]})
    with pytest.raises(measuring.UnusableError, match="cannot be loaded: '_UserObject'"):
        measuring.measure(submission, "generator", None, None, None)


def test_vocabularies_are_translated_by_common_names():
    findings = ("Effusion", "Mass", "Edema")
    values = np.array([[1, 0, 0], [0, 0, 0], [0, np.nan, 0]], np.float32)
    wanted = ("No Finding", "Pleural Effusion", "Fracture", "Edema")
    found = vocabulary.translate(values, findings, wanted)
    unknown = np.nan
    expected = [[0, 1, unknown, 0], [1, 0, unknown, 0], [0, 0, unknown, 0]]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))
    shared = vocabulary.shared([labels.NIH_14, labels.CHEXPERT_14])
    assert set(shared) == set(labels.SHARED_7)
    assert vocabulary.shared([labels.CHEXPERT_14, labels.CHEXPERT_14])[0] != labels.NO_FINDING


def test_an_audit_of_more_than_the_training_images_is_flagged():
    decision = _judge(audit=AUDIT | {"part_trained_on": True})
    assert decision.event == "admitted"
    assert any("trained on a part of the audited fold" in text for text in decision.flags)
    assert not any("a part of" in text for text in _judge(audit=AUDIT).flags)
    decision = _judge(audit=AUDIT | {"strangers": ["elsewhere"]})
    assert decision.event == "rejected" and "(elsewhere)" in decision.reasons[0]
