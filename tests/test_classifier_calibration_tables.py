"""Tables of calibration: temperatures of validation images mend what they can."""

import numpy as np
import pytest
from scipy import special

from classifier import calibration, calibration_plots, calibration_tables, predictions


def _make(seed, too_sure, count=4000, name="Mass"):
    generator = np.random.default_rng(seed)
    log_odds = generator.normal(0.0, 1.5, (count, 1))
    labels = (generator.random((count, 1)) < special.expit(log_odds)).astype(np.float32)
    return predictions.Predictions(
        (name,), labels, special.expit(too_sure * log_odds).astype(np.float32), np.array([0.5]),
        [f"image{i}" for i in range(count)], [f"patient{i}" for i in range(count)], {}, {},
    )  # fmt: skip


def test_a_temperature_of_the_validation_images_mends_a_classifier_that_is_too_sure():
    found = {"sure": [_make(1, 3.0), _make(2, 3.0)], "right": [_make(3, 1.0)]}
    validation = {"sure": [_make(4, 3.0), _make(5, 3.0)], "right": [_make(6, 1.0)]}
    sure, right = calibration_tables.rows(found, validation)
    assert (sure["arm"], sure["runs"], right["arm"]) == ("sure", 2, "right")
    assert sure["temperature"] == pytest.approx(3.0, rel=0.1)
    assert right["temperature"] == pytest.approx(1.0, rel=0.1)
    assert sure["ece"] > 0.1 and sure["ece_scaled"] < 0.03 and right["ece"] < 0.03
    assert sure["brier_scaled"] < sure["brier"]
    first = found["sure"][0]
    scaled = calibration.apply_temperature(
        first.scores[:, 0],
        calibration.fit_temperature(
            validation["sure"][0].labels[:, 0], validation["sure"][0].scores[:, 0]
        ),
    )
    alone = calibration_tables.rows({"sure": [first]}, {"sure": validation["sure"][:1]})[0]
    assert alone["brier_scaled"] == calibration.brier_score(first.labels[:, 0], scaled)
    assert alone["test_share"] == pytest.approx(first.labels.mean())
    titles = {"sure": "too sure", "right": "as it is"}
    assert "| too sure |" in calibration_tables.markdown([sure, right], titles)
    drawing = calibration_plots.reliability_curves(found, titles)
    lines = [line for line in drawing.axes[0].lines if line.get_label() in titles.values()]
    pooled = np.concatenate([run.scores for run in found["sure"]])
    assert len(lines) == 2 and lines[0].get_xdata().min() < 0.07 < pooled.max()


def test_without_positives_nothing_is_scaled():
    empty = _make(1, 1.0)
    empty.labels[:] = 0
    (row,) = calibration_tables.rows({"a": [_make(2, 1.0)]}, {"a": [empty]})
    assert row["temperature"] is None and row["ece_scaled"] is None and row["ece"] is not None
    assert "not defined" in calibration_tables.markdown([row], {"a": "an arm"})
