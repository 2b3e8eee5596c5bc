"""Expected times, windows of statistics."""

import numpy as np
import pytest
import tensorflow as tf

from pgan import arithmetic, config, monitor, schedule

_NETWORK = config.NetworkConfig(resolution=16, fmap_base=256, fmap_max=16)


def test_unknown_resolutions_scale_by_arithmetic_from_the_nearest_known():
    rates = monitor.RateBook(_NETWORK)
    assert rates.seconds_per_image(8) is None
    rates.note(4, 0.001)
    rates.note(8, 0.01)
    assert rates.seconds_per_image(8) == 0.01
    ratio = arithmetic.step_flops(_NETWORK, 4) / arithmetic.step_flops(_NETWORK, 3)
    assert rates.seconds_per_image(16) == pytest.approx(0.01 * ratio)


def test_remaining_time_sums_what_is_left_of_each_phase():
    settings = config.ScheduleConfig(stage_kimg="1", fade_kimg="2", total_kimg=7, batch_sizes="4")
    plan = schedule.build(settings, 16)
    rates = monitor.RateBook(_NETWORK)
    assert rates.remaining(plan, 0) is None
    for size, seconds in ((4, 1.0), (8, 10.0), (16, 100.0)):
        rates.note(size, seconds)
    # 4 px to 1000, 8 px to 4000, 16 px to 7000 images.
    assert rates.remaining(plan, 0) == pytest.approx(1000 + 30_000 + 300_000)
    assert rates.remaining(plan, 3500) == pytest.approx(5000 + 300_000)
    assert rates.remaining(plan, 7000) == 0


def test_window_averages_values_and_sums_skipped_steps():
    window = monitor.Window(("a/loss", "a/skipped"))
    assert window.rate is None
    window.add(tf.constant([1.0, 1.0]), 8)
    window.add(tf.constant([3.0, 1.0]), 8)
    assert window.values() == {"a/loss": 2.0, "a/skipped": 2.0}
    assert (window.steps, window.images) == (2, 16)
    assert window.rate > 0
    window.restart_clock()
    assert window.rate is None
    window.add(tf.constant([np.nan, 0.0]), 8)
    assert np.isnan(window.values()["a/loss"])


def test_live_line_says_where_the_run_is(capsys):
    settings = config.ScheduleConfig(stage_kimg="1", fade_kimg="2", total_kimg=7, batch_sizes="4")
    plan = schedule.build(settings, 16)
    line = monitor.LiveLine(plan, 0)
    line.update(plan.phase_at(2000), 2000, 100.0, 90.0, {"D": 1.5, "G": -2.0})
    line.close()
    shown = capsys.readouterr().err
    for part in ("8 px fade", "alpha 0.50", "2.00k/7.00k", "100 img/s", "00:10", "01:30", "D 1.5"):
        assert part in shown, part


def test_time_book_tells_shares_and_leaves_the_rest_to_the_steps(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(monitor.time, "monotonic", lambda: now[0])
    book = monitor.TimeBook()
    now[0] = 60.0
    with book.spent_on("ticks"):
        now[0] += 10.0
    book.add("compiling", 20.0)
    with book.spent_on("ticks"):
        now[0] += 30.0
    assert str(book) == "100 s: steps 40 s (40.0%), ticks 40 s (40.0%), compiling 20 s (20.0%)"
