"""A small Frechet distance that is watched while training, and the checkpoint that had the best."""

import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import shutil

import numpy as np
import tensorflow as tf

from pgan import checkpoints, config, losses, plots, run_folder, schedule, training_step
from pgan.data import record_reader, record_set
from pgan.metrics import features, frechet, names

_LOG = logging.getLogger(__name__)

FOLDER = "monitor"
_LABELS = "labels"

_BATCH = 16
_SMALLEST = 16  # px
_STREAM = 1_000_033  # Seed stream of the latents; steps and grids have their own.


@dataclasses.dataclass(frozen=True)
class Names:
    """Keys of the values in stats.jsonl and TensorBoard; each holds count and features.

    Attributes:
        train: Synthetic images to reals of the training fold.
        held_out: Synthetic images to held-out reals, over fewer images where the fold is small.
        floor: Reals of the training fold to held-out reals, of the same count.
        joint: As train, of images together with their labels, which are the same on both sides.
    """

    train: str
    held_out: str
    floor: str
    joint: str


class DistanceMonitor:
    """Measures the averaged generator without changing the training state.

    Synthetic images have the labels of the training fold's first records and the same latents each
    time. Those of earlier stages are enlarged by repeating pixels and compared at the final
    resolution, as PGGAN did, so that one curve runs through all stages.
    """

    def __init__(
        self,
        state: training_step.TrainingState,
        settings: config.TrainConfig,
        records: record_set.RecordSet,
        folder: run_folder.RunFolder,
        extractor: features.Extractor,
    ):
        """Fixes counts, names and labels.

        Args:
            state: Whose averaged generator is measured.
            settings: `metric_every_kimg` and `metric_images` are used.
            records: The real images.
            folder: Of the run; statistics of reals are cached there.
            extractor: The features.
        """
        self._state, self._settings, self._records = state, settings, records
        self._folder, self._extractor = folder, extractor
        self._size = settings.network.resolution
        self._count = min(settings.metric_images, records.fold_size(settings.train_fold))
        held_out = records.fold_size(settings.held_out_fold) if settings.held_out_fold else 0
        self._held_out_count = min(self._count, held_out)
        self._labels = records.condition_matrix(settings.train_fold)[: self._count]
        self._phase = None
        self._measured_at = None
        self._floor: float | None = None

    @property
    def enabled(self) -> bool:
        """Whether anything is measured at all."""
        return self._settings.metric_every_kimg > 0 and self._count >= 2

    @property
    def names(self) -> Names:
        """What the values are called."""

        def key(count, kind):
            return f"{FOLDER}/{names.metric_name('fd', count, self._extractor)}_{kind}"

        small = self._held_out_count
        joint = names.metric_name("fjd", self._count, self._extractor)
        return Names(
            key(self._count, "to_train"),
            key(small, "to_held_out"),
            key(small, "real_floor"),
            f"{_LABELS}/{joint}_to_train",
        )

    @property
    def judge(self) -> str:
        """The value by which checkpoints are compared: to held-out reals, if there are any."""
        return self.names.held_out if self._held_out_count >= 2 else self.names.train

    def enter(self, phase: schedule.Phase) -> None:
        """Compiles for a phase; must be called before the other methods.

        The first time, a continued run has dropped what it had noted beyond its checkpoint.
        """
        if self._measured_at is None:
            self._measured_at = max(
                (r["images_shown"] for r in self._folder.read_stats() if self.names.train in r),
                default=0,
            )
        self._phase = phase

        @tf.function(reduce_retracing=True)
        def draw(latents, labels, alpha):
            alpha = alpha if phase.fading else None
            return self._state.averaged(latents, labels, phase.level, alpha)

        self._draw = draw

    def due(self, images_shown: int, last: bool) -> bool:
        """Whether a tick at this point of the run should measure."""
        if not self.enabled or images_shown <= self._measured_at:
            return False
        every = 1000 * self._settings.metric_every_kimg
        return last or images_shown // every != self._measured_at // every

    def measure(self, images_shown: int) -> dict[str, float]:
        """Draws images and measures them; notes that it was done.

        Returns:
            {name: distance}, see `Names`.
        """
        self._measured_at = images_shown
        everything, first = frechet.Accumulator(), frechet.Accumulator()
        seen = 0
        for images in self._synthetic(images_shown):
            found = _with_labels(self._extractor(images), self._labels[seen : seen + len(images)])
            everything.add(found)
            first.add(found[: max(self._held_out_count - seen, 0)])
            seen += len(images)
        settings = self._settings
        train = self._reals(settings.train_fold, self._count)
        length, labels = self._extractor.dimension, self._labels.shape[1]

        def alone(one, other):
            return frechet.distance(one.first(length), other.first(length))

        drawn = everything.statistics()
        values = {self.names.train: alone(drawn, train)}
        if labels:
            values[self.names.joint] = frechet.joint_distance(drawn, train, labels)
        small = self._held_out_count
        if small >= 2:
            held_out = self._reals(settings.held_out_fold, small)
            values[self.names.held_out] = alone(first.statistics(), held_out)
            if self._floor is None:
                self._floor = alone(self._reals(settings.train_fold, small), held_out)
            values[self.names.floor] = self._floor
        return values

    def _synthetic(self, images_shown: int):
        """Yields uint8 [B, R, R] at the final resolution."""
        alpha = tf.constant(self._phase.alpha(images_shown), tf.float32)
        for start in range(0, self._count, _BATCH):
            labels = self._labels[start : start + _BATCH]
            latents = tf.random.stateless_normal(
                (len(labels), self._settings.network.latent_size),
                seed=(self._settings.seed, _STREAM + start),
                alg="philox",
            )
            images = plots.to_uint8(self._draw(latents, tf.constant(labels), alpha))[..., 0]
            yield _enlarged(images, self._size)

    def _reals(self, fold: str, count: int) -> frechet.Statistics:
        """Statistics of the fold's first images with labels, from the cache if they are there."""
        identity = [self._records.fold_fingerprint(fold), self._records.fingerprint, self._size]
        identity += [count, self._extractor.facts, "with labels"]
        key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        path = self._folder.path / FOLDER / f"reals_{key}.npz"
        if path.exists():
            with np.load(path) as saved:
                return frechet.Statistics(saved["mean"], saved["covariance"], int(saved["count"]))
        accumulator = frechet.Accumulator()
        batches = record_reader.evaluation_dataset(
            self._records, self._size, fold, _BATCH, limit=count
        )
        for batch in batches:
            images = plots.to_uint8(batch["images"])[..., 0]
            found = self._extractor(_enlarged(images, self._size))
            accumulator.add(_with_labels(found, losses.condition(batch["labels"]).numpy()))
        found = accumulator.statistics()
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.stem + ".tmp.npz")
        np.savez(beside, mean=found.mean, covariance=found.covariance, count=found.count)
        os.replace(beside, path)
        return found

    def keep_if_best(self, checkpoint: str, values: dict[str, float], images_shown: int) -> bool:
        """Keeps a checkpoint beside the others if no earlier one was closer to the reals.

        Distances compare only if their names are the same: of a run that is continued with another
        number of images or other features, the best by the old distance is set aside.

        Args:
            checkpoint: Its prefix.
            values: From `measure`.
            images_shown: Where the run stood.

        Returns:
            Whether it is the best so far.
        """
        folder = self._folder.checkpoints / checkpoints.BEST
        self._exchange_best()
        best = read_best(self._folder)
        # What a continued run had measured beyond its checkpoint is measured again.
        if best and best["images_shown"] < images_shown and best["value"] <= values[self.judge]:
            return False
        source = pathlib.Path(checkpoint)
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.parent.glob(f"{source.name}.*")):
            beside = folder / (path.name + ".tmp")
            beside.unlink(missing_ok=True)
            try:
                os.link(path, beside)
            except OSError:  # some file systems have no links
                shutil.copy2(path, beside)
            os.replace(beside, folder / path.name)
        facts = {"metric": self.judge, "value": values[self.judge], "images_shown": images_shown}
        run_folder.write_atomically(folder / "best.json", json.dumps(facts) + "\n")
        for path in folder.glob("ckpt-*"):
            if not path.name.startswith(f"{source.name}."):
                path.unlink()
        return True

    def _exchange_best(self):
        """Sets a best by another distance aside, and takes back one by this distance."""
        folder, best = self._folder.checkpoints / checkpoints.BEST, read_best(self._folder)
        if best is None and folder.exists():  # was being written when the process was killed
            shutil.rmtree(folder)
        if best and best["metric"] != self.judge:
            aside = _aside(folder, best["metric"])
            folder.rename(aside)
            _LOG.info(
                "checkpoints are compared by %s from now on; the best by %s, at %s images, is "
                "kept in %s",
                self.judge,
                best["metric"],
                f"{best['images_shown']:,}",
                aside,
            )
        mine = _aside(folder, self.judge)
        if mine.exists() and not folder.exists():
            mine.rename(folder)


def _aside(folder: pathlib.Path, metric: str) -> pathlib.Path:
    """Where the best by a distance lies while checkpoints are compared by another one."""
    return folder.with_name(f"{folder.name}_{metric.removeprefix(f'{FOLDER}/')}")


def _with_labels(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Features [N, D] and labels [N, L] as one [N, D + L]."""
    return np.concatenate([found, labels], axis=1)


def _enlarged(images: np.ndarray, size: int) -> np.ndarray:
    """Repeats pixels of [N, R, R] up to a size, and to what extractors take at least."""
    factor = max(size, _SMALLEST) // images.shape[1]
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def read_best(folder: run_folder.RunFolder) -> dict | None:
    """{"metric", "value", "images_shown"} of the best checkpoint kept, None if there is none."""
    path = folder.checkpoints / checkpoints.BEST / "best.json"
    return json.loads(path.read_text()) if path.exists() else None
