"""Writes record sets: sharded TFRecord files of tf.train.Example, one shard set per resolution.

Each record holds, at every resolution:
  image      bytes, PNG or raw uint8 in row order, as the manifest's "encoding" says
  shape      int64 [3], height, width, channels
  labels     float32 [L], in the order of the manifest's "findings"
  record_id  bytes
  patient_id bytes

A shard is written beside its place and renamed; the manifest is written last. After a kill the
same call writes only what is missing, and with the same bytes as if it had never stopped.
"""

import contextlib
import errno
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tqdm

from pgan.data import encoding_pool, manifest, record_folder, record_plan

# Bytes of a record beside its pixels: ids, shape, labels and framing.
_RECORD_OVERHEAD = 250
_SAMPLED_IMAGES = 8

LoadImages = Callable[[Sequence[int]], Iterable[np.ndarray]]


def write_record_set(
    output_dir: str | os.PathLike,
    plan: record_plan.Plan,
    load_images: LoadImages | None = None,
    workers: int = 0,
    progress: bool = True,
) -> int:
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

    Returns:
      Number of shards written; 0 if the set was complete.

    Raises:
      ValueError: the folder belongs to something else, an image cannot be read, or a rebuilt
        shard differs from the one the finished set had.
      OSError: the disk has, or ran, out of space.
    """
    output_dir = pathlib.Path(output_dir)
    with record_folder.claimed(output_dir):
        finished = record_folder.read_finished(output_dir, plan)
        present = record_folder.present_shards(output_dir, plan, finished, progress)
        missing = {
            shard: [size for size in plan.encodings if plan.shard_name(size, shard) not in present]
            for shard in range(len(plan.shards))
        }
        missing = {shard: sizes for shard, sizes in missing.items() if sizes}
        if finished and not missing and record_folder.tables_whole(output_dir, finished):
            return 0
        _check_disk(output_dir, plan, missing, load_images is not None)
        if not finished:
            record_folder.begin(output_dir, plan, present)
        with _explained_disk_errors(output_dir):
            for name, facts in _write_shards(
                output_dir, plan, missing, load_images, workers, progress
            ):
                record_folder.check_rebuilt(output_dir, name, facts, finished)
                present[name] = facts
            record_folder.finish(output_dir, plan, present, finished)
    return sum(map(len, missing.values()))


def _write_shards(
    output_dir: pathlib.Path,
    plan: record_plan.Plan,
    missing: dict[int, list[int]],
    load_images: LoadImages | None,
    workers: int,
    progress: bool,
) -> Iterator[tuple[str, dict]]:
    """Writes the missing shards and yields (name, {"bytes", "sha256", "records"}) of each."""
    import tensorflow as tf

    positions = [p for shard in missing for p in range(*plan.shards[shard])]
    images = load_images(positions) if load_images else None
    encoded = encoding_pool.encode_all(
        _tasks(plan, missing, iter(images) if images is not None else None),
        plan.max_resolution,
        workers,
    )
    bar = tqdm.tqdm(total=len(positions), unit="img", desc="Writing", disable=not progress)
    with bar, contextlib.closing(encoded):
        for shard, sizes in missing.items():
            start, stop = plan.shards[shard]
            paths = {size: output_dir / plan.shard_name(size, shard) for size in sizes}
            with _scratch_files(paths) as scratch:
                with contextlib.ExitStack() as stack:
                    writers = {
                        size: stack.enter_context(tf.io.TFRecordWriter(str(scratch[size])))
                        for size in sizes
                    }
                    lengths = dict.fromkeys(sizes, 0)
                    for position in range(start, stop):
                        for size, pixels in next(encoded).items():
                            record = _example(tf, plan, position, size, pixels)
                            writers[size].write(record)
                            lengths[size] += len(record) + 16  # TFRecord frames a record so
                        bar.update()
                for size, path in paths.items():
                    facts = _seal(scratch[size], path, lengths[size])
                    yield plan.shard_name(size, shard), {**facts, "records": stop - start}


def _tasks(
    plan: record_plan.Plan,
    missing: dict[int, list[int]],
    images: Iterator[np.ndarray] | None,
) -> Iterator[encoding_pool.Task]:
    for shard, sizes in missing.items():
        encodings = {size: plan.encodings[size] for size in sizes}
        for position in range(*plan.shards[shard]):
            image = plan.radiographs[position]
            source = image.load if images is None else next(images, None)
            if source is None:
                raise ValueError(f"There is no image for {image.image_id}, nor a way to load it.")
            yield image.image_id, source, encodings


def _example(tf, plan: record_plan.Plan, position: int, size: int, pixels: bytes) -> bytes:
    def of_bytes(value: bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    labels = np.asarray(plan.radiographs[position].labels, np.float32)
    features = {
        "image": of_bytes(pixels),
        "shape": tf.train.Feature(int64_list=tf.train.Int64List(value=[size, size, 1])),
        "labels": tf.train.Feature(float_list=tf.train.FloatList(value=labels)),
        "record_id": of_bytes(plan.record_ids[position].encode()),
        "patient_id": of_bytes(plan.patient_ids[position].encode()),
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


def _check_disk(
    output_dir: pathlib.Path, plan: record_plan.Plan, missing: dict[int, list[int]], made: bool
) -> None:
    """Raises OSError unless the missing shards fit on the disk.

    The size of PNG files is measured on a few images of the source; images that are still to be
    made are taken as if they did not shrink at all.
    """
    counts = dict.fromkeys(plan.encodings, 0)
    for shard, sizes in missing.items():
        start, stop = plan.shards[shard]
        for size in sizes:
            counts[size] += stop - start
    if not any(counts.values()):
        return
    per_record = {size: size * size for size in counts}
    if not made and "png" in plan.encodings.values():
        step = -(-len(plan.radiographs) // _SAMPLED_IMAGES)
        tasks = [(i.image_id, i.load, plan.encodings) for i in plan.radiographs[::step]]
        samples = list(encoding_pool.encode_all(tasks, plan.max_resolution, workers=0))
        for size in counts:
            per_record[size] = int(np.mean([len(sample[size]) for sample in samples]))
    needed = sum(n * (per_record[size] + _RECORD_OVERHEAD) for size, n in counts.items())
    free = shutil.disk_usage(output_dir).free
    largest = counts[plan.max_resolution] * per_record[plan.max_resolution]
    tqdm.tqdm.write(
        f"To write: {'at most' if made else 'about'} {_gigabytes(needed)} "
        f"({_gigabytes(largest)} of it at {plan.max_resolution} px); free: {_gigabytes(free)}."
    )
    if needed > free:
        raise OSError(
            f"The records need {_gigabytes(needed)} but {output_dir} has {_gigabytes(free)} free. "
            f"Choose another --output or a smaller --max_resolution."
        )


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


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
