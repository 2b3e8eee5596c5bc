import re

import numpy as np
import pytest

from pgan import measurements
from pgan.metrics import features, frechet, kernel


def _images(count, side=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), np.uint8)


def _collect(images, seed=0):
    extractor = features.FixedExtractor()
    return measurements.collect([images[:7], images[7:]], extractor, images.shape[1], seed)


def _compare(count, side):
    found, reference = (_collect(_images(count, side, seed)) for seed in (0, 1))
    return measurements.compare(found, reference, features.FixedExtractor(), side, 0)


_TITLES = {
    "Kernel distance": "kd",
    "Precision and recall": "pr",
    "Density and coverage": "dc",
    "Sliced Wasserstein distance": "swd",
    "Spectra": "spectrum",
}


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 20])
@pytest.mark.parametrize("side", [16, 24, 17])
def test_what_is_not_measured_is_said(count, side):
    measured = {re.match("[a-z]+", row["metric"])[0] for row in _compare(count, side)}
    sentences = measurements.left_out(count, side)
    said = {_TITLES[s.split(":")[0]] for s in sentences if not s.startswith("Peaks")}
    assert measured | said == {"fd", *_TITLES.values()}
    assert measured & said == set()
    peaks = [s for s in sentences if s.startswith("Peaks")]
    assert bool(peaks) == (count < 16 and side % 2 == 0)


def test_names_hold_the_counts_that_were_compared(monkeypatch):
    monkeypatch.setattr(measurements, "FEATURES_KEPT", 12)
    names = [row["metric"] for row in _compare(20, 16)]
    assert names[0] == "fd20_fixed" and names[1] == "kd12_m6_fixed"
    assert "pr12_k3_fixed_precision" in names and "swd20_grey_16px" in names


def test_features_of_chosen_images_have_the_setting_in_their_names():
    extractor = features.FixedExtractor()
    found, reference = (extractor(_images(30, seed=seed)) for seed in (0, 1))
    rows = measurements.compare_features(found, reference, extractor, 3, "Pleural_Thickening")
    assert [row["metric"] for row in rows] == [
        "fd30_Pleural_Thickening_fixed",
        "kd30_m15_Pleural_Thickening_fixed",
    ]
    wanted = frechet.distance(frechet.statistics(found), frechet.statistics(reference))
    assert rows[0]["value"] == pytest.approx(wanted, rel=1e-12)
    rng = np.random.default_rng([3, 1])
    assert rows[1]["value"] == kernel.kid(reference, found, subset_size=15, rng=rng)[0]
    few = measurements.compare_features(found[:3], reference[:3], extractor, 3, "Mass")
    assert [row["metric"] for row in few] == ["fd3_Mass_fixed"]


def test_too_small_images_are_refused():
    measurements.require_size(16, "gan")
    with pytest.raises(ValueError, match="gan has images of 8 px; 16 px are the fewest"):
        measurements.require_size(8, "gan")


def test_features_that_are_not_finite_are_refused():
    class Broken(features.FixedExtractor):
        def __call__(self, images):
            return super().__call__(images) * np.nan

    with pytest.raises(ValueError, match="not finite"):
        measurements.collect([_images(4)], Broken(), 16, 0)
