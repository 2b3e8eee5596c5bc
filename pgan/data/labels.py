"""Findings: the vocabulary, and the way between names and label vectors.

A vocabulary is a tuple of finding names in a fixed order. It is stored with every record set and
every model, and label vectors are float32 [L] in that order: 0 absent, 1 present, values between
them a strength, NaN unknown. An image without a finding has the zero vector; "No Finding" is no
class, except in CheXpert's own vocabulary, where it is one of the 14.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

# ChestX-ray14 in the order of the data set's paper, which published classifiers output. The data
# set's CSV spells the 13th "Pleural_Thickening"; `find` takes both.
NIH_14 = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural Thickening",
    "Hernia",
)

NO_FINDING = "No Finding"

# CheXpert in the order of its label files.
CHEXPERT_14 = (
    NO_FINDING,
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)

# What ChestX-ray14 and CheXpert both label (Han et al. 2020, fig. 3), in the order of the authors'
# merged table.
SHARED_7 = (
    "Cardiomegaly",
    "Effusion",
    "Atelectasis",
    "Pneumothorax",
    "Pneumonia",
    "Edema",
    "Consolidation",
)

# The task of the RSNA challenge, and of fig. 2.
PNEUMONIA = ("Pneumonia",)

VOCABULARIES = {
    "nih_14": NIH_14,
    "chexpert_14": CHEXPERT_14,
    "shared_7": SHARED_7,
    "pneumonia": PNEUMONIA,
}

# Names of one finding in different collections, each under the name that is used across them.
_COMMON_NAMES = {"pleural effusion": "effusion"}


def _folded(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def is_no_finding(name: str) -> bool:
    """Whether `name` is "No Finding", in any case and with blanks or underscores."""
    return _folded(name) == _folded(NO_FINDING)


def common_name(name: str) -> str:
    """Name of a finding across collections, in lower case: "effusion" for "Pleural Effusion"."""
    folded = _folded(name)
    return _COMMON_NAMES.get(folded, folded)


def project(values: np.ndarray, findings: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Labels in another vocabulary, for instance CheXpert's in that of the seven shared findings.

    Args:
      values: float32 [..., len(findings)].
      findings: the vocabulary they are in.
      wanted: the vocabulary asked for; every name in it must be one of `findings`, under its own
        name or that of another collection.

    Returns:
      float32 [..., len(wanted)].

    Raises:
      ValueError: a wanted finding is not labelled; absence of a label is not absence of a finding.
    """
    positions = {common_name(name): position for position, name in enumerate(findings)}
    missing = [name for name in wanted if common_name(name) not in positions]
    if missing:
        raise ValueError(
            f"These findings are not labelled: {', '.join(missing)}. Labelled are: "
            f"{', '.join(findings)}."
        )
    return np.asarray(values)[..., [positions[common_name(name)] for name in wanted]]


def name_of_none(findings: Sequence[str]) -> str:
    """What images without any label are called: "No Finding", unless that is a label itself."""
    return "No label" if any(map(is_no_finding, findings)) else NO_FINDING


def is_healthy(values: np.ndarray, findings: Sequence[str]) -> np.ndarray:
    """Which images are known to show no finding.

    Args:
      values: float32 [..., L].
      findings: the vocabulary. Where "No Finding" is one of its classes, that class decides.

    Returns:
      bool [...]; false where a label is unknown.
    """
    for position, name in enumerate(findings):
        if is_no_finding(name):
            return np.asarray(values)[..., position] >= 0.5
    return (np.asarray(values) < 0.5).all(axis=-1)


def find(name: str, findings: Sequence[str]) -> int:
    """Position of the finding `name` in `findings`; case and "_" or " " do not matter.

    Raises:
      ValueError: the vocabulary has no such finding; the message lists those it has.
    """
    for position, finding in enumerate(findings):
        if _folded(name) == _folded(finding):
            return position
    raise ValueError(f"Unknown finding {name.strip()!r}. Known are: {', '.join(findings)}.")


def encode(values: Iterable[str] | Mapping[str, float], findings: Sequence[str]) -> np.ndarray:
    """Label vector of the findings that are present.

    Args:
      values: names, each of strength 1, or a mapping from name to strength in [0, 1]. The name
        "No Finding" may stand alone and gives the zero vector.
      findings: the vocabulary.

    Returns:
      float32 [len(findings)].

    Raises:
      ValueError: an unknown or repeated name, "No Finding" beside a finding, or a strength
        outside [0, 1].
    """
    if isinstance(values, str):
        raise ValueError(f"Expected a list of names or a mapping, got the text {values!r}.")
    pairs = (
        list(values.items()) if isinstance(values, Mapping) else [(name, 1.0) for name in values]
    )
    return _encode_pairs(pairs, findings)


def parse(text: str, findings: Sequence[str]) -> np.ndarray:
    """Label vector of a text such as "Cardiomegaly=1,Effusion=0.5".

    A name without "=" has strength 1. "No Finding" alone gives the zero vector.

    Returns:
      float32 [len(findings)].

    Raises:
      ValueError: as `encode`, an empty text, or a strength that is no number.
    """
    pairs = []
    for part in text.split(","):
        name, equals, strength = part.partition("=")
        if not name.strip():
            raise ValueError(
                f"Expected findings such as 'Cardiomegaly=1,Effusion=0.5' or {NO_FINDING!r}, "
                f"got {text!r}."
            )
        try:
            pairs.append((name, float(strength) if equals else 1.0))
        except ValueError:
            raise ValueError(
                f"The strength of {name.strip()!r} must be a number in [0, 1], "
                f"got {strength.strip()!r}."
            ) from None
    return _encode_pairs(pairs, findings)


def present(labels: np.ndarray, findings: Sequence[str]) -> list[str]:
    """Names of the findings with a strength of at least 0.5, in the vocabulary's order."""
    return [name for name, value in zip(findings, labels, strict=True) if value >= 0.5]


def _encode_pairs(pairs: list[tuple[str, float]], findings: Sequence[str]) -> np.ndarray:
    labels = np.zeros(len(findings), np.float32)
    is_class = any(map(is_no_finding, findings))
    if len(pairs) == 1 and is_no_finding(pairs[0][0]) and not is_class:
        if pairs[0][1] != 1:
            raise ValueError(f"{NO_FINDING!r} is present or not; it has no strength.")
        return labels
    seen = set()
    for name, strength in pairs:
        if is_no_finding(name) and not is_class:
            raise ValueError(f"{NO_FINDING!r} cannot stand beside a finding.")
        position = find(name, findings)
        if position in seen:
            raise ValueError(f"The finding {findings[position]!r} is given twice.")
        if not 0 <= strength <= 1:
            raise ValueError(
                f"The strength of {findings[position]!r} must be in [0, 1], got {strength}."
            )
        seen.add(position)
        labels[position] = strength
    return labels
