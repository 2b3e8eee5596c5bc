"""The one record that every reader of a collection yields."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Pixels(NamedTuple):
    """A loaded image and how its grey values came about.

    Attributes:
      image: uint8 or float32 [H, W] in [0, 255], dense tissue bright; float32 is rounded only once,
        after the last filter.
      rendering: what was applied to the stored values, such as "window linear 2047 4096". Empty
        where they were taken as they are.
    """

    image: np.ndarray
    rendering: str = ""


@dataclasses.dataclass(frozen=True)
class Radiograph:
    """One frontal radiograph with what is known about it; the pixels are loaded when asked for.

    Attributes:
      image_id: name of the image in its collection, unique there.
      patient_id: name of the patient in the collection. Splits keep a patient in one fold.
      labels: float32 [L] in [0, 1], in the order of the collection's vocabulary; NaN where it is
        not known whether the finding is there.
      load: returns the image, either as Pixels or as its array alone. Raises ValueError that names
        the file when it cannot be read. It is called in worker processes, so it has to pickle: a
        `functools.partial` of a function at module level, never a lambda. None where images are
        made elsewhere (see `record_writer.write_record_set`) or only labels are asked for.
      stamp: what the pixels come from, for instance the file's size in bytes or the version and
        seed of a drawing; part of the source's fingerprint, so that a changed source is noticed.
      extras: further facts. Records keep those of `manifest.EXTRAS`: "age" (years), "sex", "view"
        and "group" (a class of the collection beside its findings); other entries stay with the
        caller.
      path: the image's file; empty for drawings and where only labels are asked for.
      twin: (collection, image id) of the same image in another collection that it was taken from.
        Then `patient_id` is a patient of that collection.
    """

    image_id: str
    patient_id: str
    labels: np.ndarray
    load: Callable[[], Pixels | np.ndarray] | None = None
    stamp: str = ""
    extras: dict = dataclasses.field(default_factory=dict)
    path: str = ""
    twin: tuple[str, str] | None = None
