"""Small record sets for tests: image i is flat grey i, so a pixel tells which image it is."""

import functools
import os
import pathlib
import signal
import time

import numpy as np

from pgan.data import record_plan, record_set, record_writer, splits
from pgan.data.radiograph import Radiograph

FINDINGS = ("Mass", "Hernia")


def flat(value):
    return np.full((16, 16), value, np.uint8)


def broken(value):
    if value == 31:
        raise ValueError("file.png cannot be read")
    return flat(value)


def radiographs(count=60, load=flat):
    """Three images per patient; image i has the labels [i even, i % 100 / 100]."""
    return [
        Radiograph(
            image_id=f"image{i:03d}",
            patient_id=f"patient{i // 3:02d}",
            labels=np.array([i % 2 == 0, i % 100 / 100], np.float32),
            load=functools.partial(load, i),
            extras={"age": 30 + i, "sex": "F", "secret": "name"},
        )
        for i in range(count)
    ]


def plan(images=None, **settings):
    images = radiographs() if images is None else images
    settings = {
        "max_resolution": 16,
        "source": "test",
        "origin": "phantom",
        "split": splits.draw(images, 1),
        "num_shards": 5,
        **settings,
    }
    return record_plan.make_plan(images, FINDINGS, **settings)


def build(path, **settings):
    """Writes and opens a set of 60 images in 5 shards, 4 to 16 px."""
    record_writer.write_record_set(path, plan(**settings), progress=False)
    return record_set.RecordSet.open(path)


def files(path):
    """{relative name: bytes} of everything in a folder."""
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def deadly(value, marks, parent):
    """Loads an image; the last one kills the writing process."""
    pathlib.Path(marks, f"{value:03d}").write_text(str(os.getpid()))
    if len(os.listdir(marks)) == 50:
        os.kill(int(parent), signal.SIGKILL)
        time.sleep(60)
    return flat(value)


def write_and_die(path, marks):
    """Writes a set with one worker, and is killed by it when all but a few images are loaded."""
    load = functools.partial(deadly, marks=marks, parent=os.getpid())
    record_writer.write_record_set(path, plan(radiographs(load=load)), workers=1)
