"""Training sets as data: which images, by finding and by origin, and the paper's experiments.

A recipe is a list of parts. A part takes images of one real collection, or has generators draw
them, so many of each class. Generators that are named together share a part equally: that is the
paper's pool. A new experiment is a few lines here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pgan.data import labels, pool

# Names of the roles that an experiment's inputs play; flags say which files play them.
LOCAL, FIRST, SECOND = "local", "first", "second"

# How the labels of drawn images are chosen.
ALIKE, PURE = "alike", "pure"


@dataclasses.dataclass(frozen=True)
class Part:
    """Some images of a training set.

    Attributes:
        source: Role of the real collection or of the generators; several names of generators
            share the part equally.
        counts: Images of each class, by class word (see `pgan.data.pool.Pool.class_name`).
        synthetic: Whether generators draw the images.
        labels: Of drawn images: PURE, each class alone at full strength and healthy as no finding,
            or ALIKE, label vectors of real images.
        like: Role of the generator whose collection has these images; None for each generator's
            own.
        repeat: How often each image is in the training set.
    """

    source: tuple[str, ...]
    counts: dict[str, int]
    synthetic: bool = False
    labels: str = PURE
    like: str | None = None
    repeat: int = 1

    def __post_init__(self):
        """Checks the part.

        Raises:
            ValueError: If it asks for nothing, or several real collections share it.
        """
        if not self.counts or min(self.counts.values()) < 1 or self.repeat < 1:
            raise ValueError(f"a part needs images of each class it names, got {self.counts}")
        if not self.synthetic and len(self.source) != 1:
            raise ValueError(f"a part of real images has one source, got {self.source}")
        if self.synthetic and self.repeat > 1:
            raise ValueError("drawn images are not repeated: more can be drawn")
        if self.labels == ALIKE and set(self.counts) != {pool.ANY}:
            raise ValueError("images with label vectors of real ones are of any class")

    @property
    def total(self) -> int:
        """Images in the training set, repetitions counted."""
        return self.repeat * sum(self.counts.values())


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A training set and its validation set.

    Attributes:
        name: Short, also the name of its folder.
        parts: The training images.
        title: For figures.
        settings: Fields of the classifier's configuration in which this arm differs.
    """

    name: str
    parts: tuple[Part, ...]
    title: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Attack:
    """An attack on the test images (see `classifier.adversarial`).

    Attributes:
        kind: "fgsm" or "pgd".
        epsilon: Largest change of a pixel in grey levels.
        steps: Steps of pgd.
    """

    kind: str
    epsilon: float
    steps: int = 1

    @property
    def name(self) -> str:
        """Such as "pgd_2", also the name of a file."""
        return f"{self.kind}_{self.epsilon:g}"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Classifiers on several training sets, judged on the same test images.

    Attributes:
        name: As --experiment takes it.
        findings: Vocabulary; None for that of the local collection.
        recipes: One for each arm.
        comparisons: Pairs of arms, (first, second), of which differences are tested.
        test: Test images of each class; empty for the whole fold, or all of it that is of
            `test_classes`.
        test_classes: Classes that the question is about; empty for all.
        figure: Of the paper, or what else of it is repeated.
        attacks: Under which the test images are judged once more.
        pairs: Pairs of training images of which the similarity is measured, for each finding and
            arm; 0 for none.
    """

    name: str
    findings: tuple[str, ...] | None
    recipes: tuple[Recipe, ...]
    comparisons: tuple[tuple[str, str], ...]
    test: dict[str, int]
    figure: str
    test_classes: tuple[str, ...] = ()
    attacks: tuple[Attack, ...] = ()
    pairs: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that the question is about, however the test images are asked for."""
        return self.test_classes or tuple(self.test)


def real(counts: Mapping[str, int], source: str = LOCAL, repeat: int = 1) -> Part:
    """Images of a real collection."""
    return Part((source,), dict(counts), repeat=repeat)


def drawn(counts: Mapping[str, int], *generators: str) -> Part:
    """Images of single classes that generators draw, each an equal share."""
    return Part(generators, dict(counts), synthetic=True)


def drawn_alike(count: int, *generators: str, like: str | None = None) -> Part:
    """Images that generators draw with label vectors of real ones, each an equal share.

    Args:
        count: Of all together.
        generators: Their roles.
        like: Role of the generator from whose collection the label vectors are; default each its
            own.
    """
    return Part(generators, {pool.ANY: count}, synthetic=True, labels=ALIKE, like=like)


def fig2(images: int = 1000, rare: int = 50, test: int = 6000) -> Experiment:
    """A hospital with few cases of pneumonia, alone and with the images of two generators.

    The paper's numbers (fig. 2): 950 healthy and 50 with pneumonia, against 450 and 50 real with
    400 and 100 synthetic; 6000 test images at 2:3; 2450 pairs of images with pneumonia.

    Args:
        images: Of each training set.
        rare: Real images with pneumonia.
        test: Test images.
    """
    half, synthetic_rare = images // 2, 2 * rare
    healthy, ill = pool.HEALTHY, labels.PNEUMONIA[0]
    own = {healthy: images - rare, ill: rare}
    kept = {healthy: half - rare, ill: rare}
    added = {healthy: images - half - synthetic_rare, ill: synthetic_rare}
    return Experiment(
        "fig2",
        labels.PNEUMONIA,
        (
            Recipe("real", (real(own),), "local images only"),
            Recipe("augmented", (real(kept), drawn(added, FIRST, SECOND)), "half from the pool"),
        ),
        (("real", "augmented"),),
        dict(zip((healthy, ill), pool.apportion(test, (2, 3)), strict=True)),
        "Fig 2",
        pairs=2450,
    )


def fig3(first: int = 78_468, second: int = 191_229, matched: int | None = None) -> Experiment:
    """Synthetic images of one hospital's generator, of two, and real ones, on seven findings.

    The paper's pool has 3.4 times as many images as the one generator alone gave (fig. 3) and the
    label vectors of both collections, so that variety, number and frequencies change together. The
    size-matched pool has the variety alone: as many images as the one generator, with the same
    label vectors (findings that the second generator does not know are left out of its half).

    Args:
        first: Images of the first generator, and real ones.
        second: Images that the second adds.
        matched: Images of the size-matched pool; default as many as of the first alone.
    """
    matched = first if matched is None else matched
    return Experiment(
        "fig3",
        labels.SHARED_7,
        (
            Recipe("one", (drawn_alike(first, FIRST),), "one generator"),
            Recipe(
                "pooled",
                (drawn_alike(first, FIRST), drawn_alike(second, SECOND)),
                "two generators, more images",
            ),
            Recipe(
                "pooled_matched",
                (drawn_alike(matched, FIRST, SECOND, like=FIRST),),
                "two generators, as many images",
            ),
            Recipe("real", (real({pool.ANY: first}),), "real images"),
        ),
        (
            ("one", "pooled"),
            ("one", "pooled_matched"),
            ("pooled_matched", "pooled"),
            ("real", "pooled"),
            ("real", "pooled_matched"),
        ),
        {},
        "Fig 3",
    )


def oversampling(finding: str, images: int, rare: int) -> Experiment:
    """A rare finding: as it is, its images repeated, and synthetic ones instead.

    Args:
        finding: The rare one, to be told from no finding.
        images: Healthy images of each arm.
        rare: Real images with the finding.
    """
    healthy, base = real({pool.HEALTHY: images}), real({finding: rare})
    repeated = real({finding: rare}, repeat=round(images / rare))
    synthetic = drawn({finding: images - rare}, FIRST)
    return Experiment(
        "oversampling",
        (finding,),
        (
            Recipe("imbalanced", (healthy, base), "as it is"),
            Recipe("repeated", (healthy, repeated), "real images repeated"),
            Recipe("synthetic", (healthy, base, synthetic), "synthetic images added"),
        ),
        (("imbalanced", "repeated"), ("imbalanced", "synthetic"), ("repeated", "synthetic")),
        {},
        "the paper's Methods",
        test_classes=(pool.HEALTHY, finding),
    )


def real_only(images: int = 78_468) -> Experiment:
    """A classifier of all findings of a collection, such as the judge of what a generator learned.

    Args:
        images: Training images, of any finding.
    """
    recipe = Recipe("real", (real({pool.ANY: images}),), "real images")
    return Experiment("real_only", None, (recipe,), (), {}, "a judge for Fig 5")


def real_vs_synthetic(finding: str, negatives: int, positives: int) -> Experiment:
    """Real images, as many synthetic ones, and both together.

    Args:
        finding: What is to be told from no finding.
        negatives: Healthy images of each of the first two arms.
        positives: Images with the finding, as well.
    """
    own = {pool.HEALTHY: negatives, finding: positives}
    return Experiment(
        "real_vs_synthetic",
        (finding,),
        (
            Recipe("real", (real(own),), "real"),
            Recipe("synthetic", (drawn(own, FIRST),), "synthetic"),
            Recipe("both", (real(own), drawn(own, FIRST)), "real and synthetic"),
        ),
        (("real", "synthetic"), ("real", "both")),
        {},
        "after the paper's Discussion",
        test_classes=(pool.HEALTHY, finding),
    )


def adversarial(
    finding: str,
    negatives: int,
    positives: int,
    test: int,
    epsilons: Sequence[float] = (0.5, 1.0, 2.0, 4.0, 8.0),
    epsilon: float = 4.0,
    steps: int = 10,
) -> Experiment:
    """The same real images, learned as they are and under attack (fig. S3).

    All arms are judged on clean and on attacked test images, each classifier on attacks of its own
    (white box).

    Args:
        finding: What is to be told from no finding.
        negatives: Healthy training images.
        positives: Training images with the finding.
        test: Test images, half of them healthy, half with the finding.
        epsilons: Strengths of the attacks on the test images, in grey levels.
        epsilon: Strength of those in training.
        steps: Steps of pgd on the test images.
    """
    own = (real({pool.HEALTHY: negatives, finding: positives}),)
    halves = pool.apportion(test, (1, 1))
    arms = [Recipe("plain", own, "as it is", {"attack": "none"})]
    for kind, title in (("fgsm", "under FGSM"), ("pgd", "under PGD")):
        arms.append(Recipe(kind, own, title, {"attack": kind, "attack_epsilon": epsilon}))
    return Experiment(
        "adversarial",
        (finding,),
        tuple(arms),
        (("plain", "fgsm"), ("plain", "pgd")),
        dict(zip((pool.HEALTHY, finding), halves, strict=True)),
        "fig S3",
        attacks=tuple(
            Attack(kind, float(strength), steps if kind == "pgd" else 1)
            for kind in ("fgsm", "pgd")
            for strength in epsilons
        ),
    )
