r"""Searches finished files for whatever names a patient in the source they were made from.

    python tools/scan_identifiers.py --input=/data/ChestX-ray14 --scan=records/nih,runs/nih,exports
    python tools/scan_identifiers.py --input=/data/labels.csv,/data/dicom --names=staff.txt \
        --scan=synthetic

--input is the source: label tables and folders of images, from which ids, file names, UIDs, names,
birth dates and institutions are gathered. --scan is what will be shared: shards, manifests, tables,
SavedModels, checkpoints, event files, logs, sheets of images. Identifiers are printed masked.
Exit status: 0 nothing found, 1 something found or not searchable, 2 there was no scan.

Ids of less than 6 characters are not searched for alone. Text drawn into pixels is not read.
"""

import os
import pathlib
import time

from absl import app, flags

import tool_main

_INPUT = flags.DEFINE_list("input", None, "Label tables and folders of the source.")
_SCAN = flags.DEFINE_list("scan", None, "Files and folders to search.")
_NAMES = flags.DEFINE_string("names", None, "Text file of further names and ids, one a line.")
_COLUMNS = flags.DEFINE_list("columns", [], "Further headings of tables under which there are ids.")
_KEEP_OUT = flags.DEFINE_string(
    "keep_out", None, "Text file of names that identify nobody although they look like it."
)
_ALLOW_UNREAD = flags.DEFINE_boolean(
    "allow_unread", False, "Go on although the source has spreadsheets or databases, unread."
)
_MOST_LINES = 40


def _lines(path: str | None) -> list[str]:
    if path is None:
        return []
    return [line.strip() for line in pathlib.Path(path).read_text().splitlines() if line.strip()]


def _gather():
    """The identifiers of the source, after saying what they are and where they come from."""
    from pgan.data import identifier_sources, identifiers

    found = identifiers.Identifiers(_lines(_KEEP_OUT.value))
    notes = identifier_sources.gather(
        _INPUT.value or [],
        found,
        _COLUMNS.value,
        exclude=_SCAN.value,
        progress=True,
        allow_unread=_ALLOW_UNREAD.value,
    )
    names = _lines(_NAMES.value)
    for name in names:
        found.add_name(name)
    if names:
        notes.append(f"{_NAMES.value}: {len(names)} names")
    print("\n".join(notes))
    if not found:
        raise ValueError("There is nothing to search for: --input and --names hold no identifier.")
    kinds = ", ".join(f"{kind} {count}" for kind, count in found.count_by_kind().items())
    print(f"Identifiers: {len(found)} ({kinds}), and the plain hashes of ids.")
    print(
        f"Too short to be searched for alone: {len(found.too_short)}; generic names and words of "
        f"this software, kept out: {len(found.kept_out)}."
    )
    return found


def _scan() -> int:
    from pgan.data import identifier_control, identifier_index, identifier_scan

    for path in _SCAN.value:
        if not os.path.exists(path):
            raise ValueError(f"There is no file or folder {path} (--scan).")
    found = _gather()
    searched_for = len(found)
    planted = identifier_control.plant(found)
    index = identifier_index.Index(found)
    missed = identifier_control.missed(index, planted)
    missed += identifier_control.missed_kinds(index, found)
    number = len(planted) + len(found.count_by_kind())
    print(f"Positive control: {number - len(missed)} of {number} found.")
    if missed:
        raise RuntimeError(f"The scan misses what was planted as or in: {', '.join(missed)}.")
    start = time.perf_counter()
    result = identifier_scan.scan(_SCAN.value, index, progress=True)
    seconds = time.perf_counter() - start
    print(
        f"{result.files} files, {result.size / 1e6:.1f} MB in {seconds:.1f} s "
        f"({result.size / 1e6 / seconds:.0f} MB/s); searched without pixels and unpacked "
        f"{result.searched / 1e6:.1f} MB, {result.binary / 1e6:.1f} MB of it binary, where "
        f"{index.chance(result.binary):.2g} identifiers are found by chance."
    )
    for finding in (*result.problems, *result.found)[:_MOST_LINES]:
        print(f"  {finding.path}: {finding.what} ({finding.where or 'the file'}), {finding.count}x")
    left = len(result.problems) + len(result.found) - _MOST_LINES
    if left > 0:
        print(f"  and {left} more")
    if result.clean:
        print(f"CLEAN: none of {searched_for} identifiers is in there.")
        return 0
    hits = sum(finding.count for finding in result.found)
    print(
        f"NOT CLEAN: identifiers found {hits} times in "
        f"{len({finding.path for finding in result.found})} files; {len(result.problems)} problems."
    )
    return 1


def main() -> int:
    if not _SCAN.value or not (_INPUT.value or _NAMES.value):
        raise app.UsageError("--scan and --input or --names are needed.")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # a scan needs no card
    return _scan()


if __name__ == "__main__":
    # Status 1 means that something was found.
    tool_main.run(main, wrong_usage=2, error=2)
