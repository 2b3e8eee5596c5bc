"""Sheets of what classifiers see, as typed, with a small network in the place of DenseNet-121."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny_classifiers
from PIL import Image
from tiny_classifiers import layered_backbone  # noqa: F401

from pgan import results
from pgan.data import labels, phantom, record_plan, record_set, record_writer, splits

_ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "phantom"
    images = list(phantom.read(120, seed=3, size=32))
    plan = record_plan.make_plan(
        images, labels.NIH_14, 32, source="phantom", origin="phantom",
        split=splits.draw(images, 8, {"train": 0.25, "val": 0.25, "test": 0.5}),
    )  # fmt: skip
    record_writer.write_record_set(folder, plan, progress=False)
    return record_set.RecordSet.open(folder)


@pytest.fixture
def common(records, tmp_path, layered_backbone):  # noqa: F811
    folder = tiny_classifiers.save_untrained(tmp_path / "real", ("Mass", "Effusion"), (2.0, 0.0))
    return [
        f"--run={folder}", f"--records={records.path}", "--finding=Effusion",
        f"--output={tmp_path / 'out'}",
    ]  # fmt: skip


def test_sheets_and_rows_of_two_classifiers(run_tool, common, records, tmp_path, capsys):
    second = tiny_classifiers.save_untrained(tmp_path / "more", ("Effusion",), (0.5,), seed=2)
    arguments = (*common, f"--run2={second}", "--fold=all")
    assert run_tool("explain_classifier", *arguments, "--count=5", "--seed=4") == 0
    output = tmp_path / "out"
    assert "real: of " in (printed := capsys.readouterr().out) and "pointing ratio" in printed
    rows = results.read(output / "results.jsonl")
    images = [row for row in rows if row["name"] == "explanation"]
    assert len(images) == 5 and all(row["label"] == 1 for row in images)
    assert [row["sheet"] for row in images] == ["sheet_01.png"] * 4 + ["sheet_02.png"]
    assert {row["fold"] for row in rows} == {"all"} and rows[0]["seed"] == 4
    assert rows[0]["records_fingerprint"] == records.fingerprint
    assert [r["classifier"] for r in rows if r["name"] == "pointing"] == ["real", "more"]
    for name in ("sheet_01.png", "sheet_02.png"):
        sheet = np.asarray(Image.open(output / name).convert("RGB")).astype(int)
        # The region's outline, and the two colours of the difference.
        assert ((abs(sheet - (0, 255, 102))).sum(-1) < 60).sum() > 50
        assert np.ptp(sheet, axis=-1).max() > 100
    # The same seed draws the same images; fewer are the first of more; old sheets go.
    names = [row["image_id"] for row in images]
    assert run_tool("explain_classifier", *arguments, "--count=3", "--seed=4") == 0
    again = results.read(output / "results.jsonl")
    assert [row["image_id"] for row in again if row["name"] == "explanation"] == names[:3]
    assert sorted(path.name for path in output.iterdir()) == ["results.jsonl", "sheet_01.png"]


def test_named_images_against_and_for_the_finding_on_one_scale(run_tool, common, records, tmp_path):
    names = records.record_ids("test")[:2]
    arguments = ("--choose=ids", f"--ids={names[1]},{names[0]}", "--norelu", "--scale=common")
    assert run_tool("explain_classifier", *common, *arguments, "--layer=late") == 0
    rows = results.read(tmp_path / "out" / "results.jsonl")
    assert [row["image_id"] for row in rows[:2]] == names[::-1]
    assert rows[0]["classifiers"][0]["layer_size"] == [4, 4] and rows[0]["overlap"] is None
    assert (rows[0]["relu"], rows[0]["scale"], rows[0]["seed"]) == (False, "common", None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--finding=Hernia",), "real: it judges Mass, Effusion, not 'Hernia'"),
        (("--finding=Mass",), "there is no true positive"),
        (("--choose=false_negative",), "there is no false negative"),
        (("--choose=ids",), "--choose=ids and --ids=NAME,NAME go together"),
        (("--ids=a",), "--choose=ids and --ids=NAME,NAME go together"),
        (("--choose=ids", "--ids=a"), "has no image 'a'"),
        (("--fold=trian",), "has no fold 'trian'"),
        (("--layer=relu",), "its layers are early (8 x 8), late (4 x 4)"),
        (("--run=/nowhere",), "/nowhere holds no trained classifier"),
        (("--run2=/nowhere",), "/nowhere holds no trained classifier"),
        (("--records=/nowhere",), "no record set /nowhere"),
    ],
)
def test_bad_input_is_answered(run_tool, common, capsys, tmp_path, changes, message):
    assert run_tool("explain_classifier", *common, *changes) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_classifiers_and_records_of_other_sizes_and_vocabularies(
    run_tool, common, records, tmp_path, capsys
):
    large = tiny_classifiers.save_untrained(tmp_path / "large", ("Effusion",), (0.5,), 64)
    assert run_tool("explain_classifier", *common, f"--run={large}") == 1
    assert "has no r0064 shards" in capsys.readouterr().err
    assert run_tool("explain_classifier", *common, f"--run2={large}") == 1
    assert "compare classifiers of one resolution" in capsys.readouterr().err
    other = tiny_classifiers.save_untrained(tmp_path / "other", ("Fracture",), (0.5,))
    assert run_tool("explain_classifier", *common, f"--run2={other}") == 1
    assert "other: it judges Fracture, not 'Effusion'" in capsys.readouterr().err
    assert run_tool("explain_classifier", *common, f"--run={other}", "--finding=Fracture") == 1
    assert "These findings are not labelled: Fracture" in capsys.readouterr().err


@pytest.mark.slow
def test_in_a_process_of_its_own_with_densenet(records, tmp_path):
    folder = tiny_classifiers.save_untrained(tmp_path / "real", ("Effusion",), (0.0,))
    command = [
        sys.executable, _ROOT / "tools/explain_classifier.py", f"--run={folder}", "--count=2",
        f"--records={records.path}", "--finding=Effusion", f"--output={tmp_path / 'out'}",
    ]  # fmt: skip
    subprocess.run(command, check=True, cwd=_ROOT)
    rows = results.read(tmp_path / "out" / "results.jsonl")
    assert rows[0]["classifiers"][0]["layer"] == "pool2_relu"
