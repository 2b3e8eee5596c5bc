"""Pictures to look at after a record set is made."""

import os
import pathlib

import numpy as np

from pgan import plots
from pgan.data import labels, radiograph, record_plan, record_reader, record_set

_SAMPLES_PER_FINDING = 6
_SAMPLED_RECORDS = 1024
_SAMPLES_PIXELS = 128
_MARKER_IMAGES = 24


def draw_samples(records: record_set.RecordSet) -> pathlib.Path:
    """Draws images of each finding, to see at a glance whether labels and images match.

    Returns:
      Path of the picture, in the record set.
    """
    resolution = min(records.max_resolution, _SAMPLES_PIXELS)
    rows = {name: [] for name in (labels.NO_FINDING, *records.findings)}
    # Records are in random order, so the first of them hold all but the rarest findings.
    batches = record_reader.evaluation_dataset(
        records, resolution, "all", 64, limit=_SAMPLED_RECORDS
    )
    for batch in batches:
        images, vectors = plots.to_uint8(batch["images"]), batch["labels"].numpy()
        for image, vector in zip(images, vectors, strict=True):
            names = labels.present(vector, records.findings)
            if not names and labels.is_healthy(vector, records.findings):
                names = [labels.NO_FINDING]
            for name in names:
                if len(rows[name]) < _SAMPLES_PER_FINDING:
                    rows[name].append(image[..., 0])
    rows = {name: np.stack(images) for name, images in rows.items() if images}
    title = f"{records.name}, {records.manifest['origin']}, {resolution} px"
    picture = plots.image_grid(list(rows.values()), list(rows), title)
    return _save(picture, records.path / "samples.png")


def draw_markers(plan: record_plan.Plan, path: pathlib.Path) -> pathlib.Path:
    """Draws images before and after masking. Unmasked images are no part of a record set.

    Args:
      plan: of the set.
      path: of the picture, outside the set.
    """
    from pgan.data import markers

    pairs, names = [], []
    for image, record_id in zip(plan.radiographs, plan.record_ids, strict=True):
        if len(pairs) == _MARKER_IMAGES:
            break
        try:
            loaded = image.load()
        except ValueError:
            continue  # set aside, and listed
        before = loaded.image if isinstance(loaded, radiograph.Pixels) else loaded
        pairs.append((before, *markers.mask(before)))
        names.append(record_id)
    return _save(markers.sheet(pairs, names), path)


def _save(picture, path: pathlib.Path) -> pathlib.Path:
    scratch = path.with_name(f"{path.stem}.tmp.png")
    picture.save(scratch)
    os.replace(scratch, path)
    return path
