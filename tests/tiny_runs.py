"""Run folders as training leaves them, without training, for the tests of what comes after."""

import dataclasses
import pathlib
import unittest.mock

from pgan import checkpoints, config, export, run_folder, training_step

FINDINGS = ("Mass", "Pleural Thickening", "Hernia")
RECORDS = {
    "name": "tiny",
    "fingerprint": "a" * 64,
    "fold": "train",
    "fold_size": 10,
    "fold_fingerprint": "b" * 64,
}


def settings(**changes) -> config.TrainConfig:
    """A run of 3,000 images: 4 px up to 1,000, fade to 8 px up to 2,000, 8 px to the end."""
    network = config.NetworkConfig(
        resolution=8, findings=FINDINGS, latent_size=8, fmap_base=64, fmap_max=8
    )
    plan = config.ScheduleConfig(stage_kimg="1", fade_kimg="1", total_kimg=3, batch_sizes="8")
    return dataclasses.replace(config.TrainConfig(network=network, schedule=plan), **changes)


def make_run(path: pathlib.Path, images_shown: int = 3000, **changes) -> str:
    """Writes a run folder that stands at some number of images.

    The averaged generator differs from the trained one, which a fresh state does not.

    Returns:
        Path of the folder.
    """
    chosen = settings(**changes)
    state = training_step.TrainingState(chosen)
    for variable in state.averaged.trainable_variables:
        if "bias" in variable.name:
            variable.assign_add(0.05 + 0 * variable)
    state.images_shown.assign(images_shown)
    folder = run_folder.RunFolder(path)
    folder.open(chosen, RECORDS)
    checkpoints.Checkpoints(state, folder.checkpoints, keep=1).save()
    return str(path)


def make_export(folder: pathlib.Path, name: str = "tiny", **changes) -> pathlib.Path:
    """Exports a finished run without the check in a fresh process, which takes seconds.

    Returns:
        Folder of the version.
    """
    generator, info = checkpoints.load_generator(make_run(folder / "run", **changes))
    with unittest.mock.patch.object(export, "_check_in_fresh_process", return_value=0.0):
        return export.write(generator, info, folder / "exports", name).path
