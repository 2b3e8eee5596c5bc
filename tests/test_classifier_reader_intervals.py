"""Intervals of readers and groups: by hand, against SciPy and DeLong, and how often they cover."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from classifier import reader_intervals, reader_study, simulated_readers, stats


def test_share_interval_equals_scipy():
    for hits, count in ((0, 20), (7, 20), (20, 20), (61, 100)):
        wanted = scipy_stats.binomtest(hits, count).proportion_ci(0.95, "exact")
        found = reader_intervals.share_interval(hits, count)
        assert found == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    assert np.isnan(reader_intervals.share_interval(0, 0)).all()


def test_share_interval_and_exact_test_agree_about_guessing():
    synthetic = np.arange(100) < 50
    for hits in range(101):
        low, high = reader_intervals.share_interval(hits, 100)
        p_value = reader_study.guessing_p_value(synthetic, hits)
        assert (low <= 0.5 <= high) == (p_value >= 0.05), hits


def _estimates(right):
    """Of a table of right answers, the first half of the images synthetic."""
    count = right.shape[1] // 2
    shares = np.full(2, 0.5)
    influence = np.concatenate(
        [
            [reader_intervals.influence_of(row, share) for row in half]
            for half, share in zip((right[:, :count], right[:, count:]), shares, strict=True)
        ],
        axis=1,
    )
    counts = np.full(len(right), right.shape[1])
    return reader_intervals.Estimates(right.mean(axis=1), counts, right.shape[1], influence)


_RIGHT = np.array([[1, 1, 0, 1, 0, 0], [1, 0, 0, 1, 1, 0], [1, 1, 1, 1, 1, 0.0]])


def test_summary_by_hand():
    # Variances within halves, by two readers (0, 1): cov(1 1 0, 1 0 0) = 1/6, cov(1 0 0, 1 1 0)
    # likewise; (0, 2) and (1, 2): 0 and cov(1 0 0, 1 1 0) = 1/6, 0 and cov(1 1 0, 1 1 0) = 1/3.
    found = _estimates(_RIGHT)
    pairs = [(1 / 6 + 1 / 6) / 12, (1 / 6) / 12, (1 / 3) / 12]  # over 3 images times 0.5^2
    covariance = found.covariance()
    assert covariance[[0, 0, 1], [1, 2, 2]] == pytest.approx(pairs)
    assert found.values == pytest.approx([3 / 6, 3 / 6, 5 / 6])
    summary = reader_intervals.summary(found)
    assert summary.value == pytest.approx(11 / 18)
    assert summary.sd == pytest.approx(math.sqrt(1 / 27))
    assert summary.se == pytest.approx(math.sqrt(1 / 81))
    variance = 1 / 81 + np.mean(pairs)
    df = variance**2 / ((1 / 81) ** 2 / 2)
    shrink = (scipy_stats.norm.ppf(0.975) / scipy_stats.t.ppf(0.975, df)) ** 2
    decisions = min(11 / 18 * 7 / 18 / variance, 18) * shrink
    low, high = scipy_stats.beta.ppf(
        [0.025, 0.975],
        [11 / 18 * decisions, 11 / 18 * decisions + 1],
        [7 / 18 * decisions + 1, 7 / 18 * decisions],
    )
    assert (summary.low, summary.high) == pytest.approx((low, high))
    assert (summary.readers, summary.images) == (3, 6)


def test_differences_by_hand():
    found = _estimates(_RIGHT)
    between = reader_intervals.group_difference(found, np.array([0, 1]), np.array([2]))
    assert between.value == pytest.approx(1 / 3) and math.isnan(between.low)  # one reader only
    other = _estimates(_RIGHT[:, ::-1])  # the same values, other images
    paired = reader_intervals.mean_difference(found.minus(other))
    assert paired.value == 0.0 and paired.p_value == 1.0
    assert paired.low == pytest.approx(-paired.high)
    # All readers have the same difference, so that images alone make the variance, and z rules.
    covariance = found.covariance() + other.covariance()
    off = (covariance.sum() - np.trace(covariance)) / 6
    variance = max(off, covariance.mean())
    assert paired.high == pytest.approx(scipy_stats.norm.ppf(0.975) * math.sqrt(variance))


def test_without_spread_or_readers_there_is_no_interval():
    perfect = _estimates(np.ones((3, 10)))
    summary = reader_intervals.summary(perfect)
    assert (summary.low, summary.high) == pytest.approx((0.025 ** (1 / 10), 1.0), abs=0.07)
    assert math.isnan(reader_intervals.summary(perfect, share=False).low)
    assert math.isnan(reader_intervals.mean_difference(perfect.minus(perfect)).p_value)
    nobody = perfect.of(np.array([], int))
    assert math.isnan(reader_intervals.summary(nobody).value)
    alone = reader_intervals.summary(perfect.of(np.array([0])))
    assert alone.value == 1.0 and math.isnan(alone.se) and math.isnan(alone.high)
    pair = reader_intervals.summary(_estimates(_RIGHT[1:]))
    assert pair.se == pytest.approx(1 / 6) and math.isnan(pair.low) and pair.readers == 2


def test_covariance_of_aucs_is_delongs():
    readers = simulated_readers.Population(1.5, 0.5).draw(2, np.random.default_rng(0))
    panel = simulated_readers.panel(readers, ("a", "a"), 30, np.random.default_rng(1))
    found = reader_study.estimates(panel, reader_study.AUC)
    scores = reader_study.suspicion(panel)
    wanted = stats.delong(panel.synthetic.astype(float), *scores)
    assert found.values == pytest.approx([wanted.first, wanted.second])
    assert found.covariance() == pytest.approx(wanted.covariance)


def _coverage(population, readers, runs, images=50):
    """Shares of true values within intervals: {metric: (of readers, of groups)}."""
    generator = np.random.default_rng(7)
    truth = population.truth()
    truth[reader_study.AUC] = population.draw(40_000, generator).truth()[reader_study.AUC].mean()
    hits = {metric: ([], []) for metric in truth}
    for _ in range(runs):
        drawn = population.draw(readers, generator)
        own = drawn.truth()
        panel = simulated_readers.panel(drawn, ("a",) * readers, images, generator)
        for metric, (of_readers, of_groups) in hits.items():
            share = metric != reader_study.AUC
            found = reader_study.estimates(panel, metric)
            whole = reader_intervals.summary(found, share)
            of_groups.append(whole.low <= truth[metric] <= whole.high)
            variances = np.diag(found.covariance())
            for number, (value, count) in enumerate(zip(found.values, found.counts, strict=True)):
                low, high = (
                    reader_intervals.share_interval(round(value * count), count)
                    if share
                    else reader_intervals.log_odds_interval(value, variances[number])
                )
                of_readers.append(low <= own[metric][number] <= high)
    return {metric: tuple(map(np.mean, both)) for metric, both in hits.items()}


@pytest.mark.slow
@pytest.mark.parametrize("readers", [3, 6])
@pytest.mark.parametrize(
    "population",
    [
        simulated_readers.Population(0.0, item_sd=0.0),  # all guess
        simulated_readers.Population(0.1, 0.2, -0.2, 0.2, 0.5),
        simulated_readers.Population(0.8, 0.5, -0.2, 0.3, 0.7),
        simulated_readers.Population(2.2, 0.5, -0.2, 0.3, 0.7),
        simulated_readers.Population(3.5, 0.3, 0.0, 0.2, 1.0),  # images that fool everyone
    ],
)
def test_intervals_of_500_studies_cover_the_truth(population, readers):
    for metric, (of_readers, of_groups) in _coverage(population, readers, 500).items():
        # Three standard errors of 500 draws at 95 % are 2.9 points; more than 95 % is no error.
        # Readers of one study share images, so their draws are not more than those of groups.
        lowest = 0.92 if metric != reader_study.AUC else 0.905
        assert of_readers >= lowest, (metric, of_readers)
        assert of_groups >= lowest, (metric, of_groups)


@pytest.mark.slow
def test_differences_of_500_studies_cover_the_truth():
    generator = np.random.default_rng(3)
    first, second = (simulated_readers.Population(d, 0.4, -0.1, 0.2, 0.6) for d in (0.6, 1.8))
    gain = second.truth()["accuracy"] - first.truth()["accuracy"]
    between, paired, refused = [], [], []
    for _ in range(500):
        one, other = first.draw(6, generator), second.draw(3, generator)
        mixed = simulated_readers.Readers(
            np.concatenate([one.distance[:3], other.distance]),
            np.concatenate([one.criterion[:3], other.criterion]),
            one.item_sd,
        )
        panel = simulated_readers.panel(mixed, ("a",) * 3 + ("b",) * 3, 50, generator)
        found = reader_intervals.group_difference(
            reader_study.estimates(panel, "accuracy"), panel.of_group("a"), panel.of_group("b")
        )
        between.append(found.low <= gain <= found.high)
        panels = [simulated_readers.panel(one, ("a",) * 6, 50, generator) for _ in range(2)]
        at_first, at_second = (reader_study.estimates(p, "accuracy") for p in panels)
        same = reader_intervals.mean_difference(at_second.minus(at_first))
        paired.append(same.low <= 0.0 <= same.high)
        refused.append(same.p_value < 0.05)
    assert min(np.mean(between), np.mean(paired)) >= 0.92
    assert np.mean(refused) <= 0.08
