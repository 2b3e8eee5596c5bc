"""The report of an experiment, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from classifier import evaluation, experiment_plan, predictions
from pgan import results


def text(
    plan: experiment_plan.Plan,
    rows: Sequence[Mapping[str, Any]],
    found: Mapping[str, Sequence[predictions.Predictions]],
) -> str:
    """The report: what was trained on what, metrics of each arm, differences.

    Args:
        plan: What was run.
        rows: Of results.jsonl.
        found: Runs by arm.

    Returns:
        Markdown.
    """
    experiment = plan.experiment
    seeds = ", ".join(map(str, plan.seeds))
    test = next(iter(found.values()))[0]
    patients = len(set(test.patients))
    asked = f" of {' or '.join(experiment.test_classes)}" if experiment.test_classes else ""
    named = plan.settings.weights in ("imagenet", "random")
    weights = plan.settings.weights if named else "a file's"  # whose path is nobody's business
    parts = [
        f"# {experiment.name}: {experiment.figure}\n",
        f"DenseNet-121 from {weights} weights on {plan.settings.resolution} px, seeds {seeds}; "
        f"{len(test.image_ids):,} test images{asked} of {patients:,} patients. Values are means "
        f"over the seeds with 95 % intervals of {plan.effort.redraws:,} redraws of patients; "
        f"p values by {plan.effort.permutations:,} exchanges of patients' predictions, after "
        "Holm's correction over the findings of a metric, and not corrected for the number of "
        "metrics, groups and pairs of arms (AUC and average precision: exchanges of the ranks that "
        "images have with each classifier). Nothing of this is given where fewer than "
        f"{evaluation.FEWEST} patients have the finding or do not. Intervals and p values are "
        "about patients, for the classifiers as they were trained; how trainings differ is said "
        "beside them.\n",
        _unchecked_text(test.about.get("unchecked_generators")),
        f"{_arms_table(experiment, found)}\n",
    ]
    for recipe in experiment.recipes:
        own = [r for r in rows if r["name"] == "classifier" and r["arm"] == recipe.name]
        parts += [f"## {recipe.name}: {recipe.title}\n", f"{evaluation.markdown(own)}\n"]
    for first, second in experiment.comparisons:
        own = [r for r in rows if r["name"] == "comparison"]
        own = [r for r in own if (r["first"], r["second"]) == (first, second)]
        parts += [f"## {second} minus {first}\n", f"{evaluation.markdown(own)}\n"]
        parts += [_seeds_text(own), _groups_text(own)]
    return "\n".join(parts)


def _unchecked_text(names):
    if not names:
        return ""
    return (
        "**Not checked: whether patients of the test images were trained on by "
        f"{', '.join(names)}, of which no record set was given.**\n"
    )


def _arms_table(experiment, found):
    """What each arm was trained and validated on, of the first seed, and for how long."""
    lines = []
    for recipe in experiment.recipes:
        runs = found[recipe.name]
        about = runs[0].about
        texts = [
            "; ".join(f"{number:,} {what}" for what, number in about[key].items())
            for key in ("composition", "validation")
        ]
        shown = "; ".join(f"{name} {count:,}" for name, count in about["positives"].items())
        epochs = ", ".join(f"{run.about['best_epoch']} of {run.about['epochs']}" for run in runs)
        lines.append([recipe.name, *texts, shown, epochs])
    header = [
        "arm",
        "training images",
        "validation images",
        "of each finding",
        "epoch judged, of those trained",
    ]
    return results.markdown_table(header, lines)


def _main_rows(rows, metric):
    """Of one metric: those of the one finding, or of the mean over several."""
    rows = [row for row in rows if row["metric"] == metric]
    findings = list(dict.fromkeys(row["finding"] for row in rows))
    shown = findings[0] if len(findings) == 2 else evaluation.MEAN
    return [row for row in rows if row["finding"] == shown]


def _seeds_text(rows):
    row = next(r for r in _main_rows(rows, "auc") if r["group"] == evaluation.ALL)
    if row["seed_sd"] is None:
        return ""
    each = ", ".join("not defined" if v is None else f"{v:+.3f}" for v in row["each"])
    return (
        f"From training to training: the difference of the AUC ({row['finding']}) was {each}, SD "
        f"{row['seed_sd']:.3f}.\n"
    )


def _groups_text(rows):
    rows = [row for row in _main_rows(rows, "auc") if row["group"] != evaluation.ALL]
    lines = [[row["group"], f"{row['images']:,}", evaluation.cell(row)] for row in rows]
    if not rows:
        return ""
    header = ["group", "images", f"difference of the AUC ({rows[0]['finding']})"]
    return f"{results.markdown_table(header, lines)}\n"
