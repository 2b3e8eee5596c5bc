"""Which training examples a confident classifier disagrees with, before a site trains on them.

The paper proposes to leave out examples by a classifier's confidence, as a defence against poisoned
data <Discussion>. The classifier is any SavedModel with a signature `images` or `predict` that
takes uint8 images [N, R, R, 1] and returns `probabilities` [N, L] and, if its findings are not the
records', their names as `findings` [N, L]. It should not have been trained on these examples.
"""

import csv
import io
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from pgan import run_folder

_COLUMNS = ("image_id", "finding", "label", "probability")
_SIGNATURES = ("images", "predict")


class Flagged(NamedTuple):
    """A label that the classifier disagrees with.

    Attributes:
        image_id: Of the record.
        finding: Name of the finding.
        label: What the record says, in [0, 1].
        probability: What the classifier says.
    """

    image_id: str
    finding: str
    label: float
    probability: float


class Screening(NamedTuple):
    """What a screening came to.

    Attributes:
        flagged: Labels that the classifier disagrees with.
        findings: Those that it knows; the labels of others were not looked at.
    """

    flagged: list[Flagged]
    findings: tuple[str, ...]


def disagreements(probabilities: np.ndarray, labels: np.ndarray, confidence: float) -> np.ndarray:
    """Where a classifier is confident of the opposite of a label.

    Args:
        probabilities: float [N, L] in [0, 1].
        labels: float [N, L] in [0, 1], NaN where unknown. Labels above 0.5 are positive, those
            below negative; 0.5 and unknown ones are never disagreed with.
        confidence: In (0.5, 1]: a positive label is disagreed with where the probability is at most
            1 - confidence, a negative one where it is at least confidence.

    Returns:
        bool [N, L].

    Raises:
        ValueError: If shapes differ or the confidence is out of range.
    """
    if probabilities.shape != labels.shape:
        raise ValueError(
            f"the classifier's probabilities have shape {probabilities.shape}, the labels "
            f"{labels.shape}"
        )
    if not 0.5 < confidence <= 1:
        raise ValueError(f"the confidence must be in (0.5, 1], got {confidence}")
    against = np.where(labels > 0.5, 1.0 - probabilities, probabilities)
    known = (labels > 0.5) | (labels < 0.5)
    return known & (against >= confidence)


def flag(
    batches: Iterable[tuple[list[str], np.ndarray, np.ndarray]],
    findings: tuple[str, ...],
    classify: Callable[[np.ndarray], tuple[np.ndarray, tuple[str, ...] | None]],
    confidence: float,
) -> Screening:
    """Screens examples.

    Args:
        batches: (Ids, uint8 [N, R, R], labels float32 [N, L]) of examples.
        findings: Names of the labels.
        classify: Images to probabilities and their findings, as `load` returns it.
        confidence: See `disagreements`.

    Raises:
        ValueError: If the classifier knows none of the findings, or does not say which its
            probabilities are of.
    """
    flagged, shared = [], []
    for ids, images, labels in batches:
        probabilities, names = classify(images)
        names = tuple(findings) if names is None else names
        if probabilities.shape[1] != len(names):
            raise ValueError(
                f"the classifier gives {probabilities.shape[1]} probabilities and does not name "
                f"their findings; the records have {len(names)}"
                if names == tuple(findings)
                else f"the classifier gives {probabilities.shape[1]} probabilities for the "
                f"{len(names)} findings that it names"
            )
        shared = [name for name in findings if name in names]
        if not shared:
            raise ValueError(
                f"the classifier knows {', '.join(names)}, and the records have none of them"
            )
        mine = [findings.index(name) for name in shared]
        theirs = probabilities[:, [names.index(name) for name in shared]]
        rows, columns = np.nonzero(disagreements(theirs, labels[:, mine], confidence))
        flagged += [
            Flagged(ids[i], shared[j], float(labels[i, mine[j]]), float(theirs[i, j]))
            for i, j in zip(rows, columns, strict=True)
        ]
    return Screening(flagged, tuple(shared))


def load(path: str | os.PathLike) -> Callable[[np.ndarray], Any]:
    """Loads a classifier.

    Args:
        path: Folder of a SavedModel.

    Returns:
        Function of uint8 images [N, R, R] to probabilities float32 [N, L] and names of findings,
        None where the model does not name them.

    Raises:
        ValueError: If there is no such model.
    """
    import tensorflow as tf

    if not (pathlib.Path(path) / "saved_model.pb").exists():
        raise ValueError(f"{path} holds no SavedModel (no saved_model.pb)")
    model = tf.saved_model.load(str(path))
    name = next((name for name in _SIGNATURES if name in model.signatures), None)
    if name is None:
        raise ValueError(
            f"{path} has the signatures {sorted(model.signatures)}; wanted is one of {_SIGNATURES} "
            "from uint8 images [N, R, R, 1] to probabilities"
        )
    signature = model.signatures[name]
    [(argument, spec)] = signature.structured_input_signature[1].items()

    def classify(images):
        images = images[..., np.newaxis]
        refusal = f"{path} takes no images of {images.shape[1]} px, give another --resolution"
        if not spec.shape.is_compatible_with(images.shape):
            raise ValueError(f"{refusal}: the shape of its input is {spec.shape}")
        try:
            outputs = signature(**{argument: tf.constant(images)})
        except tf.errors.InvalidArgumentError as error:
            lines = error.message.splitlines()
            reason = next((line for line in lines if "assertion failed" in line), lines[0])
            raise ValueError(f"{refusal}: {reason.strip()}") from None
        if "probabilities" not in outputs:
            raise ValueError(f"the signature {name} of {path} returns no probabilities")
        names = None
        if "findings" in outputs:
            names = tuple(text.decode() for text in outputs["findings"].numpy()[0])
        return outputs["probabilities"].numpy(), names

    classify.keep_alive = model  # its variables live as long as the object
    return classify


def write(path: str | os.PathLike, flagged: Iterable[Flagged]) -> None:
    """Writes a list as CSV, a line for each label that is disagreed with."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(flagged)
    run_folder.write_atomically(pathlib.Path(path), text.getvalue())


def read_ids(path: str | os.PathLike) -> list[str]:
    """Ids of a list's records, each once, in order.

    Raises:
        ValueError: If the file is no such list.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if "image_id" not in (reader.fieldnames or ()):
                raise ValueError(
                    f"{path} has no column image_id; tools/screen_examples.py writes it"
                )
            return list(dict.fromkeys(row["image_id"] for row in reader))
    except FileNotFoundError:
        raise ValueError(f"--leave_out={path} does not exist") from None
