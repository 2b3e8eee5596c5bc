"""What a deposit measures of a submission itself, against a public reference, and what it means.

The reference is a fold of a record set that everybody can get, such as the test fold of
ChestX-ray14; another fold of it gives the floor. Numbers are those of `pgan.evaluation`. Images are
drawn for the label rows of the reference, in the findings that generator and reference share.
"""

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgan import evaluation, evaluation_sets, image_sources, set_comparison
from pgan.data import record_set
from pgan.deposit import storage, vocabulary
from pgan.image_sets import ImageSet
from pgan.metrics import features

# Kinds of numbers as their names begin; see `metrics.names`.
_DISTANCES = ("fd", "fid")
_BLURRED = f"{set_comparison.BLURRED_SIZE} px, "


class MisfitError(ValueError):
    """The reference cannot judge this generator; another one may."""


class UnusableError(ValueError):
    """The generator draws nothing that could be measured."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """The public images that submissions are measured against.

    Attributes:
        records: The record set.
        fold: Fold of the reference.
        floor_fold: Another fold, for the distance between real images.
    """

    records: record_set.RecordSet
    fold: str
    floor_fold: str


def measure(
    submission: storage.Submission,
    generator_dir: str | os.PathLike,
    reference: Reference,
    extractor: features.Extractor,
    settings: evaluation.Settings,
    show_progress: bool = True,
) -> evaluation.Evaluation:
    """Loads a generator and measures its images.

    Args:
        submission: Whose it is.
        generator_dir: Its private copy, from `Deposit.opened`; only there it has been checked.
        reference: The real images.
        extractor: The features.
        settings: Of the evaluation.
        show_progress: Whether to draw bars.

    Raises:
        MisfitError: If the reference has images of other sizes, made in another way, without any
            shared finding, or that the generator was trained on.
        UnusableError: If its graph fails, or it draws images of one grey level.
    """
    findings = tuple(submission.facts["findings"])
    require_fit(submission, reference)
    try:
        source = image_sources.from_export(str(generator_dir))
    except OSError:
        raise
    except Exception as error:  # of TensorFlow, which takes it that graphs are as it wrote them
        raise UnusableError(f"it cannot be loaded: {_in_a_line(error)}") from error
    with tempfile.TemporaryDirectory() as scratch:
        try:
            sets = evaluation_sets.real_sets(
                reference.records, source, reference.fold, reference.floor_fold
            )
            real, floor = (_translated(images, findings) for images in sets)
            evaluation_sets.shared_count(settings.count, real, floor, source)
        except ValueError as error:
            raise MisfitError(str(error)) from error
        try:
            return evaluation.evaluate(
                real, floor, source, extractor, settings, scratch, show_progress
            )
        except OSError:  # as of a full disk
            raise
        except Exception as error:  # of a graph that is not what its signature says
            raise UnusableError(f"its images cannot be measured: {_in_a_line(error)}") from error


def require_fit(submission: storage.Submission, reference: Reference) -> None:
    """Raises MisfitError if a reference cannot judge a generator; nothing of it is loaded."""
    findings, records = submission.facts["findings"], reference.records
    try:
        records.require_resolution(submission.facts["resolution"])
        records.require_preparation(
            submission.facts["training_records"].get("preparation"), submission.id
        )
    except ValueError as error:
        raise MisfitError(str(error)) from error
    if not any(vocabulary.knows(records.findings, name) for name in findings):
        raise MisfitError(
            f"{submission.id} and {records.name} have no finding in common: "
            f"{', '.join(findings)} and {', '.join(records.findings)}. Give another --reference"
        )


def summarise(found: evaluation.Evaluation) -> dict[str, Any]:
    """The numbers that a decision rests on, JSON types.

    Returns:
        `metric`, `distance`, `floor`, `blur` (the smaller of the two), `ratio` to the floor and
        `blur_share`, the part of the way from floor to blur; `coverage` and `floor_coverage`, None
        if there are too few images; `similarity_gap`, the mean over pairs of how much more alike
        synthetic images are than real ones, and its `similarity_gap_error`, None without pairs;
        the sets' `count`, `resolution`, `reference` and its fingerprint, `features`, `seed` and
        `label_sampling`; `rows` {measure: {set: value}}.

    Raises:
        MisfitError: If blurred images are no farther from the reference than real ones.
    """
    whole = [row for row in found.rows if "setting" not in row]
    rows: dict[str, dict[str, float]] = {}
    for row in whole:
        rows.setdefault(row["metric"], {})[row["images"]] = row["value"]
    metric = next(row["metric"] for row in whole if row["metric"].startswith(_DISTANCES))
    values = rows[metric]
    distance, floor = values[set_comparison.SYNTHETIC], values[set_comparison.REAL]
    blur = min(value for images, value in values.items() if images.startswith(_BLURRED))
    if not blur > floor:
        raise MisfitError(
            f"{metric} does not tell images without detail ({blur:.3g}) from real ones "
            f"({floor:.3g}) with so few images; give a larger --reference or another --features"
        )
    own = next(row for row in whole if row["images"] == set_comparison.SYNTHETIC)
    coverage = next((rows[name] for name in rows if name.endswith("_coverage")), {})
    gap, error = _similarity_gap(found.pairs)
    return {
        "metric": metric,
        "distance": distance,
        "floor": floor,
        "blur": blur,
        "ratio": distance / floor,
        "blur_share": (distance - floor) / (blur - floor),
        "coverage": coverage.get(set_comparison.SYNTHETIC),
        "floor_coverage": coverage.get(set_comparison.REAL),
        "similarity_gap": gap,
        "similarity_gap_error": error,
        "similarity_metric": found.pairs[0]["metric"] if found.pairs else None,
        **{
            name: own[name]
            for name in ("count", "resolution", "reference", "reference_fingerprint", "features")
        },
        "seed": own["seed"],
        "label_sampling": own["labels"],
        "rows": rows,
    }


def comparable_claim(
    claims: Sequence[Mapping[str, Any]], measured: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The newest claim of the same number: name, resolution, features, reference, label rows."""
    found = [
        row
        for row in claims
        if row["metric"] == measured["metric"]
        and row.get("resolution") == measured["resolution"]
        and row.get("reference_fingerprint") == measured["reference_fingerprint"]
        and row.get("features") == measured["features"]
        and row.get("labels") == measured["label_sampling"]
    ]
    return dict(found[-1]) if found else None


def _translated(images: ImageSet, findings: tuple[str, ...]) -> ImageSet:
    values = vocabulary.translate(images.labels, images.findings, findings)
    return dataclasses.replace(images, findings=findings, labels=values)


def _similarity_gap(pairs) -> tuple[float | None, float | None]:
    known = [row for row in pairs if row["difference"] is not None]
    if not known:
        return None, None
    weights = np.array([row["synthetic_pairs"] for row in known], np.float64)
    weights /= weights.sum()
    errors = [row["difference_standard_error"] for row in known]
    gap = float(weights @ [row["difference"] for row in known])
    if None in errors:
        return gap, None
    # The findings share images, so this is too small if their pairs overlap much.
    return gap, float(np.sqrt(weights**2 @ np.square(errors)))


def _in_a_line(error: Exception) -> str:
    """What it says; the first line of TensorFlow's is "Graph execution error:" alone."""
    return " ".join(str(error).split())[:300] or type(error).__name__
