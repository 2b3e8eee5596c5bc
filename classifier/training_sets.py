"""Draws the images of a recipe: real ones from record sets, synthetic ones by generators.

Synthetic images are written as record sets, so that they are drawn once, can be looked at, and are
continued where they were interrupted.
"""

import dataclasses
import hashlib
import json
import logging
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from classifier import image_table, recipes
from pgan import label_plan, run_folder, synthesis, synthetic_sets
from pgan.data import labels as labels_lib
from pgan.data import pool as pool_lib
from pgan.data import quotas, record_set, splits

_LOG = logging.getLogger(__name__)
_OWN_ORDER = 1_000_000_007  # added to seeds
_SHARE = 0.2  # validation images for each training image


@dataclasses.dataclass(frozen=True)
class Site:
    """A generator and the collection that its label vectors are taken from.

    Attributes:
        generator: The generator.
        records: Its collection; None if only pure classes are drawn.
        fold: Fold of the collection that it was trained on.
    """

    generator: synthesis.ExportedGenerator
    records: record_set.RecordSet | None = None
    fold: str = "train"

    @property
    def trained_on(self) -> list[image_table.Fold]:
        """The fold that the generator was trained on, where its collection is at hand.

        Raises:
            ValueError: If the collection is another than the generator's model card says.
        """
        if self.records is None:
            return []
        facts = self.generator.card["training_records"]
        if facts.get("fold_fingerprint") != self.records.fold_fingerprint(self.fold):
            raise ValueError(
                f"the generator {self.generator.name} was trained on {facts.get('name')}, fold "
                f"{facts.get('fold')}; {self.records.path}, fold {self.fold}, holds other images"
            )
        folds = [image_table.Fold(self.records, self.fold)]
        for seen in facts.get(run_folder.ANCESTORS, []):
            if seen.get("fingerprint") == self.records.fingerprint:
                folds.append(image_table.Fold(self.records, seen["fold"]))
            else:
                _LOG.warning(
                    "the generator %s was started from networks trained on %s; whether test images "
                    "are of patients of that is not checked",
                    self.generator.name,
                    seen.get("name"),
                )
        return folds

    @property
    def chosen_by(self) -> list[image_table.Fold]:
        """The held-out fold by which the generator's checkpoint was kept as the best, if it was."""
        kept = self.generator.card.get("kept_as_best")
        if self.records is None or not kept or not kept["metric"].endswith("_to_held_out"):
            return []
        fold = self.generator.card["training_settings"]["held_out_fold"]
        # Cards of older versions do not say which images the fold had.
        wanted = self.generator.card["training_records"].get("held_out_fold_fingerprint")
        try:
            there = wanted in (None, self.records.fold_fingerprint(fold))
        except ValueError:  # a split that is no longer there
            there = False
        if not there:
            _LOG.warning(
                "the checkpoint of the generator %s was chosen by a fold %s that %s does not have; "
                "whether test images are of patients of that is not checked",
                self.generator.name,
                fold,
                self.records.path,
            )
            return []
        return [image_table.Fold(self.records, fold)]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The files that play the roles of an experiment.

    Attributes:
        local: The hospital's own record set.
        folds: Its folds to train on, to validate on and to test on.
        sites: Generators by role.
        work: Folder of synthetic record sets.
    """

    local: record_set.RecordSet
    folds: tuple[str, str, str]
    sites: Mapping[str, Site]
    work: pathlib.Path


def check(
    recipe: recipes.Recipe,
    inputs: Inputs,
    resolution: int,
    findings: Sequence[str],
    seed: int,
    real_classes: Sequence[str] | None = None,
) -> None:
    """Refuses a recipe whose images cannot be had; quick, as none is drawn by a generator.

    Args:
        recipe: Which images.
        inputs: Where from.
        resolution: Side in px.
        findings: Vocabulary of the labels.
        seed: Of the draw.
        real_classes: As `validation_images` takes them.

    Raises:
        ValueError: As `training_images` and `validation_images`.
    """
    wanted = [(recipe.parts, inputs.folds[0])]
    if real_classes is None:
        wanted.append((_validation_parts(recipe, inputs, _SHARE), inputs.folds[1]))
    else:
        _of_classes(real_classes, inputs.local, inputs.folds[1], resolution, findings)
    for parts, fold in wanted:
        for part in parts:
            if part.synthetic:
                _label_rows(part, inputs, resolution, findings, seed)
            else:
                _real(part.counts, inputs.local, fold, resolution, findings, seed)


def training_images(
    recipe: recipes.Recipe,
    inputs: Inputs,
    resolution: int,
    findings: Sequence[str],
    seed: int,
) -> image_table.ImageTable:
    """The training images of a recipe.

    Args:
        recipe: Which images.
        inputs: Where from.
        resolution: Side in px.
        findings: Vocabulary of the labels.
        seed: Of the draw; arms of one seed that ask for the same real images get the same.

    Raises:
        ValueError: If there are not enough images, or a generator does not fit.
    """
    return _images(recipe.parts, inputs, resolution, findings, seed, inputs.folds[0], "train")


def validation_images(
    recipe: recipes.Recipe,
    inputs: Inputs,
    resolution: int,
    findings: Sequence[str],
    seed: int,
    share: float = _SHARE,
    real_classes: Sequence[str] | None = None,
) -> image_table.ImageTable:
    """Validation images of a recipe: so many fewer, of the same classes, origins and repetitions.

    Real ones come from the validation fold, as many as it has if it has fewer; synthetic ones are
    drawn from other latents. A hospital that uses synthetic images because it has few of a finding
    has few to validate with, too.

    Args:
        recipe: Which images.
        inputs: Where from.
        resolution: Side in px.
        findings: Vocabulary of the labels.
        seed: Of the draw.
        share: Validation images for each training image, at least one of each class.
        real_classes: If given, all real images of the validation fold that are of these classes
            are taken instead, as in the paper; of the whole fold if it is empty.

    Raises:
        ValueError: As `training_images`.
    """
    if real_classes is not None:
        return _of_classes(real_classes, inputs.local, inputs.folds[1], resolution, findings)
    parts = _validation_parts(recipe, inputs, share)
    return _images(parts, inputs, resolution, findings, seed, inputs.folds[1], "val")


def _validation_parts(recipe, inputs, share):
    pool = pool_lib.Pool.of_records(inputs.local, inputs.folds[1])
    parts = []
    for part in recipe.parts:
        counts = {word: max(1, round(share * count)) for word, count in part.counts.items()}
        if not part.synthetic:
            counts = {w: min(n, max(1, int(pool.members(w).sum()))) for w, n in counts.items()}
        parts.append(dataclasses.replace(part, counts=counts))
    return parts


def test_images(
    experiment: recipes.Experiment,
    inputs: Inputs,
    resolution: int,
    findings: Sequence[str],
    seed: int,
) -> image_table.ImageTable:
    """Real images to judge on, of no patient that any generator was trained on or chosen by.

    Raises:
        ValueError: If there are not enough, a patient was trained or validated on or is in both
            of these folds, a generator's checkpoint was chosen by images of a patient, or a
            generator was trained on images that were prepared in another way.
    """
    fold = inputs.folds[2]
    if experiment.test:
        table = _real(experiment.test, inputs.local, fold, resolution, findings, seed)
    else:
        table = _of_classes(experiment.test_classes, inputs.local, fold, resolution, findings)
    splits.check_disjoint((inputs.local, inputs.folds[0]), (inputs.local, inputs.folds[1]))
    own = [image_table.Fold(inputs.local, name) for name in inputs.folds[:2]]
    table.require_no_patient_of(own, "which the classifier is trained or validated on")
    for site in inputs.sites.values():
        name = f"the generator {site.generator.name}"
        table.require_no_patient_of(site.trained_on, f"which {name} was trained on")
        table.require_no_patient_of(
            site.chosen_by, f"by which the checkpoint of {name} was kept as the best"
        )
        preparation = site.generator.card["training_records"].get("preparation")
        inputs.local.require_preparation(preparation, name)
    return table


def _images(parts, inputs, resolution, findings, seed, fold, purpose):
    tables = []
    for part in parts:
        if part.synthetic:
            tables += [
                _draw(site, rows, inputs.work, resolution, findings, seed, purpose)
                for site, rows in _label_rows(part, inputs, resolution, findings, seed)
            ]
        else:
            tables.append(_real(part.counts, inputs.local, fold, resolution, findings, seed))
        if part.repeat > 1:
            tables[-1] = tables[-1].select(np.tile(np.arange(len(tables[-1])), part.repeat))
    return image_table.join(tables)


def _of_classes(classes, records, fold, resolution, findings):
    """The images of a fold that are of any of some classes; all if none is named."""
    table = image_table.of_fold(records, fold, resolution, findings)
    if not classes:
        return table
    pool = pool_lib.Pool.of_records(records, fold)
    members = {word: pool.members(word) for word in classes}
    if missing := [word for word, own in members.items() if not own.any()]:
        raise ValueError(
            f"{records.path}, fold {fold}, has no image of {' or '.join(missing)}; give other "
            "--local_folds, or draw such that have some: tools/split_records.py --quota"
        )
    return table.select(np.flatnonzero(np.any(list(members.values()), axis=0)))


def _real(counts, records, fold, resolution, findings, seed):
    table = image_table.of_fold(records, fold, resolution, findings)
    pool = pool_lib.Pool.of_records(records, fold)
    try:
        # Not in the order in which a split of the same seed took patients: where it took those with
        # a finding first, for another fold, the first of the rest would be without it.
        split = quotas.draw(pool, [quotas.Quota("drawn", dict(counts))], _OWN_ORDER + seed)
    except ValueError as error:
        raise ValueError(f"{records.path}, fold {fold}: {error}") from None
    place = {name: number for number, name in enumerate(table.image_ids)}
    return table.select([place[name] for name in split.folds["drawn"]])


def _label_rows(part, inputs, resolution, findings, seed):
    """Pairs of a site and the label rows that its generator is to draw."""
    shares = {
        word: pool_lib.apportion(count, [1] * len(part.source))
        for word, count in part.counts.items()
    }
    found = []
    for number, role in enumerate(part.source):
        site = _site(role, inputs)
        if site.generator.resolution < resolution:
            raise ValueError(
                f"the generator {site.generator.name} draws {site.generator.resolution} px, the "
                f"classifier takes {resolution} px; give a smaller --resolution"
            )
        counts = {word: share[number] for word, share in shares.items() if share[number]}
        if not counts:
            continue
        try:
            labels_lib.project(
                np.zeros(len(site.generator.findings)), site.generator.findings, findings
            )
        except ValueError as error:
            raise ValueError(
                f"the generator {site.generator.name} cannot draw this: {error}"
            ) from None
        if part.labels == recipes.PURE:
            rows = _pure_rows(counts, site.generator, seed)
        elif part.like is None:
            rows = _rows_alike(sum(counts.values()), site, seed)
        else:  # The generators share the rows, so that together they have each of them.
            other = _site(part.like, inputs)
            rows = _rows_alike(part.total, other, seed)[number :: len(part.source)]
            rows = _translate(rows, other.generator.findings, site.generator.findings)
        found.append((site, rows))
    return found


def _site(role, inputs):
    if role not in inputs.sites:
        raise ValueError(
            f"this experiment needs the generator {role!r}: give --{role}=EXPORT (a version's "
            "folder, such as exports/nih/1)"
        )
    return inputs.sites[role]


def _rows_alike(count, site, seed) -> np.ndarray:
    """Label rows of a generator's collection, float32 [N, L], in a drawn order."""
    if site.records is None:
        raise ValueError(
            f"images like real ones need the collection of {site.generator.name}: give its record "
            "set beside the export"
        )
    site.records.require_findings(site.generator.findings)
    real = site.records.condition_matrix(site.fold)
    random = np.random.default_rng((seed, 0))
    # Each row once before any comes twice, as the paper drew one image for each real one.
    order = np.concatenate([random.permutation(len(real)) for _ in range(-(-count // len(real)))])
    return real[order[:count]].astype(np.float32)


def _translate(rows, findings, wanted):
    """Label rows in another vocabulary; findings that only the other has are absent."""
    places = {labels_lib.common_name(name): column for column, name in enumerate(findings)}
    found = np.zeros((len(rows), len(wanted)), np.float32)
    for column, name in enumerate(wanted):
        if labels_lib.common_name(name) in places:
            found[:, column] = rows[:, places[labels_lib.common_name(name)]]
        elif labels_lib.is_no_finding(name):
            found[:, column] = ~rows.any(axis=1)
    return found


def _pure_rows(counts, generator, seed) -> np.ndarray:
    """Label rows with one class each, float32 [N, L], in a drawn order."""
    rows = []
    for word, count in counts.items():
        row = np.zeros(len(generator.findings), np.float32)
        if word == pool_lib.HEALTHY:
            # In CheXpert's vocabulary "No Finding" is a class of its own.
            row[
                [i for i, name in enumerate(generator.findings) if labels_lib.is_no_finding(name)]
            ] = 1
        else:
            wanted = labels_lib.common_name(word)
            row[[labels_lib.common_name(name) for name in generator.findings].index(wanted)] = 1
        rows += [row] * count
    return np.array(rows)[np.random.default_rng((seed, 0)).permutation(len(rows))]


# Seeds of the latents of training and validation images; one image is never in both.
_PURPOSES = {"train": 0, "val": 1}


def _draw(site, rows, work, resolution, findings, seed, purpose):
    generator = site.generator
    image_seed = 2 * seed + _PURPOSES[purpose]
    digest = hashlib.sha256(rows.tobytes()).hexdigest()
    origin = {"label_rows": digest}
    order = synthetic_sets.Order(
        generator, label_plan.LabelPlan(rows, "recipe", origin), len(rows), image_seed
    )
    facts = json.dumps([generator.fingerprint, digest, image_seed])
    name = f"{generator.card['name']}_{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
    synthetic_sets.write_record_set(order, work / name, progress=False)
    records = record_set.RecordSet.open(work / name)
    return image_table.of_fold(records, "all", resolution, findings)
