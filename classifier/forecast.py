"""What an experiment would train and could show, before anything is trained."""

import numpy as np

from classifier import experiment_plan, power, training_sets
from pgan import results

# Two classifiers that judge the same images tend to err on the same ones. How much is not known
# beforehand; 0.5 is a guess that is told with the numbers.
CORRELATION = 0.5


def text(
    plan: experiment_plan.Plan, inputs: training_sets.Inputs, auc: float, difference: float
) -> str:
    """Training images of each arm, models, and the differences that the test images can show.

    Args:
        plan: The experiment.
        inputs: The files that play its roles.
        auc: To be expected.
        difference: Of the AUC that is hoped for.

    Raises:
        ValueError: If images of an arm cannot be had, or the test images do not suffice or were
            trained on.
    """
    experiment, findings = plan.experiment, plan.findings(inputs)
    test = training_sets.test_images(experiment, inputs, plan.settings.resolution, findings, 0)
    plan.check(inputs, experiment.recipes)
    arms = []
    for recipe in experiment.recipes:
        counts = {
            synthetic: sum(part.total for part in recipe.parts if part.synthetic == synthetic)
            for synthetic in (False, True)
        }
        arms.append([recipe.name, recipe.title, f"{counts[False]:,}", f"{counts[True]:,}"])
    lines = []
    for column, finding in enumerate(findings):
        labels = test.labels[:, column]
        positives, negatives = int(np.nansum(labels)), int((labels < 0.5).sum())
        cells = ["not defined"] * 3
        if positives and negatives:
            least = power.detectable_auc_difference(auc, positives, negatives, CORRELATION)
            ratio = negatives / positives
            cells = [
                f"{power.hanley_mcneil_sd(auc, positives, negatives):.3f}",
                f"{least:.3f}",
                f"{power.auc_sample_size(auc, difference, ratio, CORRELATION):,}",
            ]
        lines.append([finding, f"{positives:,}", f"{negatives:,}", *cells])
    models = len(plan.seeds) * len(experiment.recipes)
    return "\n".join(
        [
            f"{experiment.name}: {models} models ({len(plan.seeds)} seeds), "
            f"{plan.settings.resolution} px",
            "",
            results.markdown_table(["arm", "", "real images", "synthetic images"], arms),
            "",
            f"{len(test):,} test images of {len(set(test.patients)):,} patients. With an AUC of "
            f"{auc:g}, for two classifiers on the same images (their estimates correlated by "
            f"{CORRELATION:g}), a two-sided test at 0.05 and a power of 80 %:",
            "",
            results.markdown_table(
                [
                    "finding", "positives", "negatives", "SD of an AUC", "least difference",
                    f"positives for {difference:g}",
                ],
                lines,
            ),
            "",
            "Images of one patient say less than as many patients. Means over seeds do not make "
            "test images more, but they take away what differs from training to training.",
        ]
    )  # fmt: skip
