"""tools/export_classifier.py as typed, and tools/evaluate_gan.py with what it writes."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny_exports
from PIL import Image
from tiny_classifiers import tiny_backbone  # noqa: F401

from classifier import export
from pgan import results

_ROOT = pathlib.Path(__file__).parents[1]

# A reader of exports that has nothing of this project, whatever is installed.
_READER = """
import sys
sys.modules.update(dict.fromkeys(("pgan", "classifier", "federated")))
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
file = tf.constant([tf.io.read_file(sys.argv[2]).numpy()])
found = model.signatures["serving_default"](image_bytes=file)
for name, p, decision in zip(
    *(found[key].numpy()[0] for key in ("findings", "probabilities", "decisions"))
):
    print(name.decode(), f"{p:.4f}", decision)
"""


@pytest.fixture
def unchecked(monkeypatch):
    monkeypatch.setattr(export, "_check_in_fresh_process", lambda *arguments: 0.0)


@pytest.mark.slow
def test_the_command_exports_densenet_121_for_a_process_with_tensorflow_only(tmp_path):
    run = tiny_exports.save_classifier(tmp_path / "run")
    command = [
        sys.executable, str(_ROOT / "tools/export_classifier.py"), f"--run={run}",
        f"--output={tmp_path / 'exports'}", "--name=chest",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    # A process of its own: absl's start of a program and TensorFlow's import meet there only.
    printed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    path = tmp_path / "exports" / "chest" / "1"
    assert printed.stdout.endswith(f"export: {path}\n")
    assert "checked in a fresh process: probabilities within" in printed.stdout
    assert "Hernia: no threshold, no decision" in printed.stdout
    file = tmp_path / "chest.png"
    file.write_bytes(tiny_exports.image_files()["colour.png"])
    reader = [sys.executable, "-I", "-c", _READER, str(path), str(file)]
    answers = subprocess.run(reader, capture_output=True, text=True, check=True).stdout.split("\n")
    assert [line.split()[0] for line in answers if line] == list(tiny_exports.FINDINGS)
    assert answers[2].endswith("255")


@pytest.mark.usefixtures("unchecked", "tiny_backbone")
def test_distances_are_measured_by_the_features_of_an_export(run_tool, tmp_path, capsys):
    run = tiny_exports.save_classifier(tmp_path / "run")
    exports = tmp_path / "exports"
    assert run_tool("export_classifier", f"--run={run}", f"--output={exports}", "--name=chest") == 0
    assert "model_config_list" in capsys.readouterr().out
    images = tiny_exports.chests(24)[..., 0]
    for name, part in (("real", images[:12]), ("more", images[12:]), ("gan", 255 - images[12:])):
        (tmp_path / name).mkdir()
        for number, image in enumerate(part):
            Image.fromarray(image).save(tmp_path / name / f"{number:02d}.png")
    flags = [f"--{flag}={tmp_path / name}" for flag, name in (("real", "real"), ("floor", "more"))]
    flags += [f"--synthetic={tmp_path / 'gan'}", f"--output={tmp_path / 'report'}"]
    features = f"--features=saved_model:{exports / 'chest' / '1'}"
    assert run_tool("evaluate_gan", *flags, features) == 0
    rows = results.read(tmp_path / "report" / "results.jsonl")
    distances = {
        row["images"]: row["value"] for row in rows if row["metric"].startswith("fd12_chest_1_")
    }
    assert distances["synthetic"] > 3 * distances["real"] > 0
    assert np.isfinite(list(distances.values())).all()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--run=/nowhere",), "/nowhere holds no trained classifier"),
        (("--geometry=crop",), "were made with --geometry=pad, not crop"),
        (("--name=7",), "--name must begin with a letter"),
        (("--version=0",), "--version must be at least 1, got 0"),
    ],
)
def test_bad_input_is_answered(run_tool, tmp_path, capsys, tiny_backbone, flags, message):  # noqa: F811
    run = tiny_exports.save_classifier(tmp_path / "run")
    common = (f"--run={run}", f"--output={tmp_path / 'exports'}", "--name=chest")
    assert run_tool("export_classifier", *common, *flags) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "exports").exists()
