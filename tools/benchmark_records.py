r"""Measures the record builder: speed next to a plain loop, and memory by number of images.

    python tools/benchmark_records.py --input=data/nih --max_resolution=1024 --output=records.jsonl
    python tools/benchmark_records.py --input=data/nih --what=memory --counts=100,10000 \
        --output=records.jsonl

The plain loop is what one would write in ten lines: one process that opens each file with Pillow,
halves it with NumPy level by level and writes the same encodings to the same kind of files. Files
of --input stand in for a collection of any size: they are linked under new names.
"""

import io
import pathlib
import subprocess
import tempfile
import threading
import time

from absl import flags

import tool_main
from pgan import results

_INPUT = flags.DEFINE_string("input", None, "Folder of PNG files.", required=True)
_WHAT = flags.DEFINE_list("what", ["speed", "memory"], "What to measure.")
_MAX_RESOLUTION = flags.DEFINE_integer("max_resolution", 1024, "Largest resolution.")
_WORKERS = flags.DEFINE_list("workers", ["1", "2"], "Processes that encode.")
_IMAGES = flags.DEFINE_integer("images", 56, "Images per timed run.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Rounds over which medians are taken.", 1)
_COUNTS = flags.DEFINE_list(
    "counts", ["100", "1000"], "Images in the runs that memory is taken of."
)
_OUTPUT = flags.DEFINE_string("output", None, "Results are appended here.", required=True)

_POLL_SECONDS = 0.05


def _link_collection(folder: pathlib.Path, count: int) -> pathlib.Path:
    """A collection in NIH's layout of so many images, links to the files of --input."""
    files = sorted(pathlib.Path(_INPUT.value).rglob("*.png"))
    if not files:
        raise ValueError(f"There are no PNG files below {_INPUT.value}.")
    (folder / "images").mkdir(parents=True)
    rows = ["Image Index,Finding Labels,Patient ID"]
    for number in range(count):
        name = f"{number:08d}_000.png"
        (folder / "images" / name).symlink_to(files[number % len(files)].absolute())
        rows.append(f"{name},No Finding,{number}")
    (folder / "Data_Entry_2017.csv").write_text("\n".join(rows) + "\n")
    return folder


def _plain_loop(paths: list[str], output: pathlib.Path, resolution: int) -> None:
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    sizes = [2**level for level in range(2, resolution.bit_length())]
    output.mkdir()
    writers = {size: tf.io.TFRecordWriter(str(output / f"{size}.tfrecord")) for size in sizes}
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("L"), np.float32)
        while pixels.shape[0] > resolution:
            pixels = _halved(pixels)
        for size in reversed(sizes):
            if size < pixels.shape[0]:
                pixels = _halved(pixels)
            rounded = np.rint(pixels).astype(np.uint8)
            if size <= 64:
                encoded = rounded.tobytes()
            else:
                stream = io.BytesIO()
                Image.fromarray(rounded).save(stream, "PNG")
                encoded = stream.getvalue()
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
            features = tf.train.Features(feature={"image": feature})
            writers[size].write(tf.train.Example(features=features).SerializeToString())
    for writer in writers.values():
        writer.close()


def _halved(pixels):
    return (pixels[::2, ::2] + pixels[1::2, ::2] + pixels[::2, 1::2] + pixels[1::2, 1::2]) / 4


def _measure_speed(workers: int) -> dict:
    from pgan import timing
    from pgan.data import collection, nih, record_plan, record_writer

    resolution = _MAX_RESOLUTION.value
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        images, _ = collection.check(nih.read(_link_collection(folder / "nih", _IMAGES.value)))
        # Origin "phantom" only spares the key: the work is the same.
        plan = record_plan.make_plan(images, nih.FINDINGS, resolution, "nih", "phantom")
        numbers = iter(range(10**6))

        def build():
            path = folder / f"records{next(numbers)}"
            record_writer.write_record_set(path, plan, workers=workers, progress=False)

        def plain():
            _plain_loop([i.path for i in images], folder / f"plain{next(numbers)}", resolution)

        rounds = timing.compare(build, {"plain": plain}, _REPEATS.value, 0, 1)
    seconds = timing.median_seconds(rounds)
    return {
        "images_per_second": len(images) / seconds,
        "plain_images_per_second": len(images) / seconds / timing.median_ratio(rounds, "plain"),
        "ratio_to_plain": timing.median_ratio(rounds, "plain"),
    }


def _measure_memory(count: int) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        _link_collection(folder / "nih", count)
        process = subprocess.Popen(
            tool_main.command(
                "build_records",
                "--source=nih",
                f"--input={folder / 'nih'}",
                f"--output={folder / 'records'}",
                f"--max_resolution={_MAX_RESOLUTION.value}",
                f"--key_file={folder / 'key'}",
                f"--workers={_WORKERS.value[-1]}",
            ),
            stdout=subprocess.DEVNULL,
        )
        peaks = {}
        watcher = threading.Thread(target=_watch, args=(process, peaks))
        began = time.perf_counter()
        watcher.start()
        if process.wait():
            raise RuntimeError(f"build_records.py ended with status {process.returncode}.")
        watcher.join()
    return {
        "seconds": time.perf_counter() - began,
        "main_process_mb": peaks[process.pid] / 1e6,
        "all_processes_mb": sum(peaks.values()) / 1e6,
    }


def _watch(process: subprocess.Popen, peaks: dict[int, int]) -> None:
    """Keeps the largest resident set of the process and of each of its children."""
    while process.poll() is None:
        try:
            children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
            pids = [process.pid, *map(int, children.read_text().split())]
        except OSError:
            continue
        for pid in pids:
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    peaks[pid] = int(line.split()[1]) * 1024
        time.sleep(_POLL_SECONDS)


def main() -> None:
    rows = []
    resolution = _MAX_RESOLUTION.value
    if "speed" in _WHAT.value:
        for workers in map(int, _WORKERS.value):
            case = {"measured": "speed", "max_resolution": resolution, "processes": workers}
            rows.append({**case, **_measure_speed(workers)})
            results.append(_OUTPUT.value, rows[-1])
            print(rows[-1])
    if "memory" in _WHAT.value:
        for count in map(int, _COUNTS.value):
            case = {"measured": "memory", "max_resolution": resolution, "images": count}
            rows.append({**case, **_measure_memory(count)})
            results.append(_OUTPUT.value, rows[-1])
            print(rows[-1])
        first = [row for row in rows if row["measured"] == "memory"][0]
        for row in [row for row in rows if row["measured"] == "memory"][1:]:
            ratio = row["all_processes_mb"] / first["all_processes_mb"]
            print(f"Memory of {row['images']} images over that of {first['images']}: {ratio:.3f}")


if __name__ == "__main__":
    tool_main.run(main)
