import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pgan.data import record_reader, record_set

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
)


@pytest.fixture
def collection(tmp_path):
    """Twenty patients with two images of 16 px each."""
    root = tmp_path / "nih"
    (root / "images").mkdir(parents=True)
    rows = []
    for number in range(40):
        name = f"{number // 2:08d}_{number % 2:03d}.png"
        finding = ("No Finding", "Mass", "Mass|Hernia")[number % 3]
        rows.append(f"{name},{finding},{number % 2},{number // 2},{30 + number},F,PA")
        image = np.random.default_rng(number).integers(0, 256, (16, 16)).astype(np.uint8)
        Image.fromarray(image).save(root / "images" / name)
    (root / "Data_Entry_2017.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return root


@pytest.fixture
def build(run_tool, collection, tmp_path):
    def run(*arguments, output="out", source="nih"):
        return run_tool(
            "build_records",
            f"--source={source}",
            f"--input={collection}",
            f"--output={tmp_path / output}",
            "--max_resolution=16",
            f"--key_file={tmp_path / 'key'}",
            "--workers=0",
            *arguments,
        )

    return run


def test_build_again_and_read(build, tmp_path, capsys):
    assert build("--split_seed=1") == 0
    assert "40 images of 20 patients; folds: train 28, val 4, test 8" in capsys.readouterr().out
    records = record_set.RecordSet.open(tmp_path / "out")
    assert records.manifest["origin"] == "real"
    assert records.manifest["split"]["seed"] == 1
    assert records.label_matrix().sum() == 13 + 13 + 13
    (batch,) = record_reader.training_dataset(records, 16, "train", 28, 0).take(1)
    assert batch["labels"].numpy().sum() == records.label_matrix("train").sum()
    assert Image.open(tmp_path / "out" / "samples.png").width > 100
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
    build("--split_seed=1")
    assert "Already complete" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == before


def test_nothing_of_the_source_is_in_the_set(build, tmp_path):
    build()
    content = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert content["key_fingerprint"]
    key = (tmp_path / "key").read_text().strip().encode()
    for path in (tmp_path / "out").rglob("*.*"):
        content = path.read_bytes()
        assert b"00000001_00" not in content and b"/nih" not in content and key not in content


def test_split_depends_on_the_seed_and_not_on_the_key(build, tmp_path):
    folds = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build(f"--split_seed={seed}", f"--key_file={tmp_path / name}.key", output=name)
        records = record_set.RecordSet.open(tmp_path / name)
        # Ages are unique here and are no part of the key's work.
        folds.append({facts["age"] for facts in records.extras("train")})
    assert folds[0] == folds[1] != folds[2]


def test_split_lists(build, collection, tmp_path):
    names = sorted(os.listdir(collection / "images"))
    (tmp_path / "a.txt").write_text("\n".join(names[:32]))
    (tmp_path / "b.txt").write_text("\n".join(names[32:]))
    build(f"--split_lists={tmp_path}/a.txt,{tmp_path}/b.txt", "--split_seed=3")
    records = record_set.RecordSet.open(tmp_path / "out")
    assert records.folds == {"train": 28, "val": 4, "test": 8, "all": 40}


def test_phantoms(run_tool, tmp_path):
    for workers in (0, 1):
        run_tool(
            "build_records", "--source=phantom", "--count=6", "--seed=2", "--max_resolution=8",
            f"--output={tmp_path}/{workers}", f"--workers={workers}",
        )  # fmt: skip
    records = [record_set.RecordSet.open(tmp_path / name) for name in "01"]
    assert records[0].fingerprint == records[1].fingerprint
    assert records[0].manifest["origin"] == "phantom"
    assert records[0].record_ids()[0].startswith("phantom")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--max_resolution=32"], "16x16 px, less than the 32"),
        (["--max_resolution=12"], "power of two"),
        (["--shards=50"], "number of shards"),
        (["--csv=absent.csv"], "no file absent.csv"),
        (["--split_lists=absent.txt,b.txt"], "absent.txt"),
    ],
)
def test_errors_end_the_program_with_a_message(build, tmp_path, capsys, arguments, message):
    assert build(*arguments) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_broken_image_is_named(build, collection, capsys):
    path = collection / "images" / "00000003_001.png"
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    assert build() == 1
    assert f"{path} cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--split_lists=a,b,c", "--split_seed=1"], "nothing to draw"),
        (["--key_file={output}/key"], "outside --output"),
        (["--source=phantom"], "--count"),
        (["stray"], "stray"),
    ],
)
def test_usage(build, tmp_path, capsys, arguments, message):
    arguments = [argument.format(output=tmp_path / "out") for argument in arguments]
    assert build(*arguments) != 0
    assert message in capsys.readouterr().err


def test_help_needs_no_tensorflow():
    code = "import sys, build_records; sys.exit('tensorflow' in sys.modules)"
    tools = os.path.join(os.path.dirname(os.path.dirname(__file__)), "tools")
    assert subprocess.run([sys.executable, "-c", code], cwd=tools).returncode == 0


def test_masking_is_recorded_and_shown_beside_the_set(run_tool, tmp_path, capsys):
    source = tmp_path / "nih"
    arguments = ["--site=nih", "--count=2", "--size=128", "--workers=0", f"--output={source}"]
    assert run_tool("write_phantom_site", *arguments) == 0
    sets = {}
    for name, flag in {"masked": "--mask_markers", "plain": "--nomask_markers"}.items():
        assert (
            run_tool(
                "build_records",
                "--source=nih",
                f"--input={source}",
                f"--output={tmp_path / name}",
                "--max_resolution=128",
                f"--key_file={tmp_path / 'key'}",
                "--workers=0",
                flag,
            )
            == 0
        )
        sets[name] = record_set.RecordSet.open(tmp_path / name)
    assert sets["masked"].manifest["mask_markers"] and not sets["plain"].manifest["mask_markers"]
    sheet = tmp_path / "masked.markers.png"
    assert f"not for sharing: {sheet}" in capsys.readouterr().out
    assert Image.open(sheet).width > 200
    images = [
        np.concatenate(
            [b["images"].numpy() for b in record_reader.evaluation_dataset(s, 128, "all", 2)]
        )
        for s in sets.values()
    ]
    # The lead letter L is gone and the lungs are as they were.
    assert (images[0] != images[1])[:, :30, 100:].any()
    np.testing.assert_array_equal(images[0][:, 40:100, 20:100], images[1][:, 40:100, 20:100])
