"""Accounting against closed forms and dp-accounting itself; draws; the ledger."""

import json
import math
import types

import numpy as np
import pytest
import tiny_federations
from scipy import integrate, stats

from federated import config, privacy, private_simulation

pytest.importorskip("dp_accounting")


def _gaussian_delta(epsilon, sigma):
    """Exact delta of the Gaussian mechanism, theorem 8 of Balle & Wang 2018, arXiv:1805.06530."""
    shift = epsilon * sigma
    return stats.norm.cdf(0.5 / sigma - shift) - math.exp(epsilon) * stats.norm.cdf(
        -0.5 / sigma - shift
    )


@pytest.mark.parametrize("sigma, steps", [(1.0, 1), (3.0, 4), (8.0, 50)])
def test_without_sampling_epsilon_is_the_gaussian_one(sigma, steps):
    """Steps with all images are one of noise sigma / sqrt(steps)."""
    epsilon = privacy.example_epsilon(sigma, 1.0, steps, 1e-5)
    assert _gaussian_delta(epsilon, sigma / math.sqrt(steps)) == pytest.approx(1e-5, rel=0.02)


def test_one_subsampled_step_is_that_of_its_two_densities():
    """Both hockey-stick divergences between N(0, s^2) and its mixture with N(1, s^2)."""
    sigma, rate, delta = 0.8, 0.1, 1e-4
    epsilon = privacy.example_epsilon(sigma, rate, 1, delta)
    assert max(_divergences(epsilon, sigma, [(1.0, 0.0, rate)])) == pytest.approx(delta, rel=0.02)


def _divergences(epsilon, sigma, others):
    """Both ways between a step with an image of gradient 1, and one without.

    Args:
        epsilon: Its exponential is the order.
        sigma: Noise.
        others: Cases of (probability, sum of the others' gradients, probability of the image).
    """

    def without(x):
        return sum(p * stats.norm.pdf(x, shift, sigma) for p, shift, _ in others)

    def with_image(x):
        return sum(
            p
            * (q * stats.norm.pdf(x, shift + 1, sigma) + (1 - q) * stats.norm.pdf(x, shift, sigma))
            for p, shift, q in others
        )

    grid = np.linspace(-15.0, 15.0, 60_001)
    a, b = with_image(grid), without(grid)
    return [
        integrate.trapezoid(np.maximum(first - math.exp(epsilon) * second, 0.0), grid)
        for first, second in ((a, b), (b, a))
    ]


@pytest.mark.parametrize("others", [(1.0, 1.0, 1.0), (-1.0, 0.5, 1.0), (0.0, -1.0, 1.0)])
def test_drawing_again_costs_nothing(others):
    """Three other images, two slots: each divergence is at most that without a limit."""
    sigma, rate, most = 0.7, 0.3, 2
    cases, accepted = [], 0.0
    for members in np.ndindex(2, 2, 2):
        others_drawn = sum(members)
        probability = rate**others_drawn * (1 - rate) ** (3 - others_drawn)
        room = others_drawn < most
        if others_drawn <= most:
            # With the image or without it; the former only if there is room.
            weight = probability * (1.0 if room else 1 - rate)
            cases.append((weight, float(np.dot(members, others)), rate if room else 0.0))
            accepted += weight
    cases = [(weight / accepted, shift, q) for weight, shift, q in cases]
    for epsilon in (0.0, 0.2, 0.5, 1.0, 2.0):
        limited = _divergences(epsilon, sigma, cases)
        free = _divergences(epsilon, sigma, [(1.0, 0.0, rate)])
        for ours, bound in zip(limited, free, strict=True):
            assert ours <= bound + 1e-6


@pytest.mark.parametrize("noise", [1.0, 0.4])
def test_epsilon_is_that_of_dp_accounting(noise):
    import dp_accounting
    from dp_accounting import pld, rdp

    ours = privacy.example_epsilon(noise, 0.032, 100, 1e-5)
    event = dp_accounting.PoissonSampledDpEvent(0.032, dp_accounting.GaussianDpEvent(noise))
    loose = rdp.RdpAccountant().compose(event, 100).get_epsilon(1e-5)
    if noise < 0.5:
        assert ours == pytest.approx(loose)
    else:
        tight = pld.PLDAccountant().compose(event, 100).get_epsilon(1e-5)
        assert ours == pytest.approx(tight) and ours < loose


def test_epsilon_of_nothing_and_without_noise():
    assert privacy.example_epsilon(1.0, 0.1, 0, 1e-5) == 0.0
    assert privacy.example_epsilon(0.0, 0.1, 1, 1e-5) == math.inf
    assert privacy.client_epsilon(1.0, 20, 2, 0, 1e-3) == 0.0
    assert privacy.client_epsilon(0.0, 20, 2, 1, 1e-3) == math.inf


def test_clients_of_whom_all_take_part():
    """A Gaussian mechanism of sensitivity 2; Renyi divergences are a little above the exact."""
    epsilon = privacy.client_epsilon(8.0, 20, 20, 1, 1e-3)
    exact = _gaussian_delta(epsilon, 4.0)
    assert exact < 1e-3 < _gaussian_delta(0.75 * epsilon, 4.0)
    # Few of twenty help, and more rounds cost.
    few = [privacy.client_epsilon(8.0, 20, 2, rounds, 1e-3) for rounds in (1, 30, 300)]
    assert few[0] < epsilon and few[0] < few[1] < few[2]


def test_twenty_clients_have_no_useful_epsilon():
    """The numbers that the documentation gives."""
    epsilons = [
        privacy.client_epsilon(noise, 20, 2, rounds, 1e-3)
        for noise in (1.0, 8.0)
        for rounds in (30, 300)
    ]
    assert epsilons == pytest.approx([27.7, 227, 0.817, 3.11], rel=0.01)


def test_slots_are_rarely_too_few():
    for size in (1, 4, 32, 100):
        assert stats.poisson.sf(privacy.slots(size), size) <= 1e-6
        assert stats.poisson.sf(privacy.slots(size) - 1, size) > 1e-6
    # The binomial tail is below that of Poisson.
    assert stats.binom.sf(privacy.slots(32), 1000, 0.032) < 1e-6


def test_every_image_is_drawn_on_its_own():
    generator = np.random.default_rng(1)
    drawn = np.zeros((20_000, 8))
    for row in drawn:
        row[privacy.draw_members(generator, 8, 0.25, 8)] = 1.0
    # Five standard errors: sqrt(0.25 * 0.75 / 20000) = 0.0031, of pairs 0.0017.
    np.testing.assert_allclose(drawn.mean(axis=0), 0.25, atol=0.0155)
    pairs = (drawn.T @ drawn / len(drawn))[np.triu_indices(8, 1)]
    np.testing.assert_allclose(pairs, 0.0625, atol=0.0086)
    sizes = np.bincount(drawn.sum(axis=1).astype(int), minlength=9) / len(drawn)
    np.testing.assert_allclose(sizes, stats.binom.pmf(range(9), 8, 0.25), atol=0.018)


def test_draws_of_too_many_are_repeated():
    generator = np.random.default_rng(1)
    sizes = [len(privacy.draw_members(generator, 5, 0.5, 2)) for _ in range(20_000)]
    expected = stats.binom.pmf(range(3), 5, 0.5)
    shares = np.bincount(sizes) / len(sizes)
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.018)
    assert len(privacy.draw_members(generator, 3, privacy.sampling_rate(4, 3), 9)) == 3


def test_secrets_come_from_the_operating_system_unless_for_a_test():
    secret = tiny_federations.private_settings(dp_test_seed=-1)
    draws = [privacy.secret_generator(secret, 0, 0).integers(2**62) for _ in range(2)]
    assert draws[0] != draws[1]
    test = tiny_federations.private_settings()
    draws = [privacy.secret_generator(test, *key).integers(2**62) for key in ((0, 0), (0, 0))]
    assert draws[0] == draws[1]
    others = [privacy.secret_generator(test, *key).integers(2**62) for key in ((1, 0), (0, 1))]
    assert len({draws[0], *others}) == 3


def test_the_ledger_goes_on_and_adds_up(tmp_path):
    chosen = tiny_federations.private_settings()
    path = tmp_path / "privacy.json"
    ledger = privacy.Ledger(chosen, path)
    assert ledger.spent("north", 40)["privacy/epsilon"] == 0.0
    for name in ("north", "south", "north"):
        ledger.count(name)
    assert json.loads(path.read_text()) == {"north": 2, "south": 1}
    again = privacy.Ledger(chosen, path)
    spent = again.spent("north", 40)
    # 2 x 2 steps of 4 in 40 images an answer.
    assert spent == {
        "privacy/answers": 2.0,
        "privacy/epsilon_answer": privacy.example_epsilon(1.0, 0.1, 4, 1e-5),
        "privacy/epsilon": privacy.example_epsilon(1.0, 0.1, 8, 1e-5),
        "privacy/delta": 1e-5,
    }
    assert 0 < spent["privacy/epsilon_answer"] < spent["privacy/epsilon"]
    assert again.spent("south", 40)["privacy/epsilon"] == spent["privacy/epsilon_answer"]
    assert again.spent("south", 400)["privacy/epsilon"] < spent["privacy/epsilon_answer"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"dp_clip_norm": -1.0}, "--dp_clip_norm must not be negative, got -1.0"),
        ({"dp_noise_multiplier": math.inf}, "--dp_noise_multiplier must not be negative, got inf"),
        ({"dp_delta": 0.0}, r"--dp_delta must be in \(0, 1\), got 0.0"),
        ({"dp_test_seed": -2}, "--dp_test_seed must be from -1"),
        ({"dp_label_prior": "much"}, "--dp_label_prior wants a share .* got 'much'"),
        ({"dp_label_prior": "0.1,0.2,0.3"}, "for all findings or 2 of them"),
        ({"dp_label_prior": "1.5"}, "--dp_label_prior"),
        ({"network": tiny_federations.settings().network}, "give --stddev_group=1"),
        ({"client_dp_noise_multiplier": 1.0}, "needs --engine=tff, --clip_norm"),
        ({"client_dp_clipping": "adaptive"}, "--client_dp_clipping needs"),
        ({"client_dp_delta": 1.0}, "--client_dp_delta must be"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_federations.private_settings(**changes)


def test_clients_and_the_secure_sum_are_not_for_the_same_run():
    with pytest.raises(ValueError, match="goes with neither --secure_sum nor --reject_norm"):
        tiny_federations.settings(
            engine=config.TFF,
            aggregation="mean",
            clip_norm=1.0,
            secure_sum=True,
            client_dp_noise_multiplier=1.0,
        )


def test_nobody_hides_among_clients_that_a_known_seed_draws(tmp_path, caplog):
    found = {}
    for seed in (1888, 123_456_789):
        settings = tiny_federations.settings(
            engine=config.TFF, aggregation="mean", clip_norm=1.0, client_dp_noise_multiplier=4.0,
            seed=seed, num_clients=4, client_share=0.5,
        )  # fmt: skip
        clients = types.SimpleNamespace(
            names=list("abcd"), sizes=[8] * 4, sample=lambda number: [0, 1]
        )
        folder = tmp_path / str(seed)
        folder.mkdir()
        spending = private_simulation.Spending(settings, clients, folder)
        spending.log_remarks()
        spending.count_round()
        found[seed] = spending.add_to([], 0)["privacy/client_epsilon"]
    delta = settings.client_dp_delta
    assert found[1888] == privacy.client_epsilon(4.0, 4, 4, 1, delta)
    assert found[123_456_789] == privacy.client_epsilon(4.0, 4, 2, 1, delta) < found[1888]
    assert "as if all took part" in caplog.text
    assert "assumes that nobody knows who took part" in caplog.text


def test_shares_of_the_prior():
    assert tiny_federations.private_settings(dp_label_prior="0.3").label_prior == (0.3, 0.3)
    assert tiny_federations.private_settings(dp_label_prior="0.3,0").label_prior == (0.3, 0.0)
