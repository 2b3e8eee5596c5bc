"""Correlations beside SciPy's, their intervals in simulations, blocks, doses, comparisons."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.cluster import hierarchy
from scipy.spatial import distance

from classifier import correlation, correlation_files, resampling

_PAPER_ORDER = [
    "Cardiomegaly", "Atelectasis", "Emphysema", "Pneumothorax", "Hernia", "Fibrosis",
    "Pleural Thickening", "Mass", "Nodule", "Edema", "Infiltration", "Pneumonia", "Consolidation",
    "Effusion",
]  # fmt: skip


def _sigmoid(values):
    return 1.0 / (1.0 + np.exp(-values))


def _independent(x, noise):
    return _sigmoid(-4.0 + 1.5 * noise)


def _spreading(x, noise):
    """The stronger, the more the probabilities differ."""
    return _sigmoid(-5.0 + 4.0 * x + noise * (1.0 + 2.0 * x))


def _saturating(x, noise):
    return _sigmoid(-4.0 + 8.0 * x + noise)


def _rarely_high(x, noise):
    return _sigmoid(-9.0 + 3.0 * x + 2.5 * noise)


def _draws(kind, count, rng):
    x = rng.random(count)
    return x, kind(x, rng.standard_normal(count))[:, np.newaxis]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_those_of_scipy(dtype):
    rng = np.random.default_rng(1)
    x = rng.random(500).astype(dtype)
    scores = np.stack(
        [
            _spreading(x, rng.standard_normal(500)),
            1e-6 * rng.random(500) + 0.9,
            1.0 - x + 0.01 * rng.random(500),
            (rng.random(500) < 0.01) * 1.0,
        ],
        axis=1,
    ).astype(dtype)
    found = correlation.correlate(x, scores)
    wanted = [
        scipy_stats.pearsonr(x.astype(np.float64), column.astype(np.float64))[0]
        for column in scores.T
    ]
    np.testing.assert_allclose(found.value, wanted, rtol=0, atol=1e-12)
    assert (found.low < found.value).all() and (found.value < found.high).all()
    assert (np.abs(found.low) < 1).all() and (np.abs(found.high) < 1).all()


def test_constant_probabilities_have_no_correlation_and_exact_lines_no_width():
    x = np.linspace(0.1, 0.9, 41)
    scores = np.stack([np.full(41, np.float32(0.1)), 0.2 + 0.5 * x, 0.9 - 0.5 * x], axis=1)
    found = correlation.correlate(x, scores)
    for ends in (found.value, found.low, found.high):
        assert math.isnan(ends[0])
        np.testing.assert_allclose(ends[1:], [1.0, -1.0], atol=1e-12)


@pytest.mark.parametrize("kind", [_independent, _spreading, _saturating, _rarely_high])
def test_intervals_cover_as_often_as_they_say(kind):
    rng = np.random.default_rng(2)
    x, y = _draws(kind, 500_000, rng)
    true = np.corrcoef(x, y[:, 0])[0, 1]
    repeats, outputs, count = 60, 40, 400
    hits, of_fisher = [], []
    for _ in range(repeats):
        x = rng.random(count)
        scores = kind(x[:, np.newaxis], rng.standard_normal((count, outputs)))
        found = correlation.correlate(x, scores)
        hits.append((found.low <= true) & (true <= found.high))
        z = np.arctanh(found.value) - math.atanh(true)
        of_fisher.append(np.abs(z) <= 1.96 / math.sqrt(count - 3))
    # The tails of rare high probabilities are not all in 400 images.
    assert (0.90 if kind is _rarely_high else 0.925) <= np.mean(hits) <= 0.97
    if kind is _spreading:  # What Fisher's standard error is worth here.
        assert np.mean(of_fisher) > 0.97


def test_one_image_that_differs_tells_nothing():
    x = np.linspace(0.0, 1.0, 50)
    found = correlation.correlate(x, (np.arange(50) == 40).astype(float)[:, np.newaxis])
    assert 0 < found.value[0] < 0.2
    np.testing.assert_allclose([found.low[0], found.high[0]], [-1.0, 1.0], atol=1e-6)


def test_intervals_agree_with_a_bootstrap():
    rng = np.random.default_rng(3)
    x, y = _draws(_spreading, 800, rng)
    found = correlation.correlate(x, y)

    def evaluate(weights):
        weights = weights / weights.sum(axis=0)
        mean, other = x @ weights, y[:, 0] @ weights
        product = (x * y[:, 0]) @ weights - mean * other
        spread = ((x**2) @ weights - mean**2) * ((y[:, 0] ** 2) @ weights - other**2)
        return (product / np.sqrt(spread))[np.newaxis]

    redrawn = resampling.bootstrap(evaluate, 800, rng, redraws=2000)
    width = found.high[0] - found.low[0]
    assert abs(redrawn.bca_low[0] - found.low[0]) < 0.1 * width
    assert abs(redrawn.bca_high[0] - found.high[0]) < 0.1 * width


@pytest.mark.parametrize(
    ("strengths", "scores", "message"),
    [
        (np.arange(4.0), np.zeros((3, 2)), r"got \(4,\) and \(3, 2\)"),
        (np.arange(4.0), np.zeros(4), r"strengths \[N\] and scores \[N, L\] are needed"),
        (np.arange(2.0), np.zeros((2, 2)), "needs 3 images, got 2"),
        (np.arange(4.0), np.full((4, 1), np.nan), "not finite"),
        (np.array([0.0, 1.0, np.inf]), np.zeros((3, 1)), "not finite"),
        (np.full(4, 0.5), np.zeros((4, 1)), "all strengths are 0.5"),
    ],
)
def test_what_has_no_correlation_is_refused(strengths, scores, message):
    with pytest.raises(ValueError, match=message):
        correlation.correlate(strengths, scores)


def test_order_and_blocks_of_the_papers_matrix():
    matrix = correlation_files.of_the_paper()
    found = correlation.cluster(matrix)
    assert [matrix.findings[column] for column in found.order] == _PAPER_ORDER
    assert [[matrix.findings[column] for column in block] for block in found.blocks] == [
        _PAPER_ORDER[:1], _PAPER_ORDER[1:2], _PAPER_ORDER[2:4], _PAPER_ORDER[4:7],
        _PAPER_ORDER[7:9], _PAPER_ORDER[9:],
    ]  # fmt: skip


def test_clustering_is_scipys_average_linkage_of_columns():
    rng = np.random.default_rng(4)
    values = rng.uniform(-1, 1, (5, 7))
    names = tuple("abcdefg")
    found = correlation.cluster(correlation.Matrix(tuple("abcde"), names, values), 3)
    apart = [distance.euclidean(values[:, i], values[:, j]) for i in range(7) for j in range(i)]
    wanted = hierarchy.linkage(distance.pdist(values.T), "average")
    assert np.isclose(wanted[0, 2], min(apart))
    np.testing.assert_allclose(found.linkage, wanted, atol=1e-12)
    assert list(found.order) == hierarchy.leaves_list(wanted).tolist()
    assert len(found.blocks) == 3 and [c for b in found.blocks for c in b] == list(found.order)
    # Between the third last merge and the second last there are three groups.
    groups = hierarchy.fcluster(wanted, wanted[-3:-1, 2].mean(), "distance")
    assert {frozenset(np.flatnonzero(groups == g).tolist()) for g in (1, 2, 3)} == {
        frozenset(block) for block in found.blocks
    }


def test_undefined_rows_are_left_out_of_the_grouping_only():
    values = np.array([[0.9, 0.8, -0.5], [np.nan, 0.1, 0.0], [0.1, 0.2, 0.7]])
    matrix = correlation.Matrix(("A", "B", "C"), ("A", "B", "C"), values)
    found = correlation.cluster(matrix, 2)
    assert found.outputs_left_out == (1,)
    assert {frozenset(block) for block in found.blocks} == {frozenset({0, 1}), frozenset({2})}
    assert sorted(found.rows(matrix)) == [0, 1, 2]
    assert correlation.cluster(correlation.Matrix(("A",), ("A", "B"), values[1:2, :2])) is None
    assert correlation.cluster(correlation.Matrix(("A", "C"), ("A",), values[::2, :1])) is None
    few = correlation.cluster(correlation.Matrix(("A", "C"), ("A", "B"), values[::2, :2]), 6)
    assert len(few.blocks) == 2


def test_rows_follow_the_columns_of_another_vocabulary():
    values = np.array([[0.1, 0.9, 0.8], [0.7, 0.0, 0.1], [0.2, 0.3, 0.2], [0.0, 0.6, 0.7]])
    outputs, findings = (
        ("Effusion", "Mass", "Hernia", "Edema"),
        ("Mass", "Pleural Effusion", "Edema"),
    )
    matrix = correlation.Matrix(outputs, findings, values)
    assert matrix.diagonal() == {0: 1, 1: 0, 2: 3}
    found = correlation.cluster(matrix, 2)
    rows = found.rows(matrix)
    assert rows[:3] == [matrix.diagonal()[column] for column in found.order] and rows[3] == 2


def test_planted_dependence_is_found():
    rng = np.random.default_rng(5)
    # Finding 0 brings output 1 with it; findings 2 and 3 look alike; 4 is not drawn at all.
    moved = np.zeros((5, 5))  # output, finding
    moved[[0, 1, 2, 3, 2, 3, 1], [0, 0, 2, 3, 3, 2, 1]] = [3, 2, 3, 3, 3, 3, 3]
    columns = []
    for finding in range(5):
        x = rng.random(600)
        logits = -3.0 + np.outer(x, moved[:, finding]) + 0.7 * rng.standard_normal((600, 5))
        columns.append(correlation.correlate(x, _sigmoid(logits)))
    values = np.stack([own.value for own in columns], axis=1)
    low = np.stack([own.low for own in columns], axis=1)
    assert (low[moved > 0] > 0.3).all()
    assert np.abs(values[moved == 0]).max() < 0.2
    names = tuple("abcde")
    found = correlation.cluster(correlation.Matrix(names, names, values), 4)
    assert frozenset({2, 3}) in {frozenset(block) for block in found.blocks}


def test_dose_response_by_hand():
    scores = np.array(
        [[[0.1, 0.5], [0.3, 0.5]], [[0.2, 0.5], [0.4, 0.4]], [[0.5, 0.5], [0.6, 0.3]]]
    )
    found = correlation.dose_response(scores)
    np.testing.assert_allclose(found.mean, [[0.2, 0.5], [0.3, 0.45], [0.55, 0.4]])
    np.testing.assert_allclose(found.error[0], [0.1, 0.0], atol=1e-12)
    np.testing.assert_allclose(found.change, [0.35, -0.1])
    # Differences 0.4 and 0.3: standard error 0.05, Student's t of one degree of freedom 12.706.
    np.testing.assert_allclose(found.change_low[0], 0.35 - 12.7062 * 0.05, atol=1e-5)
    np.testing.assert_allclose(found.change_high[0], 0.35 + 12.7062 * 0.05, atol=1e-5)
    np.testing.assert_allclose(found.rising, [1.0, 0.25])  # equal once, falling once
    for bad, message in ((scores[:1], "at least 2 levels"), (scores[0], "at least 2 levels")):
        with pytest.raises(ValueError, match=message):
            correlation.dose_response(bad)
    with pytest.raises(ValueError, match="not finite"):
        correlation.dose_response(np.where(scores == 0.3, np.nan, scores))


def test_matrices_are_compared_in_the_cells_that_both_have():
    own = correlation.Matrix(
        ("Mass", "Pleural Effusion", "Edema"),
        ("Mass", "Edema", "Hernia", "Effusion"),
        np.array([[0.9, 0.1, 0.3, 0.2], [0.2, 0.3, 0.0, 0.5], [0.0, 0.7, 0.0, np.nan]]),
    )
    other = correlation.Matrix(
        ("Edema", "Effusion", "Mass"),
        ("Edema", "Mass", "Effusion"),
        np.array([[0.8, 0.1, 0.4], [0.1, 0.2, 0.4], [0.1, 0.7, 0.2]]),
    )
    found = correlation.compare(own, other)
    # Diagonal: mass .9 and .7, edema .7 and .8, effusion .5 and .4.
    assert (found["diagonal"].cells, found["off diagonal"].cells, found["all"].cells) == (3, 5, 8)
    assert found["diagonal"].rank_correlation == pytest.approx(0.5)
    assert found["diagonal"].mean_difference == pytest.approx((0.2 + 0.1 + 0.1) / 3)
    assert found["all"].mean_difference == pytest.approx((0.4 + 0.0 + 0.0 + 0.0 + 0.2 + 0.1) / 8)
    nothing = correlation.compare(
        own, correlation.Matrix(("Nodule",), ("Nodule",), np.ones((1, 1)))
    )
    assert nothing["all"].cells == 0 and math.isnan(nothing["all"].mean_difference)
    assert math.isnan(nothing["diagonal"].rank_correlation)


def test_names_have_to_fit():
    with pytest.raises(ValueError, match=r"2 outputs and 1 findings do not name .* \[1, 2\]"):
        correlation.Matrix(("A", "B"), ("A",), np.zeros((1, 2)))
