"""How large a record set will be and how long writing it takes, measured on a few of its images."""

import os
import pathlib
import shutil
import time

import numpy as np
import tqdm

from pgan.data import encoding_pool, record_plan

# Bytes of a record beside its pixels: ids, shape, labels and framing.
_RECORD_OVERHEAD = 250
_SAMPLED_IMAGES = 8


def foresee(output_dir: str | os.PathLike, plan: record_plan.Plan, workers: int) -> None:
    """Prints how large the whole set will be and how long writing it will take.

    Raises:
      OSError: it does not fit on the disk.
    """
    there = pathlib.Path(output_dir).absolute()
    while not there.exists():
        there = there.parent
    missing = {shard: list(plan.encodings) for shard in range(len(plan.shards))}
    check_disk(there, plan, missing, made=False, workers=workers)


def check_disk(
    output_dir: pathlib.Path,
    plan: record_plan.Plan,
    missing: dict[int, list[int]],
    made: bool,
    workers: int,
) -> None:
    """Says how much will be written and how long it will take.

    Size and time are measured on a few images of the source; images that are still to be made are
    taken as if they did not shrink at all.

    Raises:
      OSError: the missing shards do not fit on the disk.
    """
    counts = dict.fromkeys(plan.encodings, 0)
    for shard, sizes in missing.items():
        start, stop = plan.shards[shard]
        for size in sizes:
            counts[size] += stop - start
    if not any(counts.values()):
        return
    per_record = {size: size * size for size in counts}
    expected = ""
    if not made:
        step = -(-len(plan.radiographs) // _SAMPLED_IMAGES)
        tasks = [
            encoding_pool.Task(i.image_id, i.load, plan.encodings) for i in plan.radiographs[::step]
        ]
        began = time.perf_counter()
        results = list(encoding_pool.encode_all(tasks, plan.preparation, workers=0))
        seconds = (time.perf_counter() - began) / len(tasks)
        samples = [result for result in results if isinstance(result, encoding_pool.Encoded)]
        for size in counts if samples else ():
            per_record[size] = int(np.mean([len(sample.levels[size]) for sample in samples]))
        seconds *= max(counts.values()) / max(workers, 1)
        expected = (
            f" Time: about {tqdm.tqdm.format_interval(seconds)} h:m:s with {max(workers, 1)} "
            f"processes, by {len(tasks)} images tried."
        )
    needed = sum(n * (per_record[size] + _RECORD_OVERHEAD) for size, n in counts.items())
    free = shutil.disk_usage(output_dir).free
    largest = counts[plan.max_resolution] * per_record[plan.max_resolution]
    tqdm.tqdm.write(
        f"To write: {'at most' if made else 'about'} {_gigabytes(needed)} "
        f"({_gigabytes(largest)} of it at {plan.max_resolution} px); "
        f"free: {_gigabytes(free)}.{expected}"
    )
    if needed > free:
        raise OSError(
            f"The records need {_gigabytes(needed)} but {output_dir} has {_gigabytes(free)} free. "
            f"Choose another --output or a smaller --max_resolution."
        )


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
