"""Trains a classifier with Keras' fit, resumable after every epoch."""

import contextlib
import dataclasses
import gc
import json
import logging
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from classifier import config as config_lib
from classifier import curves, image_table, losses, model, pipeline, seen_images, stats
from pgan import distribute, plots, run_folder

_LOG = logging.getLogger(__name__)
_FINISHED = "classifier.json"
_BEST = "best.weights.h5"
_RESUME = "resume"
_SHEET = 8  # images of augmented.png


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained classifier.

    Attributes:
        classifier: With the weights of its best epoch.
        thresholds: float64 [L], by `stats.corner_threshold` on the validation images.
        facts: What is known about it, JSON types.
    """

    classifier: model.Classifier
    thresholds: np.ndarray
    facts: dict[str, Any]


class _Progress(tf.keras.callbacks.Callback):
    """Early stopping, drops of the step size and checkpoints, one state on disk for all three.

    Keras' own callbacks for these keep their counts in memory, or on disk in places of their own
    that a kill can leave apart. Here history.json says, written last, how many epochs are whole.
    The checkpoint of the best epoch is kept beside the newest, so that none is written twice.
    """

    def __init__(self, settings: config_lib.ClassifierConfig, folder: pathlib.Path):
        super().__init__()
        self._settings, self._folder = settings, folder
        self._resume = folder / _RESUME
        self.history: list[dict[str, float | None]] = []
        path = folder / "history.json"
        if path.exists():
            self.history = json.loads(path.read_text())

    def restore(self, classifier: model.Classifier) -> None:
        """Gives a compiled classifier the state after the last whole epoch."""
        if self.history:
            # Slots that do not exist yet would be restored inside the traced step, or never.
            classifier.optimizer.build(classifier.trainable_variables)
            path = self._checkpoint(len(self.history))
            _checkpoint(classifier).read(path).assert_existing_objects_matched()

    def restore_best(self, classifier: model.Classifier) -> None:
        """Gives a compiled classifier the weights of its best epoch."""
        path = self._checkpoint(self.best + 1)
        tf.train.Checkpoint(model=classifier).read(path).expect_partial()

    def remove(self) -> None:
        """Removes the checkpoints."""
        shutil.rmtree(self._resume, ignore_errors=True)

    def _checkpoint(self, epochs):
        return str(self._resume / f"epoch-{epochs}")

    @property
    def best(self) -> int:
        """Epoch with the smallest validation loss so far, -1 before the first."""
        values = [row["val_loss"] for row in self.history]
        return int(np.argmin(values)) if values else -1

    @property
    def over(self) -> bool:
        """Whether nothing better is to be expected."""
        waited = len(self.history) - 1 - self.best
        return bool(self.history) and waited >= self._settings.patience

    def on_epoch_end(self, epoch, logs=None):
        """Notes the epoch, keeps the best weights, drops the step size."""
        if not np.isfinite(logs["loss"]) or not np.isfinite(logs["val_loss"]):
            raise ValueError(
                f"the loss is not finite in epoch {epoch + 1}; give a smaller --learning_rate"
            )
        # An AUC without positives is not defined, which JSON has no number for.
        self.history.append(
            {name: float(value) if np.isfinite(value) else None for name, value in logs.items()}
        )
        newest = len(self.history)
        if self.best != newest - 1 and self._settings.drop != 1.0:
            rate = self.model.optimizer.learning_rate
            rate.assign(rate * self._settings.drop)
        self._resume.mkdir(exist_ok=True)
        _checkpoint(self.model).write(self._checkpoint(newest))
        run_folder.write_atomically(
            self._folder / "history.json", json.dumps(self.history, indent=1) + "\n"
        )
        for path in self._resume.iterdir():
            if path.is_dir():  # of a write that was killed
                shutil.rmtree(path)
            elif path.stem not in (f"epoch-{newest}", f"epoch-{self.best + 1}"):
                path.unlink()
        if self.over:
            self.model.stop_training = True


def _checkpoint(classifier):
    return tf.train.Checkpoint(model=classifier, optimizer=classifier.optimizer)


def _optimizer(settings):
    if settings.optimizer == "adam":
        optimizer = tf.keras.optimizers.Adam(settings.learning_rate)
    else:
        optimizer = tf.keras.optimizers.SGD(settings.learning_rate, momentum=settings.momentum)
    if settings.precision == "mixed_float16":
        return tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


def train(
    settings: config_lib.ClassifierConfig,
    training: image_table.ImageTable,
    validation: image_table.ImageTable,
    folder: pathlib.Path,
    about: dict[str, Any] | None = None,
    verbose: int = 2,
) -> Trained:
    """Trains a classifier, continues its training, or loads it if it is there.

    Args:
        settings: Configuration.
        training: Images to train on.
        validation: Images that decide when to stop, which epoch is the best, and the thresholds.
        folder: Where weights and history are kept.
        about: Facts to keep with it, JSON types; a folder with others is refused.
        verbose: As Keras' fit has it.

    Raises:
        ValueError: If the folder holds another training, or the images do not fit.
    """
    if training.findings != validation.findings:
        raise ValueError(
            f"training images are labelled with {', '.join(training.findings)}, validation images "
            f"with {', '.join(validation.findings)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "findings": list(training.findings),
        "settings": {k: v for k, v in settings.to_dict().items() if k != "strategy"},
        "training_images": len(training),
        "validation_images": len(validation),
        "about": about or {},
    }
    _check_folder(folder, facts)
    with _Policy(settings.precision), _scope(settings.strategy):
        if (folder / _FINISHED).exists():
            shutil.rmtree(folder / _RESUME, ignore_errors=True)
            return load(folder)
        classifier = model.Classifier(training.findings, settings)
        origin = model.load_initial_weights(classifier, settings)
        weights = (None, None)
        if settings.class_weights == "balanced":
            weights = losses.balanced_weights(training.labels)
        classifier.compile(
            optimizer=_optimizer(settings),
            loss=losses.MaskedLoss(settings.loss == "focal", *weights),
            metrics=[curves.ScoreHistogram(len(training.findings))],
        )
    progress = _Progress(settings, folder)
    done = len(progress.history)
    if not progress.over and done < settings.max_epochs:
        _fit(classifier, settings, training, validation, folder, progress, verbose)
    progress.restore_best(classifier)
    beside = folder / ("new." + _BEST)
    classifier.save_weights(str(beside))
    beside.replace(folder / _BEST)
    scores = predict(classifier, validation)
    thresholds = [
        stats.corner_threshold(validation.labels[:, i], scores[:, i])
        for i in range(len(training.findings))
    ]
    content = {
        **facts,
        "preparation": training.preparation,
        "seen": seen_images.describe([*training.folds, *validation.folds]),
        "initial_weights": dataclasses.asdict(origin),
        "thresholds": thresholds,
        "epochs": len(progress.history),
        "best_epoch": progress.best + 1,
        "history": progress.history,
    }
    run_folder.write_atomically(folder / _FINISHED, json.dumps(content, indent=1) + "\n")
    progress.remove()
    return Trained(classifier, np.array(thresholds, np.float64), content)


def check_initial_weights(settings: config_lib.ClassifierConfig, findings: Sequence[str]) -> None:
    """Refuses settings whose first weights cannot be had; downloads them if it has to.

    Args:
        settings: Configuration.
        findings: Names of the outputs.

    Raises:
        ValueError, OSError: As `model.load_initial_weights`.
    """
    if settings.weights == config_lib.WEIGHTS_RANDOM:
        return
    with _Policy(settings.precision):
        model.load_initial_weights(model.Classifier(findings, settings), settings)
    forget_models()


def load(folder: pathlib.Path) -> Trained:
    """Loads a classifier that `train` has finished.

    Args:
        folder: Where it was trained.

    Raises:
        ValueError: If there is none, or its files do not belong together.
    """
    path = folder / _FINISHED
    if not path.exists():
        raise ValueError(
            f"{folder} holds no trained classifier ({_FINISHED} is missing); wanted is the folder "
            "of an arm, such as experiments/fig2/seed1/real, whose training has ended"
        )
    content = json.loads(path.read_text())
    settings = config_lib.ClassifierConfig.from_dict(content["settings"])
    with _Policy(settings.precision):
        classifier = model.Classifier(content["findings"], settings)
    try:
        classifier.load_weights(str(folder / _BEST))
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"{folder / _BEST} holds no weights of this classifier: {error}"
        ) from error
    return Trained(classifier, np.array(content["thresholds"], np.float64), content)


def _fit(classifier, settings, training, validation, folder, progress, verbose):
    batches = pipeline.Batches(
        training, settings.batch_size, settings.seed, len(progress.history), settings.augment
    )
    progress.restore(classifier)
    if not progress.history:
        _write_sheet(training, settings, folder)
    board = tf.keras.callbacks.TensorBoard(str(folder), write_graph=False)
    classifier.fit(
        batches.dataset(),
        epochs=settings.max_epochs,
        initial_epoch=len(progress.history),
        validation_data=pipeline.in_order(validation, 4 * settings.batch_size),
        callbacks=[progress, board, _CurveWriter(folder)],
        verbose=verbose,
    )


class _CurveWriter(tf.keras.callbacks.Callback):
    """Precision-recall curves of the validation images in TensorBoard."""

    def __init__(self, folder: pathlib.Path):
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(folder / "validation"))

    def on_epoch_end(self, epoch, logs=None):
        """Writes the curves: at the end of an epoch the histogram is of the validation."""
        (histogram,) = [m for m in self.model.metrics if isinstance(m, curves.ScoreHistogram)]
        with self._writer.as_default():
            curves.write(histogram.counts.numpy(), self.model.findings, epoch)
        self._writer.flush()


def _write_sheet(training, settings, folder):
    """augmented.png: some images as they are, and as they are changed twice."""
    count = min(_SHEET, settings.batch_size)
    plain = pipeline.Batches(training, count, settings.seed)[0][0]
    rows, names = [plain], ["as it is"]
    for number in (1, 2) if settings.augment else ():
        augment = pipeline.augmenter(settings.augment, settings.seed + 10 * number)
        rows.append(augment(plain, training=True).numpy())
        names.append(f"draw {number}")
    rows = [np.clip(np.rint(row[..., 0]), 0, 255).astype(np.uint8) for row in rows]
    title = f"augmentation: {', '.join(settings.augment) or 'none'}"
    plots.image_grid(rows, names, title).save(folder / "augmented.png")


def forget_models() -> None:
    """Frees what Keras and TensorFlow keep of models that are not used any more.

    Without it an experiment's memory grew by some 0.4 GB with every model.
    """
    tf.keras.backend.clear_session()
    gc.collect()


def predict(classifier: model.Classifier, table: image_table.ImageTable) -> np.ndarray:
    """float32 [N, L] in [0, 1], scores of all images of a table."""
    logits = classifier.predict(pipeline.in_order(table, 64), verbose=0)
    scores = tf.sigmoid(logits).numpy()
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores).all(axis=1)).sum())
        raise ValueError(f"the classifier's scores of {bad} of {len(scores)} images are not finite")
    return scores


def _check_folder(folder, facts):
    path = folder / "training.json"
    text = json.dumps(facts, indent=1) + "\n"
    if not path.exists():
        run_folder.write_atomically(path, text)
    elif json.loads(path.read_text()) != json.loads(text):
        raise ValueError(
            f"{folder} holds the training of another classifier (its training.json differs); give "
            "another --output, or the flags and records it was started with"
        )


def _scope(strategy):
    """Scope of a strategy; none for one device.

    Within that of `OneDeviceStrategy` Keras fetches batches by an iterator with a tuner of its own,
    which cannot be turned off (see `pgan.distribute.input_options`).
    """
    if strategy == "one_device":
        return contextlib.nullcontext()
    return distribute.make_strategy(strategy).scope()


class _Policy:
    """Keras' dtype policy within a block."""

    def __init__(self, precision):
        self._precision = precision

    def __enter__(self):
        self._old = tf.keras.mixed_precision.global_policy()
        tf.keras.mixed_precision.set_global_policy(self._precision)

    def __exit__(self, *exception):
        tf.keras.mixed_precision.set_global_policy(self._old)
