"""Exports of 16 px, their claims and audits, and deposits of them, for tests."""

import functools
import json
import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf
import tiny_records
import tiny_runs

from pgan import config, model_card
from pgan.data import manifest

FINDINGS = tiny_records.FINDINGS
SCHEDULE = config.ScheduleConfig(stage_kimg="1", fade_kimg="1", total_kimg=6, batch_sizes="8")


def network(findings=FINDINGS, **changes) -> config.NetworkConfig:
    settings = {"resolution": 16, "latent_size": 8, "fmap_base": 64, "fmap_max": 8, **changes}
    return config.NetworkConfig(findings=findings, **settings)


@functools.cache
def _made(name, findings):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tiny_deposits_"))
    settings = {"network": network(findings), "schedule": SCHEDULE}
    return tiny_runs.make_export(folder, name, images_shown=6000, **settings)


def export(folder, name="chest", findings=FINDINGS, version=1) -> pathlib.Path:
    """A copy of an export that was made once in a process; may be changed."""
    path = pathlib.Path(folder) / name / str(version)
    shutil.copytree(_made(name, tuple(findings)), path)
    if version != 1:
        card = json.loads((path / model_card.CARD).read_text())
        sign(path, version=version, fingerprint=f"{version}" + card["fingerprint"][1:])
    return path


def sign(path: pathlib.Path, **changes) -> None:
    """Brings the card of an export that was tampered with up to date, as an attacker would."""
    card = json.loads((path / model_card.CARD).read_text())
    files = [p for p in path.rglob("*") if p.is_file() and p != path / model_card.CARD]
    card["files"] = {str(p.relative_to(path)): manifest.sha256_of_file(p) for p in files}
    (path / model_card.CARD).write_text(json.dumps({**card, **changes}))


def save_graph(path: pathlib.Path, compute) -> None:
    """Puts another graph into an export: images are what `compute(labels)` adds to zeros.

    Args:
        path: The export.
        compute: Function of labels float32 [N, 2] to float32, one number.
    """
    module = tf.Module()
    module.weights = [tf.Variable(1.0)]
    number, labels = tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 2], tf.float32)

    @tf.function
    def from_seeds(seeds, indices, labels):
        value = tf.reduce_sum(labels, axis=1) * module.weights[0] + compute(labels)
        image = tf.reshape(value, [-1, 1, 1, 1]) * np.ones([1, 16, 16, 1], np.float32)
        return {"images": tf.cast(image, tf.uint8)}

    signature = from_seeds.get_concrete_function(seeds=number, indices=number, labels=labels)
    for name in ("saved_model.pb", "fingerprint.pb"):
        (path / name).unlink()
    shutil.rmtree(path / "variables")
    kept = {p: p.read_bytes() for p in (path / "assets").iterdir()}
    tf.saved_model.save(module, str(path), signatures={"from_seeds": signature})
    for file, content in kept.items():
        file.write_bytes(content)
    sign(path)


def audit(path: pathlib.Path, export_dir: pathlib.Path, count=1000, **changes) -> pathlib.Path:
    """The report of an audit that found nothing."""
    card = json.loads((export_dir / model_card.CARD).read_text())
    facts = {
        "count": count,
        "generator_generator_fingerprint": card["fingerprint"],
        "train_fingerprint": card["training_records"]["fold_fingerprint"],
    }
    report = {
        "facts": facts,
        "verdict": {"failed_controls": [], "found": {}},
        "suspects": [{"image": 3, "record": "patient-of-the-site", "near": 1.0}],
        "control": {"passed": True},
        **changes,
    }
    path.mkdir(parents=True)
    (path / "report.json").write_text(json.dumps(report))
    return path


def claim(path: pathlib.Path, export_dir: pathlib.Path, **changes) -> pathlib.Path:
    """A site's evaluation with one number."""
    card = json.loads((export_dir / model_card.CARD).read_text())
    row = {
        "metric": "fd20_fixed",
        "value": 1.0,
        "images": "synthetic",
        "generator_fingerprint": card["fingerprint"],
        "resolution": 16,
        **changes,
    }
    path.mkdir(parents=True)
    (path / "results.jsonl").write_text(json.dumps(row) + "\n")
    return path
