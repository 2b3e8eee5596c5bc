"""Measures speed and memory of training, sampling and input, next to the machine's matrix product.

    python tools/benchmark_training.py --resolutions=8,16,32 --output=benchmark.jsonl
    python tools/benchmark_training.py --what=input --records=records/nih --output=benchmark.jsonl

Every measurement is appended to the output when it is done; the same command again measures only
what is missing, and prints all tables.
"""

import dataclasses
import os
import tempfile

import tqdm
from absl import flags

import tool_main
from pgan import benchmark, config, results

_WHAT = flags.DEFINE_list("what", list(benchmark.WHATS), "What to measure.")
_RESOLUTIONS = flags.DEFINE_list(
    "resolutions", ["4", "8", "16", "32", "64", "128", "256"], "Image sizes in px."
)
_BATCH = flags.DEFINE_string(
    "batch",
    "4:128,8:64,16:32,32:16,64:8,128:4,256:2,512:1,1024:1",
    "Images per step: a number, or by resolution. The defaults are sensible for a CPU.",
)
_SAMPLING_BATCH = flags.DEFINE_string(
    "sampling_batch",
    "4:128,8:64,16:64,32:32,64:16,128:8,256:4,512:2,1024:1",
    "Images per pass of the generator.",
)
_WIDTHS = flags.DEFINE_list(
    "widths", ["full", "narrow"], "full (8192:512), narrow (1024:64), or fmap_base:fmap_max."
)
_PRECISIONS = flags.DEFINE_list(
    "precisions", ["float32", "mixed_bfloat16"], f"Of {', '.join(config.PRECISIONS)}."
)
_FADING = flags.DEFINE_boolean("fading", False, "Measure the fade-in instead of the stable stage.")
_FORMS = flags.DEFINE_list(
    "forms",
    list(benchmark.FORMS),
    "plain: resampling and convolution as two operations; fused: one.",
)
_MICRO_BATCH = flags.DEFINE_string(
    "micro_batch", "0", "Images of a pass of a step, by resolution if wanted; 0: the whole batch."
)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Rounds over which medians are taken.", 1)
_MIN_SECONDS = flags.DEFINE_float("min_seconds", 0.5, "Least duration of a sample.", 0.0)
_MATRIX_SIZE = flags.DEFINE_integer("matrix_size", 4096, "Side of the reference's matrices.", 2)
_RECORDS = flags.DEFINE_string(
    "records", None, "Record set for the input pipeline; without it, phantoms are drawn."
)
_FOLD = flags.DEFINE_string("fold", "train", "Fold of --records that is read.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "File to which the results are appended, JSON lines.", required=True
)

# Records that are made for the input pipeline where none are given: drawing takes long, so each
# drawing is written several times. An epoch has to be longer than a few batches.
_DRAWINGS, _COPIES = 128, 8


def _records_name() -> str:
    if not _RECORDS.value:
        return f"{_DRAWINGS * _COPIES} phantoms"
    from pgan.data import record_set

    records = record_set.RecordSet.open(_RECORDS.value, verify="size")
    return f"{records.name} {_FOLD.value} {records.fold_fingerprint(_FOLD.value)[:8]}"


def _draw_records(folder: str, resolution: int) -> str:
    """Writes phantoms as a record set, whose only fold is "all"."""
    from pgan.data import labels, phantom, record_plan, record_writer

    drawn = [
        (image, image.load())
        for image in tqdm.tqdm(
            phantom.read(_DRAWINGS, seed=0, size=resolution), "Drawing phantoms", _DRAWINGS
        )
    ]
    pixels, radiographs = {}, []
    for image, picture in drawn:
        for i in range(_COPIES):
            names = {"image_id": f"{image.image_id}-{i}", "patient_id": f"{image.patient_id}-{i}"}
            radiographs.append(dataclasses.replace(image, **names))
            pixels[names["image_id"]] = picture
    plan = record_plan.make_plan(
        radiographs,
        labels.NIH_14,
        max_resolution=resolution,
        source="phantom",
        origin="phantom",
    )
    path = os.path.join(folder, "phantoms")
    record_writer.write_record_set(
        path, plan, lambda positions: (pixels[plan.radiographs[p].image_id] for p in positions)
    )
    return path


def main() -> None:
    cases = benchmark.plan(
        _WHAT.value,
        [int(resolution) for resolution in _RESOLUTIONS.value],
        [benchmark.parse_width(width) for width in _WIDTHS.value],
        _PRECISIONS.value,
        _BATCH.value,
        _SAMPLING_BATCH.value,
        _FADING.value,
        _records_name() if "input" in _WHAT.value else "",
        _FORMS.value,
        _MICRO_BATCH.value,
    )
    effort = benchmark.Effort(_REPEATS.value, _MIN_SECONDS.value, _MATRIX_SIZE.value)
    done = benchmark.answers(cases, results.read(_OUTPUT.value))
    missing = [case for case in cases if case not in done]
    with tempfile.TemporaryDirectory() as folder:
        records_dir, fold = _RECORDS.value, _FOLD.value
        inputs = [case.resolution for case in missing if case.what == "input"]
        if inputs and not records_dir:
            records_dir, fold = _draw_records(folder, max(inputs)), "all"
        with tqdm.tqdm(total=len(cases), initial=len(done), unit="case") as bar:
            for case in missing:
                bar.set_postfix_str(str(case))
                row = benchmark.run(case, effort, records_dir or "", fold)
                results.append(_OUTPUT.value, row)
                bar.update()
    print(benchmark.report(cases, results.read(_OUTPUT.value)))


if __name__ == "__main__":
    tool_main.run(main)
