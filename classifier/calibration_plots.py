"""Reliability curves of an experiment's classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from classifier import calibration, plots, predictions
from pgan.plots import COLOURS, FONT_SIZE

if TYPE_CHECKING:
    from matplotlib import figure


def reliability_curves(
    found: Mapping[str, Sequence[predictions.Predictions]], titles: Mapping[str, str]
) -> figure.Figure:
    """Draws observed frequencies against probabilities in 15 bins, a part for each finding.

    Args:
        found: Predictions of test images by arm; the bins hold those of all its runs.
        titles: Of the arms.

    Returns:
        The figure; the size of a point grows with the images of its bin.
    """
    from matplotlib import rc_context

    findings = next(iter(found.values()))[0].findings
    with rc_context({"font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE + 1}):
        drawing, parts = plots.parts_of_findings(findings)
        for k, part in enumerate(parts):
            for colour, (arm, runs) in zip(COLOURS, found.items(), strict=False):
                curve = calibration.reliability(
                    np.concatenate([run.labels[:, k] for run in runs]),
                    np.concatenate([run.scores[:, k] for run in runs]),
                )
                sizes = 4 + 60 * curve.counts / max(curve.counts.sum(), 1)
                part.plot(curve.predicted, curve.observed, color=colour, lw=1.0, label=titles[arm])
                part.scatter(curve.predicted, curve.observed, s=sizes, color=colour)
            part.set_xlabel("probability")
            part.set_ylabel("share of positives")
        parts[0].legend(frameon=False, fontsize=FONT_SIZE - 1, loc="upper left")
        return drawing
