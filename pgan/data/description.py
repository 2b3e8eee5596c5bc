"""Statistics of labels: counts, prevalence, co-occurrence, patients, ages, sexes and views.

They need label tables or a record set's tables, and no image. Small counts (one patient of 90 with
a hernia) say something about people: a description belongs where its records may be.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pgan.data import labels as labels_lib
from pgan.data import manifest

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
UNKNOWN = "unknown"

_OLDEST_DECADE = f"{manifest.OLDEST_AGE}+"
DECADES = (*(f"{age}-{age + 9}" for age in range(0, manifest.OLDEST_AGE, 10)), _OLDEST_DECADE)


@dataclasses.dataclass(frozen=True)
class FindingCounts:
    """How often a finding is there.

    Attributes:
      positive: images with a label of at least 0.5.
      negative: images with a smaller one.
      unknown: images whose label is unknown.
      prevalence: positive over positive and negative; None if no label is known.
      positive_patients: patients with a positive image.
    """

    positive: int
    negative: int
    unknown: int
    prevalence: float | None
    positive_patients: int


@dataclasses.dataclass(frozen=True)
class Description:
    """What the labels of some images have in common. `dataclasses.asdict` of it is JSON.

    Attributes:
      images: how many.
      patients: how many they are of.
      images_per_patient: mean; 0 without images.
      most_images_of_a_patient: maximum of the same.
      findings: by name, in the vocabulary's order.
      healthy: counts of images known to show no finding, see `labels.is_healthy`. Negative are
        those with a finding, or with "No Finding" labelled absent; unknown are the rest.
      findings_per_image: [k] is the number of images with k positive labels. "No Finding", where
        it is a class, is not counted.
      cooccurrence: [row][column], images positive in both; the diagonal is `positive`.
      conditional: [row][column], share of positives in the column among the images that are
        positive in the row and known in the column; None where there are none.
      age_quantiles: years at QUANTILES by their names ("0.5" is the median), over images of known
        age; None where there are none. 90 stands for 90 and more.
      ages: images by decade, DECADES, and "unknown".
      sexes: images by sex, and "unknown".
      views: images by view, and "unknown".
      groups: images by group, and "unknown"; empty if no image has one.
    """

    images: int
    patients: int
    images_per_patient: float
    most_images_of_a_patient: int
    findings: dict[str, FindingCounts]
    healthy: FindingCounts
    findings_per_image: list[int]
    cooccurrence: list[list[int]]
    conditional: list[list[float | None]]
    age_quantiles: dict[str, float] | None
    ages: dict[str, int]
    sexes: dict[str, int]
    views: dict[str, int]
    groups: dict[str, int]

    def finding(self, name: str) -> FindingCounts | None:
        """Counts of a finding under its own name or that of another collection, if labelled."""
        for own, counts in self.findings.items():
            if labels_lib.common_name(own) == labels_lib.common_name(name):
                return counts
        return self.healthy if labels_lib.is_no_finding(name) else None


def describe(
    labels: np.ndarray,
    patient_ids: Sequence[str],
    extras: Sequence[Mapping[str, Any]],
    findings: Sequence[str],
) -> Description:
    """Counts what there is.

    Args:
      labels: float32 [N, L] in [0, 1]; at least 0.5 is positive, NaN is unknown.
      patient_ids: of each image.
      extras: of each image: "age" in years, "sex", "view" and "group" as far as they are known.
        Ages may be numbers or texts; an empty entry is as good as none.
      findings: names of the L labels.

    Raises:
      ValueError: arguments of different lengths, a label outside [0, 1], or an age that is no
        number of years.
    """
    labels = np.asarray(labels, np.float32)
    if labels.shape != (len(patient_ids), len(findings)) or len(extras) != len(patient_ids):
        raise ValueError(
            f"Expected labels [images, findings], and a patient and extras of each image, got "
            f"labels {list(labels.shape)}, {len(patient_ids)} patients, {len(extras)} extras and "
            f"{len(findings)} findings."
        )
    known = ~np.isnan(labels)
    if not ((labels >= 0) & (labels <= 1))[known].all():
        raise ValueError("Labels must be in [0, 1], or NaN where unknown.")
    positive = labels >= 0.5
    numbers = {}
    patients = np.array([numbers.setdefault(p, len(numbers)) for p in patient_ids], np.int64)
    images_of = np.bincount(patients, minlength=1)
    is_class = np.array([labels_lib.is_no_finding(name) for name in findings], bool)
    if is_class.any():
        healthy = _counts(positive[:, is_class][:, 0], known[:, is_class][:, 0], patients)
    else:
        decided = known.all(axis=1) | positive.any(axis=1)
        healthy = _counts(labels_lib.is_healthy(labels, findings), decided, patients)
    # float64 holds these counts exactly, and its matrix product is quick.
    present, labelled = positive.astype(np.float64), known.astype(np.float64)
    both, asked = present.T @ present, present.T @ labelled
    ages = [_age(facts.get("age")) for facts in extras]
    return Description(
        images=len(labels),
        patients=len(numbers),
        images_per_patient=len(labels) / max(len(numbers), 1),
        most_images_of_a_patient=int(images_of.max()),
        findings={
            name: _counts(positive[:, column], known[:, column], patients)
            for column, name in enumerate(findings)
        },
        healthy=healthy,
        findings_per_image=np.bincount(positive[:, ~is_class].sum(axis=1), minlength=1).tolist(),
        cooccurrence=both.astype(int).tolist(),
        conditional=[
            [count / total if total else None for count, total in zip(*pair, strict=True)]
            for pair in zip(both.tolist(), asked.tolist(), strict=True)
        ],
        age_quantiles=_quantiles([age for age in ages if age is not None]),
        ages=_tally((_decade(age) for age in ages), DECADES),
        sexes=_tally((facts.get("sex") for facts in extras), ("F", "M")),
        views=_tally((facts.get("view") for facts in extras), ("AP", "PA")),
        groups=_tally((facts.get("group") for facts in extras), ()),
    )


def _counts(positive: np.ndarray, known: np.ndarray, patients: np.ndarray) -> FindingCounts:
    positives, labelled = int(positive.sum()), int(known.sum())
    return FindingCounts(
        positive=positives,
        negative=labelled - positives,
        unknown=len(known) - labelled,
        prevalence=positives / labelled if labelled else None,
        positive_patients=len(np.unique(patients[positive])),
    )


def _age(value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        age = int(value)
    except ValueError:
        age = -1
    if age < 0:
        raise ValueError(f"An age must be a number of whole years, got {value!r}.")
    return min(age, manifest.OLDEST_AGE)


def _decade(age: int | None) -> str | None:
    return None if age is None else DECADES[age // 10]


def _quantiles(ages: list[int]) -> dict[str, float] | None:
    if not ages:
        return None
    values = np.quantile(ages, QUANTILES).tolist()
    return {f"{level:g}": value for level, value in zip(QUANTILES, values, strict=True)}


def _tally(values: Iterable[str | None], expected: Sequence[str]) -> dict[str, int]:
    """Counts by value: the expected ones, then others by name, then the unknown."""
    counts = collections.Counter(value or UNKNOWN for value in values)
    unknown = counts.pop(UNKNOWN, 0)
    if not counts and not expected:
        return {}
    names = [*expected, *sorted(counts.keys() - set(expected))]
    return {**{name: counts[name] for name in names}, UNKNOWN: unknown}
