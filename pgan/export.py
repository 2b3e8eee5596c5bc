"""Writes a run's averaged generator as a SavedModel, in the layout of TensorFlow Serving.

    <output>/<name>/<version>/saved_model.pb, variables/    one stage, float32
                              assets/model_card.json, findings.txt
                              assets.extra/tf_serving_warmup_requests
    <output>/models.config                                  all exports of the folder

A version is written under a hidden name, which servers do not load, checked in a fresh process and
renamed.
"""

import dataclasses
import datetime
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pgan import (
    checkpoints,
    export_check,
    model_card,
    networks,
    plots,
    run_folder,
    serving_graph,
    synthetic_mark,
)

# Largest deviation from the live generator by precision, relative to the largest value of its
# images but at least to 1; half a grey level is 0.004. Another order of a sum can round a 16-bit
# value the other way, and all layers after it see the difference.
TOLERANCES = {"float32": 1e-4, "mixed_bfloat16": 0.1, "mixed_float16": 0.02}

_WARMUP = "assets.extra/tf_serving_warmup_requests"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_CHECKED_IMAGES = 3


class ExportError(RuntimeError):
    """An export does not do what the generator does, or cannot be loaded."""


@dataclasses.dataclass(frozen=True)
class Export:
    """A finished export.

    Attributes:
        path: Its folder.
        card: Its model card.
        deviation: Largest difference of a pixel from the live generator's, in [-1, 1].
        tolerance: Largest that was allowed.
    """

    path: pathlib.Path
    card: dict[str, Any]
    deviation: float
    tolerance: float


def write(
    generator: networks.Generator,
    info: checkpoints.RunInfo,
    output_dir: str | os.PathLike,
    name: str,
    version: int | None = None,
    allow_unfinished: bool = False,
    model_license: str = "not stated",
) -> Export:
    """Exports a generator and proves that the export works.

    Args:
        generator: Averaged generator of a run, from `checkpoints.load_generator`; the export
            computes in its precision.
        info: Where that run stands, from there too.
        output_dir: Folder of exports.
        name: Name of the model.
        version: A number from 1; None is the one after the highest there is.
        allow_unfinished: Whether a run that has not reached its end may be exported, at the
            resolution and fade it has reached.
        model_license: Terms under which the model is passed on, for the model card.

    Raises:
        ValueError: If the name or version cannot be used or the run is unfinished.
        FileExistsError: If there is that version already.
        ExportError: If the weights are not finite, or the saved model fails the check.
        OSError: If it cannot be written.
    """
    _check_run(info, allow_unfinished)
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"--name must begin with a letter, then letters, digits, '.', '_' or '-'; got {name!r}"
        )
    folder = pathlib.Path(output_dir) / name
    version = _choose_version(folder, version)
    # At the end of a fade the level below has no weight left.
    alpha = None if info.alpha is None or info.alpha >= 1.0 else float(info.alpha)
    weights = generator.active_variables(info.level, fading=alpha is not None)
    precision = generator.dtype_policy.name
    card = _model_card(info, alpha, weights, precision, name, version, model_license)
    marks = synthetic_mark.facts(name, version, card["fingerprint"])
    module, signatures = serving_graph.build(generator, info.level, alpha, marks)
    final, beside = folder / str(version), folder / f".unfinished-{version}"
    shutil.rmtree(beside, ignore_errors=True)  # Of an export that was killed.
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tf.saved_model.save(module, str(beside), signatures=signatures)
        inputs = _example_inputs(info)
        (beside / _WARMUP).parent.mkdir()
        serving_graph.write_warmup(str(beside / _WARMUP), name, inputs)
        model_card.write(beside, card)
        deviation = _check_in_fresh_process(beside, generator, info.level, alpha, inputs)
        os.rename(beside, final)
    except tf.errors.OpError as error:
        raise OSError(f"{final} could not be written: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    run_folder.write_atomically(
        pathlib.Path(output_dir) / "models.config", models_config(output_dir)
    )
    return Export(final, card, deviation, TOLERANCES[precision])


def models_config(output_dir: str | os.PathLike, served_from: str = "/models") -> str:
    """Text of the `--model_config_file` of TensorFlow Serving for a folder of exports.

    Args:
        output_dir: The folder.
        served_from: Where the server finds that folder, in its container.
    """
    names = sorted(p.name for p in pathlib.Path(output_dir).iterdir() if model_card.versions(p))
    entries = [
        f'  config {{\n    name: "{name}"\n    base_path: "{served_from}/{name}"\n'
        '    model_platform: "tensorflow"\n'
        "    model_version_policy { latest { num_versions: 1 } }\n  }\n"
        for name in names
    ]
    return "model_config_list {\n" + "".join(entries) + "}\n"


def _check_run(info: checkpoints.RunInfo, allow_unfinished: bool) -> None:
    if info.network.channels != 1:
        raise ValueError(f"only grey generators are exported; this has {info.network.channels}")
    fading = info.alpha is not None and info.alpha < 1.0
    # A checkpoint that was kept as the best is no accident of when the run was looked at.
    chosen = info.best is not None and info.resolution == info.network.resolution
    if allow_unfinished or ((info.finished or chosen) and not fading):
        return
    state = f"{info.images_shown:,} images shown, at {info.resolution} px"
    if fading:
        state += f", {info.alpha:.0%} faded in"
    raise ValueError(
        f"the run is unfinished ({state}). Continue it with tools/train_pgan.py, or give "
        "--allow_unfinished to export what there is"
    )


def _choose_version(folder: pathlib.Path, version: int | None) -> int:
    following = max(model_card.versions(folder), default=0) + 1
    if version is None:
        return following
    if version < 1:
        raise ValueError(f"--version must be at least 1, got {version}")
    if version in model_card.versions(folder):
        raise FileExistsError(
            f"{folder / str(version)} exists, and a version is never changed. Leave out --version "
            f"or give --version={following}"
        )
    return version


def _model_card(
    info: checkpoints.RunInfo,
    alpha: float | None,
    weights: Sequence[tf.Variable],
    precision: str,
    name: str,
    version: int,
    model_license: str,
) -> dict[str, Any]:
    network = info.network
    drawn = {
        "resolution": info.resolution,
        "alpha": alpha,
        "findings": list(network.findings),
        "network": network.to_dict(),
    }
    digest = hashlib.sha256(json.dumps(drawn, sort_keys=True).encode())
    for variable in weights:
        values = variable.numpy()
        if not np.isfinite(values).all():
            raise ExportError(f"the weights {variable.name} of the run are not finite")
        digest.update(repr(values.shape).encode() + values.tobytes())
    return {
        "format": model_card.FORMAT,
        "format_version": model_card.FORMAT_VERSION,
        "name": name,
        "version": version,
        # Same weights and same drawing, same fingerprint, whatever name and version.
        "fingerprint": digest.hexdigest(),
        **drawn,
        "precision": precision,
        "parameters": sum(int(np.prod(variable.shape)) for variable in weights),
        "images_shown": info.images_shown,
        "training_finished": info.finished,
        "kept_as_best": info.best,
        "training_records": info.records,
        "training_settings": info.settings.to_dict(),
        "intended_use": model_card.INTENDED_USE,
        "limits": list(model_card.LIMITS),
        "license": model_license,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "software": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
        },
    }


def _example_inputs(info: checkpoints.RunInfo) -> dict[str, np.ndarray]:
    """Inputs of all signatures for a few images, one finding each."""
    count, network = _CHECKED_IMAGES, info.network
    latents = np.random.default_rng(0).standard_normal((count, network.latent_size))
    return {
        "latents": latents.astype(np.float32),
        "labels": np.eye(count, network.num_labels, dtype=np.float32),
        "seeds": np.full(count, 1, np.int64),
        "indices": np.arange(count, dtype=np.int64),
    }


def _check_in_fresh_process(
    folder: pathlib.Path,
    generator: networks.Generator,
    level: int,
    alpha: float | None,
    inputs: dict[str, np.ndarray],
) -> float:
    """Compares the export, loaded without this project, with the generator; both on the CPU.

    Returns:
        Largest difference in [-1, 1].

    Raises:
        ExportError: If it cannot be loaded or run, or differs by more than the tolerance.
    """
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [os.path.join(scratch, name) for name in ("inputs.npz", "outputs.npz")]
        np.savez(arguments[0], **inputs)
        result = subprocess.run(
            [sys.executable, "-I", export_check.__file__, str(folder.absolute()), *arguments],
            cwd=scratch,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise ExportError(f"a fresh process cannot use the export:\n{result.stderr[-2000:]}")
        with np.load(arguments[1]) as outputs:
            exported = dict(outputs)
    with tf.device("/cpu:0"):
        seeds, indices = tf.constant(inputs["seeds"]), tf.constant(inputs["indices"])
        drawn = serving_graph.latents_of(seeds, indices, generator.config.latent_size)
        live, live_seeds = (
            generator(latents, inputs["labels"], level=level, alpha=alpha).numpy()
            for latents in (tf.constant(inputs["latents"]), drawn)
        )
    deviation = float(np.abs(exported["float_images"] - live).max())
    tolerance = TOLERANCES[generator.dtype_policy.name]
    # Written so that a NaN fails.
    if not deviation <= tolerance * max(1.0, float(np.abs(live).max())):
        raise ExportError(
            f"images of the export differ by {deviation:g} from the generator's, more than "
            f"{tolerance:g}"
        )
    wanted = {"serving_default": plots.to_uint8(live)}
    wanted.update(
        dict.fromkeys(("from_seeds", "one_by_one", "png_from_seeds"), plots.to_uint8(live_seeds))
    )
    for name, images in wanted.items():
        # A value between two grey levels may be rounded either way.
        levels = np.abs(exported[name].astype(int) - images).max()
        if levels > 1 + round(127.5 * tolerance):
            raise ExportError(f"images of {name} differ by {levels} grey levels")
    return deviation
