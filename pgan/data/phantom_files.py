"""What a folder of phantoms in a collection's own layout consists of."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image


class File(NamedTuple):
    """One image file.

    Attributes:
        path: in the folder, with "/".
        encode: returns its bytes; pickles.
        measure: returns what the tables need to know of the drawing, or None; pickles.
    """

    path: str
    encode: Callable[[], bytes]
    measure: Callable[[], Any] | None = None


class Plan(NamedTuple):
    """All files of a folder.

    Attributes:
        files: the images.
        table_paths: the label tables, in the order in which they are written.
        tables: from what `measure` of each file returned, None where there is none, to
            {table path: text}.
        facts: what else PHANTOM.json says.
        roots: folders that a reader may be given, each with its PHANTOM.json.
    """

    files: Sequence[File]
    table_paths: tuple[str, ...]
    tables: Callable[[Sequence[Any]], dict[str, str]]
    facts: Mapping[str, int] = {}
    roots: tuple[str, ...] = (".",)


def csv_text(header: Iterable[str], rows: Iterable[Iterable]) -> str:
    """Text of a CSV file."""
    with io.StringIO(newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        return file.getvalue()


def png(draw: Callable[[], np.ndarray]) -> bytes:
    """A drawing, uint8 [H, W], as an 8-bit grey PNG file."""
    with io.BytesIO() as stream:
        Image.fromarray(draw()).save(stream, "PNG")
        return stream.getvalue()


def jpeg(draw: Callable[[], np.ndarray], quality: int) -> bytes:
    """A drawing, uint8 [H, W], as a baseline grey JPEG file."""
    with io.BytesIO() as stream:
        Image.fromarray(draw()).save(stream, "JPEG", quality=quality)
        return stream.getvalue()
