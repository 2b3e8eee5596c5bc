"""The images that are searched through, with the index that makes them quick to search."""

import concurrent.futures
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tqdm

from pgan.search import block_store, window_grid

_VERSION = 1  # Raise whenever a change alters the index.
_BLOCK = 2048


class Index(NamedTuple):
    """What is known of every image before a search.

    Attributes:
        grid: Takes images to statistics.
        projection: Takes statistics to vectors.
        statistics: float16 [M, window_grid.STATISTICS, windows].
        vectors: float32 [M, projection.dimensions].
    """

    grid: window_grid.WindowGrid
    projection: window_grid.Projection
    statistics: np.ndarray
    vectors: np.ndarray


class Reference:
    """Images to be found, their names and whose they are.

    Attributes:
        images: uint8 [M, H, W], an array or a memory-mapped file.
        ids: Name of each image.
        groups: Patient of each image, None if unknown.
        fingerprint: Of images and settings of the index; of names and groups not.
    """

    def __init__(
        self,
        images: np.ndarray,
        ids: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        folder: str | os.PathLike | None = None,
        components: int = 512,
        sample: int = 4096,
        fingerprint: str | None = None,
    ):
        """Describes the reference; the index is made when it is first needed.

        Args:
            images: See the class.
            ids: See the class; the place in `images` if None.
            groups: See the class.
            folder: Where the index is kept, None keeps it in memory only.
            components: Principal components of the vectors that make the first shortlist.
            sample: Number of images that these are fitted to, evenly spread over all.
            fingerprint: Of the images; computed from all pixels if None.

        Raises:
            ValueError: If images, ids and groups do not go together, or no window fits.
        """
        if images.dtype != np.uint8 or images.ndim != 3 or not len(images):
            raise ValueError(
                f"reference images must be uint8 [M, H, W], at least one; got {images.dtype} "
                f"{list(images.shape)}"
            )
        for name, values in (("ids", ids), ("groups", groups)):
            if values is not None and len(values) != len(images):
                raise ValueError(f"{len(values)} {name} for {len(images)} reference images")
        self.images = images
        self.ids = [str(i) for i in (range(len(images)) if ids is None else ids)]
        self.groups = None if groups is None else list(groups)
        self._grid = window_grid.WindowGrid(images.shape[1:])
        self._folder = folder
        self._components, self._sample = components, sample
        own = fingerprint or block_store.fingerprint(images)
        self.fingerprint = f"{own} components {components} sample {sample} version {_VERSION}"
        self._members: dict[str, list[int]] = {}
        for position, group in enumerate(self.groups or ()):
            self._members.setdefault(group, []).append(position)
        self._index: Index | None = None

    def __len__(self) -> int:
        return len(self.images)

    def members(self, group: str) -> list[int]:
        """Places of the images of a group."""
        return self._members.get(group, [])

    def index(self, progress: bool = True) -> Index:
        """Makes the index, or reads it from the folder.

        Args:
            progress: Whether to show a bar.

        Raises:
            ValueError: If the folder holds the index of other images or settings.
        """
        if self._index is None:
            self._index = self._make_index(progress)
        return self._index

    def _make_index(self, progress: bool) -> Index:
        folder = block_store.Folder(self._folder, {"reference": self.fingerprint})
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as executor:
            projection = self._projection(folder, executor)
            count, windows = len(self), self._grid.windows
            statistics = np.empty((count, window_grid.STATISTICS, windows), np.float16)
            vectors = np.empty((count, projection.dimensions), np.float32)
            bar = tqdm.tqdm(total=count, desc="Indexing", unit="img", disable=not progress)
            with bar:
                for start in range(0, count, _BLOCK):
                    part = slice(start, min(start + _BLOCK, count))
                    name = f"block_{start // _BLOCK:06d}"
                    block = folder.load(name)
                    if block is None:
                        found = describe(
                            self._grid, projection.references, self.images[part], executor
                        )
                        block = {"statistics": found[0].astype(np.float16), "vectors": found[1]}
                        folder.save(name, block)
                    statistics[part], vectors[part] = block["statistics"], block["vectors"]
                    bar.update(part.stop - part.start)
        return Index(self._grid, projection, statistics, vectors)

    def _projection(self, folder, executor) -> window_grid.Projection:
        kept = folder.load("projection")
        if kept is not None:
            return window_grid.Projection(**kept)
        places = np.unique(np.linspace(0, len(self) - 1, self._sample).astype(int))
        pieces = _pieces(self.images[places])
        statistics = np.concatenate(list(executor.map(self._grid.statistics, pieces)))
        projection = window_grid.Projection.fit(statistics, self._components)
        folder.save("projection", projection.arrays())
        return projection


def describe(
    grid: window_grid.WindowGrid,
    project: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    executor: concurrent.futures.Executor,
) -> tuple[np.ndarray, np.ndarray]:
    """Computes statistics of images and their vectors by a projection, on all cores.

    Args:
        grid: Takes images to statistics.
        project: `queries` or `references` of a projection.
        images: uint8 [N, H, W].
        executor: Of threads.

    Returns:
        float32 [N, window_grid.STATISTICS, windows] and float32 [N, dimensions].
    """

    def both(piece):
        statistics = grid.statistics(piece)
        return statistics, project(statistics)

    statistics, vectors = zip(*executor.map(both, _pieces(images)), strict=True)
    return np.concatenate(statistics), np.concatenate(vectors)


def _pieces(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), window_grid.BATCH):
        yield images[start : start + window_grid.BATCH]
