"""Sample sizes of reader studies: by hand, against SciPy's test, and by simulation."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from classifier import reader_intervals, reader_plan, reader_study, simulated_readers


@pytest.mark.parametrize("images", [5, 6, 20, 37])
def test_what_tells_a_reader_from_a_guesser_is_scipys_test(images):
    few = int(reader_plan.most_wrong(images))
    refused = [
        hits for hits in range(images + 1) if scipy_stats.binomtest(hits, images).pvalue <= 0.05
    ]
    assert refused == [*range(few + 1), *range(images - few, images + 1)]


def test_power_of_a_reader_is_what_simulated_readers_have():
    answers = np.random.default_rng(0).binomial(100, 0.6, 20_000)
    p_values = np.array([scipy_stats.binomtest(hits, 100).pvalue for hits in range(101)])
    found = np.mean(p_values[answers] <= 0.05)
    assert reader_plan.reader_power(0.6, 100) == pytest.approx(found, abs=0.011)
    assert reader_plan.reader_power(0.5, 100) <= 0.05


def test_images_against_guessing_suffice_and_fewer_do_not():
    count = reader_plan.images_against_guessing(0.65, 0.8)
    assert (reader_plan.reader_power(0.65, np.arange(count, count + 200)) >= 0.8).all()
    assert reader_plan.reader_power(0.65, count - 1) < 0.8
    with pytest.raises(ValueError, match="accuracy not 0.5"):
        reader_plan.images_against_guessing(0.5)
    with pytest.raises(ValueError, match="expect a larger difference"):
        reader_plan.images_against_guessing(0.501)


def test_images_for_half_width_by_hand():
    count = reader_plan.images_for_half_width(0.5, 0.1)
    for images, enough in ((count - 1, False), (count, True)):
        low, high = reader_intervals.share_interval(round(0.5 * images), images)
        assert (high - low <= 0.2) == enough
    assert 96 <= count <= 110  # the normal approximation says 97
    with pytest.raises(ValueError, match="half_width must be in"):
        reader_plan.images_for_half_width(0.5, 0.0)


def test_standard_error_of_one_reader_is_the_papers():
    expected = reader_plan.Expected(0.6, reader_sd=0.0, item_correlation=0.3)
    assert reader_plan.group_se(expected, 1, 100) == pytest.approx(np.sqrt(0.6 * 0.4 / 100))


def test_groups_are_as_simulated_ones():
    # What the plan asks for, measured in a population of which it is known.
    population = simulated_readers.Population.of_accuracy(0.65, distance_sd=0.35, item_sd=0.6)
    generator = np.random.default_rng(0)
    readers = population.draw(2000, generator)
    called, _ = readers.judge(np.arange(200) < 100, generator)
    right = called == (np.arange(200) < 100)
    errors = right - readers.truth()["accuracy"][:, np.newaxis]
    products = np.mean(errors.mean(axis=0) ** 2)  # of pairs of different readers, nearly
    expected = reader_plan.Expected(
        0.65, readers.truth()["accuracy"].std(), products / (0.65 * 0.35)
    )
    means, widths, excluded = [], [], []
    for _ in range(300):
        panel = simulated_readers.panel(population.draw(6, generator), ("a",) * 6, 50, generator)
        found = reader_intervals.summary(reader_study.estimates(panel, "accuracy"))
        means.append(found.value)
        widths.append((found.high - found.low) / 2)
        excluded.append(found.low > 0.5)
    assert np.std(means) == pytest.approx(reader_plan.group_se(expected, 6, 100), rel=0.15)
    assert np.mean(widths) == pytest.approx(
        reader_plan.group_half_width(expected, 6, 100), rel=0.15
    )
    assert np.mean(excluded) == pytest.approx(reader_plan.group_power(expected, 6, 100), abs=0.08)


def test_readers_needed():
    expected = reader_plan.Expected(0.6, 0.05, 0.1)
    count = reader_plan.readers_needed(expected, 100, half_width=0.08)
    assert reader_plan.group_half_width(expected, count, 100) <= 0.08
    assert reader_plan.group_half_width(expected, count - 1, 100) > 0.08
    count = reader_plan.readers_needed(expected, 100, wanted=0.9)
    assert reader_plan.group_power(expected, count, 100) >= 0.9
    # Images alone set a limit that no number of readers passes.
    assert reader_plan.readers_needed(reader_plan.Expected(0.6, 0.0, 1.0), 20, 0.1) is None


def test_plan_as_text_and_expectations_that_make_no_sense():
    text = reader_plan.text(reader_plan.Expected())
    assert "| 100    | 4.9                    | 4.9     |" in text
    assert "images to tell it from guessing" in text
    assert "guessing with a power" not in reader_plan.text(reader_plan.Expected(accuracy=0.5))
    for values in ({"accuracy": 1.0}, {"reader_sd": 0.5}, {"item_correlation": -0.1}):
        with pytest.raises(ValueError, match=f"{next(iter(values))} must be in"):
            reader_plan.Expected(**values)
