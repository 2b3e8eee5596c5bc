"""Draws images of one finding after the other and has them scored; resumable after each finding."""

import itertools
import pathlib
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import tqdm

from classifier import correlation_files, scorer
from pgan import synthesis
from pgan.data import labels as labels_lib
from pgan.data import pyramid, record_folder

LEVELS = tuple(round(0.1 * step, 1) for step in range(11))
_AT_ONCE = 256  # images that are scored together


def make_plan(
    generator: synthesis.ExportedGenerator,
    classifier: scorer.Scorer,
    images: int,
    dose_images: int,
    seed: int,
    other_vocabulary: bool = False,
) -> correlation_files.Plan:
    """Plans a run, after checking that generator and classifier belong together.

    Args:
        generator: An export.
        classifier: Who judges.
        images: For each finding, at strengths from 0 to 1.
        dose_images: Latents at each of LEVELS.
        seed: Of latents and strengths.
        other_vocabulary: Whether their findings may be others; the matrix is rectangular then.

    Raises:
        ValueError: If the generator draws no findings, findings, geometry or sizes of images do not
            fit, or there are too few images.
    """
    if images < 3 or dose_images < 2:
        raise ValueError(
            f"at least --images=3 and --dose_images=2 are needed, got {images} and {dose_images}"
        )
    if not generator.findings:
        raise ValueError(
            f"{generator.name} draws no findings: it was trained without labels, so there is "
            "nothing to ask for. Give the export of a generator that was trained with them"
        )
    if not other_vocabulary:
        _require_same_findings(generator, classifier)
    _require_same_preparation(generator, classifier)
    if generator.resolution < classifier.resolution:
        raise ValueError(
            f"{generator.name} draws images of {generator.resolution} px, the classifier takes "
            f"{classifier.resolution} px, and enlarged images have not the detail that it was "
            f"trained with. Train one with --resolution={generator.resolution} or smaller"
        )
    return correlation_files.Plan(
        {
            "name": generator.name,
            "fingerprint": generator.fingerprint,
            "resolution": generator.resolution,
            "training_records": generator.card.get("training_records"),
        },
        {
            "name": classifier.name,
            "fingerprint": classifier.fingerprint,
            "resolution": classifier.resolution,
        },
        generator.findings,
        classifier.findings,
        images,
        LEVELS,
        dose_images,
        seed,
    )


def _require_same_findings(generator, classifier):
    drawn = {labels_lib.common_name(name): name for name in generator.findings}
    judged = {labels_lib.common_name(name): name for name in classifier.findings}
    if drawn.keys() == judged.keys():
        return

    def listed(names):
        return ", ".join(names) or "none"

    raise ValueError(
        f"{generator.name} draws and {classifier.name} judges other findings. Both: "
        f"{listed(drawn[n] for n in drawn if n in judged)}. Drawn only: "
        f"{listed(drawn[n] for n in drawn if n not in judged)}. Judged only: "
        f"{listed(judged[n] for n in judged if n not in drawn)}. Give --allow_other_vocabulary for "
        f"a matrix of {len(judged)} x {len(drawn)}"
    )


def _require_same_preparation(generator, classifier):
    drawn = (generator.card.get("training_records") or {}).get("preparation") or {}
    judged = classifier.preparation or {}
    differing = [
        f"--{name}={drawn[name]} and --{name}={judged[name]}"
        for name in drawn
        if name in judged and drawn[name] != judged[name]
    ]
    if differing:
        raise ValueError(
            f"training images of {generator.name} and {classifier.name} were made with "
            f"{', '.join(differing)} of tools/build_records.py, so the classifier has not seen "
            "images of this kind. Build one of the record sets anew and train on that"
        )


def draw(
    plan: correlation_files.Plan,
    generator: synthesis.ExportedGenerator,
    classifier: scorer.Scorer,
    output: pathlib.Path,
    batch_size: int | None = None,
    progress: bool = True,
) -> int:
    """Makes the scores that are missing.

    Image i of a finding is a function of generator, seed, finding and i. The latents of the dose
    response are others, and the same for all findings and levels.

    Args:
        plan: Of `make_plan`.
        generator: The export.
        classifier: Who judges.
        output: Folder of the results.
        batch_size: Images drawn at once.
        progress: Whether to show a bar.

    Returns:
        How many findings were drawn now.

    Raises:
        ValueError: If the folder holds another plan or a damaged file, or scores are not finite.
    """
    with record_folder.claimed(output, "drawing findings for"):
        correlation_files.open_plan(plan, output)
        missing = []
        for finding in plan.findings:
            try:
                correlation_files.load(plan, finding, output)
            except FileNotFoundError:
                missing.append(finding)
        each = plan.images + len(plan.levels) * plan.dose_images
        total = each * len(plan.findings)
        with tqdm.tqdm(
            desc="Drawing", unit="img", total=total, initial=total - each * len(missing),
            disable=not progress,
        ) as bar:  # fmt: skip
            for finding in missing:
                bar.set_postfix_str(finding)
                found = _scores_of(plan, finding, generator, classifier, batch_size, bar.update)
                correlation_files.save(found, plan, finding, output)
        return len(missing)


def _scores_of(plan, finding, generator, classifier, batch_size, on_images):
    column, count = plan.findings.index(finding), len(plan.findings)
    name = zlib.crc32(labels_lib.common_name(finding).encode())
    strengths = np.random.default_rng([plan.seed, name]).random(plan.images, np.float32)
    places = column * plan.images + np.arange(plan.images)
    again = count * plan.images + np.arange(plan.dose_images)
    levels = np.repeat(np.array(plan.levels, np.float32), plan.dose_images)
    rows = np.zeros((plan.images + len(levels), count), np.float32)
    rows[:, column] = np.concatenate([strengths, levels])
    indices = np.concatenate([places, np.tile(again, len(plan.levels))])
    images = generator.stream(rows, np.full(len(rows), plan.seed), indices, batch_size)
    parts = []
    for part in _in_parts(images, _AT_ONCE):
        parts.append(classifier.scores(_scaled(part, classifier.resolution)))
        on_images(len(part))
    scores = np.concatenate(parts)
    dose = scores[plan.images :].reshape(len(plan.levels), plan.dose_images, -1)
    return correlation_files.Scores(strengths, scores[: plan.images], dose)


def _in_parts(images: Iterator[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    while part := list(itertools.islice(images, size)):
        yield part


def _scaled(images: Sequence[np.ndarray], side: int) -> np.ndarray:
    """uint8 [N, side, side], larger images by the mean of areas as levels of record sets are."""
    if images[0].shape[0] == side:
        return np.stack(images)
    return np.stack([pyramid.one_level(image, side) for image in images])
