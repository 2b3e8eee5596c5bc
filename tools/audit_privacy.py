r"""Audits what a generator has kept of the patients that it was trained on.

    python tools/audit_privacy.py --records=records/nih --run_dir=runs/nih --output=audits/nih
    python tools/audit_privacy.py --records=records/nih --export=exports/nih/1 --output=audits/nih
    python tools/audit_privacy.py --records=records/nih --synthetic=synthetic/nih \
        --run_dir=runs/nih --output=audits/nih

Looks for copies of training images among synthetic ones, tests whether these are nearer to training
patients than to held-out ones, attacks generator and discriminator by membership inference, and
draws sheets for a radiologist. Planted copies and a generator that was over-trained on purpose have
to be caught in the same run. Synthetic images are those of --synthetic if given, else of --export,
else of --run_dir; the discriminator is that of --run_dir. The same command again continues.

--output gets report.md, report.json, results.jsonl, neighbours.csv and sheets/index.html. Its
folders work and sheets hold images of patients.

Exit status: 0 nothing was found and the controls were caught, 1 error, 2 wrong usage, 3 a control
was missed, 4 something was found. --fail_on says what counts for 3 and 4: by default neither what
distances nor what membership show, which are found of most generators with few patients; 0 may
include them.
"""

import pathlib

from absl import app, flags

import tool_main

_RECORDS = flags.DEFINE_string("records", None, "Record set with real images.", required=True)
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Run folder of tools/train_pgan.py.")
_BEST = flags.DEFINE_boolean(
    "best", False, "Draw from the best checkpoint of --run_dir instead of the newest."
)
_EXPORT = flags.DEFINE_string("export", None, "Exported generator, <output>/<name>/<version>.")
_SYNTHETIC = flags.DEFINE_string(
    "synthetic", None, "Output of tools/synthesize_images.py, or a folder with images/**/*.png."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the audit.", required=True)
_TRAIN_FOLD = flags.DEFINE_string("train_fold", "train", "Fold that was trained on.")
_HELD_OUT_FOLD = flags.DEFINE_string("held_out_fold", "test", "Fold of other patients.")
_COUNT = flags.DEFINE_integer("count", 1000, "Synthetic images.")
_RESOLUTION = flags.DEFINE_integer(
    "resolution", None, "Size in px at which images are compared; the images' own, at most 256."
)
_NEIGHBOURS = flags.DEFINE_integer("neighbours", 3, "Nearest training images of each image.")
_FEATURES = flags.DEFINE_string(
    "features",
    "fixed",
    "Features of the second search: fixed, inception:FILE, keras_inception[:FILE] or "
    "saved_model:FOLDER.",
)
_FEATURES_SHA256 = flags.DEFINE_string("features_sha256", None, "SHA-256 that its file must have.")
_PLANTED = flags.DEFINE_integer("planted", 20, "Planted copies of each kind.")
_CALIBRATION = flags.DEFINE_integer(
    "calibration", 2000, "Real images of each fold, at most, that say how alike patients can be."
)
_MEMBERS = flags.DEFINE_integer(
    "members", 2000, "Training images compared with as many held-out images, at most."
)
_CONTROL = flags.DEFINE_boolean(
    "control_generator", True, "Train a generator that knows 16 images by heart, and find them."
)
_OVERTRAINED = flags.DEFINE_string(
    "overtrained_run",
    None,
    "Folder of that generator, new or of an earlier audit of the same training fold; by default in "
    "the folder work.",
)
_CONTROL_KIMG = flags.DEFINE_float("control_kimg", None, "Length of its training, kimg.")
_SHEETS = flags.DEFINE_integer(
    "sheets", 1000, "Synthetic images on the sheets, those nearest to a training image; 0: none."
)
_SHEET_PIXELS = flags.DEFINE_integer(
    "sheet_pixels", 512, "Side of an image on the sheets, at most; a power of two."
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of everything that is drawn.")
_FAIL_ON = flags.DEFINE_list(
    "fail_on",
    ["controls", "copies"],
    "What gives exit status 3 or 4: controls, copies, distances, membership.",
)


def _source():
    from pgan import image_sources

    if _SYNTHETIC.value:
        return image_sources.from_folder(_SYNTHETIC.value)
    if _EXPORT.value:
        return image_sources.from_export(_EXPORT.value)
    return image_sources.from_run(_RUN_DIR.value, _BEST.value)


def _control():
    from pgan.audit import overtrained

    if not _CONTROL.value:
        return None
    folder = _OVERTRAINED.value or str(pathlib.Path(_OUTPUT.value) / "work" / "control")
    if _CONTROL_KIMG.value is None:
        return overtrained.Settings(folder)
    return overtrained.Settings(folder, round(1000 * _CONTROL_KIMG.value))


def main() -> int:
    if not (_RUN_DIR.value or _EXPORT.value or _SYNTHETIC.value):
        raise app.UsageError("give --run_dir, --export or --synthetic")

    if _SHEET_PIXELS.value < 1 or _SHEET_PIXELS.value & (_SHEET_PIXELS.value - 1):
        raise app.UsageError(f"--sheet_pixels wants a power of two, got {_SHEET_PIXELS.value}")
    from pgan.audit import reporting

    unknown = sorted(set(_FAIL_ON.value) - set(reporting.KINDS))
    if unknown:
        known = ", ".join(reporting.KINDS)
        raise app.UsageError(f"--fail_on takes {known}; got {unknown[0]!r}")

    from pgan.audit import comparison_sets, procedure, review_sheets
    from pgan.data import record_set
    from pgan.metrics import extractors

    settings = comparison_sets.Settings(
        train_fold=_TRAIN_FOLD.value,
        held_out_fold=_HELD_OUT_FOLD.value,
        count=_COUNT.value,
        resolution=_RESOLUTION.value,
        neighbours=_NEIGHBOURS.value,
        planted=_PLANTED.value,
        calibration=_CALIBRATION.value,
        members=_MEMBERS.value,
        seed=_SEED.value,
    )
    records = record_set.RecordSet.open(_RECORDS.value)
    result = procedure.run(
        records,
        _source(),
        settings,
        extractors.make(_FEATURES.value, _FEATURES_SHA256.value),
        _OUTPUT.value,
        run_dir=_RUN_DIR.value,
        control=_control(),
        say=lambda text: print(text, flush=True),
    )
    page = None
    if _SHEETS.value > 0:
        print("sheets", flush=True)
        page = review_sheets.write(
            _OUTPUT.value,
            result,
            records,
            _SHEETS.value,
            _SHEET_PIXELS.value,
        )
    verdict = reporting.write(_OUTPUT.value, result, page)
    for text in verdict.failed_controls:
        print(f"FAILED CONTROL: {text}")
    for kind, texts in verdict.found.items():
        apart = "" if kind in _FAIL_ON.value else " (not counted, see --fail_on)"
        for text in texts:
            print(f"found{apart}: {text}")
    if not verdict.failed_controls and not verdict.found:
        caught = "controls" if result.report["control"] else "planted copies"
        print(f"nothing was found by these tests, and the {caught} were caught")
    status = verdict.status(_FAIL_ON.value)
    print(f"report: {_OUTPUT.value}/report.md")
    if page:
        print(f"sheets: {_OUTPUT.value}/{page}")
    print(f"exit status: {status}")
    return status


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True, wrong_usage=2, continues=True)
