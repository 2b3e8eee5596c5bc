"""Runs an experiment: images of each arm, training, scores, tables; resumable after every model.

<output>/experiment.json            what is run; another experiment is refused
<output>/synthetic/                 record sets that the generators drew
<output>/seed1/real/                weights and history of an arm
<output>/seed1/real/predictions.npz its scores of the test images; attacks/ those of attacked ones
<output>/seed1/real/validation.npz  its scores of its validation images
<output>/results.jsonl, report.md   tables and comparisons
<output>/*.png                      figures
"""

import collections
import dataclasses
import json
import logging
import pathlib
from typing import Any

import numpy as np

from classifier import (
    calibration_plots,
    calibration_tables,
    evaluation,
    experiment_plan,
    experiment_report,
    image_table,
    plots,
    predictions,
    robustness,
    training,
    training_diversity,
    training_sets,
)
from pgan import results, run_folder
from pgan.data import record_folder

_LOG = logging.getLogger(__name__)
_SIMILARITY = "pair_similarity.json"
_VALIDATION = "validation.npz"


def run(
    plan: experiment_plan.Plan,
    inputs: training_sets.Inputs,
    output: pathlib.Path,
    on_model=lambda: None,
) -> list[dict[str, Any]]:
    """Runs an experiment, or what is missing of it.

    Args:
        plan: What to run; seeds may be added when it is continued.
        inputs: The files that play its roles.
        output: Folder of the results.
        on_model: Called after every model.

    Returns:
        The rows of results.jsonl.

    Raises:
        ValueError: If the folder holds another experiment, or the inputs do not fit.
    """
    with record_folder.claimed(output, "running an experiment in"):
        return _run(plan, inputs, output, on_model)


def _run(plan, inputs, output, on_model):
    facts, path = plan.describe(inputs), output / "experiment.json"
    _check_folder(facts, path)
    experiment, size, findings = plan.experiment, plan.settings.resolution, plan.findings(inputs)
    # The same test images for all seeds: runs differ in training, not in what they are asked.
    test = training_sets.test_images(experiment, inputs, size, findings, seed=0)
    _LOG.info("%d test images of %d patients", len(test), len(set(test.patients)))
    unfinished = [
        recipe
        for recipe in experiment.recipes
        if not all(_complete(_folder(output, seed, recipe), experiment) for seed in plan.seeds)
    ]
    # All arms now: what the last one lacks would else be found when the others are trained. And
    # before the folder is this experiment's, so that it can be had with better flags.
    plan.check(inputs, unfinished)
    if unfinished:
        training.check_initial_weights(plan.settings, findings)
    run_folder.write_atomically(path, json.dumps(facts, indent=1) + "\n")
    found: dict[str, list[predictions.Predictions]] = collections.defaultdict(list)
    folders: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
    for seed in plan.seeds:
        for recipe in experiment.recipes:
            folder = _folder(output, seed, recipe)
            if not _complete(folder, experiment):
                _train_and_judge(plan, recipe, inputs, seed, test, findings, folder)
                training.forget_models()
            found[recipe.name].append(predictions.load(folder / "predictions.npz"))
            folders[recipe.name].append(folder)
            on_model()
    return _finish(plan, found, folders, output)


def _folder(output, seed, recipe):
    return output / f"seed{seed}" / recipe.name


def _complete(folder, experiment):
    """Whether everything that is made from images and models is there."""
    wanted = [folder / "predictions.npz", folder / _VALIDATION]
    wanted += [folder / "attacks" / f"{attack.name}.npz" for attack in experiment.attacks]
    wanted += [folder / _SIMILARITY] if experiment.pairs else []
    return all(path.exists() for path in wanted)


def _finish(plan, found, folders, output):
    """Rows, report and figures, from files alone."""
    experiment = plan.experiment
    titles = {recipe.name: recipe.title for recipe in experiment.recipes}
    rows = _rows(plan, found)
    composition = {arm: runs[0].about["composition"] for arm, runs in found.items()}
    figures = {
        "roc": plots.roc_curves(found, titles),
        "metrics": plots.metric_bars(rows, titles),
        "composition": plots.composition(composition, titles),
    }
    validation = {
        arm: [predictions.load(f / _VALIDATION) for f in own] for arm, own in folders.items()
    }
    calibrated = calibration_tables.rows(found, validation)
    rows += _with_facts(plan, calibrated)
    more = [calibration_tables.markdown(calibrated, titles)]
    figures["reliability"] = calibration_plots.reliability_curves(found, titles)
    if experiment.attacks:
        attacked = {arm: [f / "attacks" for f in own] for arm, own in folders.items()}
        own = robustness.rows(experiment, found, attacked, plan.effort)
        rows += _with_facts(plan, own)
        more.append(f"## Under attack\n\n{robustness.markdown(own, titles)}")
        figures["robustness"] = plots.robustness(robustness.curves(own), titles)
    if experiment.pairs:
        paths = {arm: [f / _SIMILARITY for f in own] for arm, own in folders.items()}
        own = training_diversity.rows(paths, plan.seeds)
        rows += _with_facts(plan, own)
        more.append(
            "## Likeness of the training images with a finding\n\n"
            f"{own[0]['metric']} of random pairs of different patients; lower is more diverse.\n\n"
            f"{training_diversity.markdown(own, titles)}\n"
        )
        values = {arm: training_diversity.values(own) for arm, own in paths.items()}
        figures["diversity"] = plots.pair_similarities(values, titles, own[0]["metric"])
    results.write(output / "results.jsonl", rows)
    for name, figure in figures.items():
        figure.savefig(output / f"{name}.png")
    report = "\n".join([experiment_report.text(plan, rows, found), *more])
    run_folder.write_atomically(output / "report.md", report)  # last: it says that all is there
    return rows


def _train_and_judge(plan, recipe, inputs, seed, test, findings, folder):
    size = plan.settings.resolution
    arguments = (recipe, inputs, size, findings, seed)
    images = training_sets.training_images(*arguments)
    validation = training_sets.validation_images(*arguments, real_classes=plan.real_classes)
    composition = _composition(images)
    _LOG.info("seed %d, %s: %s", seed, recipe.name, composition)
    settings = dataclasses.replace(plan.settings, seed=seed, **recipe.settings)
    trained = training.train(
        settings, images, validation, folder,
        {"experiment": plan.experiment.name, "arm": recipe.name, "composition": composition},
        verbose=0,
    )  # fmt: skip
    about = {
        "experiment": plan.experiment.name,
        "arm": recipe.name,
        "seed": seed,
        "composition": composition,
        "positives": _positives(images),
        "validation": _composition(validation),
        "epochs": trained.facts["epochs"],
        "best_epoch": trained.facts["best_epoch"],
        "initial_weights": trained.facts["initial_weights"],
        "unchecked_generators": sorted(
            site.generator.name for site in inputs.sites.values() if not site.trained_on
        ),
    }
    # Validation first: what is finished is known by the test images' scores.
    for table, name in ((validation, _VALIDATION), (test, "predictions.npz")):
        found = predictions.Predictions(
            tuple(findings), table.labels, training.predict(trained.classifier, table),
            trained.thresholds, table.image_ids, table.patients, table.facts, about,
        )  # fmt: skip
        predictions.save(found, folder / name)
    if plan.experiment.attacks:
        robustness.judge(trained, test, plan.experiment.attacks, found, folder / "attacks")
    if plan.experiment.pairs:
        training_diversity.measure(images, plan.experiment.pairs, seed, folder / _SIMILARITY)


def _composition(table: image_table.ImageTable) -> dict[str, int]:
    """Images by origin and whether they show a finding, such as {"real: nih, positive": 50}."""
    positive = (np.nan_to_num(table.labels) >= 0.5).any(axis=1)
    counts = collections.Counter(
        f"{origin}, {'positive' if shown else 'negative'}"
        for origin, shown in zip(table.origins, positive, strict=True)
    )
    return dict(sorted(counts.items()))


def _positives(table: image_table.ImageTable) -> dict[str, int]:
    """Images of each finding."""
    counts = (np.nan_to_num(table.labels) >= 0.5).sum(axis=0)
    return dict(zip(table.findings, map(int, counts), strict=True))


def _rows(plan, found):
    rows = []
    for arm, runs in found.items():
        own = evaluation.table(runs, plan.effort)
        rows += [{"name": "classifier", "arm": arm, **row} for row in own]
    for first, second in plan.experiment.comparisons:
        own = evaluation.comparison(found[first], found[second], plan.effort)
        rows += [{"name": "comparison", "first": first, "second": second, **row} for row in own]
    return _with_facts(plan, rows)


def _with_facts(plan, rows):
    facts = {
        "experiment": plan.experiment.name,
        "figure": plan.experiment.figure,
        "resolution": plan.settings.resolution,
        "seeds": list(plan.seeds),
    }
    return [{**row, **facts} for row in rows]


def _check_folder(facts, path):
    if not path.exists():
        return
    old = json.loads(path.read_text())
    if old != facts:
        changed = [name for name in facts if old.get(name) != facts[name]]
        raise ValueError(
            f"{path.parent} holds another experiment (it differs in {', '.join(changed)}); give "
            "another --output, or the flags that it was started with"
        )
