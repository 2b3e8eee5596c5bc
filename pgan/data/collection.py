"""From the label tables of a collection to radiographs with files that have been looked at."""

import concurrent.futures
import csv
import dataclasses
import functools
import io
import logging
import os
import pathlib
from collections.abc import Mapping, Sequence

import tqdm

from pgan.data import image_files, manifest, pyramid, splits
from pgan.data.dicom import Refused
from pgan.data.radiograph import Radiograph

_log = logging.getLogger(__name__)

LISTED = 5  # broken images that a message names


@dataclasses.dataclass(frozen=True)
class SetAside:
    """An image that is left out.

    Attributes:
      image_id: its name.
      reason: why; names the file.
      broken: whether the file is at fault, rather than being no frontal radiograph.
    """

    image_id: str
    reason: str
    broken: bool


def join(
    images: Sequence[Radiograph],
    paths: Mapping[str, str],
    root: str | os.PathLike,
    window: str = "auto",
    allow_missing: bool = False,
) -> list[Radiograph]:
    """Gives the rows of a label table their files.

    Args:
      images: from the table.
      paths: {image id: path} of the files that are there.
      root: folder of the collection, for messages.
      window: see `image_files.load`.
      allow_missing: go on, with a warning, if rows without files or files without rows exist.

    Raises:
      ValueError: no row has a file, or rows and files do not match.
    """
    without_file = [image.image_id for image in images if image.image_id not in paths]
    without_row = paths.keys() - {image.image_id for image in images}
    report = (
        f"{len(images) - len(without_file)} images; rows without a file: "
        f"{splits.describe(without_file)}; files without a row: {splits.describe(without_row)}"
    )
    if len(without_file) == len(images):
        raise ValueError(f"No row of the label table has a file under {root}. {report}.")
    if without_file or without_row:
        if not allow_missing:
            raise ValueError(
                f"The label table and the files under {root} differ. {report}. Complete the "
                f"download, or use --allow_missing to go on with the images that match."
            )
        _log.warning("Going on with the images that match: %s.", report)
    return [
        dataclasses.replace(
            image,
            path=paths[image.image_id],
            load=functools.partial(image_files.load, paths[image.image_id], window),
        )
        for image in images
        if image.image_id in paths
    ]


def check(
    images: Sequence[Radiograph],
    min_size: int = 1,
    geometry: str = "pad",
    window: str = "auto",
    max_bad: int = 0,
    progress: bool = False,
) -> tuple[list[Radiograph], list[SetAside]]:
    """Looks at the head of every file, so that broken ones are found before anything is made.

    Args:
      images: with their files.
      min_size: pixels that the square of each image must have, so that none is enlarged.
      geometry: how images become square, one of `pyramid.GEOMETRIES`.
      window: see `image_files.load`; checks that a file has the window that is asked for.
      max_bad: set up to so many broken images aside. Images that are sound but no frontal
        radiographs, such as lateral views, are set aside whatever their number.
      progress: show a bar.

    Returns:
      The images that can be used, with their stamps and with what DICOM headers say of age, sex
      and view where the table is silent; and what is left out.

    Raises:
      ValueError: more broken images than `max_bad`, or nothing left. Names the first of them.
    """
    look = functools.partial(_look_at, min_size=min_size, geometry=geometry, window=window)
    with concurrent.futures.ThreadPoolExecutor() as executor:
        results = executor.map(look, images)
        bar = tqdm.tqdm(
            results, total=len(images), unit="file", desc="Checking", disable=not progress
        )
        results = list(bar)
    kept = [result for result in results if isinstance(result, Radiograph)]
    left_out = [result for result in results if isinstance(result, SetAside)]
    broken = [one for one in left_out if one.broken]
    if len(broken) > max_bad:
        lines = [one.reason for one in broken[:LISTED]]
        if len(broken) > LISTED:
            lines.append(f"and {len(broken) - LISTED} more.")
        raise ValueError(
            "\n".join(lines) + f"\n{len(broken)} broken images, --max_bad={max_bad} are allowed. "
            f"Mend the files, or use a larger --max_bad to go on without them."
        )
    if images and not kept:
        raise ValueError(f"No image is left. The first: {left_out[0].reason}")
    return kept, left_out


def write_listing(path: pathlib.Path, left_out: Sequence[SetAside]) -> None:
    """Writes what is left out, by its own names, as a CSV file. Keep it outside the record set."""
    with io.StringIO(newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "broken", "reason"])
        writer.writerows((one.image_id, int(one.broken), one.reason) for one in left_out)
        manifest.write_text(path, file.getvalue())


def _look_at(image: Radiograph, min_size: int, geometry: str, window: str) -> Radiograph | SetAside:
    try:
        facts = image_files.probe(image.path, window)
        try:
            pyramid.require_side(facts.height, facts.width, geometry, min_size)
        except ValueError as error:
            raise ValueError(f"{image.path}: {error}") from None
    except ValueError as error:
        return SetAside(image.image_id, str(error), not isinstance(error, Refused))
    stamp = f"{facts.bytes} bytes, window {window}"
    return dataclasses.replace(image, stamp=stamp, extras={**facts.extras, **image.extras})
