"""Compares a record set with its own manifest and tables, record by record.

`RecordSet.open` compares checksums: it finds what changed after the set was written. Here the
records are read, so that a set that was wrong from the beginning is found too.
"""

import dataclasses
import io
from collections.abc import Iterator, Sequence

import numpy as np
import tqdm
from PIL import Image

from pgan.data import identifier_files, manifest, record_folder, record_set, split_store

# Every level is rounded once from unrounded means. So the mean of four pixels is off by 0.5 at
# most and the pixel below them by another 0.5; the rest is for float32.
LEVEL_TOLERANCE = 1.001

_RECORDS_AT_ONCE = 64


@dataclasses.dataclass
class Verification:
    """What was compared, and what is wrong.

    Attributes:
      problems: a sentence each.
      shards: number of shards that were read.
      records: number of records in them, at all resolutions.
      images: number of records whose images were decoded at every resolution.
      level_difference: largest distance, in grey values, of a pixel from the mean of the four
        pixels of the next larger level.
    """

    problems: list[str] = dataclasses.field(default_factory=list)
    shards: int = 0
    records: int = 0
    images: int = 0
    level_difference: float = 0.0


def verify(
    records: record_set.RecordSet, sample: int | None = 64, progress: bool = False
) -> Verification:
    """Reads every shard of a record set and compares it with the tables.

    Args:
      records: the set.
      sample: number of records whose images are decoded and compared between levels; None takes
        all of them.
      progress: show a bar.
    """
    import tensorflow  # noqa: F401  before the bar, which else shows the seconds it takes

    result = Verification([*_leftovers(records), *_fold_problems(records)])
    count = records.num_records if sample is None else min(sample, records.num_records)
    # Records are in random order, so any will do; these are spread over the shards.
    chosen = set(np.linspace(0, records.num_records - 1, count).astype(int).tolist())
    edges = np.cumsum([0, *records.manifest["records_per_shard"]]).tolist()
    total = sum(facts["bytes"] for facts in records.manifest["shards"].values())
    table = list(
        zip(records.record_ids(), records.patient_ids(), records.label_matrix(), strict=True)
    )
    bar = tqdm.tqdm(total=total, unit="B", unit_scale=True, desc="Reading", disable=not progress)
    with bar:
        for number, (start, stop) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            images = {position: {} for position in chosen & set(range(start, stop))}
            for resolution in records.resolutions:
                shard = _Shard(records, resolution, number)
                shard.read(table[start:stop], start, chosen)
                for position, image in shard.images.items():
                    images[position][resolution] = image
                result.problems += shard.problems()
                result.shards += 1
                result.records += shard.number
                bar.update(records.manifest["shards"][shard.name]["bytes"])
            for position, levels in images.items():
                difference = _compare_levels(levels)
                if difference > LEVEL_TOLERANCE:
                    result.problems.append(
                        f"The images of {table[position][0]} are not means of each other: they "
                        f"differ by {difference:.2f} grey values."
                    )
                result.images += len(levels) == len(records.resolutions)
                result.level_difference = max(result.level_difference, difference)
    return result


def _leftovers(records: record_set.RecordSet) -> Iterator[str]:
    for path in sorted(records.path.rglob("*")):
        name = str(path.relative_to(records.path))
        unfinished = name in (record_folder.UNFINISHED, record_folder.SET_ASIDE)
        if unfinished or ".tmp" in path.suffixes:
            yield f"{name} is left of an interrupted build; run the same build command again."
        elif path.suffix == ".tfrecord" and name not in records.manifest["shards"]:
            yield f"{name} is a shard that the manifest does not have; remove it."


def _fold_problems(records: record_set.RecordSet) -> Iterator[str]:
    known = records.record_ids()
    if len(set(known)) < len(known):
        yield f"{manifest.RECORDS} has a record twice."
    if len(set(records.patient_ids())) != records.manifest["num_patients"]:
        yield f"{manifest.RECORDS} has another number of patients than the manifest."
    for fold, facts in records.manifest["folds"].items():
        ids = (records.path / manifest.fold_name(fold)).read_text().split()
        strangers = set(ids) - set(known)
        if strangers:
            yield f"The fold {fold!r} has records that the set lacks, such as {min(strangers)}."
        if len(set(ids)) < len(ids):
            yield f"The fold {fold!r} has a record twice."
        if manifest.fold_fingerprint(ids) != facts["fingerprint"]:
            yield f"The fold {fold!r} differs from its fingerprint in the manifest."
        patients = set(records.patient_ids(fold))
        if len(patients) != facts["patients"]:
            yield f"The fold {fold!r} has {len(patients)} patients, not {facts['patients']}."
    yield from _shared_patients(records, [fold for fold in records.folds if fold != "all"])
    for split in split_store.names(records.path):
        try:
            yield from _shared_patients(records, records.split_folds(split))
        except ValueError as error:
            yield str(error)


def _shared_patients(records: record_set.RecordSet, folds: Sequence[str]) -> Iterator[str]:
    fold_of = {}
    for fold in folds:
        shared = {}
        for patient in sorted(set(records.patient_ids(fold))):
            other = fold_of.setdefault(patient, fold)
            if other != fold:
                shared.setdefault(other, []).append(patient)
        for other, common in shared.items():
            yield (
                f"Patients in the fold {other!r} and in {fold!r}: {len(common)}, such as "
                f"{common[0]}."
            )


class _Shard:
    """Reads a shard and compares its records with the tables.

    Attributes:
      number: of records.
      images: {position: uint8 [R, R]} of the chosen records.
    """

    def __init__(self, records: record_set.RecordSet, resolution: int, shard: int):
        count = records.manifest["num_shards"]
        self.name = manifest.shard_name(resolution, shard, count)
        self.number, self.images = 0, {}
        self._path, self._resolution = records.path / self.name, resolution
        self._found = {}

    def read(self, table: list[tuple], start: int, chosen: set[int]) -> None:
        """Reads on.

        Args:
          table: (record id, patient id, labels) of the records that should be there.
          start: position of the first of them in the set.
          chosen: positions whose images to decode.
        """
        import tensorflow as tf

        try:
            dataset = tf.data.TFRecordDataset(str(self._path), buffer_size=2**20)
            for batch in dataset.batch(_RECORDS_AT_ONCE).as_numpy_iterator():
                for record in batch:
                    if self.number < len(table):
                        self._compare(record, table[self.number], start + self.number, chosen)
                    self.number += 1
        except tf.errors.OpError as error:
            self._note(f"cannot be read as a whole ({type(error).__name__})")
        if self.number != len(table):
            self._note(f"has {self.number} records instead of {len(table)}")

    def problems(self) -> list[str]:
        """What is wrong, a sentence for each kind of mistake."""
        return [
            f"{self.name} {what}" + (f", as have {count - 1} more." if count > 1 else ".")
            for what, count in self._found.values()
        ]

    def _note(self, what: str, detail: str = "") -> None:
        first, count = self._found.get(what, (what + detail, 0))
        self._found[what] = first, count + 1

    def _compare(self, record: bytes, expected: tuple, position: int, chosen: set[int]) -> None:
        import tensorflow as tf
        from google.protobuf import message

        record_id, patient_id, labels = expected
        try:
            features = tf.train.Example.FromString(record).features.feature
        except message.DecodeError:
            self._note("has a record that is no tf.train.Example", f": {record_id}")
            return
        strangers = set(features) - set(identifier_files.FEATURES)
        if strangers:
            self._note("has a record with unknown features", f": {', '.join(sorted(strangers))}")
        if list(features["record_id"].bytes_list.value) != [record_id.encode()]:
            self._note("has another record than the table in a place", f": not {record_id}")
            return
        if list(features["patient_id"].bytes_list.value) != [patient_id.encode()]:
            self._note("has a record of another patient than the table", f": {record_id}")
        found = np.array(features["labels"].float_list.value, np.float32)
        if not np.array_equal(found, labels, equal_nan=True):
            self._note("has a record of other labels than the table", f": {record_id}")
        side = self._resolution
        if list(features["shape"].int64_list.value) != [side, side, 1]:
            self._note("has a record of another shape", f": {record_id}")
        elif position in chosen:
            self._decode(list(features["image"].bytes_list.value), record_id, position)

    def _decode(self, values: list[bytes], record_id: str, position: int) -> None:
        side = self._resolution
        try:
            (pixels,) = values
            if pixels.startswith(b"\x89PNG"):
                with Image.open(io.BytesIO(pixels)) as image:
                    decoded = np.asarray(image)
            else:
                decoded = np.frombuffer(pixels, np.uint8).reshape(side, side)
            if decoded.shape != (side, side) or decoded.dtype != np.uint8:
                raise ValueError(f"{decoded.dtype} {decoded.shape}")
        except (ValueError, OSError, SyntaxError) as error:
            self._note("has an image that cannot be decoded", f": {record_id} ({error})")
        else:
            self.images[position] = decoded


def _compare_levels(images: dict[int, np.ndarray]) -> float:
    """Largest distance of a pixel from the mean of the four pixels of the next larger level."""
    largest = 0.0
    for side, image in images.items():
        if 2 * side in images:
            means = images[2 * side].reshape(side, 2, side, 2).mean((1, 3))
            largest = max(largest, float(np.abs(image - means).max()))
    return largest
