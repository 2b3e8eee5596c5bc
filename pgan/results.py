"""Rows of measurements: one JSON line each in a file, and Markdown tables of them."""

import json
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any


def append(path: str | os.PathLike, row: Mapping[str, Any]) -> dict[str, Any]:
    """Appends a row to a JSON-lines file, with the time of writing.

    Args:
        path: File, made with its folder if absent.
        row: JSON types.

    Returns:
        The row as written: with `timestamp`, seconds since 1970.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    row = {**row, "timestamp": time.time()}
    line = json.dumps(row) + "\n"
    # What a kill left of a line gets its own end, so that it does not swallow this row.
    if path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        line = "\n" + line
    with open(path, "a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return row


def write(path: str | os.PathLike, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows in the place of those that a file holds, whole or not at all.

    Args:
        path: File, made with its folder if absent.
        rows: JSON types.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    now = time.time()
    beside = path.with_name(path.name + ".tmp")
    lines = [json.dumps({**row, "timestamp": now}) + "\n" for row in rows]
    beside.write_text("".join(lines), encoding="utf-8")
    os.replace(beside, path)


def read(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Reads the rows of a JSON-lines file, oldest first.

    Returns:
        The rows; none if the file is absent. A line that is cut off is left out: it was being
        written when the program was killed.
    """
    return read_checked(path)[0]


def read_checked(path: str | os.PathLike) -> tuple[list[dict[str, Any]], list[int]]:
    """Reads the rows of a JSON-lines file, and tells which lines are damaged.

    Returns:
        The rows as of `read`, and the numbers from 1 of lines that hold no row. A last line without
        its end is not among these: it may be being written right now.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return [], []
    rows, damaged = [], []
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.strip() else None
        except json.JSONDecodeError:
            if number < len(lines):
                damaged.append(number)
            continue
        if isinstance(row, dict):
            rows.append(row)
        elif line.strip():
            damaged.append(number)
    return rows, damaged


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Formats a table; floats get three digits.

    Raises:
        ValueError: If a row has not as many cells as the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row of {len(row)} cells under a header of {len(header)}: {row}")
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def format_number(value: float) -> str:
    """Three digits, or whole thousands with separators."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return format_number(value) if isinstance(value, float) else str(value)
