"""Steps of an audit that are computed once and kept, part by part."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tqdm

from pgan.audit import copy_criterion
from pgan.search import block_store

_PART = 256  # images whose copies are looked for between two saves


class Stages:
    """Arrays by name in a folder that belongs to one audit."""

    def __init__(self, folder: block_store.Folder, progress: bool = True):
        """Takes the folder.

        Args:
            folder: Where arrays are kept.
            progress: Whether to show bars.
        """
        self._folder, self._progress = folder, progress

    def __call__(
        self, name: str, compute: Callable[[], Mapping[str, np.ndarray]]
    ) -> Mapping[str, np.ndarray]:
        """Reads the arrays of a step, or computes and keeps them."""
        kept = self._folder.load(name)
        if kept is None:
            kept = compute()
            self._folder.save(name, kept)
        return kept

    def copy_scores(
        self,
        name: str,
        reference: copy_criterion.Reference,
        images: np.ndarray,
        own_patients: Sequence[str] | None = None,
    ) -> copy_criterion.Scores:
        """Compares images with training images, see `copy_criterion.Reference.score`."""
        parts = []
        total = len(images)
        step = f"copies{copy_criterion.VERSION}_{name}"
        text = f"Comparing {name}"
        bar = tqdm.tqdm(total=total, desc=text, unit="img", disable=not self._progress)
        with bar:
            for number, start in enumerate(range(0, total, _PART)):
                part = slice(start, start + _PART)

                def compute(part=part):
                    patients = None if own_patients is None else own_patients[part]
                    found = reference.score(np.asarray(images[part]), patients, bar.update)
                    return dataclasses.asdict(found)

                kept = self(f"{step}_{number:05d}", compute)
                parts.append(copy_criterion.Scores(**kept))
                bar.update(min(start + _PART, total) - bar.n)
        return copy_criterion.Scores.join(parts)

    def real_scores(
        self,
        name: str,
        reference: copy_criterion.Reference,
        train: tuple[np.ndarray, Sequence[str]],
        held_out: np.ndarray,
        most: int,
        rng: np.random.Generator,
    ) -> copy_criterion.Scores:
        """Compares real images, none of which is a copy: what a criterion is calibrated with.

        Args:
            name: Of the step.
            reference: The training images.
            train: The same images, of which a sample is compared with those of other patients,
                and the patient of each.
            held_out: Images of patients who are not among the training images.
            most: Images of each, at most.
            rng: Draws them.
        """
        images, patients = train
        patients = np.asarray(patients)
        parts = []
        for whose, own in ((held_out, None), (images, patients)):
            chosen = np.sort(rng.permutation(len(whose))[:most])
            kind = "held-out" if own is None else "training"
            parts.append(
                self.copy_scores(
                    f"{kind} images, {name}",
                    reference,
                    whose[chosen],
                    None if own is None else own[chosen],
                )
            )
        return copy_criterion.Scores.join(parts)
