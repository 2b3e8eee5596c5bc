r"""Scores a trained classifier on the images of another record set: the external test.

    python tools/predict_records.py --classifier=exports/pneumonia/1 --records=records/chexpert \
        --output=external/pneumonia.npz
    python tools/predict_records.py --classifier=experiments/fig2/seed1/real --fold=all \
        --records=records/rsna --trained_on=records/nih --output=external/real.npz
    python tools/evaluate_predictions.py --predictions=external/real.npz,external/augmented.npz \
        --output=external/report

Scores the findings that both know, and says which it leaves out. Decisions are at the thresholds
that the classifier brings from its validation: nothing is fitted on the new images. Images that
were prepared in another way than the classifier's are refused, and so are those of patients that
it was trained or validated on, where that can be told.
"""

import pathlib
import shlex
import sys

from absl import flags, logging

import tool_main

_CLASSIFIER = flags.DEFINE_string(
    "classifier",
    None,
    "Folder of a trained classifier, <experiment>/seed<number>/<arm>, or of its export.",
    required=True,
)
_RECORDS = flags.DEFINE_string("records", None, "Record set with the images.", required=True)
_FOLD = flags.DEFINE_string("fold", "test", "Its fold; all for the whole set.")
_FINDINGS = flags.DEFINE_list(
    "findings", [], "Only these, as to compare classifiers of different vocabularies."
)
_TRAINED_ON = flags.DEFINE_list(
    "trained_on",
    [],
    "Record sets that the classifier, or a generator of its training images, was trained on: to "
    "check that no image is of their patients.",
)
_OUTPUT = flags.DEFINE_string("output", None, "File of the scores, .npz.", required=True)


def main() -> None:
    """Runs the tool; see the module's docstring."""
    # Keras warns that it could not save the classifier as one of its own models.
    logging.set_verbosity(logging.ERROR)
    from classifier import external_predictions, predictions, scorer, seen_images
    from pgan.data import record_set

    output = pathlib.Path(_OUTPUT.value)
    classifier = scorer.load(_CLASSIFIER.value)
    records = record_set.RecordSet.open(_RECORDS.value)
    findings = external_predictions.shared_findings(classifier, records, _FINDINGS.value)
    table = external_predictions.table_for(classifier, records, _FOLD.value, findings)
    external_predictions.require_place(output, classifier, table)
    # Only their tables are read, so that the shards' sizes are enough.
    at_hand = [record_set.RecordSet.open(path, verify="size") for path in _TRAINED_ON.value]
    warnings = seen_images.require_unseen(table, classifier.seen, at_hand, classifier.name)
    if None in (classifier.preparation, records.preparation):
        warnings.append(
            f"how the images of {classifier.name} or of {records.name} were prepared is not "
            "known; whether that differs is not checked"
        )
    for warning in warnings:
        print(f"Warning: {warning}.", file=sys.stderr)
    output.parent.mkdir(parents=True, exist_ok=True)  # before the work, if it cannot be made
    found = external_predictions.predict(classifier, table)
    predictions.save(found, output)
    print(
        f"{classifier.name} on {len(table):,} images of {len(set(table.patients)):,} patients of "
        f"{records.name}, fold {_FOLD.value}\n{external_predictions.markdown(found)}"
    )
    for line in external_predictions.left_out(classifier, records, findings):
        print(line)
    command = ["python", "tools/evaluate_predictions.py", f"--predictions={output}"]
    print(f"statistics: {shlex.join(command)} --output=REPORT\npredictions: {output}")


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True)
