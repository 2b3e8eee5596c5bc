"""Hand-computed averages and server steps."""

import dataclasses

import numpy as np
import pytest
import tiny_federations

from federated import averaging


def arrays(*values):
    return [np.array(value, np.float32) for value in values]


A, B, C = arrays([1.0, 2.0], [[4.0]]), arrays([3.0, 6.0], [[0.0]]), arrays([11.0, -5.0], [[2.0]])


def check(result, *expected):
    assert [a.dtype for a in result] == [np.float32] * len(expected)
    for got, wanted in zip(result, expected, strict=True):
        np.testing.assert_allclose(got, np.array(wanted), rtol=1e-6)


def test_weighted_mean():
    check(averaging.weighted_mean([A, B], [1, 3]), [2.5, 5.0], [[1.0]])
    check(averaging.weighted_mean([A, B], [7, 7]), [2.0, 4.0], [[2.0]])


def test_robust_means():
    check(averaging.median([A, B, C]), [3.0, 2.0], [[2.0]])
    check(averaging.median([A, B]), [2.0, 4.0], [[2.0]])
    check(averaging.trimmed_mean([A, B, C], 0.1), [3.0, 2.0], [[2.0]])
    check(averaging.trimmed_mean([A, B, C], 0.0), [5.0, 1.0], [[2.0]])
    check(averaging.trimmed_mean([A, B], 0.4), [2.0, 4.0], [[2.0]])
    five = [arrays([value]) for value in (100.0, 1.0, 2.0, 6.0, -50.0)]
    check(averaging.trimmed_mean(five, 0.2), [3.0])
    check(averaging.trimmed_mean(five, 0.21), [2.0])


def test_combine_follows_the_setting():
    def combine(aggregation):
        chosen = tiny_federations.settings(aggregation=aggregation)
        return averaging.combine([A, B, C], [1, 3, 4], chosen)

    check(combine("weighted_mean"), [54 / 8, 0.0], [[12 / 8]])
    check(combine("mean"), [5.0, 1.0], [[2.0]])
    check(combine("median"), [3.0, 2.0], [[2.0]])
    check(combine("trimmed_mean"), [3.0, 2.0], [[2.0]])


def test_norm_and_clipping():
    update = arrays([3.0], [[0.0, 4.0]])
    assert averaging.norm(update) == 5.0
    clipped, changed = averaging.clip(update, 2.5)
    assert changed
    check(clipped, [1.5], [[0.0, 2.0]])
    for limit in (5.0, 0.0):
        same, changed = averaging.clip(update, limit)
        assert not changed
        check(same, [3.0], [[0.0, 4.0]])
    assert averaging.norm(arrays([1e30])) == pytest.approx(1e30)
    assert not np.isfinite(averaging.norm(arrays([1.0, np.nan])))


def test_plain_server_step():
    chosen = tiny_federations.settings(server_learning_rate=0.5)
    moments = averaging.initial_moments(A, chosen)
    assert moments == []
    weights, moments = averaging.server_step(A, B, moments, chosen)
    check(weights, [2.5, 5.0], [[4.0]])
    assert moments == []


def test_fedadam():
    chosen = tiny_federations.settings(
        server_optimizer="adam", server_learning_rate=0.1, server_beta1=0.9, server_beta2=0.99,
        server_tau=0.01,
    )  # fmt: skip
    weights, update = arrays([1.0]), arrays([2.0])
    moments = averaging.initial_moments(weights, chosen)
    check(moments, [0.0], [1e-4])
    m, v, x = 0.0, 1e-4, 1.0
    for _ in range(2):
        weights, moments = averaging.server_step(weights, update, moments, chosen)
        m, v = 0.9 * m + 0.1 * 2.0, 0.99 * v + 0.01 * 4.0
        x += 0.1 * m / (v**0.5 + 0.01)
    check(weights, [x])
    check(moments, [m], [v])
    assert x == pytest.approx(1.0 + 0.0952 + 0.1304, abs=1e-3)


def test_a_step_with_the_mean_is_federated_averaging():
    """The mean of the clients' weights is the old weights plus the mean update."""
    chosen = dataclasses.replace(tiny_federations.settings())
    update = averaging.combine([A, B], [1, 3], chosen)
    weights, _ = averaging.server_step(C, update, [], chosen)
    trained = [[w + u for w, u in zip(C, update_, strict=True)] for update_ in (A, B)]
    check(weights, *averaging.weighted_mean(trained, [1, 3]))
