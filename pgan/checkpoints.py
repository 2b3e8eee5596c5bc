"""Saving and restoring a training state, and reading a generator back from a run folder."""

import dataclasses
import json
import logging
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from pgan import config, networks, run_folder, schedule, training_step

_LOG = logging.getLogger(__name__)
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"

_UNREADABLE = (tf.errors.OpError, IndexError)  # IndexError: of a file that was cut off
BEST = "best"  # folder of the checkpoint that the distance monitor keeps


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read."""


class Checkpoints:
    """Numbered checkpoints of a state; the last good one survives a failed write.

    TensorFlow writes a checkpoint's data under temporary names and its index last, so a checkpoint
    with an index is whole; the number is the images shown.
    """

    def __init__(
        self,
        state: training_step.TrainingState,
        directory: pathlib.Path,
        keep: int,
        writes: bool = True,
    ):
        """Looks at the directory.

        Args:
            state: What is saved.
            directory: Folder of the checkpoints.
            keep: How many are kept.
            writes: False for workers other than the chief, which must take part in saving but
                write elsewhere.
        """
        self._state = state
        self._directory = directory
        self._checkpoint = tf.train.Checkpoint(state=state)
        self._scratch = None if writes else tempfile.TemporaryDirectory()
        target = directory if writes else pathlib.Path(self._scratch.name)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(target), keep)

    def save(self) -> str:
        """Saves the state under the number of images shown.

        Raises:
            CheckpointError: If it could not be written; earlier checkpoints are untouched.
        """
        shown = int(self._state.images_shown.numpy())
        try:
            return self._manager.save(checkpoint_number=shown)
        except (tf.errors.OpError, OSError) as error:
            for path in pathlib.Path(self._manager.directory).glob(f"ckpt-{shown}*"):
                _remove(path)
            last = self._manager.latest_checkpoint
            raise CheckpointError(
                f"the checkpoint at {shown} images could not be written: {error}\n"
                f"The last good one is {last}. Free some space on {self._manager.directory}, then "
                "run the same command again."
            ) from error

    def restore(self) -> int:
        """Restores the newest readable checkpoint.

        Returns:
            Images shown, 0 if there is no checkpoint.

        Raises:
            CheckpointError: If there are checkpoints but none can be read.
        """
        paths = list(reversed(_list(self._directory)))
        for path in paths:
            try:
                status = self._checkpoint.restore(path)
                status.assert_existing_objects_matched().assert_consumed()
            except (*_UNREADABLE, AssertionError, ValueError) as error:
                _LOG.warning("checkpoint %s cannot be read: %s", path, _first_line(error))
                continue
            return int(self._state.images_shown.numpy())
        if paths:
            raise CheckpointError(
                f"none of the {len(paths)} checkpoints in {self._directory} can be read; start "
                "anew with another --run_dir"
            )
        return 0


def _list(directory: pathlib.Path) -> list[str]:
    """Prefixes of the whole checkpoints in a folder, oldest first."""
    numbers = sorted(int(path.stem.split("-")[1]) for path in directory.glob("ckpt-*.index"))
    return [str(directory / f"ckpt-{number}") for number in numbers]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        for child in path.iterdir():
            _remove(child)
        path.rmdir()
    else:
        path.unlink()


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """Where a run stands.

    Attributes:
        settings: Its configuration.
        records: Identity of the images it was trained on.
        images_shown: Real images shown.
        finished: Whether it reached its end.
        level: log2 of the resolution at this point.
        alpha: Weight of that resolution in [0, 1]; None when stable.
        best: {"metric", "value"} by which the checkpoint was kept as the best; None if it is the
            newest.
        privacy: What the whole run spent of differential privacy, such as {"epsilon", "delta"};
            empty without.
    """

    settings: config.TrainConfig
    records: dict[str, Any]
    images_shown: int
    finished: bool
    level: int
    alpha: float | None
    best: dict[str, Any] | None = None
    privacy: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def network(self) -> config.NetworkConfig:
        """Shape of the networks."""
        return self.settings.network

    @property
    def resolution(self) -> int:
        """Image size in px at this point."""
        return 2**self.level


def load_generator(
    run_dir: str, best: bool = False, precision: str = "float32"
) -> tuple[networks.Generator, RunInfo]:
    """Reads the averaged generator of a run from its newest readable checkpoint.

    Args:
        run_dir: A run folder of tools/train_pgan.py.
        best: Read the checkpoint with the smallest distance of the monitor instead.
        precision: One of config.PRECISIONS, in which the generator computes, whatever the
            training's.

    Returns:
        The generator, and where the run stood.

    Raises:
        FileNotFoundError: If the folder holds no run or no checkpoint.
        CheckpointError: If no checkpoint can be read.
    """
    folder = run_folder.RunFolder(run_dir)
    settings, records = folder.read()
    generator = networks.Generator(settings.network, seed=settings.seed, dtype=precision)
    place = folder.checkpoints / BEST if best else folder.checkpoints
    paths, kept = _list(place), None
    if best:
        if not (place / "best.json").exists():
            raise FileNotFoundError(
                f"{run_dir} has kept no best checkpoint; a run does with --metric_every_kimg (of "
                "federations: --metric_every_rounds) above 0. Leave --best out for the newest one"
            )
        kept = json.loads((place / "best.json").read_text())
        paths = [str(place / f"ckpt-{kept.pop('images_shown')}")]
    if not paths:
        raise FileNotFoundError(f"{place} holds no checkpoint yet")
    for path in reversed(paths):
        try:
            shown = restore_networks(path, averaged=generator)
        except _UNREADABLE as error:
            _LOG.warning("checkpoint %s cannot be read: %s", path, _first_line(error))
            continue
        plan = schedule.build(settings.schedule, settings.network.resolution)
        phase = plan.phase_at(max(shown - 1, 0))
        alpha = phase.alpha(shown) if phase.fading else None
        finished = shown >= plan.total_images
        level, spent = phase.level, _privacy_spent(folder)
        info = RunInfo(settings, records, shown, finished, level, alpha, kept, spent)
        return generator, info
    raise CheckpointError(f"none of the {len(paths)} checkpoints in {place} can be read")


def _privacy_spent(folder: run_folder.RunFolder) -> dict[str, float]:
    rows = folder.read_stats()
    prefix = "privacy/"
    return {
        name.removeprefix(prefix): value
        for name, value in (rows[-1] if rows else {}).items()
        if name.startswith(prefix)
    }


def restore_networks(path: str, **modules: tf.Module) -> int:
    """Restores some networks of a checkpointed training state by their attribute names.

    Args:
        path: Prefix of the checkpoint.
        **modules: Any of generator, discriminator, averaged.

    Returns:
        Images shown at the checkpoint.

    Raises:
        AssertionError: If a network's variable is not in the checkpoint.
        tf.errors.OpError: If the checkpoint is damaged.
    """
    partial = tf.train.Checkpoint(state=tf.train.Checkpoint(**modules))
    partial.restore(path).expect_partial().assert_existing_objects_matched()
    return int(tf.train.load_variable(path, "state/images_shown" + _VALUE))


def start_from(run_dir: str, findings: Sequence[str], **modules: tf.Module) -> None:
    """Takes over the networks of another run's newest checkpoint, for a new run.

    Args:
        run_dir: The other run's folder.
        findings: Of the new run.
        **modules: As of `restore_networks`.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If its networks are others, or it cannot be read.
    """
    path = latest(run_dir)
    settings, _ = run_folder.RunFolder(run_dir).read()
    if tuple(settings.network.findings) != tuple(findings):
        raise ValueError(
            f"--init_from={run_dir} was trained on other findings: "
            f"{', '.join(settings.network.findings) or 'none'} there, "
            f"{', '.join(findings) or 'none'} here"
        )
    try:
        restore_networks(path, **modules)
    except (*_UNREADABLE, AssertionError, ValueError) as error:
        raise ValueError(
            f"--init_from={run_dir} cannot be started from: {_first_line(error)}. It has to hold a "
            "run with the same findings, --resolution, --latent_size, --fmap_base and --fmap_max"
        ) from None
    _LOG.info("starting from the networks of %s", path)


def latest(run_dir: str) -> str:
    """Prefix of the newest whole checkpoint of a run.

    Raises:
        FileNotFoundError: If there is none.
    """
    paths = _list(run_folder.RunFolder(run_dir).checkpoints)
    if not paths:
        raise FileNotFoundError(f"{run_dir} holds no checkpoint; --init_from wants a run folder")
    return paths[-1]
