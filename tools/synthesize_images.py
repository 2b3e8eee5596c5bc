r"""Draws synthetic images from an export of tools/export_generator.py.

    python tools/synthesize_images.py --export=exports/nih/1 --output=synthetic/pairs --count=1000 \
        --findings="Cardiomegaly=1,Effusion=0.5"
    python tools/synthesize_images.py --export=exports/nih/1 --output=records/nih_synthetic \
        --label_records=records/nih --fold=train --format=records
    python tools/synthesize_images.py --export=exports/nih/1 --output=synthetic/dicom --count=100 \
        --uniform_class --format=dicom
    python tools/synthesize_images.py --export=exports/nih/1 --output=synthetic/chance --count=500 \
        --label_records=records/nih --independent

The same command again continues after an interruption. Image i is a function of generator, seed, i
and its labels: neither the batch size nor what else is drawn changes it.
"""

from absl import app, flags

import tool_main

_EXPORT = flags.DEFINE_string("export", None, "Export, <output>/<name>/<version>.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the images.", required=True)
_COUNT = flags.DEFINE_integer("count", None, "Number of images; that of the label rows if unset.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of all images.")
_FORMAT = flags.DEFINE_enum(
    "format",
    "png",
    ["png", "dicom", "records"],
    "PNG or DICOM files with labels.csv, or a record set.",
)
_FINDINGS = flags.DEFINE_string(
    "findings", None, 'What every image shows: "Cardiomegaly=1,Effusion=0.5" or "No Finding".'
)
_LABELS_CSV = flags.DEFINE_string(
    "labels_csv",
    None,
    "Label rows: columns are findings, and count if rows are for several images.",
)
_UNIFORM_CLASS = flags.DEFINE_boolean("uniform_class", False, "One finding an image, in turn.")
_LABEL_RECORDS = flags.DEFINE_string(
    "label_records", None, "Record set whose label rows are used, in order."
)
_FOLD = flags.DEFINE_string("fold", "train", "Fold of --label_records.")
_INDEPENDENT = flags.DEFINE_boolean(
    "independent",
    False,
    "Draw each finding by itself, with its prevalence in --label_records, by --seed.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Images drawn at once; by resolution if unset.", lower_bound=1
)
_WORKERS = flags.DEFINE_integer(
    "workers", 0, "Processes that encode for --format=records; 0: none.", lower_bound=0
)


def _plan(findings: tuple[str, ...]):
    """The label plan that exactly one of four flags asks for."""
    from pgan import label_plan

    if _FINDINGS.value is not None:
        return label_plan.same_for_all(_FINDINGS.value, findings)
    if _LABELS_CSV.value is not None:
        return label_plan.from_csv(_LABELS_CSV.value, findings)
    if _UNIFORM_CLASS.value:
        return label_plan.one_finding_each(findings)
    plan = label_plan.from_records(_LABEL_RECORDS.value, _FOLD.value, findings)
    if _INDEPENDENT.value:
        count = len(plan.rows) if _COUNT.value is None else _COUNT.value
        return label_plan.independent(plan, findings, count, _SEED.value)
    return plan


def main() -> None:
    sources = (_FINDINGS, _LABELS_CSV, _UNIFORM_CLASS, _LABEL_RECORDS)
    if sum(flag.value not in (None, False) for flag in sources) != 1:
        names = ", ".join(f"--{flag.name}" for flag in sources)
        raise app.UsageError(f"give exactly one of {names}")
    if _INDEPENDENT.value and _LABEL_RECORDS.value is None:
        raise app.UsageError(
            "--independent takes prevalences from --label_records=RECORDS (and --fold)"
        )
    if _WORKERS.value and _FORMAT.value != "records":
        raise app.UsageError(
            f"--workers is for --format=records; --format={_FORMAT.value} needs none, drop it"
        )

    from pgan import model_card

    # Before TensorFlow is loaded, so that a wrong flag is answered at once.
    plan = _plan(tuple(model_card.read(_EXPORT.value)["findings"]))

    from pgan import synthesis, synthetic_sets

    count = len(plan.rows) if _COUNT.value is None else _COUNT.value
    order = synthetic_sets.Order(synthesis.load(_EXPORT.value), plan, count, _SEED.value)
    if _FORMAT.value == "records":
        result = synthetic_sets.write_record_set(
            order, _OUTPUT.value, _BATCH_SIZE.value, _WORKERS.value
        )
    else:
        result = synthetic_sets.write_file_set(
            order, _OUTPUT.value, _FORMAT.value, _BATCH_SIZE.value
        )
    if result.drawn:
        print(
            f"{result.drawn:,} images in {result.seconds:.1f} s: "
            f"{result.images_per_hour:,.0f} images per hour"
        )
    print(f"{count:,} images: {_OUTPUT.value}\nsheet: {_OUTPUT.value}/{synthetic_sets.SHEET}")


if __name__ == "__main__":
    tool_main.run(main, continues=True)
