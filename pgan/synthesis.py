"""Synthetic radiographs from an exported generator, by findings and seeds.

from pgan import synthesis
generator = synthesis.load("exports/nih/1")
images = generator.sample({"Cardiomegaly": 1, "Effusion": 0.5}, seeds=range(16))
"""

import concurrent.futures
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pgan import model_card, serving_graph, synthetic_mark
from pgan.data import labels as labels_lib

# Pixels drawn at once when no batch size is asked for, and images at most.
_BATCH_PIXELS = 2**21
_LARGEST_BATCH = 64


class ExportedGenerator:
    """A generator that was exported by `pgan.export`.

    Attributes:
        card: Its model card.
        name: Name and version, such as "nih/1".
        fingerprint: Hex SHA-256 of its weights and drawing.
        findings: The vocabulary, names in the order of the labels.
        resolution: Size of the images in px.
    """

    def __init__(self, model: Any, card: dict[str, Any]):
        """Takes a loaded SavedModel and its card; `load` reads both."""
        self._model = model  # The signatures do not keep it, and with it their variables, alive.
        self._draw = model.signatures["from_seeds"]
        self.card = card
        self.name = f"{card['name']}/{card['version']}"
        self.fingerprint: str = card["fingerprint"]
        self.findings: tuple[str, ...] = tuple(card["findings"])
        self.resolution: int = card["resolution"]

    @property
    def default_batch_size(self) -> int:
        """Images drawn at once unless asked otherwise; fewer the larger they are."""
        return max(1, min(_LARGEST_BATCH, _BATCH_PIXELS // self.resolution**2))

    @property
    def latent_size(self) -> int:
        """Entries of a latent vector."""
        return self.card["network"]["latent_size"]

    @property
    def marks(self) -> dict[str, str]:
        """What every image file of this generator carries."""
        return synthetic_mark.facts(self.card["name"], self.card["version"], self.fingerprint)

    def sample(
        self,
        findings: Mapping[str, float] | Iterable[str] | str | np.ndarray,
        seeds: int | Iterable[int],
        indices: int | Iterable[int] = 0,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Draws images.

        An image is a function of its findings, its seed and its index, whatever is drawn with it.

        Args:
            findings: What the images show: strengths in [0, 1] by name, names of findings that are
                present, a text such as "Cardiomegaly=1,Effusion=0.5", or label vectors float32 [L]
                or [N, L] in the order of `findings`.
            seeds: Seed of each image, or one for all.
            indices: Number of each image among those of its seed, or one for all.
            batch_size: Images drawn at once.

        Returns:
            uint8 [N, resolution, resolution].

        Raises:
            ValueError: For an unknown finding, a strength out of range, or numbers of seeds,
                indices and label vectors that do not fit together.
        """
        rows = self.encode(findings)
        seeds, indices = _whole_numbers("seeds", seeds), _whole_numbers("indices", indices)
        sizes = {len(part) for part in (seeds, indices, rows)} - {1}
        if len(sizes) > 1:
            raise ValueError(
                f"got {len(seeds)} seeds, {len(indices)} indices and {len(rows)} label vectors; "
                "give one of each or the same number"
            )
        count = sizes.pop() if sizes else 1
        seeds, indices = np.broadcast_to(seeds, count), np.broadcast_to(indices, count)
        rows = np.broadcast_to(rows, (count, rows.shape[1]))
        images = list(self.stream(rows, seeds, indices, batch_size))
        return np.stack(images) if images else np.zeros((0, *[self.resolution] * 2), np.uint8)

    def latents(self, seeds: int | Iterable[int], indices: int | Iterable[int] = 0) -> np.ndarray:
        """Latent vectors float32 [N, latent_size] that `sample` draws with, standard normal.

        Raises:
            ValueError: If there are several seeds and another number of indices.
        """
        seeds, indices = _whole_numbers("seeds", seeds), _whole_numbers("indices", indices)
        if len({len(seeds), len(indices)} - {1}) > 1:
            raise ValueError(f"got {len(seeds)} seeds and {len(indices)} indices")
        seeds, indices = map(tf.constant, np.broadcast_arrays(seeds, indices))
        return serving_graph.latents_of(seeds, indices, self.latent_size).numpy()

    def draw(
        self, latents: np.ndarray, labels: np.ndarray, batch_size: int | None = None
    ) -> np.ndarray:
        """Draws images of latent vectors, with fractions of grey levels.

        Args:
            latents: float32 [N, latent_size].
            labels: float32 [N, L].
            batch_size: Images drawn at once.

        Returns:
            float32 [N, resolution, resolution] in [0, 255]. Rounded, they are those of `sample`.
        """
        batch_size = batch_size or self.default_batch_size
        images = np.empty((len(latents), *[self.resolution] * 2), np.float32)
        for start in range(0, len(latents), batch_size):
            part = slice(start, start + batch_size)
            drawn = self._model.signatures["float_images"](
                latents=tf.constant(latents[part], tf.float32),
                labels=tf.constant(labels[part], tf.float32),
            )["images"].numpy()[..., 0]
            images[part] = np.clip((drawn + 1.0) * 127.5, 0, 255)
        return images

    def encode(
        self, findings: Mapping[str, float] | Iterable[str] | str | np.ndarray
    ) -> np.ndarray:
        """Label vectors float32 [1 or N, L] of what `sample` takes as findings.

        Raises:
            ValueError: For an unknown finding, a strength out of range or another shape.
        """
        if isinstance(findings, str):
            return labels_lib.parse(findings, self.findings)[None]
        if not isinstance(findings, np.ndarray):
            return labels_lib.encode(findings, self.findings)[None]
        rows = np.atleast_2d(findings).astype(np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(self.findings):
            raise ValueError(
                f"label vectors must have shape [{len(self.findings)}] or "
                f"[N, {len(self.findings)}], got {findings.shape}"
            )
        if not ((rows >= 0) & (rows <= 1)).all():
            raise ValueError(
                f"strengths must be in [0, 1], got values from {rows.min()} to {rows.max()}"
            )
        return rows

    def stream(
        self,
        labels: np.ndarray,
        seeds: np.ndarray,
        indices: np.ndarray,
        batch_size: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Draws images one after the other, a batch ahead of the caller.

        Args:
            labels: float32 [N, L].
            seeds: Integers [N].
            indices: Integers [N].
            batch_size: Images drawn at once.

        Yields:
            uint8 [resolution, resolution], in the order of the arguments.

        Raises:
            ValueError: If the graph draws something else.
        """
        batch_size = batch_size or self.default_batch_size
        starts = range(0, len(labels), batch_size)

        def draw(start):
            part = slice(start, start + batch_size)
            images = self._draw(
                seeds=tf.constant(seeds[part], tf.int64),
                indices=tf.constant(indices[part], tf.int64),
                labels=tf.constant(labels[part], tf.float32),
            )["images"].numpy()
            wanted = (len(labels[part]), self.resolution, self.resolution, 1)
            if images.shape != wanted or images.dtype != np.uint8:
                raise ValueError(
                    f"{self.name} drew {images.dtype} {list(images.shape)} where its card says "
                    f"uint8 {list(wanted)}; export it anew"
                )
            return images[..., 0]

        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            ahead = thread.submit(draw, 0) if starts else None
            for start in starts:
                images = ahead.result()
                if start != starts[-1]:
                    ahead = thread.submit(draw, start + batch_size)
                yield from images


def load(path: str | os.PathLike) -> ExportedGenerator:
    """Loads an export after comparing the checksums of its files.

    Args:
        path: Folder of a version, such as "exports/nih/1".

    Raises:
        FileNotFoundError: If there is no export.
        ValueError: If it was written by an unknown version or a file is missing or damaged.
    """
    card = model_card.read(path)
    model_card.check_files(path, card)
    return ExportedGenerator(tf.saved_model.load(str(path)), card)


def _whole_numbers(name: str, values: int | Iterable[int]) -> np.ndarray:
    array = np.asarray(values if isinstance(values, int | np.ndarray) else list(values))
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be whole numbers, got {array.dtype}")
    return np.atleast_1d(array).astype(np.int64)
