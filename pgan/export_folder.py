"""Folders of exports in the layout of TensorFlow Serving, whatever kind of model is exported.

    <output>/<name>/<version>/saved_model.pb, variables/
                              assets/model_card.json, findings.txt
                              assets.extra/tf_serving_warmup_requests
    <output>/models.config                                  all exports of the folder

A version is written under a hidden name, which servers do not load, checked in a fresh process and
renamed. It is never changed.
"""

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from pgan import export_check, model_card, run_folder

_WARMUP = "assets.extra/tf_serving_warmup_requests"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")

# The inputs of a signature by name.
Inputs = Mapping[str, np.ndarray]


class ExportError(RuntimeError):
    """An export does not do what the model does, or cannot be loaded."""


def choose_version(output_dir: str | os.PathLike, name: str, version: int | None) -> int:
    """Number of a new version.

    Args:
        output_dir: Folder of exports.
        name: Name of the model.
        version: A number from 1; None is the one after the highest there is.

    Raises:
        ValueError: If the name or version cannot be used.
        FileExistsError: If there is that version already.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"--name must begin with a letter, then letters, digits, '.', '_' or '-'; got {name!r}"
        )
    folder = pathlib.Path(output_dir) / name
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


def fingerprint(facts: Mapping[str, Any], weights: Iterable[tf.Variable]) -> str:
    """Hex SHA-256 of what a model computes with: the same whatever its name and version.

    Args:
        facts: JSON types that decide, beside the weights, what it answers.
        weights: All of them, in an order that is always the same.

    Raises:
        ExportError: If weights are not finite.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for variable in weights:
        values = variable.numpy()
        if not np.isfinite(values).all():
            raise ExportError(f"the weights {variable.name} of the run are not finite")
        digest.update(repr(values.shape).encode() + values.tobytes())
    return digest.hexdigest()


def complete_card(
    kind: model_card.Kind, name: str, version: int, model_license: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """A model card: its head, what is known about the model, licence, date and software.

    Args:
        kind: What is exported.
        name: Name of the model.
        version: Of the export.
        model_license: Terms under which the model is passed on.
        facts: JSON types, with "fingerprint" and "findings" among them.
    """
    return {
        "format": kind.format,
        "format_version": kind.format_version,
        "name": name,
        "version": version,
        **facts,
        "license": model_license,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "software": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
        },
    }


def write(
    output_dir: str | os.PathLike,
    card: dict[str, Any],
    module: tf.Module,
    signatures: Mapping[str, Any],
    warmup: Mapping[str, Inputs],
    check: Callable[[pathlib.Path], float],
) -> tuple[pathlib.Path, float]:
    """Writes an export, which gets its name when it has passed a check, and models.config.

    Args:
        output_dir: Folder of exports.
        card: Of the model, with its name and version, from `complete_card`.
        module: Object to save.
        signatures: Its signatures by name.
        warmup: A request for every signature, see `write_warmup`.
        check: Looks at the unfinished folder, raises ExportError, or returns a deviation.

    Returns:
        Folder of the export, and what the check returned.

    Raises:
        ExportError: If the check does.
        OSError: If it cannot be written.
    """
    name, version = card["name"], card["version"]
    folder = pathlib.Path(output_dir) / name
    final, beside = folder / str(version), folder / f".unfinished-{version}"
    shutil.rmtree(beside, ignore_errors=True)  # Of an export that was killed.
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tf.saved_model.save(module, str(beside), signatures=dict(signatures))
        (beside / _WARMUP).parent.mkdir()
        write_warmup(str(beside / _WARMUP), name, warmup)
        model_card.write(beside, card)
        deviation = check(beside)
        os.rename(beside, final)
    except tf.errors.OpError as error:
        raise OSError(f"{final} could not be written: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    run_folder.write_atomically(
        pathlib.Path(output_dir) / "models.config", models_config(output_dir)
    )
    return final, deviation


def write_warmup(path: str, name: str, requests: Mapping[str, Inputs]) -> None:
    """Writes the requests that TensorFlow Serving runs before it announces a model as available.

    Args:
        path: The file, `assets.extra/tf_serving_warmup_requests` of the export.
        name: Name of the model.
        requests: Inputs by signature.
    """
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())


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


def answers_of_fresh_process(
    folder: pathlib.Path, requests: Sequence[tuple[str, Inputs]]
) -> list[dict[str, np.ndarray]]:
    """Runs an export in a new process, on the CPU and without this project.

    Args:
        folder: The export.
        requests: Signature and inputs of each.

    Returns:
        The outputs of each request by name.

    Raises:
        ExportError: If it cannot be loaded or run.
    """
    arrays = {
        f"{number}.{signature}.{name}": value
        for number, (signature, inputs) in enumerate(requests)
        for name, value in inputs.items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        paths = [os.path.join(scratch, name) for name in ("inputs.npz", "outputs.npz")]
        np.savez(paths[0], **arrays)
        result = subprocess.run(
            [sys.executable, "-I", export_check.__file__, str(folder.absolute()), *paths],
            cwd=scratch,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise ExportError(f"a fresh process cannot use the export:\n{result.stderr[-2000:]}")
        answers: list[dict[str, np.ndarray]] = [{} for _ in requests]
        with np.load(paths[1]) as outputs:
            for key, value in outputs.items():
                number, name = key.split(".")
                answers[int(number)][name] = value
    return answers
