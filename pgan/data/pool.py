"""The images that a split is drawn from: whose they are and what they show."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from pgan.data import labels, radiograph, record_set

HEALTHY = "healthy"
ANY = "any"
# Facts of an image whose values are classes, as `manifest.EXTRAS` names them.
_FACTS = ("group", "view", "sex")


@dataclasses.dataclass(frozen=True)
class Pool:
    """Images with their patients and labels, in any order.

    Attributes:
      image_ids: each once.
      patient_ids: of each image.
      labels: float32 [N, L], NaN where unknown.
      findings: the vocabulary of the labels.
      extras: {name: text} of each image as records have them, among them "group", the collection's
        own class beside its findings, "view" and "sex"; empty or absent where unknown.
    """

    image_ids: Sequence[str]
    patient_ids: Sequence[str]
    labels: np.ndarray
    findings: Sequence[str]
    extras: Sequence[Mapping[str, str]]

    @classmethod
    def of_records(cls, records: record_set.RecordSet, fold: str = "all") -> "Pool":
        """The records of a fold."""
        return cls(
            image_ids=records.record_ids(fold),
            patient_ids=records.patient_ids(fold),
            labels=records.label_matrix(fold),
            findings=records.findings,
            extras=records.extras(fold),
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def num_patients(self) -> int:
        """How many patients the images are of."""
        return len(set(self.patient_ids))

    def select(self, chosen: np.ndarray) -> "Pool":
        """The images where bool [N] `chosen` is true."""
        positions = np.flatnonzero(chosen)
        return Pool(
            image_ids=[self.image_ids[p] for p in positions],
            patient_ids=[self.patient_ids[p] for p in positions],
            labels=self.labels[positions],
            findings=self.findings,
            extras=[self.extras[p] for p in positions],
        )

    def values_of(self, name: str) -> list[str]:
        """A fact such as "view" of each image, empty where unknown."""
        return [facts.get(name, "") for facts in self.extras]

    def class_name(self, word: str) -> str:
        """A class word as it is written in messages and settings.

        Args:
          word: a finding; "healthy" or "No Finding", no finding present; "any", every image;
            "group=normal", a class of the collection itself; "view=PA"; or "sex=F". Case does not
            matter.

        Raises:
          ValueError: no such class; the message lists those there are.
        """
        folded = word.strip().casefold()
        if folded in (HEALTHY, ANY):
            return folded
        if labels.is_no_finding(word):
            return HEALTHY
        fact, equals, wanted = (part.strip() for part in word.partition("="))
        fact = fact.casefold()
        if equals and fact in _FACTS:
            known = [f"{fact}={value}" for value in sorted(set(self.values_of(fact)) - {""})]
            for name in known:
                if name.casefold() == f"{fact}={wanted.casefold()}":
                    return name
            raise ValueError(
                f"No image has the {fact} {wanted!r}; there are: {', '.join(known) or 'none'}."
            )
        try:
            return self.findings[labels.find(word, self.findings)]
        except ValueError as error:
            *others, last = (HEALTHY, ANY, *(f"{name}=..." for name in _FACTS))
            words = f"{', '.join(map(repr, others))} or {last!r}"
            raise ValueError(f"{error} Or use {words}.") from None

    def members(self, word: str) -> np.ndarray:
        """Bool [N], the images of a class; an image may be of several.

        An unknown label makes an image neither healthy nor one that shows the finding.
        """
        name = self.class_name(word)
        if name == ANY:
            return np.ones(len(self), bool)
        if name == HEALTHY:
            return labels.is_healthy(self.labels, self.findings)
        if name in self.findings:
            return self.labels[:, self.findings.index(name)] >= 0.5
        fact, _, wanted = name.partition("=")
        return np.array([value == wanted for value in self.values_of(fact)], bool)

    def radiographs(self) -> list[radiograph.Radiograph]:
        """The images as `splits.draw` and `splits.from_lists` take them."""
        return [
            radiograph.Radiograph(image_id, patient_id, vector)
            for image_id, patient_id, vector in zip(
                self.image_ids, self.patient_ids, self.labels, strict=True
            )
        ]

    def by_patient(self, seed: int) -> dict[str, np.ndarray]:
        """Positions of each patient's images; patients, and each one's images, in drawn order.

        The order is that of a hash of seed and id. So it depends on nothing but these, neither on
        the order of the images nor on a library's random stream.
        """
        order = sorted(range(len(self)), key=lambda p: rank(seed, self.image_ids[p]))
        result = {p: [] for p in sorted(set(self.patient_ids), key=lambda p: rank(seed, p))}
        for position in order:
            result[self.patient_ids[position]].append(position)
        return {patient: np.array(positions) for patient, positions in result.items()}


def rank(seed: int, name: str) -> bytes:
    """Place of a patient or an image in the order that a seed draws."""
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def apportion(total: int, parts: Sequence[float]) -> list[int]:
    """Whole numbers in the proportion of `parts` that sum to `total`, largest remainders first."""
    exact = np.asarray(parts, np.float64) / np.sum(parts) * total
    numbers = np.floor(exact).astype(int)
    # Rounded, so that remainders that differ by the last bit count as equal on every machine.
    order = np.argsort(-np.round(exact - numbers, 6), kind="stable")
    numbers[order[: total - numbers.sum()]] += 1
    return numbers.tolist()
