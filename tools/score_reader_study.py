r"""Scores a reader study: who tells synthetic radiographs from real ones, from files, in seconds.

    python tools/score_reader_study.py --deck=studies/nih --key=keys/nih_study.json \
        --answers=answers/nih --output=scores/nih
    python tools/score_reader_study.py --plan --expected_accuracy=0.6 --half_width=0.1

--deck and --key are what tools/build_reader_study.py wrote, --answers the files that the readers'
pages saved, or a folder of them. Writes report.md (accuracy and agreement as in the paper's
Table 1, rates of every reader as in its table S2, comparisons, times, how images were shown,
reasons, the images that fooled everyone), results.jsonl, answers.csv, images.csv and figures; with
--images, the folder of tools/build_reader_study.py --release, a sheet of the images that all
readers judged alike and of those for which each reason was ticked most. These files say what images
are: keep them, as the key, from those who have still to read.

--plan prints how many images and readers a study needs instead.
"""

import os
import pathlib
import sys

from absl import app, flags

import tool_main

_DECK = flags.DEFINE_string("deck", None, "deck.json, or its folder.")
_KEY = flags.DEFINE_string("key", None, "File that says which images are real.")
_ANSWERS = flags.DEFINE_list("answers", None, "Files of readers' answers, or folders of them.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the report.")
_IMAGES = flags.DEFINE_string("images", None, "Released images, for a sheet.")
_UNANSWERED = flags.DEFINE_enum(
    "unanswered",
    "wrong",
    ["wrong", "excluded"],
    "How images count whose time ran out. The report has Table 1 of both if they differ.",
)
_ALLOW_INCOMPLETE = flags.DEFINE_boolean(
    "allow_incomplete", False, "Score what is there though readers have not finished."
)
_PLAN = flags.DEFINE_boolean("plan", False, "Print sample sizes instead.")
_EXPECTED = flags.DEFINE_float("expected_accuracy", 0.6, "With --plan: mean accuracy of readers.")
_READER_SD = flags.DEFINE_float("reader_sd", 0.05, "With --plan: SD of accuracy among readers.")
_CORRELATION = flags.DEFINE_float(
    "item_correlation", 0.1, "With --plan: correlation of two readers' errors at the same image."
)
_HALF_WIDTH = flags.DEFINE_float("half_width", 0.1, "With --plan: of a reader's 95 % interval.")
_POWER = flags.DEFINE_float("power", 0.8, "With --plan: chance to tell a reader from guessing.")


def _plan() -> None:
    from classifier import reader_plan

    expected = reader_plan.Expected(_EXPECTED.value, _READER_SD.value, _CORRELATION.value)
    print(reader_plan.text(expected, _HALF_WIDTH.value, _POWER.value))


def main() -> None:
    if _PLAN.value:
        return _plan()
    if not (_DECK.value and _KEY.value and _ANSWERS.value and _OUTPUT.value):
        raise app.UsageError("give --deck, --key, --answers and --output, or --plan")

    from classifier import (
        reader_answers,
        reader_plots,
        reader_report,
        reader_results,
        reader_sheet,
        reader_study,
    )
    from pgan import results, run_folder

    study = reader_answers.load_study(
        pathlib.Path(_DECK.value),
        pathlib.Path(_KEY.value),
        [pathlib.Path(path) for path in _ANSWERS.value],
        _ALLOW_INCOMPLETE.value,
    )
    panels = reader_study.panels(study)
    rows = reader_results.rows(study, panels, _UNANSWERED.value)
    others = []
    if any(row.get("without_answer") for row in rows):
        [other] = {"wrong", "excluded"} - {_UNANSWERED.value}
        others = reader_results.rows(study, panels, other)

    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    label = study.simulated_readers or study.deck.title
    figures = {
        "rates.png": reader_plots.rates(
            rows, f"{label}: points readers, diamonds means, 95 % intervals"
        ),
        "roc.png": reader_plots.roc(panels, f"{label}: synthetic images found, and false alarms"),
    }
    for name, drawing in figures.items():
        beside = output / f"{name}.tmp"
        drawing.savefig(beside, format="png")
        os.replace(beside, output / name)
    names = list(figures)
    if _IMAGES.value:
        sheet = reader_sheet.draw(rows, pathlib.Path(_IMAGES.value))
        beside = output / "sheet.png.tmp"
        sheet.save(beside, format="png")
        os.replace(beside, output / "sheet.png")
        names.append("sheet.png")
    run_folder.write_atomically(output / "answers.csv", reader_results.answers_csv(study))
    run_folder.write_atomically(output / "images.csv", reader_results.images_csv(study, panels))
    results.write(output / "results.jsonl", [*rows, *others])
    report = reader_report.text(study, panels, rows, others, names)
    run_folder.write_atomically(output / "report.md", report)
    for sentence in study.unfinished:
        print(f"Incomplete: {sentence}", file=sys.stderr)
    if study.absent:
        print(f"No file was given of {', '.join(study.absent)}.", file=sys.stderr)
    print(reader_report.table_1(rows))
    print(f"report: {output / 'report.md'}")
    return None


if __name__ == "__main__":
    tool_main.run(main)
