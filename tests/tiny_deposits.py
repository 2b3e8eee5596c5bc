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
from tensorflow.core.protobuf import saved_model_pb2

from pgan import config, model_card
from pgan.audit import planted
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


def edit_graph(path: pathlib.Path, change) -> None:
    """Changes the graph of an export, its `MetaGraphDef`, and its card accordingly."""
    content = saved_model_pb2.SavedModel()
    content.ParseFromString((path / "saved_model.pb").read_bytes())
    change(content.meta_graphs[0])
    (path / "saved_model.pb").write_bytes(content.SerializeToString())
    sign(path)


def save_graph(path: pathlib.Path, compute, more=None) -> None:
    """Puts another graph into an export: images are what `compute(labels)` adds to zeros.

    Args:
        path: The export.
        compute: Function of labels float32 [N, 2] to float32, one number.
        more: Further signatures by name, functions of labels to tensors by name.
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
    signatures = {"from_seeds": signature}
    for name, function in (more or {}).items():
        signatures[name] = tf.function(function).get_concrete_function(labels)
    tf.saved_model.save(module, str(path), signatures=signatures)
    for file, content in kept.items():
        file.write_bytes(content)
    sign(path)


def audit(path: pathlib.Path, export_dir: pathlib.Path, count=1000, **changes) -> pathlib.Path:
    """The report of an audit that found nothing, as far as a deposit reads it."""
    card = json.loads((export_dir / model_card.CARD).read_text())
    facts = {
        "count": count,
        "generator_generator_fingerprint": card["fingerprint"],
        "train_fingerprint": card["training_records"]["fold_fingerprint"],
    }
    interval = {"low": 0.45, "high": 0.55}
    report = {
        "facts": facts,
        "copies_px": 16,
        "planted": {kind: {"count": 20, "caught": 20, "passed": True} for kind in planted.KINDS},
        "control": {
            "caught": 90,
            "drawn": 96,
            "passed": True,
            "attack": {"auc": 0.9, "auc_interval": {"low": 0.8, "high": 1.0}},
        },
        "distances": {"ssim": {"preference": {"share": 0.5, "p_value": 0.4}}},
        "attacks": [
            {
                "name": "generator_ssim",
                "auc": 0.5,
                "auc_interval": interval,
                "tpr": None,
                "tpr_interval": None,
            }
        ],
        "suspects": [],
        "verdict": {"failed_controls": [], "found": {}},
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
