"""Writes one labelled set of synthetic images from the generators of several sites.

a record set of origin "synthetic"     see `record_writer`; the group of a record is its site
provenance.csv                         whose generator drew each record, by which seed
sheet.png                              some images, by finding and site
"""

import csv
import io
import os
import pathlib

import numpy as np

from pgan import plots, synthetic_sets
from pgan.data import labels as labels_lib
from pgan.data import manifest, pyramid, radiograph, record_plan
from pgan.deposit import pooled_sets

PROVENANCE = "provenance.csv"
_COLUMNS, _SHEET_CELL = 8, 256  # of the sheet; px


def write(
    order: pooled_sets.Order,
    output_dir: str | os.PathLike,
    batch_size: int | None = None,
    workers: int = 0,
    progress: bool = True,
) -> synthetic_sets.Result:
    """Writes the record set, or what of it is missing, its provenance and a sheet.

    Args:
        order: What is to be drawn.
        output_dir: Folder of the set.
        batch_size: Images drawn at once.
        workers: Processes that encode; 0 encodes in this one.
        progress: Whether to show a bar.

    Raises:
        ValueError: If the folder holds something else.
        OSError: If the disk is full; finished shards are kept.
    """
    output, names = pathlib.Path(output_dir), order.names()
    sites = [order.members[owner].submission.site for owner in order.owners]
    plan = record_plan.make_plan(
        [
            radiograph.Radiograph(name, name, order.labels[i], extras={"group": sites[i]})
            for i, name in enumerate(names)
        ],
        order.findings,
        order.resolution,
        source="deposit",
        origin="synthetic",
        provenance=order.describe(),
    )
    result = synthetic_sets.write_drawn(
        plan, output, names, lambda indices: order.draw(indices, batch_size), workers, progress
    )
    manifest.write_text(output / PROVENANCE, _provenance(order, names))
    _write_sheet(order, output / synthetic_sets.SHEET)
    return result


def _provenance(order, names) -> str:
    with io.StringIO(newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        head = ["record_id", "site", "submission", "submission_sha256", "generator_fingerprint"]
        table.writerow([*head, "seed", "index", *order.findings])
        for index, (name, owner) in enumerate(zip(names, order.owners, strict=True)):
            member = order.members[owner]
            one = member.submission
            strengths = ["" if np.isnan(v) else f"{v:g}" for v in order.labels[index]]
            whose = [one.site, one.id, one.sha256, member.generator.fingerprint]
            table.writerow([name, *whose, order.seed, index, *strengths])
        return file.getvalue()


def _write_sheet(order: pooled_sets.Order, path: pathlib.Path) -> None:
    """A few images of every finding and site; an image stands in the row of its strongest one."""
    values = np.nan_to_num(order.labels, nan=0.0)
    strongest = np.where(values.any(axis=1), values.argmax(axis=1), len(order.findings))
    rows, names = [], []
    for column, finding in enumerate((*order.findings, labels_lib.NO_FINDING)):
        for number, member in enumerate(order.members):
            chosen = np.flatnonzero((strongest == column) & (order.owners == number))[:_COLUMNS]
            if len(chosen):
                size = min(order.resolution, _SHEET_CELL)
                images = [_reduced(image, size) for image in order.draw(chosen)]
                rows.append(np.stack(images))
                names.append(f"{finding}, {member.submission.site}")
    title = f"synthetic, of {len(order.members)} generators, {order.resolution} px"
    beside = path.with_name(path.name + ".tmp")
    plots.image_grid(rows, names, title).save(beside, "PNG")
    os.replace(beside, path)


def _reduced(image: np.ndarray, size: int) -> np.ndarray:
    reduced = pyramid.box_filter(image.astype(np.float32), size)
    return np.clip(np.rint(reduced), 0, 255).astype(np.uint8)
