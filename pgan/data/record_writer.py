"""Writes record sets: sharded TFRecord files of tf.train.Example, one shard set per resolution.

Each record holds, at every resolution:
  image      bytes, PNG or raw uint8 in row order, as the manifest's "encoding" says
  shape      int64 [3], height, width, channels
  labels     float32 [L], in the order of the manifest's "findings"
  record_id  bytes
  patient_id bytes
  rendering  bytes, what was applied to the grey values of this image, such as a DICOM window

A shard is written beside its place and renamed; the manifest is written last. After a kill the
same call writes only what is missing, and with the same bytes as if it had never stopped.
"""

import contextlib
import errno
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tqdm

from pgan.data import encoding_pool, manifest, record_folder, record_forecast, record_plan

LoadImages = Callable[[Sequence[int]], Iterable[np.ndarray]]


class Written(NamedTuple):
    """What a call of `write_record_set` did.

    Attributes:
      shards: number of shards written; 0 if the set was complete.
      set_aside: {image id: reason} of the images that are left out of the set because they are
        broken; the reason is empty for those that an earlier call found.
    """

    shards: int
    set_aside: dict[str, str]


def write_record_set(
    output_dir: str | os.PathLike,
    plan: record_plan.Plan,
    load_images: LoadImages | None = None,
    workers: int = 0,
    progress: bool = True,
    max_bad: int = 0,
) -> Written:
    """Writes the set that is planned, or what of it is missing or damaged.

    Args:
      output_dir: the set's folder.
      plan: of the set.
      load_images: where images are made rather than read, a function that gets positions in
        `plan.radiographs` and yields their images in that order, each uint8 or float32 [H, W] in
        [0, 255]. It is called once per call of this function, with those positions only that are
        still to be written. None calls `load` of the radiographs, in the worker processes.
      workers: processes that load and encode; 0 works in this process.
      progress: show a bar.
      max_bad: leave out up to so many images that cannot be loaded or used.

    Raises:
      ValueError: the folder belongs to something else, more images than `max_bad` cannot be read,
        or a rebuilt shard differs from the one the finished set had.
      OSError: the disk has, or ran, out of space.
    """
    output_dir = pathlib.Path(output_dir)
    with record_folder.claimed(output_dir):
        finished = record_folder.read_finished(output_dir, plan)
        set_aside = _SetAside(output_dir, plan, finished, max_bad)
        present = record_folder.present_shards(
            output_dir, plan, finished, set_aside.record_ids, progress
        )
        missing = {
            shard: [size for size in plan.encodings if plan.shard_name(size, shard) not in present]
            for shard in range(len(plan.shards))
        }
        missing = {shard: sizes for shard, sizes in missing.items() if sizes}
        if finished and not missing and record_folder.tables_whole(output_dir, finished):
            return Written(0, set_aside.reasons)
        record_forecast.check_disk(output_dir, plan, missing, load_images is not None, workers)
        set_aside.try_again(missing)
        if not finished:
            record_folder.begin(output_dir, plan, present)
        with _explained_disk_errors(output_dir):
            for name, facts in _write_shards(
                output_dir, plan, missing, load_images, workers, progress, set_aside
            ):
                record_folder.check_rebuilt(output_dir, name, facts, finished)
                present[name] = facts
            record_folder.finish(output_dir, plan, present, finished, set_aside.record_ids)
    return Written(sum(map(len, missing.values())), set_aside.reasons)


class _SetAside:
    """The broken images that a set is written without.

    They are noted in the folder before the shard that lacks them is in its place.
    """

    def __init__(self, output_dir, plan, finished, max_bad):
        self._output_dir, self._plan, self._max_bad = output_dir, plan, max_bad
        self._finished = finished is not None
        self.record_ids = record_folder.read_set_aside(output_dir, finished)
        self.reasons = {
            image.image_id: ""
            for image, record_id in zip(plan.radiographs, plan.record_ids, strict=True)
            if record_id in self.record_ids
        }

    def try_again(self, missing: dict[int, list[int]]) -> None:
        """Takes back images of shards that are written anew: perhaps they have been mended."""
        for shard, sizes in missing.items():
            if len(sizes) == len(self._plan.encodings) and not self._finished:
                for position in range(*self._plan.shards[shard]):
                    self.record_ids.discard(self._plan.record_ids[position])
                    self.reasons.pop(self._plan.radiographs[position].image_id, None)

    def add(self, position: int, reason: str) -> None:
        """Leaves one more image out, or raises ValueError if that is one too many."""
        if self._finished or len(self.record_ids) >= self._max_bad:
            raise ValueError(
                f"{reason}\n{len(self.record_ids) + 1} broken images, --max_bad={self._max_bad} "
                f"are allowed. Mend the file, or use a larger --max_bad to go on without it."
            )
        self.record_ids.add(self._plan.record_ids[position])
        self.reasons[self._plan.radiographs[position].image_id] = reason
        record_folder.note_set_aside(self._output_dir, self.record_ids)
        tqdm.tqdm.write(f"Set aside: {reason}")


def _write_shards(
    output_dir: pathlib.Path,
    plan: record_plan.Plan,
    missing: dict[int, list[int]],
    load_images: LoadImages | None,
    workers: int,
    progress: bool,
    set_aside: _SetAside,
) -> Iterator[tuple[str, dict]]:
    """Writes the missing shards and yields (name, {"bytes", "sha256", "records"}) of each."""
    import tensorflow as tf

    positions = {
        shard: [
            position
            for position in range(*plan.shards[shard])
            if plan.record_ids[position] not in set_aside.record_ids
        ]
        for shard in missing
    }
    wanted = [position for shard in missing for position in positions[shard]]
    images = iter(load_images(wanted)) if load_images else None
    tasks = _tasks(plan, missing, positions, images)
    encoded = encoding_pool.encode_all(tasks, plan.preparation, workers)
    bar = tqdm.tqdm(total=len(wanted), unit="img", desc="Writing", disable=not progress)
    with bar, contextlib.closing(encoded):
        for shard, sizes in missing.items():
            paths = {size: output_dir / plan.shard_name(size, shard) for size in sizes}
            with _scratch_files(paths) as scratch:
                with contextlib.ExitStack() as stack:
                    writers = {
                        size: stack.enter_context(tf.io.TFRecordWriter(str(scratch[size])))
                        for size in sizes
                    }
                    lengths, count = dict.fromkeys(sizes, 0), 0
                    for position in positions[shard]:
                        result = next(encoded)
                        bar.update()
                        if isinstance(result, encoding_pool.Failure):
                            set_aside.add(position, result.reason)
                            continue
                        count += 1
                        for size, pixels in result.levels.items():
                            record = _example(tf, plan, position, size, pixels, result.rendering)
                            writers[size].write(record)
                            lengths[size] += len(record) + 16  # TFRecord frames a record so
                for size, path in paths.items():
                    facts = _seal(scratch[size], path, lengths[size])
                    yield plan.shard_name(size, shard), {**facts, "records": count}


def _tasks(
    plan: record_plan.Plan,
    missing: dict[int, list[int]],
    positions: dict[int, list[int]],
    images: Iterator[np.ndarray] | None,
) -> Iterator[encoding_pool.Task]:
    for shard, sizes in missing.items():
        encodings = {size: plan.encodings[size] for size in sizes}
        for position in positions[shard]:
            image = plan.radiographs[position]
            source = image.load if images is None else next(images, None)
            if source is None:
                raise ValueError(f"There is no image for {image.image_id}, nor a way to load it.")
            yield encoding_pool.Task(image.image_id, source, encodings)


def _example(
    tf, plan: record_plan.Plan, position: int, size: int, pixels: bytes, rendering: str
) -> bytes:
    def of_bytes(value: bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    labels = np.asarray(plan.radiographs[position].labels, np.float32)
    features = {
        "image": of_bytes(pixels),
        "shape": tf.train.Feature(int64_list=tf.train.Int64List(value=[size, size, 1])),
        "labels": tf.train.Feature(float_list=tf.train.FloatList(value=labels)),
        "record_id": of_bytes(plan.record_ids[position].encode()),
        "patient_id": of_bytes(plan.patient_ids[position].encode()),
        "rendering": of_bytes(rendering.encode()),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    # A map's entries have no order of their own; a rebuilt shard must have the same bytes.
    return example.SerializeToString(deterministic=True)


@contextlib.contextmanager
def _scratch_files(paths: dict[int, pathlib.Path]) -> Iterator[dict[int, pathlib.Path]]:
    """Names to write to beside the final ones; what is left of them at the end is removed."""
    scratch = {size: path.with_name(path.name + ".tmp") for size, path in paths.items()}
    for path in scratch.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield scratch
    finally:
        for path in scratch.values():
            path.unlink(missing_ok=True)


def _seal(scratch: pathlib.Path, path: pathlib.Path, length: int) -> dict:
    """Puts a shard in its place once all its bytes are on the disk."""
    with open(scratch, "rb+") as file:
        os.fsync(file.fileno())
    if scratch.stat().st_size != length:
        raise OSError(errno.ENOSPC, f"{scratch} was not written as a whole")
    facts = {"bytes": length, "sha256": manifest.sha256_of_file(scratch)}
    os.replace(scratch, path)
    return facts


@contextlib.contextmanager
def _explained_disk_errors(output_dir: pathlib.Path) -> Iterator[None]:
    """Turns the ways in which TensorFlow and the system report a full disk into one message."""
    import tensorflow as tf

    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        if not full:
            raise
        raise OSError(
            f"The disk of {output_dir} is full. Finished shards are kept: free some space and run "
            f"the same command again."
        ) from error
