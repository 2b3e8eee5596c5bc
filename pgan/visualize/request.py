"""What is to be shown of a generator's findings, and beside which images of patients."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from pgan.data import record_set
from pgan.visualize import pseudo_patients

if TYPE_CHECKING:  # a wrong flag is answered before TensorFlow is loaded
    from pgan import synthesis


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be shown.

    Attributes:
        patients: Pseudo-patients of the pictures.
        positions: Of the findings in the generator's vocabulary.
        others: float32 [L], what all other findings are held at.
        frames: Of a sweep or of one leg of the interpolation, at least 2.
        frame_rate: Frames a second.
        sweeps: Whether to draw sweeps.
        combinations: Positions of findings that are shown alone and together.
        interpolate: Whether to draw the ways from each pseudo-patient to the next.
        mean_count: Pseudo-patients of mean maps; 0 leaves them out.
        mean_seed: Of these.
        phantoms: Phantoms whose mean is the truth; 0 if the generator has seen others.
        limit: End of the scale of differences in grey levels; None is chosen by what there is.
    """

    patients: tuple[pseudo_patients.PseudoPatient, ...]
    positions: tuple[int, ...]
    others: np.ndarray
    frames: int = 21
    frame_rate: float = 10.0
    sweeps: bool = True
    combinations: tuple[tuple[int, ...], ...] = ()
    interpolate: bool = False
    mean_count: int = 256
    mean_seed: int = 0
    phantoms: int = 0
    limit: float | None = None

    def __post_init__(self):
        """Checks what flags cannot.

        Raises:
            ValueError: If nothing can be shown so.
        """
        if self.interpolate and len(self.patients) < 2:
            raise ValueError("--interpolate goes from one of --seeds to the next; give two or more")

    def describe(self) -> dict[str, Any]:
        """JSON types that decide every picture."""
        facts = dataclasses.asdict(self)
        return {
            **facts,
            "patients": [str(one) for one in self.patients],
            "others": self.others.tolist(),
        }


@dataclasses.dataclass(frozen=True)
class Training:
    """Training images, to be shown beside the drawn ones.

    Attributes:
        records: Their record set.
        fold: Name of the fold.
    """

    records: record_set.RecordSet
    fold: str

    def is_of(self, generator: synthesis.ExportedGenerator) -> bool:
        """Whether the generator was trained on these images."""
        there = generator.card["training_records"]["fold_fingerprint"]
        return self.records.fold_fingerprint(self.fold) == there
