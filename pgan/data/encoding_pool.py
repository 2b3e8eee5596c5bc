"""Loads and encodes radiographs in several processes, results in order.

The TFRecord files are written by the one process that asked.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from pgan.data import processes, pyramid
from pgan.data.radiograph import Pixels


class Task(NamedTuple):
    """One image to load and encode: its name, its pixels or how to get them, what to make."""

    image_id: str
    source: Callable[[], Pixels | np.ndarray] | Pixels | np.ndarray
    encodings: Mapping[int, str]


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What is done to every image before it is encoded.

    Attributes:
      max_resolution: of the pyramid.
      geometry: how images become square, one of `pyramid.GEOMETRIES`.
      mask_markers: whether letters and blocks near the border are covered.
    """

    max_resolution: int
    geometry: str = "pad"
    mask_markers: bool = False


class Encoded(NamedTuple):
    """One encoded image: {resolution: bytes}, and what was applied to its grey values."""

    levels: dict[int, bytes]
    rendering: str


class Failure(NamedTuple):
    """An image that cannot be loaded or used, and why; the reason names the image."""

    reason: str


def encode_all(
    tasks: Iterable[Task], preparation: Preparation, workers: int
) -> Iterator[Encoded | Failure]:
    """Encodes images in the order of the tasks.

    Args:
      tasks: the images.
      preparation: what is done to them.
      workers: processes; 0 does the work in this process.

    Yields:
      One result per task.

    Raises:
      RuntimeError: a process ended, for instance for want of memory.
    """
    yield from processes.map_in_order(functools.partial(_encode, preparation), tasks, workers)


def _encode(preparation: Preparation, task: Task) -> Encoded | Failure:
    try:
        loaded = task.source() if callable(task.source) else task.source
        image, rendering = loaded if isinstance(loaded, Pixels) else Pixels(loaded)
        if preparation.mask_markers:
            from pgan.data import markers  # brings SciPy, which takes time to start

            image, _ = markers.mask(image)
        levels = pyramid.encode_levels(
            image, task.encodings, preparation.max_resolution, preparation.geometry
        )
    except ValueError as error:
        return Failure(f"{task.image_id}: {error}")
    return Encoded(levels, rendering)
