r"""Measures the search for the nearest real images: what it misses, its speed, its numbers.

    python tools/benchmark_audit.py --cache=runs/audit_cache --output=runs/audit.jsonl
    python tools/benchmark_audit.py --what=radiographs --images=data/nih/images \
        --cache=runs/audit_cache --output=runs/audit.jsonl

recall       drawn chests, each query compared with all of them and by the search
radiographs  the same with the PNG files of --images, all of one size; no query is among the others
scale        index and search at the size of a whole collection, extrapolated to 10^5 queries, and
             the recall of a few; of the drawings, altered copies fill the collection
skimage      SSIM next to a plain loop over scikit-image's function

Drawings, copies and index stay in --cache (14 GB with the defaults). Every measurement is
appended to --output when it is done; the same command again measures only what is missing.
"""

import os
import pathlib

from absl import app, flags

import tool_main
from pgan import results

_WHATS = ("recall", "radiographs", "scale", "skimage")
_WHAT = flags.DEFINE_list("what", ["recall", "scale", "skimage"], f"Of {', '.join(_WHATS)}.")
_CACHE = flags.DEFINE_string("cache", None, "Folder of drawings and index.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Results are appended here.", required=True)
_SIZE = flags.DEFINE_integer("size", 256, "Size of the drawings in px, a power of two.", 16)
_REFERENCES = flags.DEFINE_integer("references", 10_000, "Drawings that are searched.", 4)
_QUERIES = flags.DEFINE_integer("queries", 50, "Queries that recall is measured with.", 3)
_IMAGES = flags.DEFINE_string("images", None, "Folder of PNG files, for radiographs.")
_SCALE_REFERENCES = flags.DEFINE_integer("scale_references", 112_120, "Images of scale.", 4)
_SCALE_QUERIES = flags.DEFINE_integer("scale_queries", 2000, "Timed queries of scale.", 8)
_SCALE_TRUTH = flags.DEFINE_integer("scale_truth", 9, "Queries of scale compared with all.", 3)
_SKIMAGE_IMAGES = flags.DEFINE_integer("skimage_images", 32, "Images, of which pairs.", 4)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Rounds of skimage.", 1)
_WORKERS = flags.DEFINE_integer("workers", os.cpu_count(), "Processes that draw.", 1)


class _Output:
    """Rows by what was measured and how; only missing ones are measured."""

    def __init__(self, path):
        self._path = path
        self.rows = []

    def row(self, measured, measure, **case):
        case = {"measured": measured, **case}
        for row in results.read(self._path):
            if case.items() <= row.items():
                break
        else:
            row = results.append(self._path, {**case, **measure()})
        self.rows.append(row)
        return row


def _phantoms(count, seed):
    from pgan.search import benchmark

    cache = pathlib.Path(_CACHE.value)
    return benchmark.draw(count, _SIZE.value, seed, cache, _WORKERS.value)


def _recall(output):
    from pgan.search import benchmark, similar_images

    def measure():
        reference = similar_images.Reference(_phantoms(_REFERENCES.value, benchmark.SEED))
        fresh = _phantoms(2 * _QUERIES.value, benchmark.QUERY_SEED)
        queries = benchmark.make_queries(fresh, _QUERIES.value)
        return benchmark.measure_recall(queries, reference)

    case = {"size": _SIZE.value, "references": _REFERENCES.value, "queries": _QUERIES.value}
    output.row("recall", measure, **case)


def _radiographs(output):
    import numpy as np

    from pgan.search import benchmark, similar_images

    images = benchmark.read_folder(_IMAGES.value)
    count = _QUERIES.value
    if len(images) < 3 * count:
        raise ValueError(f"{_IMAGES.value} has {len(images)} images; need {3 * count}")
    order = np.random.default_rng(0).permutation(len(images))
    rest = images[np.sort(order[2 * count :])]

    def measure():
        queries = benchmark.make_queries(images[order[: 2 * count]], count)
        return benchmark.measure_recall(queries, similar_images.Reference(rest))

    output.row("radiographs", measure, size=images.shape[1], references=len(rest), queries=count)


def _scale(output):
    from pgan.search import benchmark, similar_images

    cache = pathlib.Path(_CACHE.value)
    count, size = _SCALE_REFERENCES.value, _SIZE.value
    folder = cache / f"index_{size}_{_REFERENCES.value}_{count}"
    case = {"size": size, "references": count, "drawings": min(count, _REFERENCES.value)}
    drawn = _phantoms(case["drawings"], benchmark.SEED)
    images = benchmark.multiply(drawn, count, cache)
    index = output.row("index", lambda: benchmark.measure_index(images, folder), **case)
    reference = similar_images.Reference(images, folder=folder)
    fresh = _phantoms(2 * _SCALE_TRUTH.value, benchmark.QUERY_SEED)

    def search_many():
        queries = benchmark.multiply(fresh, _SCALE_QUERIES.value, cache)
        return benchmark.measure_search(queries, reference, index)

    def recall_of_few():
        queries = benchmark.make_queries(fresh, _SCALE_TRUTH.value)
        return benchmark.measure_recall(queries, reference)

    output.row("search", search_many, **case, queries=_SCALE_QUERIES.value)
    output.row("recall at scale", recall_of_few, **case, queries=_SCALE_TRUTH.value)


def _skimage(output):
    from pgan.search import benchmark

    count = _SKIMAGE_IMAGES.value

    def measure():
        images = _phantoms(count, benchmark.SEED)
        return benchmark.measure_skimage(images, _REPEATS.value)

    output.row("skimage", measure, size=_SIZE.value, images=count, repeats=_REPEATS.value)


_MEASURES = {"recall": _recall, "radiographs": _radiographs, "scale": _scale, "skimage": _skimage}


def main() -> None:
    for what in _WHAT.value:
        if what not in _WHATS:
            raise app.UsageError(f"--what must be of {', '.join(_WHATS)}, got {what!r}")
    if "radiographs" in _WHAT.value and not _IMAGES.value:
        raise app.UsageError("--what=radiographs needs --images, a folder of PNG files")
    from pgan.search import benchmark

    output = _Output(_OUTPUT.value)
    for what in _WHAT.value:
        _MEASURES[what](output)
    print(benchmark.markdown(output.rows))


if __name__ == "__main__":
    tool_main.run(main)
