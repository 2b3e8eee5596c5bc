"""Small phantoms for the tests of searches and audits, drawn once in a process."""

import functools

import numpy as np

from pgan.data import phantom


@functools.cache
def chests(count: int = 400, seed: int = 1, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [count, size, size] that cannot be written to, and the patient of each."""
    radiographs = list(phantom.read(count, seed, size))
    images = np.stack([radiograph.load() for radiograph in radiographs])
    images.setflags(write=False)
    return images, np.array([radiograph.patient_id for radiograph in radiographs])


def strangers(count: int = 30) -> np.ndarray:
    """Images of another population, uint8 [count, 64, 64]."""
    return chests(count, seed=2)[0]
