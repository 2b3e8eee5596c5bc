"""Images of noise and of waves, for tests of power spectra."""

import numpy as np


def rounded(images):
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def noise(count, size=32, seed=0, deviation=30.0):
    rng = np.random.default_rng(seed)
    return rounded(rng.normal(128.0, deviation, (count, size, size)))


def wave(size, right, down, phase=0.0):
    """Cosine of frequencies in cycles per pixel, along columns and along rows."""
    rows, columns = np.mgrid[:size, :size]
    return np.cos(2 * np.pi * (right * columns + down * rows) + phase)
