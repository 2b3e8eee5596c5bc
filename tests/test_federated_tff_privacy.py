"""Privacy in TFF's rounds: the client's own, and that of clients by TFF's aggregator."""

import dataclasses

import numpy as np
import pytest
import tiny_federations

from federated import averaging, config, rounds

tff = pytest.importorskip("tensorflow_federated")

from federated import tff_privacy, tff_process, tff_workers  # noqa: E402

# About as many weights as both tiny networks have.
_TYPE = tff.to_type([(np.float32, (2000,)), (np.float32, ())])


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    with tff_workers.local_worker(tmp_path_factory.mktemp("tff") / "worker.log") as worker:
        yield worker


def _settings(**changes):
    private = {
        "engine": config.TFF, "aggregation": "mean", "clip_norm": 1.0,
        "client_dp_noise_multiplier": 0.5,
    }  # fmt: skip
    return tiny_federations.settings(**{**private, **changes})


def _aggregate(context, chosen, updates, count=1):
    """Results and states of some rounds with the same updates."""
    results, states = [], []
    with tff.framework.get_context_stack().install(context):
        process = tff_privacy.mean_factory(chosen, len(updates)).create(_TYPE)
        state = process.initialize()
        for _ in range(count):
            output = process.next(state, updates)
            state = output.state
            results.append([np.asarray(part) for part in output.result])
            states.append(state)
    return results, states


def test_updates_are_clipped_and_get_noise(context):
    updates = [
        [np.full(2000, 10.0, np.float32), np.float32(0)],
        [np.zeros(2000, np.float32), np.float32(0.5)],
    ]
    results, _ = _aggregate(context, _settings(), updates, count=4)
    long = np.stack([result[0] for result in results])
    # The first has norm 1 after clipping: 1 / sqrt(2000) an entry, and half of that in the mean.
    noise = long - 0.5 / np.sqrt(2000)
    assert noise.std() == pytest.approx(0.5 * 1.0 / 2, rel=5 / np.sqrt(2 * noise.size))
    assert abs(noise.mean()) < 5 * 0.25 / np.sqrt(noise.size)
    assert np.abs(np.corrcoef(noise)[np.triu_indices(4, 1)]).max() < 5.5 / np.sqrt(2000)


def test_the_event_that_tff_reports_is_the_one_that_is_accounted(context):
    import dp_accounting

    updates = [[np.zeros(2000, np.float32), np.float32(0)]] * 2
    _, states = _aggregate(context, _settings(), updates)
    event = dp_accounting.DpEvent.from_named_tuple(states[0].dp_event)
    assert event == dp_accounting.GaussianDpEvent(0.5)


def test_an_adaptive_norm_costs_what_is_accounted(context):
    """The noisy count of the clipped is paid for by more noise on the sum, in every round."""
    import dp_accounting

    def epsilon(event):
        return dp_accounting.rdp.RdpAccountant().compose(event).get_epsilon(1e-3)

    chosen = _settings(client_dp_clipping="adaptive")
    updates = [[np.full(2000, 0.01, np.float32), np.float32(0)]] * 2
    _, states = _aggregate(context, chosen, updates, count=3)
    accounted = dp_accounting.GaussianDpEvent(chosen.client_dp_noise_multiplier)
    for state in states:
        event = dp_accounting.DpEvent.from_named_tuple(state.dp_event)
        assert epsilon(event) == pytest.approx(epsilon(accounted), rel=1e-4)
        of_sum, of_count = event.events
        assert of_sum.noise_multiplier > 1.1 * accounted.noise_multiplier
        assert np.isfinite(of_count.noise_multiplier)


def test_an_adaptive_norm_moves_to_the_median(context):
    chosen = _settings(client_dp_clipping="adaptive", clip_norm=100.0)
    updates = [[np.full(2000, 0.01, np.float32), np.float32(0)]] * 2
    _, states = _aggregate(context, chosen, updates, count=40)
    clips = [float(state.query_state.numerator_state.sum_state.l2_norm_clip) for state in states]
    assert clips[-1] < 0.5 * clips[0]


@pytest.mark.slow
def test_rounds_of_private_clients_and_a_norm_that_goes_on(context):
    chosen = _settings(client_dp_clipping="adaptive", clip_norm=50.0)
    engine = tff_process.TffRounds(chosen, context)
    weights, moments = _start(chosen)
    participants = [
        rounds.Participant(n, f"client_{n:02d}", tiny_federations.make_batches(chosen, 0, n))
        for n in (0, 2)
    ]
    lengths = []
    for number in range(6):
        outcome = engine.run(weights, moments, participants, number)
        change = averaging.norm(
            [a - b for a, b in zip(outcome.weights, rounds.flat(weights), strict=True)]
        )
        lengths.append(change)
        assert all("clipped" not in row for row in outcome.clients)
    # Noise follows the norm down.
    assert lengths[-1] < lengths[0]


def _start(chosen):
    weights = rounds.InProcess(chosen).trainer.initial_weights()
    return weights, averaging.initial_moments(rounds.flat(weights), chosen)


@pytest.mark.slow
def test_private_images_give_what_this_process_gives(context):
    """As in test_federated_tff_process.py; with the same secret, for the test."""
    chosen = tiny_federations.private_settings()
    weights, moments = _start(chosen)
    participants = [
        rounds.Participant(
            n, f"client_{n:02d}", tiny_federations.make_private_batches(chosen, 0, n)
        )
        for n in (0, 2)
    ]
    first = rounds.InProcess(chosen).run(weights, moments, participants, 0)
    other = dataclasses.replace(chosen, engine=config.TFF)
    second = tff_process.TffRounds(other, context).run(weights, moments, participants, 0)
    for a, b, old in zip(first.weights, second.weights, rounds.flat(weights), strict=True):
        assert np.abs(a - old).max() > 1e-4
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4)
    assert [row.keys() for row in first.clients] == [row.keys() for row in second.clients]
    assert first.means == pytest.approx(second.means, rel=1e-3, abs=1e-4)
