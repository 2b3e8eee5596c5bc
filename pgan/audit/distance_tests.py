"""Are synthetic images nearer to the patients that were trained on than to others?

Three answers, all of them from distances of nearest neighbours, float64 NumPy.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pgan.audit import membership

PERMUTATIONS = 10_000
_AT_ONCE = 1000


@dataclasses.dataclass(frozen=True)
class Preference:
    """On whose side the nearest neighbours of synthetic images are.

    Attributes:
        share: Of the synthetic images, how many have their nearest real image among the members;
            0.5 without memory.
        interval: Bootstrap of pairs of patients.
        p_value: One-sided, by exchange of the patients of a pair.
        images: Number of synthetic images.
    """

    share: float
    interval: membership.Interval
    p_value: float
    images: int


def preference(
    nearest_pair: np.ndarray, is_member: np.ndarray, pairs: int, rng: np.random.Generator
) -> Preference:
    """Tests whether the nearest of equally many members and others is a member more often.

    All synthetic images look for their nearest image in one pool of members and others. A generator
    that knows its training patients no better than others picks either of a pair of patients with
    equally many images alike, so that what it picked may be exchanged in any pair: a permutation
    test that keeps a patient's images together.

    Args:
        nearest_pair: int [N], pair of the patient of each synthetic image's nearest real image.
        is_member: Bool [N], whether that patient was trained on.
        pairs: Number of pairs in the pool.
        rng: Draws exchanges and bootstrap.

    Raises:
        ValueError: If there are no synthetic images or no pairs.
    """
    if not len(nearest_pair) or pairs < 1:
        raise ValueError(f"{len(nearest_pair)} images and {pairs} pairs of patients")
    picked = [np.bincount(nearest_pair[side], minlength=pairs) for side in (is_member, ~is_member)]
    difference = (picked[0] - picked[1]).astype(np.float64)
    reached = 0
    for start in range(0, PERMUTATIONS, _AT_ONCE):
        times = min(_AT_ONCE, PERMUTATIONS - start)
        signs = rng.integers(0, 2, (times, pairs)) * 2 - 1
        reached += int((signs @ difference >= difference.sum() - 1e-9).sum())
    shares = []
    for start in range(0, membership.RESAMPLES, _AT_ONCE):
        times = min(_AT_ONCE, membership.RESAMPLES - start)
        weights = rng.multinomial(pairs, np.full(pairs, 1 / pairs), size=times)
        members, others = weights @ picked[0], weights @ picked[1]
        total = members + others
        shares.append(members[total > 0] / total[total > 0])
    return Preference(
        float(is_member.mean()),
        membership.percentile_interval(np.concatenate(shares)),
        (1 + reached) / (1 + PERMUTATIONS),
        len(is_member),
    )


@dataclasses.dataclass(frozen=True)
class CopyingTest:
    """Distances to the training images: of synthetic images against those of held-out ones.

    Attributes:
        nearer: Probability that a synthetic image is nearer to its nearest training image than a
            held-out image to its own; 0.5 if the generator draws from the distribution of patients.
        interval: Bootstrap by patient of the held-out images, by image of the synthetic ones.
        z: C_T with a single cell (Meehan, Chaudhuri & Dasgupta 2020,
            https://arxiv.org/abs/2004.05675): the Mann-Whitney statistic in standard deviations,
            below 0 where synthetic images are nearer. It takes images as independent.
    """

    nearer: float
    interval: membership.Interval
    z: float


def copying_test(
    synthetic: np.ndarray,
    held_out: np.ndarray,
    held_out_patients: Sequence[str],
    rng: np.random.Generator,
) -> CopyingTest:
    """Compares distances to the nearest training image.

    Args:
        synthetic: float [N], distances of synthetic images.
        held_out: float [M], distances of held-out images to the same training images.
        held_out_patients: Patient of each held-out image.
        rng: Draws the bootstrap.

    Raises:
        ValueError: As `membership.attack`.
    """
    count, others = len(synthetic), len(held_out)
    names = [f"synthetic {i}" for i in range(count)]
    # The question of an attack: which of two images has the smaller distance?
    found = membership.attack(
        "distance",
        -np.asarray(synthetic, np.float64),
        -np.asarray(held_out, np.float64),
        names,
        [f"patient {name}" for name in held_out_patients],
        rng,
    )
    _, ties = np.unique(np.concatenate([synthetic, held_out]), return_counts=True)
    total = count + others
    spread = total + 1 - (ties**3 - ties).sum() / (total * (total - 1))
    deviation = np.sqrt(count * others * spread / 12)
    z = 0.0
    if deviation > 0:
        z = (0.5 - found.auc) * count * others / deviation
    return CopyingTest(found.auc, found.auc_interval, float(z))


def authenticity(distances: np.ndarray, of_neighbours: np.ndarray) -> float:
    """AuthPct (Alaa et al. 2022, https://arxiv.org/abs/2102.08921), in percent.

    A synthetic image counts as authentic if it is farther from its nearest training image than that
    one is from its own nearest neighbour. `of_neighbours` decides among whom: here, among the
    training images of other patients, as two films of one patient are no measure of how near two
    patients are.

    Args:
        distances: float [N], of synthetic images to their nearest training images.
        of_neighbours: float [N], of these training images to their own nearest neighbours.
    """
    return float(100.0 * np.mean(np.asarray(distances) > np.asarray(of_neighbours)))
