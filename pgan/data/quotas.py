"""Splits by quota: so many images of each class in each fold, from patients of that fold alone.

    train: 950 healthy + 50 Pneumonia
    test: 6000 of healthy:Pneumonia 2:3
    rest: rest

Patients are taken in the order that the seed draws (see `pool.Pool.by_patient`), scarce classes
first, until a quota is full. A patient belongs to the first fold that takes an image of it; images
of such a patient that no quota wants are in no fold.
"""

import collections
import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from pgan.data import pool as pool_lib
from pgan.data import split_store, splits
from pgan.data.pool import Pool

_REST = "rest"
_ATTEMPTS = 8
_FORM = (
    "Write 'train: 950 healthy + 50 Pneumonia', 'test: 6000 of healthy:Pneumonia 2:3' or "
    "'train: rest'."
)


@dataclasses.dataclass(frozen=True)
class Quota:
    """What one fold asks for.

    Attributes:
      fold: its name.
      counts: images of each class, by class word (see `pool.Pool.class_name`). Empty for all
        images of the patients that no other fold takes.
    """

    fold: str
    counts: dict[str, int]

    def __str__(self) -> str:
        wanted = " + ".join(f"{count} {word}" for word, count in self.counts.items())
        return f"{self.fold}: {wanted or _REST}"


def parse(text: str) -> Quota:
    """A quota from its text, in one of the forms above.

    A ratio that does not go into the number is rounded, largest remainders first.

    Raises:
      ValueError: another form, a class named twice, or a count of 0.
    """
    fold, colon, body = (part.strip() for part in text.partition(":"))
    if not colon or not fold:
        raise ValueError(f"A quota needs a fold's name and a colon, got {text!r}. {_FORM}")
    if body == _REST:
        return Quota(fold, {})
    ratio = re.fullmatch(r"(\d+)\s+of\s+(.+?)\s+(\d+(?:\s*:\s*\d+)*)", body)
    if ratio:
        words = [word.strip() for word in ratio[2].split(":")]
        parts = [int(part) for part in ratio[3].split(":")]
        if len(words) != len(parts) or sum(parts) == 0:
            raise ValueError(
                f"{len(words)} classes and {len(parts)} parts of a ratio in {text!r}. {_FORM}"
            )
        pairs = list(zip(words, pool_lib.apportion(int(ratio[1]), parts), strict=True))
    else:
        terms = [re.fullmatch(r"(\d+)\s+(\S.*)", term.strip()) for term in body.split("+")]
        if None in terms:
            raise ValueError(f"Cannot read the quota {text!r}. {_FORM}")
        pairs = [(term[2], int(term[1])) for term in terms]
    counts = dict(pairs)
    if len(counts) < len(pairs) or 0 in counts.values():
        raise ValueError(f"Each class must be named once, with a number above 0, in {text!r}.")
    return Quota(fold, counts)


def draw(pool: Pool, quotas: Sequence[Quota], seed: int) -> splits.Split:
    """Fills the quotas.

    An image counts for one class only, though it may show several.

    Args:
      pool: images to draw from.
      quotas: one for each fold; the folds are disjoint by patient.
      seed: of the draw. With the same images it gives the same folds anywhere.

    Returns:
      Folds with exactly the numbers asked for. The settings' "patients" is "drawn" or, where a
      plain draw did not fill the quotas, "chosen": then patients were preferred whose other images
      are not wanted by other folds, and a fold is not a plain random sample of its classes.

    Raises:
      ValueError: an unknown class, a fold named twice, or not enough images.
    """
    folds = [quota.fold for quota in quotas]
    split_store.check_folds(folds)
    if sum(not quota.counts for quota in quotas) > 1:
        raise ValueError("Only one fold can have the rest.")
    quotas = [_with_class_names(pool, quota) for quota in quotas]
    demands = _demands(pool, quotas)
    for attempt in range(_ATTEMPTS):
        drawing = _Drawing(pool, demands, seed, choosing=attempt > 0)
        missing = drawing.run()
        if not missing:
            break
        if missing[0].tightness > 1:  # more than there are
            raise ValueError(_explain(pool, demands, drawing, *missing))
        # What stayed open comes first in the next attempt.
        demands = sorted(demands, key=lambda demand: demand is not missing[0])
    else:
        raise ValueError(_explain(pool, demands, drawing, *missing))
    for quota in quotas:
        if not quota.counts:
            drawing.take_rest(quota.fold)
            if not drawing.taken[quota.fold]:
                raise ValueError(f"There are no patients left for {str(quota)!r}.")
    return splits.Split(
        {fold: [pool.image_ids[p] for p in sorted(drawing.taken[fold])] for fold in folds},
        {
            "method": "quota",
            "seed": seed,
            "quotas": [str(quota) for quota in quotas],
            "patients": "chosen" if attempt else "drawn",
        },
    )


@dataclasses.dataclass(frozen=True)
class _Demand:
    fold: str
    word: str
    count: int
    members: np.ndarray  # bool [N]
    tightness: float  # wanted over available images of the class, all folds together


def _with_class_names(pool: Pool, quota: Quota) -> Quota:
    counts = {pool.class_name(word): count for word, count in quota.counts.items()}
    if len(counts) < len(quota.counts):
        raise ValueError(f"The quota '{quota}' names a class twice.")
    return Quota(quota.fold, counts)


def _demands(pool: Pool, quotas: Sequence[Quota]) -> list[_Demand]:
    """What is asked for, the scarcest first."""
    wanted = collections.Counter()
    for quota in quotas:
        wanted.update(quota.counts)
    members = {word: pool.members(word) for word in wanted}
    demands = [
        _Demand(quota.fold, word, count, members[word], wanted[word] / max(members[word].sum(), 1))
        for quota in quotas
        for word, count in quota.counts.items()
    ]
    return sorted(demands, key=lambda demand: -demand.tightness)


class _Drawing:
    """One attempt to fill the demands.

    Attributes:
      taken: positions of each fold's images.
      owner: fold of each image's patient, empty for those in none; [N].
    """

    def __init__(self, pool: Pool, demands: Sequence[_Demand], seed: int, choosing: bool):
        self._patients = list(pool.by_patient(seed).values())
        self._order = np.concatenate(self._patients)  # positions by patient as drawn
        self._patient = np.empty(len(pool), int)  # of each image, number in the drawn order
        for number, positions in enumerate(self._patients):
            self._patient[positions] = number
        self._demands = demands
        self._choosing = choosing
        self._used = np.zeros(len(pool), bool)
        self.taken = collections.defaultdict(list)
        self.owner = np.full(len(pool), "", object)

    def run(self) -> tuple[_Demand, int] | None:
        """Fills all demands; returns the first that stays open and how many images it has got."""
        for demand in self._demands:
            left = self._fill(demand)
            if left:
                return demand, demand.count - left
        return None

    def take_rest(self, fold: str) -> None:
        """Gives a fold all images of the patients that are in none."""
        self._take(fold, self._order[self.owner[self._order] == ""])

    def _fill(self, demand: _Demand) -> int:
        """Takes what a demand asks for, and returns how many images are missing."""
        left, too_many = demand.count, []
        for images in self._candidates(demand):
            if not left:
                break
            # Images that a full quota cuts off are lost to other folds: where images are scarce
            # they are cut off only at the end.
            if len(images) > left and self._choosing and self.owner[images[0]] != demand.fold:
                too_many.append(images)
                continue
            self._take(demand.fold, images[:left])
            left -= min(left, len(images))
        if left and too_many:
            self._take(demand.fold, min(too_many, key=len)[:left])
            left = 0
        return left

    def _candidates(self, demand: _Demand) -> list[np.ndarray]:
        """The images that can be taken, one array per patient, in the order of taking."""
        free = demand.members & ~self._used & np.isin(self.owner, ("", demand.fold))
        chosen = self._order[free[self._order]]
        if not self._choosing:
            return self._apart(chosen)
        # Images first that no other class wants, and patients first that are the fold's own or
        # whose images other folds want least, for each image that this one gains.
        others = [other for other in self._demands if other.word != demand.word]
        cost = sum((d.members * d.tightness for d in others), np.zeros(len(free)))
        chosen = chosen[np.lexsort((cost[chosen], self._patient[chosen]))]
        lost = sum(
            (d.members * d.tightness for d in others if d.fold != demand.fold), np.zeros(len(free))
        )
        lost = np.bincount(self._patient, lost, len(self._patients))
        gained = np.bincount(self._patient, demand.members, len(self._patients))

        def harm(images: np.ndarray) -> tuple[bool, float]:
            patient = self._patient[images[0]]
            return self.owner[images[0]] != demand.fold, lost[patient] / gained[patient]

        return sorted(self._apart(chosen), key=harm)

    def _apart(self, images: np.ndarray) -> list[np.ndarray]:
        if not len(images):
            return []
        return np.split(images, np.flatnonzero(np.diff(self._patient[images])) + 1)

    def _take(self, fold: str, images: np.ndarray) -> None:
        self._used[images] = True
        self.taken[fold].extend(images.tolist())
        for patient in np.unique(self._patient[images]):
            self.owner[self._patients[patient]] = fold


def _explain(
    pool: Pool, demands: Sequence[_Demand], drawing: _Drawing, demand: _Demand, got: int
) -> str:
    patients = np.asarray(pool.patient_ids)[demand.members]
    elsewhere = (~np.isin(drawing.owner[demand.members], ("", demand.fold))).sum()
    taken = set(drawing.taken[demand.fold]) & set(np.flatnonzero(demand.members))
    wanted = sum(other.count for other in demands if other.word == demand.word)
    return (
        f"Not enough images for the fold {demand.fold!r}: wanted {demand.count} of "
        f"{demand.word!r}, got {got}. There are {len(patients)} such images of "
        f"{len(set(patients))} patients; all folds together want {wanted} of them as "
        f"{demand.word!r}, {len(taken) - got} were taken as another class, and {elsewhere} are of "
        f"patients that other folds have taken. Ask for fewer images, or draw from a larger fold."
    )
