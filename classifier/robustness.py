"""How classifiers judge test images that were attacked (fig S3): files of scores, rows, tables."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from classifier import adversarial, evaluation, image_table, predictions, recipes, training

_BATCH = 32
_METRICS = ("auc", "accuracy")


def judge(
    trained: training.Trained,
    test: image_table.ImageTable,
    attacks: Sequence[recipes.Attack],
    clean: predictions.Predictions,
    folder: pathlib.Path,
    on_attack=lambda: None,
) -> None:
    """Writes <folder>/<attack>.npz, a classifier's scores of test images that attack it.

    Files that are there are kept, so that an interrupted experiment continues.

    Args:
        trained: The classifier, which is also what the attacks see (white box).
        test: Clean test images.
        attacks: Which.
        clean: Scores of the clean ones.
        folder: For the files.
        on_attack: Called after each.
    """
    step = None
    for attack in attacks:
        path = folder / f"{attack.name}.npz"
        if not path.exists():
            # One graph for each kind: strength and number of a batch are arguments.
            if step is None or step[0] != (attack.kind, attack.steps):
                step = ((attack.kind, attack.steps), _attacked_scores(trained, attack))
            scores = _all_scores(step[1], test, attack)
            about = {**clean.about, "attack": dataclasses.asdict(attack)}
            predictions.save(dataclasses.replace(clean, scores=scores, about=about), path)
        on_attack()


def _attacked_scores(trained, attack):
    classifier = trained.classifier

    @tf.function(reduce_retracing=True)
    def scores(images, labels, epsilon, number):
        attacked = adversarial.attack(
            classifier, tf.cast(images, tf.float32), labels, attack.kind, epsilon, attack.steps,
            seed=tf.stack([0, number]),
        )  # fmt: skip
        return tf.sigmoid(classifier(attacked, training=False))

    return scores


def _all_scores(step, test, attack):
    epsilon, parts = tf.constant(attack.epsilon, tf.float32), []
    for number, start in enumerate(range(0, len(test), _BATCH)):
        numbers = np.arange(start, min(start + _BATCH, len(test)))
        images = test.read(numbers)[..., np.newaxis]
        parts.append(step(images, test.labels[numbers], epsilon, tf.constant(number)).numpy())
    return np.concatenate(parts)


def rows(
    experiment: recipes.Experiment,
    found: Mapping[str, Sequence[predictions.Predictions]],
    folders: Mapping[str, Sequence[pathlib.Path]],
    effort: evaluation.Effort,
) -> list[dict[str, Any]]:
    """Metrics of every arm under every attack, and the comparisons of arms there.

    Args:
        experiment: With the attacks.
        found: Scores of the clean images, runs by arm; they are the attack "none" of strength 0.
        folders: Of the files that `judge` wrote, by arm, one for each run.
        effort: How thoroughly is resampled.

    Returns:
        Rows "robustness" and "robustness_comparison" of JSON types, each with `attack` and
        `epsilon` in grey levels.
    """
    result = []
    for attack in (None, *experiment.attacks):
        here = found
        if attack is not None:
            here = {
                arm: [predictions.load(folder / f"{attack.name}.npz") for folder in own]
                for arm, own in folders.items()
            }
        facts = {
            "attack": attack.kind if attack else "none",
            "epsilon": attack.epsilon if attack else 0.0,
            "steps": attack.steps if attack else 0,
        }
        for arm, runs in here.items():
            own = evaluation.table(runs, effort, by_group=False)
            result += [
                {"name": "robustness", "arm": arm, **facts, **row}
                for row in own
                if row["metric"] in _METRICS
            ]
        for first, second in experiment.comparisons:
            pair = {"first": first, "second": second}
            result += [
                {"name": "robustness_comparison", **pair, **facts, **row}
                for row in evaluation.comparison(here[first], here[second], effort, by_group=False)
                if row["metric"] in _METRICS
            ]
    return result


def markdown(found: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """Tables of `rows`: arms by strength, one for each metric and attack."""
    from pgan import results

    kept = [row for row in found if row["name"] == "robustness" and _shown(row, found)]
    kinds = [kind for kind in dict.fromkeys(row["attack"] for row in kept) if kind != "none"]
    parts = []
    for metric in _METRICS:
        for kind in kinds:
            own = {
                (row["epsilon"], row["arm"]): row
                for row in kept
                if row["metric"] == metric and row["attack"] in ("none", kind)
            }
            lines = [
                [f"{epsilon:g}", *(evaluation.cell(own[epsilon, arm]) for arm in titles)]
                for epsilon in sorted({epsilon for epsilon, _ in own})
            ]
            table = results.markdown_table(["grey levels", *titles.values()], lines)
            parts.append(f"### {metric} under {kind}\n\n{table}\n")
    return "\n".join(parts)


def _shown(row, found):
    """Whether a row is of the one finding, or of the mean over several."""
    findings = {other["finding"] for other in found}
    return (row["finding"] == evaluation.MEAN) == (len(findings) > 2)


def curves(found: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], list[list[float]]]:
    """{(metric, attack, arm): [strengths, values, lower ends, upper ends]} for the figure."""
    result: dict[tuple[str, str, str], list[list[float]]] = {}
    kept = [row for row in found if row["name"] == "robustness" and _shown(row, found)]
    kinds = [kind for kind in dict.fromkeys(row["attack"] for row in kept) if kind != "none"]
    for row in kept:
        for kind in kinds if row["attack"] == "none" else [row["attack"]]:
            lists = result.setdefault((row["metric"], kind, row["arm"]), [[], [], [], []])
            values = (row["epsilon"], row["value"], row["low"], row["high"])
            for own, value in zip(lists, values, strict=True):
                own.append(np.nan if value is None else value)
    return result
