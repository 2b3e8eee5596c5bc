"""Measures how far synthetic images are from held-out real ones, beside a floor and a blur.

    python tools/evaluate_gan.py --records=records/nih --run_dir=runs/nih --fold=test
    python tools/evaluate_gan.py --records=records/nih --export=exports/nih/1
    python tools/evaluate_gan.py --records=records/nih --synthetic=synthetic/nih

All sets have the same count and resolution. Frechet distances depend on both: only numbers under
the same name and at the same resolution compare.
"""

import os
import sys

from absl import app, flags

from pgan import results

_RECORDS = flags.DEFINE_string("records", None, "Record set with real images.", required=True)
_FOLD = flags.DEFINE_string("fold", "val", "Held-out fold, the reference.")
_TRAIN_FOLD = flags.DEFINE_string("train_fold", "train", "Fold for the floor and the blur.")
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Run folder; its averaged generator is measured.")
_EXPORT = flags.DEFINE_string("export", None, "Exported generator, <output>/<name>/<version>.")
_SYNTHETIC = flags.DEFINE_string("synthetic", None, "Output of tools/synthesize_images.py.")
_COUNT = flags.DEFINE_integer("count", None, "Images of each set; the whole --fold if unset.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of images drawn here.")
_GRID = flags.DEFINE_string(
    "grid", None, "PNG file for real images of --fold above synthetic ones."
)
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
    "Labels of images drawn here: those of --fold, one finding each (as the paper), or each "
    "finding by itself with its prevalence.",
)
_OUTPUT = flags.DEFINE_string("output", "results.jsonl", "File to which the rows are appended.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}; flags are written --name=value")
    if sum(bool(flag.value) for flag in (_RUN_DIR, _EXPORT, _SYNTHETIC)) != 1:
        raise app.UsageError("give exactly one of --run_dir, --export and --synthetic")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    from pgan import evaluation, image_sources
    from pgan.data import record_set
    from pgan.metrics import extractors

    records = record_set.RecordSet.open(_RECORDS.value)
    if _RUN_DIR.value:
        synthetic = image_sources.from_run(_RUN_DIR.value)
    elif _EXPORT.value:
        synthetic = image_sources.from_export(_EXPORT.value)
    else:
        synthetic = image_sources.from_folder(_SYNTHETIC.value)
    if _GRID.value:
        evaluation.comparison_grid(records, synthetic, _FOLD.value, seed=_SEED.value).save(
            _GRID.value
        )
        print(f"grid: {_GRID.value}")
    rows = evaluation.evaluate(
        records,
        synthetic,
        extractors.make(_FEATURES.value, _FEATURES_SHA256.value),
        _FOLD.value,
        _TRAIN_FOLD.value,
        _COUNT.value,
        _SEED.value,
        _LABEL_SAMPLING.value,
    )
    for row in rows:
        results.append(_OUTPUT.value, row)
    first = rows[0]
    print(f"\n{first['resolution']} px, {first['count']} images each, to {first['reference']}\n")
    print(evaluation.table(rows))


def _run(argv: list[str]) -> int | None:
    """Turns errors that a user can mend into one message instead of a traceback."""
    try:
        return main(argv)
    except app.UsageError:
        raise
    except (ValueError, RuntimeError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    app.run(_run)
