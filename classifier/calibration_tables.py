"""Calibration of an experiment's classifiers, from predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from classifier import calibration, predictions
from pgan import results

_NOTE = (
    "ECE and Brier score of the test images, as they are and after dividing log odds by a "
    "temperature that was fitted on the arm's validation images. Where the share of positives in "
    "training and test differs, probabilities are off by that alone, and a temperature does not "
    "mend it."
)


def rows(
    found: Mapping[str, Sequence[predictions.Predictions]],
    validation: Mapping[str, Sequence[predictions.Predictions]],
) -> list[dict[str, Any]]:
    """How far probabilities are from frequencies, means over the runs of each arm.

    Args:
        found: Predictions of test images by arm, one for each run.
        validation: Those of validation images, in the same order.

    Returns:
        JSON rows for each arm and finding; values are None where a finding has no positives or no
        negatives.
    """
    table = []
    for arm, runs in found.items():
        for k, finding in enumerate(runs[0].findings):
            each = [
                _values(run, held_out, k)
                for run, held_out in zip(runs, validation[arm], strict=True)
            ]
            means = {name: _mean(name, [one[name] for one in each]) for name in each[0]}
            table.append(
                {
                    "name": "calibration",
                    "arm": arm,
                    "finding": finding,
                    **{name: None if np.isnan(v) else v for name, v in means.items()},
                    "test_share": float(np.nanmean(runs[0].labels[:, k])),
                    "validation_share": float(np.nanmean(validation[arm][0].labels[:, k])),
                    "runs": len(runs),
                }
            )
    return table


def _values(run, held_out, k):
    labels, scores = run.labels[:, k], run.scores[:, k]
    temperature = calibration.fit_temperature(held_out.labels[:, k], held_out.scores[:, k])
    scaled = calibration.apply_temperature(scores, temperature)
    values = {"temperature": temperature}
    for suffix, probabilities in (("", scores), ("_scaled", scaled)):
        if np.isnan(probabilities).any():
            error = brier = np.nan
        else:
            error = calibration.reliability(labels, probabilities).expected_error
            brier = calibration.brier_score(labels, probabilities)
        values |= {f"ece{suffix}": error, f"brier{suffix}": brier}
    return values


def markdown(table: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """A section of the report: the note and a table."""
    names = ("ece", "ece_scaled", "brier", "brier_scaled", "temperature")
    lines = [
        [
            titles[row["arm"]], row["finding"],
            *("not defined" if row[name] is None else f"{row[name]:.3f}" for name in names),
            f"{row['validation_share']:.2f}", f"{row['test_share']:.2f}",
        ]
        for row in table
    ]  # fmt: skip
    header = ["arm", "finding", "ECE", "scaled", "Brier", "scaled", "temperature"]
    header += ["positive in validation", "in test"]
    return f"## Calibration\n\n{_NOTE}\n\n{results.markdown_table(header, lines)}\n"


def _mean(name, values):
    """Over the runs; of temperatures, which are factors, the geometric one."""
    if name == "temperature":
        return float(np.exp(np.mean(np.log(values))))
    return float(np.mean(values))
