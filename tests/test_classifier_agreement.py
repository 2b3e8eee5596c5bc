"""Kappas against scikit-learn, definitions by brute force, and simulation."""

import itertools
import math

import numpy as np
import pytest
from sklearn import metrics

from classifier import agreement


def test_cohen_equals_scikit_learn():
    generator = np.random.default_rng(0)
    first = generator.integers(0, 3, 80)
    second = np.where(generator.random(80) < 0.6, first, generator.integers(0, 3, 80))
    found = agreement.cohen_kappa(first, second)
    assert found.value == pytest.approx(metrics.cohen_kappa_score(first, second), abs=1e-12)
    assert found.low < found.value < found.high


def _pairs_of_judges(votes, categories):
    """Fleiss' kappa from its definition: agreeing pairs of judges, and chance from all votes."""
    judges = votes.shape[1]
    pairs = list(itertools.combinations(range(judges), 2))
    observed = np.mean([np.mean(votes[:, i] == votes[:, j]) for i, j in pairs])
    chance = sum(np.mean(votes == k) ** 2 for k in range(categories))
    return (observed - chance) / (1 - chance)


def _counts(votes, categories):
    return np.stack([(votes == k).sum(axis=1) for k in range(categories)], axis=1)


def test_fleiss_equals_its_definition():
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 3, (50, 1))
    votes = np.where(generator.random((50, 4)) < 0.5, truth, generator.integers(0, 3, (50, 4)))
    found = agreement.fleiss_kappa(_counts(votes, 3))
    assert found.value == pytest.approx(_pairs_of_judges(votes, 3), abs=1e-12)


def test_perfect_agreement_and_none_to_speak_of():
    perfect = agreement.fleiss_kappa(np.array([[3, 0], [0, 3], [3, 0]]))
    assert perfect.value == 1.0
    assert math.isnan(agreement.fleiss_kappa(np.array([[3, 0], [3, 0]])).value)
    assert agreement.cohen_kappa(["a", "b"], ["a", "b"]).value == 1.0
    assert math.isnan(agreement.cohen_kappa([1, 1], [1, 1]).value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cohen", "fleiss"])
def test_intervals_cover_and_chance_is_recognised(kind):
    # Judges who know the truth with chance q and guess else agree beyond chance by q^2.
    knows, subjects = 0.7, 150
    judges = 2 if kind == "cohen" else 4

    def kappa(generator, share):
        truth = generator.integers(0, 2, (subjects, 1))
        votes = np.where(
            generator.random((subjects, judges)) < share,
            truth,
            generator.integers(0, 2, (subjects, judges)),
        )
        if kind == "cohen":
            return agreement.cohen_kappa(votes[:, 0], votes[:, 1])
        return agreement.fleiss_kappa(_counts(votes, 2))

    runs = 1000
    found = [kappa(np.random.default_rng(seed), knows) for seed in range(runs)]
    covered = np.mean([k.low <= knows**2 <= k.high for k in found])
    assert 0.93 <= covered <= 0.97
    by_chance = [kappa(np.random.default_rng(seed), 0.0) for seed in range(runs)]
    assert 0.03 <= np.mean([k.p_value < 0.05 for k in by_chance]) <= 0.07


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="same subjects"):
        agreement.cohen_kappa([1, 2], [1])
    with pytest.raises(ValueError, match="same number of judges, at least 2; got 2 to 3"):
        agreement.fleiss_kappa(np.array([[2, 0], [1, 2]]))
