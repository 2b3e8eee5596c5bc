"""Resampling by patient: redraws against scikit-learn, intervals and p values against theory."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import metrics

from classifier import resampling, stats

_AUC = resampling.METRICS.index("auc")


def _images(seed, count=200, patients=60, findings=3, ties=True):
    generator = np.random.default_rng(seed)
    labels = (generator.random((count, findings)) < 0.3).astype(float)
    scores = 1 / (1 + np.exp(-generator.normal(labels - 0.5)))
    if ties:
        scores = np.round(scores, 2)
    return labels, scores, generator.integers(0, patients, count)


def _expected(labels, scores, threshold, weights):
    called = scores >= threshold
    kwargs = {"sample_weight": weights}
    return {
        "auc": metrics.roc_auc_score(labels, scores, **kwargs),
        "average_precision": metrics.average_precision_score(labels, scores, **kwargs),
        "accuracy": metrics.accuracy_score(labels, called, **kwargs),
        "sensitivity": metrics.recall_score(labels, called, **kwargs),
        "specificity": metrics.recall_score(labels, called, pos_label=0, **kwargs),
        "ppv": metrics.precision_score(labels, called, **kwargs),
        "npv": metrics.precision_score(labels, called, pos_label=0, **kwargs),
        "f1": metrics.f1_score(labels, called, **kwargs),
        "brier": metrics.brier_score_loss(labels, scores, **kwargs),
    }


@pytest.mark.parametrize("ties", [False, True])
def test_reweighed_metrics_equal_scikit_learn(ties):
    labels, scores, patients = _images(1, ties=ties)
    thresholds = np.array([0.3, 0.4, 0.5])
    cases = resampling.Cases(labels, scores, patients, thresholds)
    weights = np.random.default_rng(2).integers(0, 4, (60, 5)).astype(float)
    found = cases.evaluate(weights)
    assert found.shape == (len(resampling.METRICS), 3, 5)
    for b in range(5):
        of_images = weights[patients, b]
        for k in range(3):
            kept = of_images > 0  # an image that was not drawn is not there
            expected = _expected(labels[kept, k], scores[kept, k], thresholds[k], of_images[kept])
            for i, name in enumerate(resampling.METRICS):
                assert found[i, k, b] == pytest.approx(expected[name], abs=1e-12), (name, k, b)


def test_unweighted_metrics_equal_the_point_statistics():
    labels, scores, patients = _images(3)
    labels[:40, 1] = np.nan
    found = resampling.Cases(labels, scores, patients, np.full(3, 0.4)).evaluate(np.ones((60, 1)))
    for k in range(3):
        point = {
            "auc": stats.roc_auc(labels[:, k], scores[:, k]),
            "average_precision": stats.average_precision(labels[:, k], scores[:, k]),
            **stats.decisions(labels[:, k], scores[:, k], 0.4),
        }
        for name, value in point.items():
            i = resampling.METRICS.index(name)
            assert found[i, k, 0] == pytest.approx(value, abs=1e-12), name


def test_findings_without_positives_thresholds_and_probabilities():
    labels, scores, patients = _images(4)
    labels[:, 0] = 0
    scores[:, 1] *= 3.0
    cases = resampling.Cases(labels, scores, patients, np.array([0.4, np.nan, 0.4]), 60)
    found = dict(zip(resampling.METRICS, cases.evaluate(np.ones((60, 1)))[..., 0], strict=True))
    assert np.isnan(found["auc"]).tolist() == [True, False, False]
    assert np.isnan(found["sensitivity"]).tolist() == [True, True, False]
    assert np.isnan(found["specificity"]).tolist() == [False, True, False]
    assert np.isnan(found["brier"]).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="not finite"):
        resampling.Cases(labels, scores * np.nan, patients, np.full(3, 0.5))


def test_bootstrap_draws_patients_and_not_images():
    # One patient has half of the images: his draws decide, and the spread is far wider.
    labels, scores, patients = _images(5)
    patients[:100] = 0
    wide, narrow = (
        resampling.bootstrap(
            resampling.Cases(labels, scores, units, np.full(3, 0.4)).evaluate,
            int(units.max()) + 1,
            np.random.default_rng(0),
            redraws=500,
        )
        for units in (patients, np.arange(200))
    )
    np.testing.assert_allclose(wide.estimate, narrow.estimate, atol=1e-12)
    accuracy = resampling.METRICS.index("accuracy")
    assert (wide.sd[accuracy] > narrow.sd[accuracy]).all()


def test_bootstrap_is_the_same_for_any_chunk():
    labels, scores, patients = _images(6)
    cases = resampling.Cases(labels, scores, patients, np.full(3, 0.4))
    first, second = (
        resampling.bootstrap(cases.evaluate, 60, np.random.default_rng(1), redraws=100, chunk=chunk)
        for chunk in (7, 100)
    )
    for name in ("sd", "low", "high", "bca_low", "bca_high"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=1e-12)


def test_bca_and_percentile_intervals_equal_scipy():
    # The weighted mean, for which SciPy has both; the same draws are not possible, many are.
    values = np.random.default_rng(7).exponential(size=40)

    def mean(weights):
        return (values @ weights / weights.sum(axis=0))[np.newaxis]

    found = resampling.bootstrap(mean, 40, np.random.default_rng(1), redraws=40_000)
    for method, low, high in (
        ("percentile", found.low, found.high),
        ("BCa", found.bca_low, found.bca_high),
    ):
        theirs = scipy_stats.bootstrap(
            (values,), np.mean, n_resamples=40_000, method=method, random_state=2
        ).confidence_interval
        width = theirs.high - theirs.low
        assert low[0] == pytest.approx(theirs.low, abs=0.02 * width), method
        assert high[0] == pytest.approx(theirs.high, abs=0.02 * width), method


def _pair(seed, effect, count=150):
    """Two classifiers of the same images, the second better by the effect."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((count, 1)) < 0.4).astype(float)
    shared = generator.normal(size=(count, 1))
    first, second = (
        1 / (1 + np.exp(-(gain * labels + shared + generator.normal(size=(count, 1)))))
        for gain in (1.0, 1.0 + effect)
    )
    return labels, first, second, np.arange(count) // 2


def test_exchange_of_predictions_equals_a_plain_loop():
    labels, first, second, patients = _pair(1, 0.5, count=40)
    thresholds = (np.array([0.4]), np.array([0.6]))
    units, count = resampling.by_patient(patients)
    exchange = resampling._Exchange(labels, first, second, units, count, thresholds)
    exchanged = np.random.default_rng(3).integers(0, 2, (count, 6)).astype(float)
    found = exchange.difference(exchanged)
    for b in range(6):
        moved = exchanged[units, b] == 1
        arms, ranked = (
            [np.where(moved, b, a), np.where(moved, a, b)]
            for a, b in (
                (first[:, 0], second[:, 0]),
                (scipy_stats.rankdata(first), scipy_stats.rankdata(second)),
            )
        )
        cuts = [np.where(moved, 0.6, 0.4), np.where(moved, 0.4, 0.6)]
        aucs = [metrics.roc_auc_score(labels[:, 0], arm) for arm in ranked]
        assert found[_AUC, 0, b] == pytest.approx(aucs[1] - aucs[0], abs=1e-12)
        brier = [metrics.brier_score_loss(labels[:, 0], arm) for arm in arms]
        i = resampling.METRICS.index("brier")
        assert found[i, 0, b] == pytest.approx(brier[1] - brier[0], abs=1e-12)
        called = [arm >= cut for arm, cut in zip(arms, cuts, strict=True)]
        accuracy = [metrics.accuracy_score(labels[:, 0], call) for call in called]
        i = resampling.METRICS.index("accuracy")
        assert found[i, 0, b] == pytest.approx(accuracy[1] - accuracy[0], abs=1e-12)


def test_comparison_sees_an_effect_and_not_its_absence():
    thresholds = ([np.array([0.5])], [np.array([0.5])])
    arguments = (thresholds, np.random.default_rng(1), 500, 999)
    labels, first, second, patients = _pair(2, 2.0)
    strong = resampling.compare(labels, [first], [second], patients, *arguments)
    assert strong.p_value[_AUC, 0] == 1 / 1000
    assert 0 < strong.interval.low[_AUC, 0] < strong.difference[_AUC, 0]
    same = resampling.compare(labels, [first], [first], patients, *arguments)
    assert same.p_value[_AUC, 0] == 1.0
    assert same.difference[_AUC, 0] == 0.0


def test_p_values_of_ranking_do_not_depend_on_the_scale_of_the_scores():
    labels, first, second, patients = _pair(4, 0.8)
    labels[::7] = np.nan
    none = ([np.array([np.nan])],) * 2
    p_values = [
        resampling.compare(
            labels, [first], [other], patients, none, np.random.default_rng(1), 1, 999
        ).p_value[:, 0]
        for other in (second, second**4)
    ]
    for name in ("auc", "average_precision"):
        i = resampling.METRICS.index(name)
        assert p_values[0][i] == p_values[1][i] < 0.2
    brier = resampling.METRICS.index("brier")
    assert p_values[0][brier] != p_values[1][brier]


@pytest.mark.slow
def test_intervals_cover_and_p_values_are_uniform_as_often_as_they_say():
    # 300 patients of 2 images each; the true AUC of unit normals one apart is known.
    truth = scipy_stats.norm.cdf(1 / math.sqrt(2))
    covered = {"percentile": 0, "bca": 0}
    small, simulations = 0, 2000
    for seed in range(simulations):
        generator = np.random.default_rng(1000 + seed)
        labels = np.repeat(generator.random(300) < 0.5, 2).astype(float)[:, np.newaxis]
        own = np.sqrt(0.5) * np.repeat(generator.normal(size=(300, 1)), 2, axis=0)
        first, second = (
            labels + own + np.sqrt(0.5) * generator.normal(size=(600, 1)) for _ in range(2)
        )
        patients = np.arange(600) // 2
        cases = resampling.Cases(labels, first, patients, np.array([np.nan]))
        found = resampling.bootstrap(cases.evaluate, 300, generator, redraws=1000)
        covered["percentile"] += found.low[_AUC, 0] <= truth <= found.high[_AUC, 0]
        covered["bca"] += found.bca_low[_AUC, 0] <= truth <= found.bca_high[_AUC, 0]
        none = ([np.array([np.nan])],) * 2
        test = resampling.compare(labels, [first], [second], patients, none, generator, 1, 199)
        small += test.p_value[_AUC, 0] <= 0.05
    for name, count in covered.items():
        assert 0.93 <= count / simulations <= 0.97, name
    assert 0.03 <= small / simulations <= 0.07
