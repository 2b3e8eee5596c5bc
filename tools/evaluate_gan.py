"""Measures how far synthetic images are from held-out real ones, beside a floor and a blur.

    python tools/evaluate_gan.py --records=records/nih --run_dir=runs/nih --best --fold=test
    python tools/evaluate_gan.py --records=records/nih --export=exports/nih/1 --balance_findings
    python tools/evaluate_gan.py --records=records/nih --synthetic=synthetic/nih
    python tools/evaluate_gan.py --real=images/real --floor=images/more --synthetic=images/gan

Writes a report, figures and the rows of all numbers to --output. All sets have the same count and
resolution. Distances depend on both: only numbers under the same name and at the same resolution
compare.
"""

import os
import pathlib
import tempfile

from absl import app, flags

import tool_main

_RECORDS = flags.DEFINE_string("records", None, "Record set with real images.")
_FOLD = flags.DEFINE_string("fold", "val", "Held-out fold of --records, the reference.")
_TRAIN_FOLD = flags.DEFINE_string(
    "train_fold", "train", "Fold of --records for the floor and the blur."
)
_REAL = flags.DEFINE_string(
    "real", None, "Folder of real images, the reference, in place of --records."
)
_FLOOR = flags.DEFINE_string("floor", None, "Folder of other real images, beside --real.")
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Run folder; its averaged generator is measured.")
_BEST = flags.DEFINE_boolean(
    "best", False, "Of --run_dir, the checkpoint with the smallest distance while training."
)
_EXPORT = flags.DEFINE_string("export", None, "Exported generator, <output>/<name>/<version>.")
_SYNTHETIC = flags.DEFINE_string(
    "synthetic", None, "Output of tools/synthesize_images.py, or a folder of images."
)
_COUNT = flags.DEFINE_integer("count", None, "Images of each set; the whole reference if unset.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of images drawn here, and of what measures draw.")
_FEATURES = flags.DEFINE_string(
    "features",
    "fixed",
    "Network: fixed, inception:FILE (FID with clean resizing), inception_legacy_tf:FILE, "
    "keras_inception[:FILE] or saved_model:FOLDER.",
)
_FEATURES_SHA256 = flags.DEFINE_string("features_sha256", None, "SHA-256 that its file must have.")
_LABEL_SAMPLING = flags.DEFINE_enum(
    "label_sampling",
    "dataset",
    ["dataset", "uniform_class", "independent"],
    "Labels of images drawn here: those of the reference, one finding each (as the paper), or each "
    "finding by itself with its prevalence.",
)
_BALANCE = flags.DEFINE_boolean(
    "balance_findings", False, "Measure sets with equal numbers of images of each finding, too."
)
_FEWEST = flags.DEFINE_integer(
    "fewest_images", 10, "Images of each set that a finding needs for distances of its own."
)
_PAIRS = flags.DEFINE_integer(
    "pairs", 1000, "Pairs of each finding whose similarity is measured; 0: none."
)
_VARIANT = flags.DEFINE_enum(
    "ms_ssim_variant",
    "standard",
    ["standard", "paper_code"],
    "MS-SSIM as it is customary, or with the exponents of the paper's released code.",
)
_OUTPUT = flags.DEFINE_string("output", "evaluation", "Folder of the report.")


def _check_flags() -> None:
    if sum(bool(flag.value) for flag in (_RUN_DIR, _EXPORT, _SYNTHETIC)) != 1:
        raise app.UsageError("give exactly one of --run_dir, --export and --synthetic")
    if bool(_RECORDS.value) == bool(_REAL.value):
        raise app.UsageError("give one of --records and --real")
    if _FLOOR.value and not _REAL.value:
        raise app.UsageError("--floor goes with --real; with --records it is --train_fold")
    if _FLOOR.value and os.path.abspath(_FLOOR.value) == os.path.abspath(_REAL.value):
        raise app.UsageError("--floor and --real must be different images")
    if _BEST.value and not _RUN_DIR.value:
        raise app.UsageError("--best goes with --run_dir")
    if os.path.isfile(_OUTPUT.value):
        raise app.UsageError(f"--output is a folder; {_OUTPUT.value} is a file")


def main() -> None:
    _check_flags()

    from pgan import (
        distance_curves,
        evaluation,
        evaluation_report,
        evaluation_sets,
        image_sets,
        image_sources,
    )
    from pgan.data import record_set
    from pgan.metrics import extractors

    settings = evaluation.Settings(
        count=_COUNT.value,
        seed=_SEED.value,
        label_sampling=_LABEL_SAMPLING.value,
        balance_findings=_BALANCE.value,
        fewest_images=_FEWEST.value,
        pairs=_PAIRS.value,
        ms_ssim_variant=_VARIANT.value,
    )
    extractor = extractors.make(_FEATURES.value, _FEATURES_SHA256.value)
    if _RUN_DIR.value:
        source = image_sources.from_run(_RUN_DIR.value, _BEST.value)
    elif _EXPORT.value:
        source = image_sources.from_export(_EXPORT.value)
    else:
        source = image_sources.from_folder(_SYNTHETIC.value)
    if _RECORDS.value:
        records = record_set.RecordSet.open(_RECORDS.value)
        reference, floor = evaluation_sets.real_sets(
            records, source, _FOLD.value, _TRAIN_FOLD.value
        )
    else:
        reference = image_sets.of_folder(_REAL.value)
        floor = image_sets.of_folder(_FLOOR.value) if _FLOOR.value else None
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".drawn-") as scratch:
        found = evaluation.evaluate(reference, floor, source, extractor, settings, scratch)
    curves = distance_curves.read(_RUN_DIR.value) if _RUN_DIR.value else None
    title = f"{source.name} against {reference.name}"
    files = evaluation_report.write(output, found, title, curves)
    first = found.rows[0]
    print(f"\n{title}: {first['count']} images each, {first['resolution']} px\n")
    print(evaluation_report.table(found.rows))
    for sentence in (*found.notes, *(f"Left out: {sentence}" for sentence in found.left_out)):
        print(f"\n{sentence}", end="")
    print("\n\n" + "\n".join(map(str, files)))


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True)
