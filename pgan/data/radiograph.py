"""The one record that every reader of a collection yields."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Radiograph:
    """One frontal radiograph with what is known about it; the pixels are loaded when asked for.

    Attributes:
      image_id: name of the image in its collection, unique there.
      patient_id: name of the patient in the collection. Splits keep a patient in one fold.
      labels: float32 [L] in [0, 1], in the order of the collection's vocabulary.
      load: returns the grey image, uint8 or float32 [H, W] in [0, 255]; float32 is rounded only
        once, after the last filter. Raises ValueError that names the file when it cannot be read.
        It is called in worker processes, so it has to pickle: a `functools.partial` of a function
        at module level, never a lambda. None where images are made elsewhere (see
        `record_writer.write_record_set`).
      stamp: what the pixels come from, for instance the file's size in bytes or the version and
        seed of a drawing; part of the source's fingerprint, so that a changed source is noticed.
      extras: further facts. Records keep "age" (years), "sex" and "view"; other entries stay with
        the caller.
    """

    image_id: str
    patient_id: str
    labels: np.ndarray
    load: Callable[[], np.ndarray] | None = None
    stamp: str = ""
    extras: dict = dataclasses.field(default_factory=dict)
