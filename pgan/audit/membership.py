"""Membership inference: can it be told of a patient's image whether it was trained on?

An attack is a score of real images that is meant to be higher for members, the images of the
training fold, than for others. How well it works is told by

* the AUC, the probability that a member has a higher score than another image (0.5: by luck), and
* the share of members that are recognised where 1 % of the others are taken for members (TPR at 1 %
  FPR). An attack that is sure of a few patients has a low AUC and a high TPR (Carlini et al. 2022,
  https://arxiv.org/abs/2112.03570).

Intervals are percentiles of a bootstrap of patients, members and others each among themselves:
images of a patient are no independent evidence.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

FPR = 0.01
# At 1 % of fewer others than this, the rate hangs on less than five images.
FEWEST_OTHERS = 500
RESAMPLES = 2000
LEVEL = 0.95

_AT_ONCE = 64  # resamples


@dataclasses.dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low: Its lower end.
        high: Its upper end.
    """

    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Attack:
    """How well an attack works.

    Attributes:
        name: What is attacked and by which score, such as "generator_ssim".
        members: Number of members.
        others: Number of images that were not trained on.
        member_patients: Patients of the members.
        other_patients: Patients of the others.
        auc: Area under the ROC curve.
        auc_interval: Its interval.
        tpr: TPR at 1 % FPR; None if it cannot be resolved.
        tpr_interval: Its interval, or None.
        reason: Why there is no TPR; empty otherwise.
    """

    name: str
    members: int
    others: int
    member_patients: int
    other_patients: int
    auc: float
    auc_interval: Interval
    tpr: float | None
    tpr_interval: Interval | None
    reason: str


class _Curve:
    """The ROC curve of two sets of scores, for any weights of the images."""

    def __init__(self, members: np.ndarray, others: np.ndarray):
        scores = np.concatenate([members, others])
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        # A threshold cannot part equal scores: a point of the curve stands at their end.
        self._ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        self._is_member = np.arange(len(scores)) < len(members)

    def _points(self, member_weights, other_weights):
        """Weights of members and others above each threshold, float64 [B, thresholds + 1].

        They are whole numbers, of which sums are exact.
        """
        columns = []
        for weights, ours in ((member_weights, self._is_member), (other_weights, ~self._is_member)):
            spread = np.zeros((len(weights), len(ours)))
            spread[:, ours] = weights
            above = np.cumsum(spread[:, self._order], axis=1)[:, self._ends]
            columns.append(np.concatenate([np.zeros((len(weights), 1)), above], axis=1))
        return columns

    def auc(self, member_weights: np.ndarray, other_weights: np.ndarray) -> np.ndarray:
        """Area by trapezoids, which counts ties as half; weights [B, n] to [B]."""
        y, x = self._points(member_weights, other_weights)
        area = ((y[:, 1:] + y[:, :-1]) / 2 * np.diff(x, axis=1)).sum(axis=1)
        return area / (y[:, -1] * x[:, -1])

    def tpr(self, member_weights: np.ndarray, other_weights: np.ndarray) -> np.ndarray:
        """Share of members above the lowest threshold that 1 % of the others exceed at most."""
        y, x = self._points(member_weights, other_weights)
        last = (x <= FPR * x[:, -1:] + 1e-9).sum(axis=1) - 1
        return y[np.arange(len(y)), last] / y[:, -1]


def attack(
    name: str,
    members: np.ndarray,
    others: np.ndarray,
    member_patients: Sequence[str],
    other_patients: Sequence[str],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Attack:
    """Measures an attack.

    Args:
        name: See `Attack`.
        members: float [M], scores of images that were trained on; higher means more likely so.
        others: float [N], scores of images that were not.
        member_patients: Patient of each member.
        other_patients: Patient of each of the others.
        rng: Draws the bootstrap.
        resamples: Of the bootstrap.

    Raises:
        ValueError: If a set is empty, lengths differ, scores are not finite, or a patient is in
            both sets.
    """
    members, others = np.asarray(members, np.float64), np.asarray(others, np.float64)
    for scores, patients in ((members, member_patients), (others, other_patients)):
        if not len(scores) or len(scores) != len(patients):
            raise ValueError(f"{len(scores)} scores of images with {len(patients)} patients")
        if not np.isfinite(scores).all():
            raise ValueError(f"scores of {name} are not finite")
    both = set(member_patients) & set(other_patients)
    if both:
        raise ValueError(f"{len(both)} patients are members and others, for instance {min(both)}")
    curve = _Curve(members, others)
    draws = [_PatientBootstrap(patients, rng) for patients in (member_patients, other_patients)]
    resolvable = len(others) >= FEWEST_OTHERS
    auc, auc_interval = _measure(curve.auc, draws, resamples)
    tpr, tpr_interval = _measure(curve.tpr, draws, resamples) if resolvable else (None, None)
    reason = ""
    if not resolvable:
        reason = (
            f"not resolvable: 1 % of {len(others)} others are {FPR * len(others):.1f} images; "
            f"{FEWEST_OTHERS} are needed"
        )
    return Attack(
        name,
        len(members),
        len(others),
        len(set(member_patients)),
        len(set(other_patients)),
        auc,
        auc_interval,
        tpr,
        tpr_interval,
        reason,
    )


class _PatientBootstrap:
    """Weights of images when patients are drawn with replacement."""

    def __init__(self, patients: Sequence[str], rng: np.random.Generator):
        names, self._patient_of = np.unique(np.asarray(patients), return_inverse=True)
        self._count, self._rng = len(names), rng

    def once(self) -> np.ndarray:
        """All images as they are, float64 [1, n]."""
        return np.ones((1, len(self._patient_of)))

    def draw(self, times: int) -> np.ndarray:
        """How often each image is drawn, float64 [times, n]."""
        share = np.full(self._count, 1 / self._count)
        drawn = self._rng.multinomial(self._count, share, size=times)
        return drawn[:, self._patient_of].astype(np.float64)


def _measure(
    function: Callable, draws: Sequence[_PatientBootstrap], resamples: int
) -> tuple[float, Interval]:
    value = float(function(*(draw.once() for draw in draws))[0])
    values = []
    for start in range(0, resamples, _AT_ONCE):
        times = min(_AT_ONCE, resamples - start)
        values.append(function(*(draw.draw(times) for draw in draws)))
    return value, percentile_interval(np.concatenate(values))


def percentile_interval(values: np.ndarray) -> Interval:
    """The 95 % interval of values of a bootstrap.

    Args:
        values: float [resamples].
    """
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def share_interval(successes: int, trials: int) -> Interval:
    """The exact 95 % interval of a share (Clopper & Pearson, Biometrika 26, 1934).

    Args:
        successes: From 0 to `trials`.
        trials: At least 1.
    """
    tail = (1 - LEVEL) / 2
    low = stats.beta.ppf(tail, successes, trials - successes + 1) if successes else 0.0
    high = (
        stats.beta.ppf(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    )
    return Interval(float(low), float(high))


@dataclasses.dataclass(frozen=True)
class Pairs:
    """As many images of as many patients on both sides.

    Patients stand in pairs, one who was trained on and one who was not, with equally many images.

    Attributes:
        members: int64 [n], positions in the training fold.
        others: int64 [n], positions in the held-out fold.
        member_pairs: int64 [n], number of the pair that each member belongs to.
        other_pairs: int64 [n], likewise.
        count: Number of pairs.
    """

    members: np.ndarray
    others: np.ndarray
    member_pairs: np.ndarray
    other_pairs: np.ndarray
    count: int


def pair_patients(
    member_patients: Sequence[str],
    other_patients: Sequence[str],
    most: int,
    rng: np.random.Generator,
) -> Pairs:
    """Draws equally many patients with equally many images from both folds.

    Of the fold with more patients as many are drawn as the other has. Patients are paired in the
    order of their numbers of images, and of the one who has more, as many are drawn as the other
    has. Where this gives more images than wanted, pairs are drawn from it.

    Args:
        member_patients: Patient of each image of the training fold.
        other_patients: Patient of each image of the held-out fold.
        most: Images of each side, at most.
        rng: Draws them.
    """
    sides = [_images_by_patient(patients) for patients in (member_patients, other_patients)]
    count = min(map(len, sides))
    ranked = []
    for images in sides:
        drawn = [images[i] for i in rng.permutation(len(images))[:count]]
        ranked.append(sorted(drawn, key=len, reverse=True))
    pairs = list(zip(*ranked, strict=True))
    chosen = []
    total = 0
    for i in rng.permutation(count):
        size = min(map(len, pairs[i]))
        if total + size <= most:
            chosen.append([rng.choice(images, size, replace=False) for images in pairs[i]])
            total += size
    columns = []
    for side in (0, 1):
        parts = [pair[side] for pair in chosen]
        positions = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        order = np.argsort(positions, kind="stable")
        columns.append((positions[order], numbers[order]))
    (members, member_pairs), (others, other_pairs) = columns
    return Pairs(members, others, member_pairs, other_pairs, len(chosen))


def _images_by_patient(patients):
    patients = np.asarray(patients)
    order = np.argsort(patients, kind="stable")
    starts = np.flatnonzero(np.append(True, patients[order][1:] != patients[order][:-1]))
    return np.split(order, starts[1:])
