"""Writes a run's averaged generator, one stage of it, as a SavedModel; see `export_folder`."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pgan import (
    checkpoints,
    export_folder,
    model_card,
    networks,
    plots,
    serving_graph,
    synthetic_mark,
)

# Largest deviation from the live generator by precision, relative to the largest value of its
# images but at least to 1; half a grey level is 0.004. Another order of a sum can round a 16-bit
# value the other way, and all layers after it see the difference.
TOLERANCES = {"float32": 1e-4, "mixed_bfloat16": 0.1, "mixed_float16": 0.02}

_CHECKED_IMAGES = 3

ExportError = export_folder.ExportError


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
    version = export_folder.choose_version(output_dir, name, version)
    # At the end of a fade the level below has no weight left.
    alpha = None if info.alpha is None or info.alpha >= 1.0 else float(info.alpha)
    weights = generator.active_variables(info.level, fading=alpha is not None)
    precision = generator.dtype_policy.name
    facts = _facts(info, alpha, weights, precision)
    card = export_folder.complete_card(model_card.GENERATOR, name, version, model_license, facts)
    marks = synthetic_mark.facts(name, version, card["fingerprint"])
    module, signatures = serving_graph.build(generator, info.level, alpha, marks)
    inputs = _example_inputs(info)
    warmup = {
        signature: {key: inputs[key][:1] for key in keys}
        for signature, keys in serving_graph.SIGNATURES.items()
    }
    path, deviation = export_folder.write(
        output_dir,
        card,
        module,
        signatures,
        warmup,
        lambda folder: _check_in_fresh_process(folder, generator, info.level, alpha, inputs),
    )
    return Export(path, card, deviation, TOLERANCES[precision])


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
        f"the run is unfinished ({state}). Continue it with the tool that began it, or give "
        "--allow_unfinished to export what there is"
    )


def _facts(
    info: checkpoints.RunInfo, alpha: float | None, weights: Sequence[tf.Variable], precision: str
) -> dict[str, Any]:
    """What the model card says about the generator."""
    network = info.network
    drawn = {
        "resolution": info.resolution,
        "alpha": alpha,
        "findings": list(network.findings),
        "network": network.to_dict(),
    }
    return {
        "fingerprint": export_folder.fingerprint(drawn, weights),
        **drawn,
        "precision": precision,
        "parameters": sum(int(np.prod(variable.shape)) for variable in weights),
        "images_shown": info.images_shown,
        "training_finished": info.finished,
        "kept_as_best": info.best,
        "training_records": info.records,
        "training_settings": info.settings.to_dict(),
        **({"differential_privacy": info.privacy} if info.privacy else {}),
        "intended_use": model_card.INTENDED_USE,
        "limits": list(model_card.LIMITS),
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
    by_latent, by_seed = (
        {key: inputs[key] for key in serving_graph.SIGNATURES[name]}
        for name in ("serving_default", "from_seeds")
    )
    singly = [
        {key: value[i : i + 1] for key, value in by_seed.items()} for i in range(_CHECKED_IMAGES)
    ]
    requests = [
        ("serving_default", by_latent),
        ("float_images", by_latent),
        ("from_seeds", by_seed),
        ("png_from_seeds", by_seed),
        *(("from_seeds", one) for one in singly),
    ]
    answers = export_folder.answers_of_fresh_process(folder, requests)
    exported = {name: answers[i]["images"] for i, (name, _) in enumerate(requests[:3])}
    exported["png_from_seeds"] = np.stack(
        [tf.io.decode_png(file).numpy() for file in answers[3]["image_bytes"]]
    )
    exported["one_by_one"] = np.concatenate([answer["images"] for answer in answers[4:]])
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
