"""Scores on disk."""

import dataclasses

import numpy as np
import pytest

from classifier import predictions


def _make(count=4):
    generator = np.random.default_rng(0)
    return predictions.Predictions(
        ("Mass", "Edema"),
        np.array([[1, np.nan]] * count, np.float32),
        generator.random((count, 2)).astype(np.float32),
        np.array([0.5, np.nan]),
        [f"image{i}" for i in range(count)],
        [f"patient{i // 2}" for i in range(count)],
        {"sex": ["F", ""] * (count // 2)},
        {"arm": "real", "seed": 1},
    )


def test_round_trip(tmp_path):
    made = _make()
    predictions.save(made, tmp_path / "a" / "predictions.npz")
    found = predictions.load(tmp_path / "a" / "predictions.npz")
    for field in dataclasses.fields(made):
        old, new = getattr(made, field.name), getattr(found, field.name)
        if isinstance(old, np.ndarray):
            np.testing.assert_array_equal(old, new)
        else:
            assert old == new, field.name
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["predictions.npz"]
    assert made.same_images(found)
    assert not made.same_images(_make(2))
    # Of the same images with other labels, as of another reading of uncertain ones, neither.
    flipped = dataclasses.replace(made, labels=1 - made.labels)
    assert not made.same_images(flipped)


def test_broken_scores_shapes_and_files_are_refused(tmp_path):
    made = _make()
    scores = made.scores.copy()
    scores[1, 0] = np.nan
    with pytest.raises(ValueError, match="the scores of 1 of 4 images are not finite"):
        dataclasses.replace(made, scores=scores)
    with pytest.raises(ValueError, match="have scores"):
        dataclasses.replace(made, scores=made.scores[:2])
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="bad.npz holds no predictions"):
        predictions.load(tmp_path / "bad.npz")
    with pytest.raises(FileNotFoundError):
        predictions.load(tmp_path / "none.npz")
