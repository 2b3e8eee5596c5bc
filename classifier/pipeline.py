"""Images of a table as batches for Keras: order, augmentation."""

import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from classifier import image_table

_ROTATION = 7.0 / 360.0  # of a turn
_TRANSLATION = 0.05
_ZOOM = 0.1
_CONTRAST = 0.2


def augmenter(names: Sequence[str], seed: int) -> tf.keras.Sequential | None:
    """Keras layers that change training images at random; None for no names.

    Args:
        names: Of config.AUGMENTATIONS.
        seed: Of the layers.

    Returns:
        A model of float32 [N, R, R, 1] in [0, 255] to the same.
    """
    if not names:
        return None
    # Seconds to import, for those only who train.
    import keras_cv

    fill = {"fill_mode": "constant", "fill_value": 0.0}
    layers = {
        "rotation": lambda: keras_cv.layers.RandomRotation(_ROTATION, seed=seed, **fill),
        "translation": lambda: keras_cv.layers.RandomTranslation(
            _TRANSLATION, _TRANSLATION, seed=seed + 1, **fill
        ),
        "zoom": lambda: keras_cv.layers.RandomZoom((-_ZOOM, _ZOOM), seed=seed + 2, **fill),
        "contrast": lambda: _contrast(seed + 3),
        "flip": lambda: keras_cv.layers.RandomFlip("horizontal", seed=seed + 4),
    }
    return tf.keras.Sequential([layers[name]() for name in names], name="augmenter")


def _contrast(seed):
    import keras_cv

    layer = keras_cv.layers.RandomContrast(value_range=(0, 255), factor=_CONTRAST)
    # Its own factors come from TensorFlow's stateful operations, which continue where another
    # layer of the same seed stopped.
    generator = tf.random.Generator.from_seed(seed)
    layer.factor = lambda shape: generator.uniform(shape, 1.0 - _CONTRAST, 1.0 + _CONTRAST)
    return layer


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Order of the images of an epoch, int64 [count], a function of seed and epoch."""
    return np.random.default_rng((seed, epoch)).permutation(count)


class Batches:
    """Batches of a table in a new order every epoch; the last, smaller one is left out.

    Epochs are counted from `first_epoch`, so that a continued training goes on where it was.
    """

    def __init__(
        self,
        table: image_table.ImageTable,
        batch_size: int,
        seed: int,
        first_epoch: int = 0,
        augment: Sequence[str] = (),
    ):
        """Draws the first order.

        Args:
            table: The images.
            batch_size: Images of a batch.
            seed: Of the order.
            first_epoch: Epochs that were trained already.
            augment: Of config.AUGMENTATIONS.

        Raises:
            ValueError: If there are fewer images than a batch.
        """
        if len(table) < batch_size:
            raise ValueError(
                f"--batch_size={batch_size} is more than the {len(table)} training images"
            )
        self._table, self._size, self._seed, self._names = table, batch_size, seed, augment
        self._begin(first_epoch)

    def __len__(self) -> int:
        return len(self._table) // self._size

    def __getitem__(self, index: int):
        if index == 0:
            # New layers with a seed of the epoch, since their generators count their calls.
            seed = (1_000_003 * self._seed + 10 * self._epoch) % 2**31
            self._augment = augmenter(self._names, seed)
        numbers = self._order[index * self._size : (index + 1) * self._size]
        images = self._table.read(numbers)[..., np.newaxis].astype(np.float32)
        if self._augment is not None:
            images = self._augment(images, training=True)
        return images, self._table.labels[numbers]

    def dataset(self) -> tf.data.Dataset:
        """The batches of an epoch, of the next one every time that it is gone through.

        Keras would make one of a `tf.keras.utils.Sequence` as well, but with TensorFlow's tuner.
        """
        side, findings = self._table.resolution, len(self._table.findings)

        epochs = itertools.count(self._epoch)

        def one_epoch():
            # Keras takes as many batches as it counted and need not come to the end.
            self._begin(next(epochs))
            for index in range(len(self)):
                yield self[index]

        signature = (
            tf.TensorSpec((self._size, side, side, 1), tf.float32),
            tf.TensorSpec((self._size, findings), tf.float32),
        )
        dataset = tf.data.Dataset.from_generator(one_epoch, output_signature=signature)
        return dataset.prefetch(1).with_options(_without_tuner())

    def _begin(self, epoch):
        self._epoch = epoch
        self._order = epoch_order(len(self._table), self._seed, epoch)


def in_order(table: image_table.ImageTable, batch_size: int) -> tf.data.Dataset:
    """All images once, uint8 [B, R, R, 1], with their labels; the last batch may be smaller."""
    size, count = table.resolution, len(table)

    def read(numbers):
        return table.read(numbers)[..., np.newaxis]

    def load(numbers):
        images = tf.numpy_function(read, [numbers], tf.uint8)
        images = tf.ensure_shape(images, (None, size, size, 1))
        return images, tf.gather(tf.constant(table.labels), numbers)

    numbers = tf.data.Dataset.range(count).batch(batch_size)
    return numbers.map(load, num_parallel_calls=2).prefetch(2).with_options(_without_tuner())


def _without_tuner() -> tf.data.Options:
    """Options without TensorFlow's tuner, which holds up the end of an iteration for seconds."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options
