r"""Checks a record set against its manifest, record by record.

    python tools/verify_records.py --records=records/nih
    python tools/verify_records.py --records=records/nih --verify=size --sample=all

Checksums are compared, all shards are read, and ids, patients, labels and shapes are compared with
the table; images of some records are decoded, and each level is compared with the next larger one.
With --against, it also tells how many patients the folds share with those of another set, which has
to be made with the same key. Exit status: 0 the set is whole and shares nobody, 1 otherwise.
"""

import os

from absl import app, flags

import tool_main

_RECORDS = flags.DEFINE_string("records", None, "Folder of the record set.", required=True)
_VERIFY = flags.DEFINE_enum(
    "verify", "full", ["full", "size"], "Whether checksums of the files are compared or sizes only."
)
_SAMPLE = flags.DEFINE_string(
    "sample", "64", "Number of records whose images are decoded at every resolution, or 'all'."
)
_AGAINST = flags.DEFINE_string("against", None, "Another record set that may share no patient.")
_MOST_LINES = 40


def _sample() -> int | None:
    if _SAMPLE.value == "all":
        return None
    if not _SAMPLE.value.isdecimal():
        raise app.UsageError(f"--sample is a number or 'all', got {_SAMPLE.value!r}.")
    return int(_SAMPLE.value)


def _verify(sample: int | None) -> int:
    from pgan.data import record_set, verification

    try:
        records = record_set.RecordSet.open(_RECORDS.value, verify=_VERIFY.value)
    except ValueError as error:
        print(f"BAD: {error}")
        return 1
    what = "checksums" if _VERIFY.value == "full" else "sizes"
    print(f"Shards, tables and folds are there, with the manifest's {what}.")
    result = verification.verify(records, sample, progress=True)
    print(
        f"Read: {result.records} records in {result.shards} shards, {records.resolutions[0]} to "
        f"{records.max_resolution} px, with the ids, patients, labels and shapes of the table."
    )
    if result.images:
        print(
            f"Decoded: images of {result.images} records at every resolution. Pixels differ from "
            f"the mean of the four above them by {result.level_difference:.2f} grey values at most "
            f"(from rounding: {verification.LEVEL_TOLERANCE:.2f})."
        )
    for problem in result.problems[:_MOST_LINES]:
        print(f"  {problem}")
    if len(result.problems) > _MOST_LINES:
        print(f"  and {len(result.problems) - _MOST_LINES} more")
    if result.problems:
        print(f"BAD: {len(result.problems)} problems in {_RECORDS.value}.")
        return 1
    if _AGAINST.value and _shared(records, record_set.RecordSet.open(_AGAINST.value, "size")):
        print(f"BAD: patients of {_RECORDS.value} are in {_AGAINST.value} too.")
        return 1
    print(
        f"GOOD: {records.num_records} records of {records.manifest['num_patients']} patients, "
        f"fingerprint {records.fingerprint[:16]}."
    )
    return 0


def _shared(records, others) -> int:
    """Prints how many patients each two folds of two sets share; returns the number of them all."""
    from pgan.data import overlap

    for mine in records.folds:
        for theirs in others.folds:
            shared = overlap.shared_patients((records, mine), (others, theirs))
            print(f"Patients of the fold {mine} that are in {others.name}/{theirs}: {len(shared)}")
    return len(overlap.shared_patients((records, "all"), (others, "all")))


def main() -> int:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # reading needs no card
    return _verify(_sample())


if __name__ == "__main__":
    tool_main.run(main)
