"""What an experiment runs."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from classifier import config, evaluation, recipes, training_sets


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        experiment: Arms, test images, comparisons.
        settings: Of the classifiers; their seed is that of the run.
        seeds: One run of each arm for each.
        real_validation: Whether all arms are validated on all real images of the validation fold
            that the question is about, as in the paper; else each on a fifth as many images of its
            own recipe.
        effort: How thoroughly is resampled.
    """

    experiment: recipes.Experiment
    settings: config.ClassifierConfig
    seeds: tuple[int, ...]
    real_validation: bool
    effort: evaluation.Effort

    def findings(self, inputs: training_sets.Inputs) -> tuple[str, ...]:
        """Vocabulary of the classifiers."""
        return self.experiment.findings or inputs.local.findings

    @property
    def real_classes(self) -> tuple[str, ...] | None:
        """As `training_sets.validation_images` takes them."""
        return self.experiment.classes if self.real_validation else None

    def check(self, inputs: training_sets.Inputs, arms: Sequence[recipes.Recipe]) -> None:
        """Refuses arms whose images cannot be had, before anything is drawn or trained.

        Args:
            inputs: The files that play the roles.
            arms: Which. What is lacking does not depend on the seed, so the first is tried.

        Raises:
            ValueError: With the arm, what was wanted and what came.
        """
        findings = self.findings(inputs)
        for arm in arms:
            try:
                training_sets.check(
                    arm, inputs, self.settings.resolution, findings, self.seeds[0],
                    self.real_classes,
                )  # fmt: skip
            except ValueError as error:
                raise ValueError(f"for the arm {arm.name!r}: {error}") from None

    def describe(self, inputs: training_sets.Inputs) -> dict[str, Any]:
        """JSON types that tell this run from another."""
        return json.loads(
            json.dumps(
                {
                    "experiment": dataclasses.asdict(self.experiment),
                    "settings": {
                        k: v for k, v in self.settings.to_dict().items() if k != "strategy"
                    },
                    # With its classes, which validation had not always been of.
                    "real_validation": list(self.real_classes or ()) or self.real_validation,
                    "local": inputs.local.fingerprint,
                    "folds": {fold: inputs.local.fold_fingerprint(fold) for fold in inputs.folds},
                    "generators": {
                        role: site.generator.fingerprint for role, site in inputs.sites.items()
                    },
                }
            )
        )
