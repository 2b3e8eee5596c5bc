"""tools/pool_generators.py from submission to a pooled set, and its answers to mistakes."""

import csv
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny_deposits
import tiny_records

from pgan.data import record_set
from pgan.deposit import storage

# For generators that were never trained, measured with a handful of images.
_LENIENT = (
    "--max_floor_ratio=1e9",
    "--max_blur_share=1e9",
    "--min_coverage_ratio=0",
    "--max_similarity_gap=9",
    "--min_images=2",
)


def _noise(value):
    rng = np.random.default_rng(value)
    return np.clip(rng.normal(128, 80, (16, 16)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    images = tiny_records.radiographs(load=_noise)
    return tiny_records.build(tmp_path_factory.mktemp("data") / "noise", images=images)


@pytest.fixture
def run(run_tool, tmp_path):
    def call(action, *more):
        flags = [f"--action={action}", f"--deposit={tmp_path / 'deposit'}"]
        return run_tool("pool_generators", *flags, *more)

    return call


@pytest.fixture
def admit(run, records):
    def call(*more):
        flags = [f"--reference={records.path}", "--reference_fold=val", "--pairs=3"]
        return run("admit", *flags, *more)

    return call


@pytest.fixture
def sites(run, tmp_path, capsys):
    """Two sites that have submitted; {site: export}."""
    found = {}
    for site in ("aachen", "bonn"):
        path = tiny_deposits.export(tmp_path / site)
        audit = tiny_deposits.audit(tmp_path / f"audit_{site}", path)
        flags = [f"--site={site}", f"--export={path}", f"--audit={audit}"]
        assert run("submit", *flags) == 0
        found[site] = path
    assert "submitted: bonn/chest/1, 16 px, 2 findings" in capsys.readouterr().out
    return found


def test_from_submission_to_a_pooled_set(run, admit, sites, records, tmp_path, capsys):
    assert run("sample", f"--output={tmp_path / 'early'}") == 1
    assert "no submission is admitted" in capsys.readouterr().err

    assert admit("--submissions=aachen", *_LENIENT) == 0
    shown = capsys.readouterr().out
    assert "aachen/chest/1: admitted" in shown and "bonn" not in shown
    assert admit() == 0
    shown = capsys.readouterr().out
    assert "bonn/chest/1: rejected" in shown and "aachen" not in shown
    assert "--min_images" in shown
    assert admit() == 0 and "every submission is decided" in capsys.readouterr().out

    assert run("list", f"--output={tmp_path / 'list.csv'}") == 0
    shown = capsys.readouterr().out
    with open(tmp_path / "list.csv", newline="") as file:
        table = {row["site"]: row for row in csv.DictReader(file)}
    assert table["aachen"]["status"] == "admitted" and table["bonn"]["status"] == "rejected"
    assert table["bonn"]["reason"] in shown and "images of each set" in table["bonn"]["reason"]
    assert table["aachen"]["training images"] == "10" and table["aachen"]["claimed"] == "nothing"
    assert run("compare") == 0
    assert "aachen/chest/1 (admitted)" in capsys.readouterr().out

    deposit = storage.Deposit(tmp_path / "deposit")
    decision = deposit.find("aachen")[0].decision
    assert decision["thresholds"]["min_images"] == 2
    assert decision["extractor"]["name"] == "fixed"
    assert decision["reference"]["records_fingerprint"] == records.fingerprint
    assert decision["measured"]["count"] == records.fold_size("val")
    assert (deposit.path / "measured/aachen/chest/1/results.jsonl").exists()

    assert admit("--submissions=bonn", *_LENIENT) == 0
    flags = [f"--output={tmp_path / 'pooled'}", "--count=8", "--weights=aachen=1,bonn=3"]
    assert run("sample", *flags) == 0
    shown = capsys.readouterr().out
    assert "aachen/chest/1: 2" in shown and "bonn/chest/1: 6" in shown
    pooled = record_set.RecordSet.open(tmp_path / "pooled")
    assert pooled.num_records == 8 and pooled.findings == tiny_deposits.FINDINGS
    assert run("sample", *flags) == 0 and "8 images, 0 drawn now" in capsys.readouterr().out


def test_a_claim_that_is_too_good_is_rejected(run, admit, records, tmp_path, capsys):
    path = tiny_deposits.export(tmp_path / "exports")
    claim = tiny_deposits.claim(
        tmp_path / "evaluation",
        path,
        metric=f"fd{records.fold_size('val')}_fixed",
        value=1e-3,
        reference_fingerprint=records.fold_fingerprint("val"),
        features={"network": "fixed", "sha256": None, "variant": "seed 1888"},
        labels={"label_sampling": "dataset"},
    )
    audit = tiny_deposits.audit(tmp_path / "audit", path)
    flags = [f"--export={path}", f"--evaluation={claim}", f"--audit={audit}"]
    assert run("submit", "--site=aachen", *flags) == 0
    assert admit(*_LENIENT) == 0
    shown = capsys.readouterr().out
    assert "rejected" in shown and "the site claims" in shown and "0.001" in shown


def test_a_graph_that_fails_while_it_is_measured_is_rejected_alone(
    run, admit, sites, tmp_path, capsys
):
    """Its operations are allowed, so that it is seen only when it is run."""
    bad = tiny_deposits.export(tmp_path / "exports")
    tiny_deposits.save_graph(bad, lambda labels: tf.reshape(labels, [1_000_002])[0])
    audit = tiny_deposits.audit(tmp_path / "audit", bad)
    assert run("submit", "--site=aaa", f"--export={bad}", f"--audit={audit}") == 0
    deposit = storage.Deposit(tmp_path / "deposit")
    before = set(deposit.path.rglob("*"))
    chosen = "--submissions=aaa,aachen"
    assert admit(chosen, *_LENIENT) == 0
    shown = capsys.readouterr().out
    assert "aaa/chest/1: rejected\n  because its images cannot be measured: " in shown
    assert "the requested shape has 1000002" in shown
    assert "aachen/chest/1: admitted" in shown
    [one] = deposit.find("aaa")
    assert one.status == "rejected" and "measured" not in one.decision
    new = {path.relative_to(deposit.path).parts[:2] for path in deposit.path.rglob("*")}
    old = {path.relative_to(deposit.path).parts[:2] for path in before}
    assert new - old == {("measured",), ("measured", "aachen")}


def test_what_was_changed_in_the_deposit_is_rejected_and_never_loaded(
    run, admit, sites, tmp_path, capsys, monkeypatch
):
    from pgan import synthesis

    monkeypatch.setattr(synthesis, "load", None)
    folder = tmp_path / "deposit/sites/aachen/chest/1/generator"
    shutil.rmtree(folder)
    other = tiny_deposits.export(tmp_path / "other", "other")
    shutil.copytree(other, folder)
    assert admit("--submissions=aachen", *_LENIENT) == 0
    shown = capsys.readouterr().out
    assert "aachen/chest/1: rejected" in shown and "changed since it was submitted" in shown


def test_a_reference_that_does_not_fit_decides_nothing(run, admit, sites, tmp_path, capsys):
    images = tiny_records.radiographs(load=_noise)
    small = tiny_records.build(tmp_path / "small", images=images, max_resolution=8)
    assert admit(f"--reference={small.path}") == 1
    assert "not judged" in capsys.readouterr().out
    deposit = storage.Deposit(tmp_path / "deposit")
    assert {one.status for one in deposit.submissions()} == {"submitted"}


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--action=submit", "--site=aachen"], "needs --export"),
        (["--action=admit"], "needs --reference"),
        (["--action=sample"], "needs --output"),
        (["--action=list"], "is no deposit"),
        (["--action=list", "unknown"], "unknown argument"),
        (["--action=admit", "--reference=x", "--audit_fail_on=coppies"], "--audit_fail_on"),
        (["--action=submit", "--site=aachen", "--export=/nowhere"], "/nowhere is no folder"),
        (["--action=submit", "--site=A!", "--export=/nowhere"], "--site is"),
        (
            ["--action=sample", "--output=x", "--findings=Mass", "--labels_csv=x"],
            "give one of --findings, --labels_csv, --label_records",
        ),
    ],
)
def test_mistakes_are_answered(run_tool, tmp_path, capsys, flags, message):
    assert run_tool("pool_generators", f"--deposit={tmp_path / 'deposit'}", *flags) != 0
    shown = capsys.readouterr()
    assert message in shown.out + shown.err


def test_unknown_sites_and_findings_are_answered(run, admit, sites, tmp_path, capsys):
    assert run("list", "--submissions=ulm") == 1
    assert "knows no site 'ulm'; its sites are: aachen, bonn" in capsys.readouterr().err
    assert admit(*_LENIENT) == 0
    flags = [f"--output={tmp_path / 'pooled'}"]
    assert run("sample", *flags, "--vocabulary=shared_7") == 1
    assert "no generator knows Cardiomegaly" in capsys.readouterr().err
    assert run("sample", *flags, "--weights=aachen=1") == 1
    assert "--weights wants a positive number for each of aachen, bonn" in capsys.readouterr().err
