"""Adam against NumPy, skipped steps, loss scale, reset, moving average."""

import numpy as np
import pytest
import tensorflow as tf

from pgan import optimizer


def _make(dynamic=False):
    variable = tf.Variable([1.0, -2.0])
    return variable, optimizer.Adam([variable], 0.5, 0.9, 1e-8, dynamic_loss_scale=dynamic)


def test_three_steps_equal_numpy():
    variable, adam = _make()
    value, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t, gradient in enumerate([[1.0, 2.0], [-0.5, 0.1], [3.0, 0.0]], start=1):
        gradient = np.array(gradient)
        m = 0.5 * m + 0.5 * gradient
        v = 0.9 * v + 0.1 * gradient**2
        rate = 0.01 * np.sqrt(1 - 0.9**t) / (1 - 0.5**t)
        value = value - rate * m / (np.sqrt(v) + 1e-8)
        norm, skipped = adam.apply(
            [tf.constant(gradient, tf.float32)], [variable], tf.constant(0.01)
        )
        assert float(norm) == pytest.approx(np.linalg.norm(gradient), rel=1e-6)
        assert float(skipped) == 0.0
    np.testing.assert_allclose(variable.numpy(), value, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_that_is_not_finite_leaves_no_trace_but_its_count(bad):
    variable, adam = _make()
    adam.apply([tf.constant([1.0, 1.0])], [variable], tf.constant(0.01))
    before = [x.numpy().copy() for x in (variable, adam.m[0], adam.v[0], adam.step)]
    norm, skipped = adam.apply([tf.constant([1.0, bad])], [variable], tf.constant(0.01))
    for old, new in zip(before, (variable, adam.m[0], adam.v[0], adam.step), strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert not np.isfinite(float(norm))
    assert float(skipped) == 1.0
    assert int(adam.skipped) == 1


def test_loss_scale_divides_gradients_halves_on_overflow_and_grows(monkeypatch):
    monkeypatch.setattr(optimizer, "SCALE_GROWTH_STEPS", 2)
    variable, adam = _make(dynamic=True)
    scale = float(adam.loss_scale)
    assert scale == 2.0**15
    norm, _ = adam.apply([tf.constant([3.0 * scale, 4.0 * scale])], [variable], tf.constant(0.01))
    assert float(norm) == pytest.approx(5.0)
    adam.apply([tf.constant([np.inf, 0.0])], [variable], tf.constant(0.01))
    assert float(adam.loss_scale) == scale / 2
    for _ in range(2):
        adam.apply([tf.constant([1.0, 1.0])], [variable], tf.constant(0.01))
    assert float(adam.loss_scale) == scale


def test_reset_forgets_moments_and_keeps_counters():
    variable, adam = _make()
    adam.apply([tf.constant([1.0, 1.0])], [variable], tf.constant(0.01))
    adam.apply([tf.constant([np.nan, 1.0])], [variable], tf.constant(0.01))
    adam.reset()
    assert int(adam.step) == 0
    assert int(adam.skipped) == 1
    np.testing.assert_array_equal(adam.v[0].numpy(), [0.0, 0.0])


def test_moving_average():
    average, value = tf.Variable([1.0]), tf.Variable([3.0])
    optimizer.update_average([average], [value], 0.75)
    np.testing.assert_allclose(average.numpy(), [0.75 * 1.0 + 0.25 * 3.0])
