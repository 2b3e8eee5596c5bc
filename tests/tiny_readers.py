"""Small record sets and decks of a reader study."""

import functools

import numpy as np

from classifier import reader_items
from pgan.data import labels, record_plan, record_set, record_writer
from pgan.data.radiograph import Radiograph

READERS = {"cv1": "vision", "rad1": "radiology"}


def noise(seed, brightest):
    return np.random.default_rng(seed).integers(0, brightest, (32, 32)).astype(np.uint8)


def build(folder, origin, patients=20, per_patient=2, brightest=256, **settings):
    """Writes and opens a set of different images of 4 to 32 px; every second has an effusion."""
    images = []
    for patient in range(patients):
        for k in range(per_patient):
            seed = [patient, k, origin == "synthetic"]
            vector = np.zeros(len(labels.NIH_14), np.float32)
            vector[labels.NIH_14.index("Effusion")] = patient % 2
            name = f"{origin}-{patient:03d}-{k}"
            load = functools.partial(noise, seed, brightest)
            images.append(Radiograph(name, f"{origin}-{patient:03d}", vector, load))
    plan = record_plan.make_plan(
        images, labels.NIH_14, 32, source="test", origin=origin, **settings
    )
    record_writer.write_record_set(folder, plan, progress=False)
    return record_set.RecordSet.open(folder)


def sources(folder, **settings):
    """Real and synthetic images of 20 patients each."""
    return [
        reader_items.Source(
            build(folder / origin, kind, per_patient=each, **settings), "all", origin
        )
        for origin, kind, each in (("real", "phantom", 2), ("synthetic", "synthetic", 1))
    ]
