"""The audit of a generator: what it may have kept of the patients that it was trained on.

The steps, each of which is kept in the work folder when it is done, so that a killed audit goes on:

1. synthetic images, and real ones of the training fold and of a held-out fold of other patients;
2. the nearest training images of each synthetic one, by SSIM and in features (`neighbour_spaces`);
3. suspected copies by the criterion of `copy_criterion`, with planted copies among the images;
4. the same with a generator that was made to learn 16 images by heart (`overtrained`);
5. whether synthetic images are nearer to training patients than to others (`distance_tests`);
6. membership inference against generator and discriminator (`membership`).

`reporting` judges and writes, `review_sheets` draws what a radiologist looks at.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from pgan import image_sources
from pgan.audit import (
    comparison_sets,
    copy_criterion,
    discriminator_scores,
    distance_tests,
    image_store,
    kept_stages,
    membership,
    neighbour_spaces,
    overtrained,
    planted,
)
from pgan.data import record_access, record_set
from pgan.metrics import features
from pgan.search import block_store

WORK = "work"


@dataclasses.dataclass(frozen=True)
class Result:
    """What an audit found.

    Attributes:
        report: JSON types, see `reporting`.
        material: The images.
        neighbours: By name of the space, the nearest training images of the synthetic ones.
        copies: Scores of the synthetic images.
        suspected: Bool [N].
        rank: int64 [N], 0 for the image that is nearest to being a suspected copy.
    """

    report: dict[str, Any]
    material: comparison_sets.Material
    neighbours: dict[str, neighbour_spaces.Nearest]
    copies: copy_criterion.Scores
    suspected: np.ndarray
    rank: np.ndarray


def run(
    records: record_set.RecordSet,
    source: image_sources.Synthetic,
    settings: comparison_sets.Settings,
    extractor: features.Extractor,
    output: str | os.PathLike,
    run_dir: str | None = None,
    control: overtrained.Settings | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: bool = True,
) -> Result:
    """Audits a generator, or goes on with an audit that was ended.

    Args:
        records: The real images.
        source: The synthetic ones.
        settings: What is asked.
        extractor: Features of the second search.
        output: Folder of the audit; its folder `work` holds images of patients.
        run_dir: Run whose discriminator is attacked, or None.
        control: The over-trained generator, or None for no such control.
        say: Is told which step begins.
        progress: Whether to show bars.

    Raises:
        ValueError: If the sets do not fit together, or the folder holds another audit.
        overtrained.InterruptedControlError: If the control was asked to stop.
    """
    comparison_sets.check(records, source, settings)
    critic = _critic(records, run_dir, settings) if run_dir else None
    facts = comparison_sets.facts(records, source, settings, extractor.facts)
    work = pathlib.Path(output) / WORK
    stages = kept_stages.Stages(block_store.Folder(work / "stages", facts), progress)
    # All that lies in the folder is of this audit: images and neighbours, too, not steps alone.
    block_store.Folder(work, facts)

    say("1 of 6: images")
    material = comparison_sets.collect(records, source, settings, work, progress)
    positions, plants = _plant(material, settings)

    say("2 of 6: nearest training images")
    ssim = neighbour_spaces.SSIMSpace(records, material, plants, work / "ssim", progress)
    other = neighbour_spaces.FeatureSpace(extractor, material, plants, work / "features", progress)
    spaces = (ssim, other)
    found = {space.name: space.synthetic_to_train(settings.neighbours) for space in spaces}
    recall = ssim.recall(settings.neighbours, settings.seed)

    say("3 of 6: copies, and planted ones among them")
    criterion, scores = _look_for_copies(material, plants, settings, stages)
    suspected = criterion.suspected(scores)
    own = slice(settings.count)

    say("4 of 6: a generator that knows 16 images by heart" if control else "4 of 6: left out")
    folds = (settings.train_fold, settings.held_out_fold)
    seed, most = settings.seed, settings.calibration
    found_control = control and overtrained.run(
        records, folds, control, most, seed, work / "reals", stages, progress
    )

    say("5 of 6: training patients against others")
    distances = {space.name: _distances(space, material, settings) for space in spaces}

    say("6 of 6: membership inference")
    attacks = _attacks(spaces, records, material, critic, settings, stages, progress)
    report = {
        "facts": facts,
        "compared_px": material.size,
        "copies_px": material.copy_size,
        "train": _fold_facts(material.train),
        "held_out": _fold_facts(material.held_out),
        "pool": {"patients": material.pairs.count, "images": len(material.pairs.members)},
        "search": recall,
        "nearest": {name: _quantiles(near.distances[own, 0]) for name, near in found.items()},
        "criterion": dataclasses.asdict(criterion),
        "suspects": _suspects(scores[own], suspected[own], material),
        "planted": _planted(scores, suspected, positions, found["ssim"], settings),
        "control": found_control or None,
        "distances": distances,
        "attacks": [dataclasses.asdict(attack) for attack in attacks],
        "discriminator_shown": critic and critic.images_shown,
    }
    return Result(
        report,
        material,
        {
            name: neighbour_spaces.Nearest(near.positions[own], near.distances[own])
            for name, near in found.items()
        },
        scores[own],
        suspected[own],
        _rank(scores[own], criterion),
    )


def _critic(records, run_dir, settings):
    critic = discriminator_scores.Critic(run_dir)
    records.require_resolution(critic.resolution)
    if critic.trained_on != records.fold_fingerprint(settings.train_fold):
        raise ValueError(
            f"{run_dir} was not trained on the fold {settings.train_fold!r} of {records.name}; "
            "give the --records and the --train_fold of its training"
        )
    return critic


def _plant(material, settings):
    """Places of the originals in the training fold [P], and their copies, kind by kind."""
    rng = np.random.default_rng([settings.seed, 2])
    positions = planted.choose(material.train.patients, settings.planted, rng)
    originals = material.train.images[positions]
    image_store.check(originals, f"the fold {material.train.name!r}")
    copies = [planted.plant(originals, kind, settings.seed) for kind in planted.KINDS]
    return positions, np.concatenate(copies)


def _look_for_copies(material, plants, settings, stages):
    """The criterion, and scores of synthetic images and planted copies."""
    train = material.train
    reference = copy_criterion.Reference(train.small, train.patients)
    reals = stages.real_scores(
        "audit",
        reference,
        (train.small, train.patients),
        material.held_out.small,
        settings.calibration,
        np.random.default_rng([settings.seed, 3]),
    )
    criterion = copy_criterion.Criterion.from_reals(reals, settings.count)
    size = material.copy_size
    images = [copy_criterion.reduced(part, size) for part in (material.synthetic, plants)]
    images = np.concatenate(images)
    # The copies are slipped in among the others: what looks for copies does not know them.
    order = np.random.default_rng([settings.seed, 4]).permutation(len(images))
    scores = stages.copy_scores("synthetic images", reference, images[order])
    return criterion, scores[np.argsort(order)]


def _planted(scores, suspected, positions, nearest, settings) -> dict[str, Any]:
    """How many planted copies of each kind were caught."""
    rows, count = {}, settings.planted
    for number, (name, kind) in enumerate(planted.KINDS.items()):
        start = settings.count + number * count
        part = slice(start, start + count)
        right = scores.nearest[part] == positions
        caught = int((suspected[part] & right).sum())
        rows[name] = {
            "text": kind.text,
            "count": count,
            "caught": caught,
            "interval": dataclasses.asdict(membership.share_interval(caught, count)),
            "required": kind.required,
            "passed": bool(caught >= kind.required * count),
            "nearest_by_ssim": int((nearest.positions[part, 0] == positions).sum()),
        }
    return rows


def _suspects(copies, suspected, material) -> list[dict[str, Any]]:
    """The suspected copies, those that are most alone first."""
    order = np.flatnonzero(suspected)
    order = order[np.argsort(-copies.alone[order], kind="stable")]
    return [
        {
            "image": int(i),
            "record": str(material.train.record_ids[copies.nearest[i]]),
            "similarity": float(copies.similarity[i]),
            "near": float(copies.near[i]),
            "alone": float(copies.alone[i]),
        }
        for i in order
    ]


def _rank(copies, criterion) -> np.ndarray:
    nearness = np.maximum(copies.near / criterion.near.value, copies.alone / criterion.alone.value)
    rank = np.empty(len(nearness), np.int64)
    rank[np.argsort(-nearness, kind="stable")] = np.arange(len(nearness))
    return rank


def _distances(space, material, settings) -> dict[str, Any]:
    """Training patients against others in one space."""
    pairs, rng = material.pairs, np.random.default_rng([settings.seed, 7])
    picked = space.synthetic_to_pool().positions[:, 0]
    pair_of = np.concatenate([pairs.member_pairs, pairs.other_pairs])[picked]
    is_member = picked < len(pairs.members)
    to_train = space.synthetic_to_train(settings.neighbours)
    own = to_train.distances[: settings.count, 0]
    nearest, place = np.unique(to_train.positions[: settings.count, 0], return_inverse=True)
    apart = space.train_to_other_patients(nearest).distances[:, 0]
    others = space.others_to_train().distances[:, 0]
    patients = material.held_out.patients[pairs.others]
    return {
        "preference": dataclasses.asdict(
            distance_tests.preference(pair_of, is_member, pairs.count, rng)
        ),
        "copying": dataclasses.asdict(distance_tests.copying_test(own, others, patients, rng)),
        "authenticity": distance_tests.authenticity(own, apart[place]),
    }


def _attacks(spaces, records, material, critic, settings, stages, progress):
    """Membership inference: two attacks on the generator, one on the discriminator."""
    pairs = material.pairs
    scores = {
        f"generator_{space.name}": -space.pool_to_synthetic().distances[:, 0] for space in spaces
    }
    if critic is not None:

        def score():
            images = np.concatenate(
                [
                    record_access.read_images(records, critic.resolution, fold.name, chosen)
                    for fold, chosen in (
                        (material.train, pairs.members),
                        (material.held_out, pairs.others),
                    )
                ]
            )
            return {"scores": critic.scores(images, settings.seed, progress)}

        scores["discriminator"] = stages(f"critic_{critic.identity}", score)["scores"]
    count = len(pairs.members)
    return [
        membership.attack(
            name,
            values[:count],
            values[count:],
            material.train.patients[pairs.members],
            material.held_out.patients[pairs.others],
            np.random.default_rng([settings.seed, 6, number]),
        )
        for number, (name, values) in enumerate(scores.items())
    ]


def _fold_facts(fold) -> dict[str, Any]:
    return {"fold": fold.name, "images": len(fold), "patients": len(set(fold.patients.tolist()))}


def _quantiles(values) -> dict[str, float]:
    shares = {"smallest": 0.0, "median": 0.5, "largest": 1.0}
    return {name: float(np.quantile(values, share)) for name, share in shares.items()}
