"""Scores of a trained classifier on images of another collection: the external test.

Nothing is fitted on these images: thresholds are those that the classifier brings.
"""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tqdm

from classifier import image_table, predictions, scorer
from pgan import results
from pgan.data import labels as labels_lib
from pgan.data import pyramid, record_set

_BATCH = 64
# In `Predictions.about`, what files of the same scores have in common.
_IDENTITY = ("classifier_fingerprint", "records_fingerprint", "fold_fingerprint")


def shared_findings(
    classifier: scorer.Scorer, records: record_set.RecordSet, wanted: Sequence[str] = ()
) -> tuple[str, ...]:
    """Findings that a classifier judges and a record set labels, as the record set calls them.

    Classifiers of different vocabularies can so be compared on one record set.

    Args:
        classifier: The classifier.
        records: The record set.
        wanted: Only these, in any order; default all.

    Returns:
        In the record set's order.

    Raises:
        ValueError: If there is none, or one that is wanted is not among them.
    """
    judged = {labels_lib.common_name(name) for name in classifier.findings}
    shared = [name for name in records.findings if labels_lib.common_name(name) in judged]
    both = (
        f"{classifier.name} judges {', '.join(classifier.findings)}; {records.path} has labels of "
        f"{', '.join(records.findings) or 'nothing'}"
    )
    if not shared:
        raise ValueError(f"no finding can be scored: {both}")
    names = {labels_lib.common_name(name): name for name in wanted}
    if unknown := names.keys() - {labels_lib.common_name(name) for name in shared}:
        raise ValueError(
            f"--findings asks for {', '.join(names[name] for name in sorted(unknown))}, which "
            f"cannot be scored: {both}; give some of {', '.join(shared)}"
        )
    return tuple(name for name in shared if not names or labels_lib.common_name(name) in names)


def table_for(
    classifier: scorer.Scorer,
    records: record_set.RecordSet,
    fold: str,
    findings: Sequence[str],
) -> image_table.ImageTable:
    """Images of a fold, for a classifier.

    Args:
        classifier: The classifier.
        records: The record set.
        fold: Its fold.
        findings: From `shared_findings`.

    Raises:
        ValueError: If the images were prepared in another way than the classifier's, or there are
            none of its size.
    """
    records.require_preparation(classifier.preparation, classifier.name)
    if records.max_resolution < classifier.resolution:
        raise ValueError(
            f"{classifier.name} takes images of {classifier.resolution} px, {records.path} has "
            f"none larger than {records.max_resolution} px; build it anew with "
            f"tools/build_records.py --max_resolution={pyramid.level_above(classifier.resolution)}"
        )
    return image_table.of_fold(records, fold, classifier.resolution, findings)


def predict(
    classifier: scorer.Scorer, table: image_table.ImageTable, progress: bool = True
) -> predictions.Predictions:
    """Scores all images of a table.

    Args:
        classifier: The classifier.
        table: From `table_for`.
        progress: Whether to show a bar.

    Returns:
        Scores, with the thresholds that the classifier brings.

    Raises:
        ValueError: If a score is not finite.
    """
    scores = []
    with tqdm.tqdm(total=len(table), desc="Scoring", unit="img", disable=not progress) as bar:
        for start in range(0, len(table), _BATCH):
            numbers = range(start, min(start + _BATCH, len(table)))
            scores.append(classifier.scores(table.read(numbers)))
            bar.update(len(numbers))
    columns = [
        labels_lib.project(values, classifier.findings, table.findings)
        for values in (np.concatenate(scores), classifier.thresholds)
    ]
    return predictions.Predictions(
        table.findings, table.labels, *columns, table.image_ids, table.patients, table.facts,
        about(classifier, table),
    )  # fmt: skip


def about(classifier: scorer.Scorer, table: image_table.ImageTable) -> dict[str, str]:
    """Which classifier and images scores are of, for `Predictions.about`."""
    (source,) = table.folds
    return {
        "classifier": classifier.name,
        "classifier_fingerprint": classifier.fingerprint,
        "records": source.records.name,
        "records_fingerprint": source.records.fingerprint,
        "fold": source.fold,
        "fold_fingerprint": source.records.fold_fingerprint(source.fold),
    }


def require_place(
    path: str | os.PathLike, classifier: scorer.Scorer, table: image_table.ImageTable
) -> None:
    """Refuses to write over a file that holds anything but these very predictions.

    Args:
        path: Of the file to be written.
        classifier: The classifier.
        table: The images.

    Raises:
        ValueError: If the file's name does not end in .npz, or it is there and of something else.
    """
    path = pathlib.Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"--output wants a file such as external.npz, got {path}")
    if not path.exists():
        return
    try:
        old = predictions.load(path)
    except ValueError as error:
        raise ValueError(f"{error}; it is not written over, give another --output") from None
    new = about(classifier, table)
    same = all(old.about.get(name) == new[name] for name in _IDENTITY)
    if not same or old.findings != table.findings:
        whose = " on ".join(old.about.get(name, "?") for name in ("classifier", "records"))
        raise ValueError(
            f"{path} holds other predictions ({whose}: {', '.join(old.findings)}) than those of "
            f"{new['classifier']} on {new['records']}, fold {new['fold']}: "
            f"{', '.join(table.findings)}; they are not written over, give another --output"
        )


def markdown(found: predictions.Predictions) -> str:
    """A table of the labels and the threshold of each finding."""
    lines = []
    for column, finding in enumerate(found.findings):
        labels, threshold = found.labels[:, column], found.thresholds[column]
        lines.append(
            [
                finding,
                *(f"{int((labels == value).sum()):,}" for value in (1, 0)),
                f"{int(np.isnan(labels).sum()):,}",
                "none, no decisions" if np.isnan(threshold) else f"{threshold:.3f}",
            ]
        )
    return results.markdown_table(
        ["finding", "present", "absent", "unknown", "threshold of its validation"], lines
    )


def left_out(
    classifier: scorer.Scorer, records: record_set.RecordSet, findings: Sequence[str]
) -> list[str]:
    """Sentences on the findings that are not scored, and why."""
    common = [labels_lib.common_name(name) for name in findings]
    judged = [labels_lib.common_name(name) for name in classifier.findings]
    labelled = [labels_lib.common_name(name) for name in records.findings]
    kinds = (
        (f"{records.name} has no labels of them", classifier.findings, labelled, False),
        (f"{classifier.name} does not judge them", records.findings, judged, False),
        ("not asked for", records.findings, judged, True),
    )
    lines = []
    for why, names, others, in_both in kinds:
        missing = [
            name
            for name in names
            if labels_lib.common_name(name) not in common
            and (labels_lib.common_name(name) in others) == in_both
        ]
        if missing:
            lines.append(f"not scored, {why}: {', '.join(missing)}")
    return lines
