"""Submitting: what is taken in, what is refused, and what is noticed later."""

import json
import os
import stat

import pytest
import tensorflow as tf
import tiny_deposits

from pgan import model_card
from pgan.audit import planted
from pgan.deposit import graph_check, ledger, storage, submission_check

RefusedError = graph_check.RefusedError


@pytest.fixture(autouse=True)
def never_loaded(monkeypatch):
    def load(*arguments, **settings):
        raise AssertionError("a SavedModel was loaded")

    monkeypatch.setattr(tf.saved_model, "load", load)


@pytest.fixture
def exported(tmp_path):
    return tiny_deposits.export(tmp_path / "exports")


@pytest.fixture
def deposit(tmp_path):
    return storage.Deposit(tmp_path / "deposit")


def _submit(deposit, path, site="aachen", **more):
    return deposit.submit(site, path, show_progress=False, **more)


def test_a_submission_is_a_whole_copy_with_checksums(deposit, exported, tmp_path):
    claims = tiny_deposits.claim(tmp_path / "evaluation", exported, value=0.5)
    found = {
        "suspects": [{"image": 3, "record": "patient-of-the-site", "near": 9.0}],
        "verdict": {"failed_controls": [], "found": {"copies": ["1 of 1,000"]}},
    }
    audit = tiny_deposits.audit(tmp_path / "audit", exported, **found)
    new, is_new = _submit(deposit, exported, evaluation=claims, audit=audit)
    assert is_new and new.id == "aachen/chest/1" and new.status == ledger.SUBMITTED
    folder = deposit.path / "sites" / "aachen" / "chest" / "1"
    copied = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert copied == set(new.files) and {"claims.jsonl", "audit.json"} < copied
    for path in (p for p in exported.rglob("*") if p.is_file()):
        copy = folder / "generator" / path.relative_to(exported)
        assert copy.read_bytes() == path.read_bytes()
        assert not copy.stat().st_mode & stat.S_IWUSR
    assert [p.name for p in (deposit.path / "sites/aachen").iterdir()] == ["chest"]
    assert new.claims[0]["value"] == 0.5 and new.audit["count"] == 1000
    assert new.audit["found"] == {
        "copies": ["1 of 1,000 synthetic images are suspected copies of training images"]
    }
    # Names of a site's records are nobody else's business.
    assert "patient-of-the-site" not in (folder / "audit.json").read_text()
    assert deposit.submissions() == [new]
    with deposit.opened(new) as private:
        assert (private / "generator" / "saved_model.pb").exists()


def test_the_same_again_changes_nothing_and_another_content_is_refused(deposit, exported):
    first, _ = _submit(deposit, exported)
    again, is_new = _submit(deposit, exported)
    assert again == first and not is_new and len(deposit.ledger.read()) == 1
    with open(exported / submission_check.DATA, "r+b") as file:
        file.write(b"other")
    tiny_deposits.sign(exported)
    with pytest.raises(FileExistsError, match=r"never changed.*--version=2"):
        _submit(deposit, exported)
    other, is_new = _submit(deposit, exported, site="bonn")
    assert is_new and other.id == "bonn/chest/1"


def _link(path):
    (path / "assets/findings.txt").unlink()
    (path / "assets/findings.txt").symlink_to("/etc/hostname")


def _linked_folder(path):
    os.rename(path / "variables", path.parent / "elsewhere")
    (path / "variables").symlink_to(path.parent / "elsewhere")


def _damaged(path):
    with open(path / submission_check.DATA, "r+b") as file:
        file.write(b"other")


def _truncated(path):
    os.truncate(path / submission_check.DATA, 100)


def _truncated_and_signed(path):
    _truncated(path)
    tiny_deposits.sign(path)


def _sparse(path):
    os.truncate(path / "variables/variables.index", 2**30)  # Takes no space.


@pytest.mark.parametrize(
    "change, message",
    [
        (_link, "assets/findings.txt is a symbolic link"),
        (_linked_folder, "variables is a symbolic link"),
        (_damaged, "has been changed or damaged"),
        (_truncated, "has been changed or damaged"),
        (_truncated_and_signed, "their file has 100"),
        (_sparse, "variables.index has 1,073,741,824 bytes"),
        (lambda p: (p / "saved_model.pbtxt").write_text("x"), "saved_model.pbtxt does not belong"),
        (lambda p: (p / "keras_metadata.pb").write_text("x"), "keras_metadata.pb does not belong"),
        (lambda p: (p / "assets/code.py").write_text("x"), "assets/code.py does not belong"),
        (lambda p: (p / "more").mkdir(), "the folder more does not belong"),
        (lambda p: os.mkfifo(p / "pipe"), "pipe is no ordinary file"),
        (lambda p: (p / "saved_model.pb").unlink(), "lacks saved_model.pb"),
        (lambda p: (p / model_card.CARD).write_text("{"), "no JSON file"),
        (lambda p: (p / model_card.CARD).write_text("[1]"), "no JSON object"),
        (lambda p: tiny_deposits.sign(p, format="pgan classifier"), "'pgan classifier'"),
        (lambda p: tiny_deposits.sign(p, name="../../etc"), "no proper name"),
        (lambda p: tiny_deposits.sign(p, files={"../x": "0" * 64}), "lists other files"),
        (lambda p: tiny_deposits.sign(p, findings=["Mass", "mass"]), "no proper findings"),
        (lambda p: tiny_deposits.sign(p, findings=["Mass", "\x1b[2J"]), "no proper findings"),
        (lambda p: tiny_deposits.sign(p, findings=["Mass", "Nodule"]), "names other findings"),
        (lambda p: tiny_deposits.sign(p, findings=[]), "has no findings"),
        (lambda p: tiny_deposits.sign(p, resolution=32), "not what the card says"),
        (lambda p: tiny_deposits.sign(p, training_records={}), "no proper training_records"),
    ],
)
def test_a_bad_folder_is_refused_and_leaves_nothing(deposit, exported, change, message):
    change(exported)
    with pytest.raises(RefusedError, match=message):
        _submit(deposit, exported)
    left = {path.name for path in deposit.path.rglob("*")}
    assert left <= {"deposit.json", "ledger.jsonl", "sites"}


def test_a_refusal_is_noted_in_the_ledger(deposit, exported, tmp_path):
    good, _ = _submit(deposit, exported)
    bad = tiny_deposits.export(tmp_path / "bad")
    _link(bad)
    with pytest.raises(RefusedError):
        _submit(deposit, bad, site="bonn")
    row = deposit.ledger.read()[-1]
    assert row["event"] == ledger.REFUSED and row["site"] == "bonn"
    assert "symbolic link" in row["reasons"][0]
    assert deposit.submissions() == [good]


def test_claims_and_audits_of_others_are_refused(deposit, exported, tmp_path):
    other = {"generator_fingerprint": "0" * 64}
    claims = tiny_deposits.claim(tmp_path / "evaluation", exported, **other)
    with pytest.raises(RefusedError, match="no number of the generator chest/1"):
        _submit(deposit, exported, evaluation=claims)
    facts = {"count": 1000, "generator_run": "x", "train_fingerprint": "b" * 64}
    audit = tiny_deposits.audit(tmp_path / "of_a_run", exported, facts=facts)
    with pytest.raises(RefusedError, match="--export"):
        _submit(deposit, exported, audit=audit)
    broken = tiny_deposits.audit(tmp_path / "broken", exported, verdict=None)
    endless = tiny_deposits.audit(tmp_path / "endless", exported, count=1e999)
    for audit in (broken, endless):
        with pytest.raises(RefusedError, match="no report of tools/audit_privacy.py"):
            _submit(deposit, exported, audit=audit)
    with pytest.raises(FileNotFoundError, match="no file"):
        _submit(deposit, exported, audit=tmp_path / "nowhere")


def _planted(**changes):
    rows = {kind: {"count": 20, "caught": 20, "passed": True} for kind in planted.KINDS}
    rows["noise"] |= changes
    return rows


_MISSED = {"low": 0.4, "high": 0.6}
_TAMPERED = {
    "missed copies that it calls caught": ({"planted": _planted(caught=15)}, "controls"),
    "a lower share that it requires": (
        {"planted": _planted(caught=15, required=0.1)},
        "controls",
    ),
    "a control that was not caught": (
        {"control": {"caught": 47, "passed": True, "attack": {"auc_interval": {"low": 0.9}}}},
        "controls",
    ),
    "a control of fewer images": (
        {"control": {"caught": 1, "drawn": 2, "attack": {"auc_interval": {"low": 0.9}}}},
        "controls",
    ),
    "a control whose membership was not seen": (
        {"control": {"caught": 96, "attack": {"auc": 0.5, "auc_interval": _MISSED}}},
        "controls",
    ),
    "suspects that it does not tell": ({"suspects": [{"image": 3, "record": "x"}]}, "copies"),
    "images near to training patients": (
        {"distances": {"ssim": {"preference": {"share": 0.9, "p_value": 1e-4}}}},
        "distances",
    ),
    "membership that it does not tell": (
        {
            "attacks": [
                {"name": "x", "auc": 0.9, "auc_interval": {"low": 0.8, "high": 1.0}}
                | {"tpr": None, "tpr_interval": None}
            ]
        },
        "membership",
    ),
}


@pytest.mark.parametrize("name", _TAMPERED)
def test_an_audit_is_judged_by_its_numbers_and_not_by_its_verdict(
    deposit, exported, tmp_path, name
):
    changes, kind = _TAMPERED[name]
    audit = tiny_deposits.audit(tmp_path / "audit", exported, **changes)
    wanted = rf"own verdict \(nothing\) is not that of its numbers \({kind}\)"
    with pytest.raises(RefusedError, match=wanted):
        _submit(deposit, exported, audit=audit)
    assert {path.name for path in deposit.path.rglob("*")} <= {
        "deposit.json",
        "ledger.jsonl",
        "sites",
    }
    verdict = {"failed_controls": [], "found": {kind: ["as found"]}}
    if kind == "controls":
        verdict = {"failed_controls": ["as found"], "found": {}}
    audit = tiny_deposits.audit(tmp_path / "honest", exported, **changes, verdict=verdict)
    new, _ = _submit(deposit, exported, audit=audit)
    assert new.audit["failed_controls"] if kind == "controls" else new.audit["found"][kind]


@pytest.mark.parametrize("part", ["planted", "control", "distances", "attacks", "copies_px"])
def test_an_audit_without_its_measurements_is_none(deposit, exported, tmp_path, part):
    path = tiny_deposits.audit(tmp_path / "audit", exported) / "report.json"
    report = json.loads(path.read_text())
    empty = {**report, part: [] if part == "attacks" else {}}
    missing = {name: value for name, value in report.items() if name != part}
    for content in (missing,) if part == "control" else (missing, empty):
        path.write_text(json.dumps(content))
        with pytest.raises(RefusedError, match="no report of tools/audit_privacy.py"):
            _submit(deposit, exported, audit=path)


@pytest.mark.parametrize("site", ["", "Aachen", "../x", "a/b", ".hidden"])
def test_a_name_that_is_no_site_is_refused(deposit, exported, site):
    with pytest.raises(ValueError, match="--site is"):
        _submit(deposit, exported, site=site)


def test_what_is_changed_in_the_deposit_is_noticed_at_use(deposit, exported):
    new, _ = _submit(deposit, exported)
    folder = deposit.path / "sites" / new.id / "generator"
    file = folder / submission_check.DATA
    content = file.read_bytes()
    for path in folder.rglob("*"):
        path.chmod(0o755)
    file.write_bytes(b"other" + content[5:])
    tiny_deposits.sign(folder)  # Whoever changed it also knows about the card.
    with pytest.raises(RefusedError, match="changed since it was submitted"):
        with deposit.opened(new):
            pass
    (folder / "saved_model.pbtxt").write_text("x")
    with pytest.raises(RefusedError, match="does not belong"):
        with deposit.opened(new):
            pass


def test_a_ledger_that_was_changed_is_noticed(deposit, exported):
    new, _ = _submit(deposit, exported)
    deposit.record(new, ledger.REJECTED, {"reasons": ["bad"], "flags": []})
    deposit.record(new, ledger.ADMITTED, {"reasons": [], "flags": []})
    assert [one.status for one in deposit.submissions()] == [ledger.ADMITTED]
    path = deposit.ledger.path
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2]]) + "\n")
    with pytest.raises(ValueError, match="entry 2 does not follow"):
        deposit.submissions()
    row = json.loads(lines[0])
    row["facts"]["resolution"] = 1024
    path.write_text("\n".join([json.dumps(row), *lines[1:]]) + "\n")
    with pytest.raises(ValueError, match="entry 2 does not follow"):
        deposit.submissions()


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "aachen/../../../../etc/x/1"},
        {"id": "/etc/chest/1"},
        {"id": "bonn/chest/1"},
        {"id": "aachen/chest/1/x"},
        {"id": 7},
        {"event": "admitted", "id": "aachen/other/1"},
    ],
)
def test_a_line_that_somebody_added_cannot_name_other_places(deposit, exported, changes):
    """Whoever may submit may add lines to the ledger, and its chain of checksums has no secret."""
    new, _ = _submit(deposit, exported)
    row = deposit.ledger.read()[0]
    deposit.ledger.append(row["event"], {**row, **changes})
    with pytest.raises(ValueError, match="entry 2 is none that this program writes"):
        deposit.submissions()


def test_a_line_that_was_cut_off_by_a_kill_does_no_harm(deposit, exported):
    new, _ = _submit(deposit, exported)
    with open(deposit.ledger.path, "a") as file:
        file.write('{"event": "admi')
    deposit.record(new, ledger.ADMITTED, {"reasons": [], "flags": []})
    assert deposit.submissions()[0].status == ledger.ADMITTED


def test_a_submission_that_was_killed_is_made_again(deposit, exported):
    _submit(deposit, exported)
    folder = deposit.path / "sites/aachen"
    (folder / ".unfinished-old").mkdir()
    deposit.ledger.path.unlink()  # As if killed between renaming and the ledger.
    new, is_new = _submit(deposit, exported)
    assert is_new and deposit.submissions() == [new]
    assert [p.name for p in folder.iterdir()] == ["chest"]


def test_names_are_looked_up_and_unknown_ones_answered(deposit, exported):
    with pytest.raises(ValueError, match="is no deposit"):
        deposit.submissions()
    new, _ = _submit(deposit, exported)
    for name in ("aachen", "aachen/chest", "aachen/chest/1"):
        assert deposit.find(name) == [new]
    with pytest.raises(ValueError, match="no site 'bonn'; its sites are: aachen"):
        deposit.find("bonn")
    with pytest.raises(ValueError, match="it has aachen/chest/1"):
        deposit.find("aachen/chest/2")
    (deposit.path.parent / "other").mkdir()
    (deposit.path.parent / "other" / "file").write_text("x")
    with pytest.raises(ValueError, match="holds no deposit"):
        _submit(storage.Deposit(deposit.path.parent / "other"), exported)
