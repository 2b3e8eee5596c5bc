"""What the discriminator of a run thinks of single real images."""

import hashlib
import os

import numpy as np
import tensorflow as tf
import tqdm

from pgan import checkpoints, networks, training_step

REPEATS = 4
_BATCH = 16


class Critic:
    """The discriminator of a run at its newest checkpoint.

    Attributes:
        resolution: Of the images that it judges there, px.
        images_shown: Where the run stands.
        identity: Of the run and where it stands, for file names.
        trained_on: Fingerprint of the fold that it was trained on.
    """

    def __init__(self, run_dir: str):
        """Reads it.

        Args:
            run_dir: The run folder.

        Raises:
            FileNotFoundError: If the folder holds no run or no checkpoint.
            ValueError: If the newest checkpoint is damaged.
        """
        _, info = checkpoints.load_generator(run_dir)
        critic = networks.Discriminator(info.network, seed=info.settings.seed)
        newest = checkpoints.latest(run_dir)
        try:
            shown = checkpoints.restore_networks(newest, discriminator=critic)
        except tf.errors.OpError:
            shown = None
        # Where the newest is damaged, the generator is that of an older one.
        if shown != info.images_shown:
            raise ValueError(f"the checkpoint {newest} is damaged; delete it to audit an older one")
        self.resolution, self.images_shown = info.resolution, info.images_shown
        self.trained_on = info.records["fold_fingerprint"]
        self._run_dir = run_dir
        # Runs of one name may stand in several places.
        place = hashlib.sha256(os.path.realpath(run_dir).encode()).hexdigest()[:12]
        self.identity = f"{place}_{self.images_shown}"
        # Whole groups of the minibatch standard deviation.
        group = info.network.stddev_group
        self._batch = max(1, _BATCH // group) * group
        alpha = None if info.alpha is None else tf.constant(info.alpha, tf.float32)

        @tf.function
        def score(grey):
            images = tf.cast(grey, tf.float32)[..., tf.newaxis] / 127.5 - 1.0
            if alpha is not None:
                images = training_step.fade_reals(images, alpha)
            return critic(images, info.level, alpha)[0]

        self._score = score

    def scores(self, images: np.ndarray, seed: int = 0, progress: bool = True) -> np.ndarray:
        """Scores images, each by itself as far as that is possible.

        The minibatch standard deviation looks at a batch, so the score of an image depends on its
        company. Each image is scored in four random batches of all images, and has their mean.

        Args:
            images: uint8 [N, R, R], at least 16.
            seed: Of the batches.
            progress: Whether to show a bar.

        Returns:
            float64 [N], higher for what looks real to it.

        Raises:
            ValueError: If the images have another size, there are too few, or a score is not
                finite.
        """
        if images.shape[1:] != (self.resolution, self.resolution) or len(images) < self._batch:
            raise ValueError(
                f"the discriminator of {self._run_dir} wants at least {self._batch} images of "
                f"{self.resolution} px, got {list(images.shape)}"
            )
        rng = np.random.default_rng(seed)
        totals = np.zeros(len(images))
        bar = tqdm.tqdm(
            total=REPEATS * len(images), desc="Scoring", unit="img", disable=not progress
        )
        with bar:
            for _ in range(REPEATS):
                order = rng.permutation(len(images))
                for start in range(0, len(order), self._batch):
                    chosen = order[start : start + self._batch]
                    # The last batch is filled up with the first images of the order.
                    company = order[: self._batch - len(chosen)]
                    part = np.concatenate([chosen, company])
                    totals[chosen] += self._score(images[part]).numpy()[: len(chosen)]
                    bar.update(len(chosen))
        if not np.isfinite(totals).all():
            raise ValueError(
                f"the discriminator of {self._run_dir} gives scores that are not finite (NaN); "
                "audit an earlier checkpoint"
            )
        return totals / REPEATS
