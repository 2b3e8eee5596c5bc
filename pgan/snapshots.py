"""What a tick looks at: image grids, and critic scores on images seen and not seen in training."""

import numpy as np
import tensorflow as tf

from pgan import config, plots, run_folder, schedule, training_step
from pgan.data import labels as labels_lib
from pgan.data import record_reader, record_set

_GRID_STREAM = 1_000_003  # Seed stream of the grids' latents; the step has its own.
_CRITIC_BATCH = 16


def grid_name(images_shown: int) -> str:
    """File name of a grid of synthetic images, such as "fakes000012.800.png" after 12,800 images.

    Names are in the order of the images shown, of which small runs and federations show a few
    hundred between two grids.
    """
    kimg, images = divmod(images_shown, 1000)
    return f"fakes{kimg:06d}.{images:03d}.png"


class Snapshots:
    """Looks at a training state without changing it."""

    def __init__(
        self,
        state: training_step.TrainingState,
        settings: config.TrainConfig,
        records: record_set.RecordSet,
        folder: run_folder.RunFolder,
    ):
        """Fixes the grid's latents and rows."""
        self._state, self._settings = state, settings
        self._records, self._folder = records, folder
        network = settings.network
        self._row_names = [labels_lib.name_of_none(network.findings), *network.findings]
        self._labels = np.vstack([np.zeros(network.num_labels), np.eye(network.num_labels)])
        self._latents = tf.random.stateless_normal(
            (settings.grid_columns, network.latent_size),
            seed=(settings.seed, _GRID_STREAM),
            alg="philox",
        )
        self._phase = None

    def enter(self, phase: schedule.Phase) -> None:
        """Compiles for a phase; must be called before the other methods."""
        self._phase = phase
        columns = self._settings.grid_columns

        def alpha_or_none(alpha):
            return alpha if phase.fading else None

        @tf.function
        def draw(label, alpha):
            labels = tf.repeat(label[tf.newaxis], columns, axis=0)
            return self._state.averaged(self._latents, labels, phase.level, alpha_or_none(alpha))

        @tf.function
        def score(images, alpha):
            if phase.fading:
                images = training_step.fade_reals(images, alpha)
            return self._state.discriminator(images, phase.level, alpha_or_none(alpha))[0]

        self._draw, self._score = draw, score

    def critic_scores(self, images_shown: int) -> dict[str, float]:
        """Mean critic score on reals of the training fold and, side by side, on held-out ones.

        While both are alike the critic judges chest radiographs; when it scores the images that
        it was trained on higher, it has begun to know them by heart.

        Returns:
            `critic/train_reals` and, with a held-out fold, `critic/held_out_reals`, over equal
            numbers of images; empty if a fold is empty.
        """
        settings, phase = self._settings, self._phase
        folds = {"critic/train_reals": settings.train_fold}
        if settings.held_out_fold:
            folds["critic/held_out_reals"] = settings.held_out_fold
        sizes = [self._records.fold_size(fold) for fold in folds.values()]
        # Whole batches of one size that hold whole groups, as the minibatch standard deviation
        # looks at the batch.
        batch = min(settings.critic_images, _CRITIC_BATCH, *sizes)
        batch -= batch % min(settings.network.stddev_group, max(batch, 1))
        limit = min(settings.critic_images, *sizes) // max(batch, 1) * batch
        alpha = tf.constant(phase.alpha(images_shown), tf.float32)
        scores = {}
        for name, fold in folds.items() if limit else ():
            batches = record_reader.evaluation_dataset(
                self._records, phase.resolution, fold, batch_size=batch, limit=limit
            )
            values = [self._score(part["images"], alpha).numpy() for part in batches]
            scores[name] = float(np.mean(values))
        return scores

    def draw_fakes(self, images_shown: int) -> np.ndarray:
        """Saves the grid of the averaged generator: a row for each finding, fixed latents.

        All rows have the same latents, so a column is one synthetic patient with each finding.

        Returns:
            The picture, uint8 [H, W].
        """
        phase = self._phase
        alpha = phase.alpha(images_shown)
        rows = [
            plots.to_uint8(self._draw(label, tf.constant(alpha, tf.float32)))[..., 0]
            for label in tf.constant(self._labels, tf.float32)
        ]
        title = f"synthetic, {images_shown / 1000:,g} kimg, {phase.name}"
        if phase.fading:
            title += f", alpha {alpha:.2f}"
        picture = plots.image_grid(rows, self._row_names, title)
        self._save(picture, grid_name(images_shown))
        return np.asarray(picture)

    def draw_reals(self) -> None:
        """Saves a grid of real images of the training fold, a row for each finding."""
        settings, columns = self._settings, self._settings.grid_columns
        size = settings.network.resolution
        batches = record_reader.evaluation_dataset(
            self._records, size, settings.train_fold, batch_size=16
        )
        rows = [[] for _ in self._row_names]
        for batch in batches:
            images = plots.to_uint8(batch["images"])[..., 0]
            for image, label in zip(images, batch["labels"].numpy(), strict=True):
                for i in np.flatnonzero(label > 0) + 1 if label.any() else [0]:
                    if len(rows[i]) < columns:
                        rows[i].append(image)
            if all(len(row) == columns for row in rows):
                break
        arrays = [np.asarray(row, np.uint8).reshape(-1, size, size) for row in rows]
        title = f"real, {self._records.name}, fold {settings.train_fold}"
        self._save(plots.image_grid(arrays, self._row_names, title, columns), "reals.png")

    def _save(self, picture, name):
        path = self._folder.path / name
        beside = path.with_name(path.stem + ".tmp.png")
        picture.save(beside)
        beside.replace(path)
