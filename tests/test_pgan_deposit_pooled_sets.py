"""Sets of several generators: who draws what, labels, provenance, going on after an end."""

import csv
import dataclasses

import numpy as np
import pytest
import tiny_deposits

from pgan import label_plan, synthesis
from pgan.data import record_access, record_set
from pgan.deposit import ledger, pooled_sets, pooled_writer, storage

FINDINGS = tiny_deposits.FINDINGS  # Mass, Hernia


@pytest.fixture(scope="module")
def deposit(tmp_path_factory):
    """Two sites with the same findings, one with a finding less under another case."""
    folder = tmp_path_factory.mktemp("deposit")
    deposit = storage.Deposit(folder / "deposit")
    exports = {
        "aachen": tiny_deposits.export(folder / "a"),
        "bonn": tiny_deposits.export(folder / "b", version=2),
        "celle": tiny_deposits.export(folder / "c", "mass", ("mass",)),
    }
    for site, path in exports.items():
        new, _ = deposit.submit(site, path, show_progress=False)
        deposit.record(new, ledger.ADMITTED, {"reasons": [], "flags": []})
    return deposit


@pytest.fixture(scope="module")
def members(deposit):
    return pooled_sets.load(deposit, deposit.submissions())


def _order(members, count=12, findings=FINDINGS, seed=3, **more):
    plan = label_plan.one_finding_each(findings)
    return pooled_sets.Order(members, findings, plan, count, seed, **more)


def test_equal_shares_and_shares_by_weight():
    rows, knows = np.eye(2, dtype=np.float32)[np.arange(12) % 2], np.ones((3, 2), bool)
    owners = pooled_sets.deal_out(rows, FINDINGS, knows, [1, 1, 1])
    assert np.bincount(owners).tolist() == [4, 4, 4]
    owners = pooled_sets.deal_out(rows, FINDINGS, knows, [1, 2, 3])
    assert np.bincount(owners).tolist() == [2, 4, 6]


def test_nobody_is_asked_for_what_it_does_not_know():
    rows = np.array([[1, 0]] * 6 + [[0, 1]] * 3 + [[0, 0]] * 3, np.float32)
    knows = np.array([[True, False], [True, True]])
    owners = pooled_sets.deal_out(rows, FINDINGS, knows, [1, 1])
    assert (owners[6:9] == 1).all() and np.bincount(owners).tolist() == [6, 6]
    # Shares give way where findings demand it.
    owners = pooled_sets.deal_out(rows[6:9], FINDINGS, knows, [5, 1])
    assert owners.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="no generator knows Hernia"):
        pooled_sets.deal_out(rows, FINDINGS, knows[:1], [1])


def test_images_are_those_of_their_generator_and_unknown_findings_stay_unknown(members):
    order = _order(members)
    images = list(order.draw(np.arange(12)))
    assert set(order.owners) == {0, 1, 2}
    for index, owner in enumerate(order.owners):
        generator = members[owner].generator
        wanted = [1.0] if owner == 2 else np.eye(2, dtype=np.float32)[index % 2]
        alone = generator.sample(np.array([wanted], np.float32), 3, index)
        np.testing.assert_array_equal(images[index], alone[0])
        assert np.isnan(order.labels[index, 1]) == (owner == 2)
        assert order.labels[index, 0] == (index % 2 == 0)


def test_a_set_is_written_with_its_provenance_and_continued(members, tmp_path):
    order = _order(members)
    output = tmp_path / "pooled"
    assert pooled_writer.write(order, output, progress=False).drawn == 12
    records = record_set.RecordSet.open(output)
    assert records.findings == FINDINGS and records.manifest["origin"] == "synthetic"
    with open(output / pooled_writer.PROVENANCE, newline="") as file:
        rows = {row["record_id"]: row for row in csv.DictReader(file)}
    images = dict(zip(range(12), order.draw(np.arange(12)), strict=True))
    read = record_access.ImageReader(records, 16, "all").read(range(12))
    facts = zip(records.record_ids(), records.extras(), records.label_matrix(), strict=True)
    for place, (name, extras, labels) in enumerate(facts):
        row = rows[name]
        member = next(m for m in members if m.submission.id == row["submission"])
        assert extras["group"] == row["site"] == member.submission.site
        assert row["submission_sha256"] == member.submission.sha256
        assert row["seed"] == "3" and name.startswith(row["generator_fingerprint"][:12])
        np.testing.assert_array_equal(read[place], images[int(row["index"])])
        texts = ["" if np.isnan(value) else f"{value:g}" for value in labels]
        assert [row[finding] for finding in FINDINGS] == texts
    assert (output / "sheet.png").exists()
    shown = records.manifest["provenance"]["generators"]
    assert {one["submission"]: one["images"] for one in shown} == order.counts()
    assert pooled_writer.write(order, output, progress=False).drawn == 0
    (output / records.shard_paths(16)[0]).unlink()
    assert pooled_writer.write(order, output, progress=False).drawn == 12
    with pytest.raises(ValueError, match="other settings"):
        pooled_writer.write(_order(members, seed=4), output, progress=False)


def test_images_are_reduced_on_demand(members, tmp_path):
    pooled_writer.write(_order(members, 6, resolution=8), tmp_path / "small", progress=False)
    assert record_set.RecordSet.open(tmp_path / "small").max_resolution == 8
    with pytest.raises(ValueError, match="from 4 to 16"):
        _order(members, resolution=32)


def test_the_newest_admitted_of_each_site_is_taken(deposit):
    old, *others = deposit.submissions()
    newer = dataclasses.replace(old, id="aachen/chest/9")
    rejected = dataclasses.replace(
        newer, id="aachen/chest/10", decision={"event": "rejected", "reasons": ["too blurred"]}
    )
    there = [old, newer, *others, rejected]
    assert pooled_sets.newest_admitted(there) == [newer, *others]
    assert pooled_sets.newest_admitted(there, [old]) == [old]
    with pytest.raises(ValueError, match="aachen/chest/10 is rejected, not admitted: too blurred"):
        pooled_sets.newest_admitted(there, [rejected])
    with pytest.raises(ValueError, match="no submission is admitted"):
        pooled_sets.newest_admitted([rejected])


def test_shares_of_unknown_sites_and_mixed_preparations_are_refused(deposit, monkeypatch):
    there = deposit.submissions()
    with pytest.raises(ValueError, match="--weights wants .* aachen, bonn, celle"):
        pooled_sets.load(deposit, there, {"aachen": 1.0, "ulm": 2.0})

    def prepared(one, geometry):
        records = one.facts["training_records"] | {"preparation": {"geometry": geometry}}
        return dataclasses.replace(one, facts=one.facts | {"training_records": records})

    mixed = [prepared(there[0], "pad"), prepared(there[1], "crop")]
    monkeypatch.setattr(synthesis, "load", None)  # Refused before anything is loaded.
    with pytest.raises(ValueError, match="prepared in several ways"):
        pooled_sets.load(deposit, mixed)


def test_label_rows_of_records_in_another_vocabulary(phantom_records):
    plan = pooled_sets.rows_of_records(phantom_records.path, "train", ("Mass", "Fracture"))
    column = phantom_records.findings.index("Mass")
    np.testing.assert_array_equal(
        plan.rows[:, 0], phantom_records.condition_matrix("train")[:, column]
    )
    assert not plan.rows[:, 1].any()
