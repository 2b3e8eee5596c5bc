"""What an experiment runs."""

import dataclasses
import json
from typing import Any

from classifier import config, evaluation, recipes, training_sets


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        experiment: Arms, test images, comparisons.
        settings: Of the classifiers; their seed is that of the run.
        seeds: One run of each arm for each.
        real_validation: Whether all arms are validated on the whole real validation fold, as in
            the paper; else each on a fifth as many images of its own recipe.
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
                    "folds": {fold: inputs.local.fold_fingerprint(fold) for fold in inputs.folds},
                    "generators": {
                        role: site.generator.fingerprint for role, site in inputs.sites.items()
                    },
                }
            )
        )
