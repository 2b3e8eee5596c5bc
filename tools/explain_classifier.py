r"""Shows where in images a classifier sees what speaks for a finding, and how two differ in it.

    python tools/explain_classifier.py --run=experiments/fig2/seed1/real --records=records/rsna \
        --finding=Pneumonia --choose=true_positive --output=explained/real
    python tools/explain_classifier.py --run=experiments/fig2/seed1/real \
        --run2=experiments/fig2/seed1/augmented --records=records/rsna --fold=local/test \
        --finding=Pneumonia --choose=false_negative --count=8 --output=explained/missed

Grad-CAM at the deepest layer whose maps are at least 7 places wide, or at --layer. Writes sheets
sheet_01.png, sheet_02.png ... and results.jsonl with a row for each image. On phantoms, where the
place of a finding is known, the rows say whether the maps point at it. The sheets show images of
patients.
"""

import pathlib

from absl import flags

import tool_main

_CHOICES = (
    "true_positive", "false_positive", "false_negative", "true_negative", "random", "ids",
)  # fmt: skip
_RUN = flags.DEFINE_string(
    "run", None, "Folder of a trained classifier: <experiment>/seed<number>/<arm>.", required=True
)
_RUN2 = flags.DEFINE_string("run2", None, "Folder of a second one, to compare with the first.")
_RECORDS = flags.DEFINE_string("records", None, "Record set with the images.", required=True)
_FOLD = flags.DEFINE_string("fold", "test", "Its fold.")
_FINDING = flags.DEFINE_string("finding", None, "What the classifier is asked for.", required=True)
_CHOOSE = flags.DEFINE_enum(
    "choose", "true_positive", _CHOICES,
    "Which images: by label and decision of --run, at random, or those of --ids.",
)  # fmt: skip
_IDS = flags.DEFINE_list("ids", None, "Names of images, with --choose=ids.")
_COUNT = flags.DEFINE_integer("count", 16, "How many images.", 1)
_SEED = flags.DEFINE_integer("seed", 1, "Seed of the draw of images.", 0)
_LAYER = flags.DEFINE_string(
    "layer",
    None,
    "Layer of DenseNet-121 whose feature maps are used: pool2_relu, pool3_relu, pool4_relu or "
    "relu, 1/4 to 1/32 as wide as the image. Default: the deepest at least 7 places wide.",
)
_RELU = flags.DEFINE_boolean(
    "relu",
    True,
    "Show only what speaks for the finding; --norelu shows what speaks against it too.",
)
_SCALE = flags.DEFINE_enum(
    "scale",
    "each",
    ["each", "common"],
    "Colours of a map from 0 to its own largest value, or to the largest of all images and "
    "classifiers.",
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of sheets and rows.", required=True)


def _check() -> None:
    if (_CHOOSE.value == "ids") != bool(_IDS.value):
        raise ValueError("--choose=ids and --ids=NAME,NAME go together; give both or neither")


def _choose(table, judge) -> list[int]:
    from classifier import explanation

    if _CHOOSE.value == "ids":
        return explanation.find_images(table, _IDS.value)
    return explanation.choose(table, judge, _CHOOSE.value, _COUNT.value, _SEED.value)


def _chosen_by(judge) -> str:
    if _CHOOSE.value == "ids":
        return "asked for by name"
    if _CHOOSE.value == "random":
        return f"drawn at random, seed {_SEED.value}"
    return f"{_CHOOSE.value.replace('_', ' ')}s of {judge.name}, seed {_SEED.value}"


def main() -> None:
    """Runs the tool; see the module's docstring."""
    _check()
    from classifier import explanation, explanation_report, image_table
    from pgan import results
    from pgan.data import record_set

    runs = [pathlib.Path(run) for run in (_RUN.value, _RUN2.value) if run]
    judges = explanation.load_judges(runs, _FINDING.value, _LAYER.value)
    first = judges[0]
    records = record_set.RecordSet.open(_RECORDS.value)
    for judge in judges:
        records.require_preparation(judge.trained.facts.get("preparation"), judge.name)
    table = image_table.of_fold(records, _FOLD.value, first.resolution, [_FINDING.value])
    numbers = _choose(table, first)
    if _CHOOSE.value != "ids" and len(numbers) < _COUNT.value:
        print(f"Only {len(numbers)} of {_COUNT.value} images: there are no more of this kind.")
    found = explanation.explain(table, numbers, judges, _RELU.value)
    facts = {
        "finding": _FINDING.value,
        "records": records.name,
        "records_fingerprint": records.fingerprint,
        "fold": _FOLD.value,
        "choose": _CHOOSE.value,
        "seed": None if _CHOOSE.value == "ids" else _SEED.value,
        "relu": _RELU.value,
        "scale": _SCALE.value,
    }
    scale = "each map has its own scale" if _SCALE.value == "each" else "one scale for all maps"
    title = (
        f"Grad-CAM of {_FINDING.value} at the layer {first.layer}, {first.width} x {first.width}"
        f"{'' if _RELU.value else ', without ReLU'}; {scale}\n"
        f"Fold {_FOLD.value} of {records.name}, {first.resolution} px; {_chosen_by(first)}"
    )
    output = pathlib.Path(_OUTPUT.value)
    sheets = explanation_report.write_sheets(output, found, judges, title, _SCALE.value == "common")
    rows = [
        {**row, "sheet": sheet, **facts}
        for row, sheet in zip(explanation_report.rows(found, judges), sheets, strict=True)
    ]
    summary = explanation_report.summary(found, judges)
    results.write(output / "results.jsonl", rows + [{**row, **facts} for row in summary])
    for row in summary:
        print(_sentence(row))
    print(f"sheets and rows of {len(found)} images: {output}")


def _sentence(row) -> str:
    if row["ratio"] is None:
        return f"{row['classifier']}: no map points anywhere ({row['empty_maps']} are empty)"
    elsewhere = row["ratio_elsewhere"]
    return (
        f"{row['classifier']}: of {row['images']} maps {100 * row['inside']:.0f} % lie in the "
        f"finding, which has {100 * row['area']:.0f} % of the area; pointing ratio "
        f"{row['ratio']:.2f} (1 by chance"
        + (f"; {elsewhere:.2f} in the regions of the other images" if elsewhere else "")
        + f"); {row['empty_maps']} maps are empty"
    )


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True)
