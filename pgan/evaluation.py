"""How far synthetic images are from held-out real ones, beside what the numbers compare with.

All sets hold the same count of images at the same resolution, and all are compared with a reference
of real images that the generator has not seen:

* real: other real images, those of the training fold. The floor, which a perfect generator reaches.
* blurred: the same reals, box-filtered to 8 px and brought back. Images without any detail.
* synthetic: drawn for the label rows of the reference, unless asked otherwise.

Where all images have labels, the same is measured finding by finding, and pairs of images with the
same finding are compared (`metrics.diversity`).
"""

import dataclasses
import os
from typing import Any

from PIL import Image

from pgan import (
    comparison_grid,
    evaluation_sets,
    finding_subsets,
    image_sources,
    measurements,
    set_comparison,
)
from pgan.image_sets import ImageSet
from pgan.metrics import diversity, features, names, similarity
from pgan.set_comparison import REAL, REFERENCE, SYNTHETIC


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is asked of an evaluation.

    Attributes:
        count: Images of each set; as many as the reference has if None.
        seed: Of images that are drawn, and of everything that measures draw.
        label_sampling: Labels of images that are drawn, see `evaluation_sets`.
        balance_findings: Whether to measure sets with as many images of each finding, too.
        fewest_images: Images of each set that a finding needs for numbers of its own.
        pairs: Pairs of each finding whose similarity is measured; 0 leaves that out.
        ms_ssim_variant: Of `similarity.ms_ssim`.
    """

    count: int | None = None
    seed: int = 0
    label_sampling: str = "dataset"
    balance_findings: bool = False
    fewest_images: int = 10
    pairs: int = 1000
    ms_ssim_variant: str = "standard"

    def __post_init__(self):
        """Checks the values.

        Raises:
            ValueError: If one cannot be used.
        """
        if self.count is not None and self.count < 2:
            raise ValueError(f"--count must be at least 2, got {self.count}")
        if self.seed < 0:
            raise ValueError(f"--seed must be at least 0, got {self.seed}")
        if self.fewest_images < 2:
            raise ValueError(f"--fewest_images must be at least 2, got {self.fewest_images}")
        if self.pairs < 0:
            raise ValueError(f"--pairs must be at least 0, got {self.pairs}")
        if self.label_sampling not in evaluation_sets.LABEL_SAMPLINGS:
            raise ValueError(
                f"--label_sampling is one of {', '.join(evaluation_sets.LABEL_SAMPLINGS)}, got "
                f"{self.label_sampling!r}"
            )


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        rows: JSON types: for each measure a row of each set that was compared (`images`). Rows of
            sets that were chosen by their labels have a `setting`.
        pairs: Rows of `diversity.compare`.
        left_out: Sentences on what was not measured, and why.
        notes: Sentences on what the numbers mean.
        grid: Real images above synthetic ones.
    """

    rows: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    left_out: list[str]
    notes: list[str]
    grid: Image.Image


def evaluate(
    reference: ImageSet,
    floor: ImageSet | None,
    source: image_sources.Synthetic,
    extractor: features.Extractor,
    settings: Settings,
    scratch: str | os.PathLike,
    show_progress: bool = True,
) -> Evaluation:
    """Measures how far synthetic images are from held-out reals.

    Args:
        reference: Real images that were not trained on.
        floor: Other real ones; None leaves out floor and blur.
        source: The synthetic images.
        extractor: Features to compare.
        settings: What is asked.
        scratch: Folder for images that are drawn; they are not needed afterwards.
        show_progress: Whether to draw bars.

    Raises:
        ValueError: If the sets do not fit together, or have too few images.
    """
    measurements.require_size(source.resolution, source.name)
    evaluation_sets.require_fit(reference, floor, source)
    count = evaluation_sets.shared_count(settings.count, reference, floor, source)
    synthetic, origin = source.images, {}
    if synthetic is None:
        plan = evaluation_sets.label_sampling(
            settings.label_sampling, reference, source.findings, settings.seed
        )
        synthetic = image_sources.materialize(
            source, plan.labels(count), settings.seed, scratch, show_progress
        )
        origin = {"labels": plan.origin}
    sets = {REFERENCE: reference, REAL: floor, SYNTHETIC: synthetic}
    sets = {kind: images for kind, images in sets.items() if images is not None}
    unlabelled = [images.name for images in sets.values() if images.labels is None]
    subsets, left_out = [], []
    if unlabelled:
        left_out.append(
            f"Numbers by finding and pairs with the same finding: {', '.join(unlabelled)} "
            f"{'has' if len(unlabelled) == 1 else 'have'} no labels."
        )
    else:
        subsets, left_out = _subsets(sets, settings)
    left_out = [*measurements.left_out(count, source.resolution), *left_out]
    facts = {
        "resolution": source.resolution,
        "reference": reference.name,
        **{f"reference_{key}": value for key, value in reference.facts.items()},
        "features": extractor.facts,
        "seed": settings.seed,
    }
    facts_of = {kind: {"images": kind, "source": sets[kind].name, **facts} for kind in sets}
    facts_of[SYNTHETIC] |= {**origin, **source.facts}
    rows = set_comparison.measure(
        sets, count, subsets, extractor, settings.seed, facts_of, show_progress
    )
    pairs = []
    if not unlabelled:
        pairs, reasons = _compare_pairs(reference, synthetic, settings, show_progress)
        left_out += reasons
    notes = _notes(sets, source, extractor)
    grid = comparison_grid.draw(reference, synthetic)
    return Evaluation(rows, pairs, left_out, notes, grid)


def _subsets(sets, settings):
    """Subsets by finding and, if asked, balanced; sentences on findings left out."""
    labels = {kind: images.labels for kind, images in sets.items()}
    fewest = settings.fewest_images
    arguments = (
        labels, sets[REFERENCE].findings, settings.seed, fewest, measurements.FEATURES_KEPT
    )  # fmt: skip
    subsets, scarce = finding_subsets.by_finding(*arguments)
    left_out = _too_few("Distances by finding", scarce, fewest)
    if settings.balance_findings:
        balanced, scarce = finding_subsets.balanced(*arguments)
        left_out += _too_few("In the balanced sets", scarce, fewest)
        if balanced is None:
            left_out.append("Balanced sets: fewer than two findings remain.")
        else:
            subsets.append(balanced)
    return subsets, left_out


def _too_few(title, scarce, fewest):
    if not scarce:
        return []
    counts = ", ".join(scarce)
    return [f"{title}: too few images, at least {fewest} of each set are needed, of {counts}."]


def _compare_pairs(reference, synthetic, settings, show_progress):
    """Rows of `diversity.compare`, and sentences on what is missing."""
    title = "Pairs with the same finding"
    if not settings.pairs:
        return [], [f"{title}: --pairs=0."]
    try:
        similarity.ms_ssim_name(reference.resolution, settings.ms_ssim_variant)
    except ValueError as error:
        return [], [f"{title}: {error}."]
    real, drawn = (
        diversity.Source(images.name, images.labels, images.fetch, images.patients)
        for images in (reference, synthetic)
    )
    columns = range(len(reference.findings))
    existing = [
        [diversity.count_pairs(images.labels, images.patients, i) for i in columns]
        for images in (real, drawn)
    ]
    if not any(map(min, *existing)):
        return [], [f"{title}: no finding has pairs in both {real.name} and {drawn.name}."]
    rows = diversity.compare(
        real, drawn, reference.findings, settings.pairs, settings.ms_ssim_variant, settings.seed,
        show_progress,
    )  # fmt: skip
    facts = {f"reference_{key}": value for key, value in reference.facts.items()}
    return [{**row, **facts, **synthetic.facts} for row in rows], []


def _notes(sets, source, extractor):
    """Sentences on what the numbers mean that hold for these sets only."""
    notes = []
    if extractor.facts["network"] != names.INCEPTION_2015:
        notes.append(
            f"Distances are in the features `{extractor.name}`, not in those of the Inception "
            "graph of 2015: they are no FID and no KID, and compare with numbers of the same "
            "name only."
        )
    floor = sets.get(REAL)
    if floor is None:
        notes.append("No other real images were given (--floor), so there is no floor.")
    elif source.trained_on not in (None, floor.facts.get("fingerprint")):
        notes.append(
            f"The generator of {source.name} was not trained on {floor.name} but on other records."
        )
    if not sets[REFERENCE].facts.get("unseen"):
        notes.append(
            f"Whether the generator of {source.name} has seen patients of the reference is not "
            "known here."
        )
    if source.facts.get("kept_as_best"):
        metric = source.facts["kept_as_best"]["metric"]
        notes.append(
            f"The checkpoint was chosen by `{metric}`: distances to the images that it was chosen "
            "with are too small. Judge it by another fold."
        )
    jpegs = [images.name for images in sets.values() if images.facts.get("jpeg_files")]
    if 0 < len(jpegs) < len(sets):
        notes.append(
            f"JPEG files are among {', '.join(jpegs)} only: their compression changes distances by "
            "more than generators differ."
        )
    return notes
