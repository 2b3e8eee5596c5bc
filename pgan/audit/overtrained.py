"""The positive control of an audit: a generator that was made to learn a few images by heart.

Sixteen training images are shown to a small network thousands of times each. Each is the only one
with its label, so that the label alone tells the network which to draw. An audit that does not find
them in what this generator draws says nothing by finding none elsewhere.

The folder of a control, which can be used again for other audits of the same training fold:

    chosen.json     which images, by pseudonym
    records/        these images as a record set
    run/            the run folder
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np

from pgan import config, image_sources, schedule, train
from pgan.audit import copy_criterion, image_store, kept_stages, membership, planted
from pgan.data import (
    manifest,
    pseudonyms,
    radiograph,
    record_plan,
    record_set,
    record_writer,
    splits,
)
from pgan.metrics import similarity
from pgan.search import block_store

IMAGES = 16
RESOLUTION = 32
DRAWN = 96  # images drawn of the finished control, six for each that it has learned
REQUIRED = 0.5  # share of them that must be suspected
FOLD = "memorised"
SHOWN = 320_000  # each of the images 20,000 times

_FINDINGS = tuple(f"image_{number:02d}" for number in range(IMAGES))
_OTHERS = 500  # held-out images of the membership attack, at most
_PAIRS = 4096  # compared at once


class InterruptedControlError(RuntimeError):
    """The control was told to stop before its end; it can be continued."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is asked of a control.

    Attributes:
        folder: Folder of the control, new or to be used again.
        images_shown: Length of its run.
    """

    folder: str
    images_shown: int = SHOWN

    def __post_init__(self):
        """Checks the length.

        Raises:
            ValueError: If the run would end before the last resolution.
        """
        whole = schedule.build(training_config().schedule, RESOLUTION)
        start = min(phase.start for phase in whole.phases if phase.resolution == RESOLUTION)
        if self.images_shown <= start:
            raise ValueError(
                f"--control_kimg must be above {start / 1000:g}, where {RESOLUTION} px begin, got "
                f"{self.images_shown / 1000:g}"
            )


def training_config(images_shown: int = SHOWN, seed: int = 0) -> config.TrainConfig:
    """Configuration of the over-trained run; every batch is all of its images.

    Args:
        images_shown: Length of the run.
        seed: Of the run.
    """
    network = config.NetworkConfig(
        resolution=RESOLUTION, findings=_FINDINGS, latent_size=2, fmap_base=256, fmap_max=64
    )
    plan = config.ScheduleConfig(
        initial_resolution=8,
        stage_kimg="8:15,16:25,32:1000",
        fade_kimg="5",
        total_kimg=images_shown / 1000,
        batch_sizes=str(IMAGES),
    )
    return config.TrainConfig(
        network=network,
        schedule=plan,
        train_fold=FOLD,
        held_out_fold="",
        seed=seed,
        learning_rate="0.003",
        ema_decay=0.99,
        tick_kimg="20",
        keep_checkpoints=1,
        preflight="off",
        metric_every_kimg=0.0,
    )


def run(
    records: record_set.RecordSet,
    folds: tuple[str, str],
    control: Settings,
    calibration: int,
    seed: int,
    work: str | os.PathLike,
    stages: kept_stages.Stages,
    progress: bool = True,
) -> dict[str, Any]:
    """Trains the control and audits it as the generator is audited, at 32 px.

    Args:
        records: The real images.
        folds: Training fold, from which the images are, and held-out fold.
        control: Folder and length.
        calibration: Real images of each fold, at most, that the criterion is calibrated with.
        seed: Of everything that is drawn.
        work: Folder for decoded images.
        stages: Keeps what was computed.
        progress: Whether to show bars.

    Returns:
        JSON types: how many of its images are suspected copies, whether that is enough, and how
        well membership of the images is recognised.

    Raises:
        ValueError: If the folder holds a control of other images or of another length.
        InterruptedControlError: If the training was asked to stop.
    """
    work, folder = pathlib.Path(work), pathlib.Path(control.folder)
    reals = {
        fold: block_store.images_of_records(
            records, RESOLUTION, fold, work / f"{fold.replace('/', '_')}_{RESOLUTION}.npy"
        )
        for fold in folds
    }
    train_fold, held_out_fold = folds
    patients = np.array(records.patient_ids(train_fold))
    rng = np.random.default_rng([seed, 5])
    positions = planted.choose(patients, IMAGES, rng)
    originals = reals[train_fold][positions]
    image_store.check(originals, f"the fold {train_fold!r}")
    _note_choice(folder, records, train_fold, positions)
    memorised = write_records(folder / "records", originals, records)
    trained = train.train(
        training_config(control.images_shown),
        memorised,
        str(folder / "run"),
        show_progress=progress,
    )
    if not trained.finished:
        raise InterruptedControlError(
            f"the control stopped at {trained.images_shown:,} images; the same command again "
            "continues"
        )
    images = _draw(folder / "run", seed)
    reference = copy_criterion.Reference(reals[train_fold], patients)
    calibrated = stages.real_scores(
        "control",
        reference,
        (reals[train_fold], patients),
        reals[held_out_fold],
        calibration,
        rng,
    )
    criterion = copy_criterion.Criterion.from_reals(calibrated, DRAWN)
    # Another control in another folder draws others.
    drawn = hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()[:16]
    scores = stages.copy_scores(f"control_{drawn}", reference, images)
    suspected = criterion.suspected(scores)
    known = np.isin(scores.nearest, positions)
    others = np.sort(rng.permutation(len(reals[held_out_fold]))[:_OTHERS])
    attack = _attack(
        originals,
        reals[held_out_fold][others],
        images,
        [f"memorised {i}" for i in range(IMAGES)],
        [f"held out {name}" for name in np.array(records.patient_ids(held_out_fold))[others]],
        rng,
    )
    caught = int((suspected & known).sum())
    return {
        "images": IMAGES,
        "images_shown": control.images_shown,
        "resolution": RESOLUTION,
        "drawn": DRAWN,
        "suspected": int(suspected.sum()),
        "caught": caught,
        "originals_found": len(set(scores.nearest[suspected & known].tolist())),
        "interval": dataclasses.asdict(membership.share_interval(caught, DRAWN)),
        "required": REQUIRED,
        "passed": bool(caught >= REQUIRED * DRAWN),
        "criterion": dataclasses.asdict(criterion),
        "attack": dataclasses.asdict(attack),
        "attack_passed": bool(attack.auc_interval.low > 0.5),
    }


def write_records(
    folder: str | os.PathLike, images: np.ndarray, like: record_set.RecordSet
) -> record_set.RecordSet:
    """Writes the images as a record set of their own, or opens it if it is there.

    Training reads whole shards; from those of a large collection, 16 images would come slowly.

    Args:
        folder: Folder of the set.
        images: uint8 [16, 32, 32].
        like: The collection that they are from.
    """
    image_of = dict(zip(_FINDINGS, images, strict=True))
    radiographs = [
        radiograph.Radiograph(
            image_id=name,
            patient_id=name,
            labels=row,
            stamp=hashlib.sha256(image_of[name].tobytes()).hexdigest(),
        )
        for name, row in zip(_FINDINGS, np.eye(IMAGES, dtype=np.float32), strict=True)
    ]
    # These names hide nobody, but real images are not written without pseudonyms.
    key = hashlib.sha256(b"control of an audit").digest()
    plan = record_plan.make_plan(
        radiographs,
        _FINDINGS,
        RESOLUTION,
        source="audit_control",
        origin=like.manifest["origin"],
        split=splits.Split({FOLD: list(_FINDINGS)}, {"method": "audit control"}),
        pseudonyms=pseudonyms.Pseudonymizer(key, "audit_control"),
        num_shards=1,
        geometry=like.manifest["geometry"],
    )

    def load(positions):
        for position in positions:
            yield image_of[plan.radiographs[position].image_id]

    record_writer.write_record_set(folder, plan, load, progress=False)
    return record_set.RecordSet.open(folder)


def _note_choice(folder, records, fold, positions):
    """Notes which images the control is made of, or checks that it is these."""
    ids = np.array(records.record_ids(fold))[positions]
    chosen = {"fold_fingerprint": records.fold_fingerprint(fold), "records": ids.tolist()}
    path = folder / "chosen.json"
    if not path.exists():
        manifest.write_json(path, chosen)
    elif json.loads(path.read_text()) != chosen:
        raise ValueError(
            f"{folder} holds a control of other images (another training fold or --seed); give "
            "--overtrained_run another folder"
        )


def _draw(run_dir, seed) -> np.ndarray:
    labels = np.eye(IMAGES, dtype=np.float32)[np.arange(DRAWN) % IMAGES]
    images = np.concatenate(list(image_sources.from_run(str(run_dir)).draw(labels, seed)))
    image_store.check(images, "the control")
    return images


def _attack(members, others, synthetic, member_patients, other_patients, rng):
    """Membership by the largest SSIM to a synthetic image, all pairs."""
    reals = np.concatenate([members, others])
    first, second = np.divmod(np.arange(len(reals) * len(synthetic)), len(synthetic))
    values = np.concatenate(
        [
            similarity.ssim(reals[first[part]], synthetic[second[part]])
            for part in np.split(np.arange(len(first)), range(_PAIRS, len(first), _PAIRS))
        ]
    )
    nearest = values.reshape(len(reals), len(synthetic)).max(axis=1)
    return membership.attack(
        "control_generator_ssim",
        nearest[:IMAGES],
        nearest[IMAGES:],
        member_patients,
        other_patients,
        rng,
    )
