"""Runs an experiment: images of each arm, training, scores, tables; resumable after every model.

<output>/experiment.json            what is run; another experiment is refused
<output>/synthetic/                 record sets that the generators drew
<output>/seed1/real/                weights and history of an arm
<output>/seed1/real/predictions.npz its scores of the test images
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
    config,
    evaluation,
    image_table,
    plots,
    predictions,
    recipes,
    training,
    training_sets,
)
from pgan import results, run_folder

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        experiment: Arms, test images, comparisons.
        settings: Of the classifiers; their seed is that of the run.
        seeds: One run of each arm for each.
        real_validation: Whether arms with synthetic images are validated on real ones, as in the
            paper.
        effort: How thoroughly is resampled.
    """

    experiment: recipes.Experiment
    settings: config.ClassifierConfig
    seeds: tuple[int, ...]
    real_validation: bool
    effort: evaluation.Effort

    def describe(self, inputs: training_sets.Inputs) -> dict[str, Any]:
        """JSON types that tell this run from another."""
        return json.loads(
            json.dumps(
                {
                    "experiment": dataclasses.asdict(self.experiment),
                    "settings": {
                        k: v for k, v in self.settings.to_dict().items() if k != "strategy"
                    },
                    "real_validation": self.real_validation,
                    "local": inputs.local.fingerprint,
                    "folds": inputs.folds,
                    "generators": {
                        role: site.generator.fingerprint for role, site in inputs.sites.items()
                    },
                }
            )
        )


def run(
    plan: Plan, inputs: training_sets.Inputs, output: pathlib.Path, on_model=lambda: None
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
    output.mkdir(parents=True, exist_ok=True)
    _check_folder(plan.describe(inputs), output / "experiment.json")
    experiment, size = plan.experiment, plan.settings.resolution
    findings = experiment.findings or inputs.local.findings
    # The same test images for all seeds: runs differ in training, not in what they are asked.
    test = training_sets.test_images(experiment, inputs, size, findings, seed=0)
    _LOG.info("%d test images of %d patients", len(test), len(set(test.patients)))
    found: dict[str, list[predictions.Predictions]] = collections.defaultdict(list)
    composition: dict[str, dict[str, int]] = {}
    for seed in plan.seeds:
        for recipe in experiment.recipes:
            folder = output / f"seed{seed}" / recipe.name
            if not (folder / "predictions.npz").exists():
                _train_and_predict(plan, recipe, inputs, seed, test, findings, folder)
            scores = predictions.load(folder / "predictions.npz")
            found[recipe.name].append(scores)
            composition[recipe.name] = scores.about["composition"]
            on_model()
    rows = _rows(plan, found)
    results.write(output / "results.jsonl", rows)
    run_folder.write_atomically(output / "report.md", _report(plan, rows, composition, test))
    titles = {recipe.name: recipe.title for recipe in experiment.recipes}
    figures = {
        "roc": plots.roc_curves(found, titles),
        "metrics": plots.metric_bars(rows, titles),
        "composition": plots.composition(composition, titles),
    }
    for name, figure in figures.items():
        figure.savefig(output / f"{name}.png")
    return rows


def _train_and_predict(plan, recipe, inputs, seed, test, findings, folder):
    size = plan.settings.resolution
    arguments = (recipe, inputs, size, findings, seed)
    images = training_sets.training_images(*arguments)
    synthetic = any(part.synthetic for part in recipe.parts)
    validation = training_sets.validation_images(
        *arguments, always_real=plan.real_validation or not synthetic
    )
    composition = _composition(images)
    _LOG.info("seed %d, %s: %s", seed, recipe.name, composition)
    trained = training.train(
        dataclasses.replace(plan.settings, seed=seed), images, validation, folder,
        {"experiment": plan.experiment.name, "arm": recipe.name, "composition": composition},
        verbose=0,
    )  # fmt: skip
    about = {
        "experiment": plan.experiment.name,
        "arm": recipe.name,
        "seed": seed,
        "composition": composition,
        "validation": _composition(validation),
        "epochs": trained.facts["epochs"],
        "initial_weights": trained.facts["initial_weights"],
    }
    scores = training.predict(trained.classifier, test)
    predictions.save(
        predictions.Predictions(
            tuple(findings), test.labels, scores, trained.thresholds, test.image_ids,
            test.patients, test.facts, about,
        ),
        folder / "predictions.npz",
    )  # fmt: skip


def _composition(table: image_table.ImageTable) -> dict[str, int]:
    """Images by origin and whether they show a finding, such as {"real: nih, positive": 50}."""
    positive = (np.nan_to_num(table.labels) >= 0.5).any(axis=1)
    counts = collections.Counter(
        f"{origin}, {'positive' if shown else 'negative'}"
        for origin, shown in zip(table.origins, positive, strict=True)
    )
    return dict(sorted(counts.items()))


def _rows(plan, found):
    rows = []
    for arm, runs in found.items():
        own = evaluation.table(runs, plan.effort)
        rows += [{"name": "classifier", "arm": arm, **row} for row in own]
    for first, second in plan.experiment.comparisons:
        own = evaluation.comparison(found[first], found[second], plan.effort)
        rows += [{"name": "comparison", "first": first, "second": second, **row} for row in own]
    facts = {
        "experiment": plan.experiment.name,
        "figure": plan.experiment.figure,
        "resolution": plan.settings.resolution,
        "seeds": list(plan.seeds),
    }
    return [{**row, **facts} for row in rows]


def _report(plan, rows, composition, test):
    experiment = plan.experiment
    seeds = ", ".join(map(str, plan.seeds))
    patients = len(set(test.patients))
    parts = [
        f"# {experiment.name} ({experiment.figure} of the paper)\n",
        f"DenseNet-121 from {plan.settings.weights} weights on {plan.settings.resolution} px, "
        f"seeds {seeds}; {len(test):,} test images of {patients:,} patients. Values are means "
        f"over the seeds with 95 % intervals of {plan.effort.redraws:,} redraws of patients; p "
        f"values by {plan.effort.permutations:,} exchanges of patients' predictions, before "
        "Holm's correction (in results.jsonl, with the spread over seeds).\n",
    ]
    for recipe in experiment.recipes:
        own = [row for row in rows if row.get("arm") == recipe.name]
        counts = "; ".join(f"{n:,} {what}" for what, n in composition[recipe.name].items())
        parts += [
            f"## {recipe.name}: {recipe.title}\n\nTrained on {counts}.\n",
            f"{evaluation.markdown(own)}\n",
        ]
    for first, second in experiment.comparisons:
        own = [r for r in rows if (r.get("first"), r.get("second")) == (first, second)]
        parts.append(f"## {second} minus {first}\n\n{evaluation.markdown(own)}\n")
    return "\n".join(parts)


def _check_folder(facts, path):
    if not path.exists():
        run_folder.write_atomically(path, json.dumps(facts, indent=1) + "\n")
        return
    old = json.loads(path.read_text())
    if old != facts:
        changed = [name for name in facts if old.get(name) != facts[name]]
        raise ValueError(
            f"{path.parent} holds another experiment (it differs in {', '.join(changed)}); give "
            "another --output, or the flags that it was started with"
        )
