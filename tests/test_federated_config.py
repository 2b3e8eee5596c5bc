import dataclasses

import pytest
import tiny_federations

from federated import config


def test_defaults_are_the_paper():
    paper = config.FederatedConfig()
    assert (paper.num_clients, paper.images_per_client, paper.client_share) == (20, 1000, 0.1)
    assert (paper.generator_steps, paper.critic_steps, paper.batch_size) == (10, 5, 32)
    assert (paper.penalty_weight, paper.aggregation) == (10.0, "weighted_mean")
    assert paper.network.resolution == config.PRESETS["paper"]["resolution"] == 128
    assert paper.images_per_round == 1600
    assert (paper.client_sizes, paper.dirichlet) == ("equal", 0.0)
    assert (paper.server_optimizer, paper.server_learning_rate) == ("average", 1.0)
    # Of which the text says nothing: WGAN-GP's.
    assert (paper.optimizer, paper.learning_rate) == ("adam", 1e-4)
    assert (paper.adam_beta1, paper.adam_beta2) == (0.0, 0.9)
    assert (paper.drift_weight, paper.label_weight) == (0.0, 1.0)
    assert not paper.keeps_optimizer
    assert _preset("paper") == paper


def test_the_preset_of_the_released_code():
    code = _preset("paper_code")
    assert (code.critic_steps, code.generator_steps, code.batch_size) == (10, 10, 32)
    assert (code.optimizer, code.learning_rate, code.momentum) == ("sgd", 1e-4, 0.5)
    assert (code.aggregation, code.client_sizes, code.rounds) == ("mean", "random", 10_000)
    assert (code.num_clients, code.images_per_client, code.client_share) == (20, 1000, 0.1)
    assert (code.server_optimizer, code.server_learning_rate) == ("average", 1.0)
    assert (code.penalty_weight, code.network.resolution) == (10.0, 128)
    # It makes a new optimizer in every round, also where there is one training set only.
    for arm in config.ARMS:
        assert not dataclasses.replace(code, arm=arm).keeps_optimizer


def _preset(name):
    """The configuration that a preset makes of the defaults."""
    own = {field.name for field in dataclasses.fields(config.FederatedConfig)}
    preset = config.PRESETS[name]
    chosen = config.FederatedConfig(**{key: preset[key] for key in own & preset.keys()})
    network = {key: preset[key] for key in preset.keys() - own}
    return dataclasses.replace(chosen, network=dataclasses.replace(chosen.network, **network))


def test_round_trip():
    chosen = tiny_federations.settings(arm="single", server_optimizer="adam")
    assert config.FederatedConfig.from_dict(chosen.to_dict()) == chosen


def test_as_a_run_at_one_resolution():
    run = tiny_federations.settings(rounds=5, drift_weight=0.5).train_config()
    assert run.schedule.initial_resolution == run.network.resolution == 8
    assert round(1000 * run.schedule.total_kimg) == 5 * 16
    assert (run.drift_weight, run.penalty_weight, run.fake_label_weight) == (0.5, 10.0, 0.0)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"num_clients": 0}, "--num_clients must be at least 1, got 0"),
        ({"client_share": 0.0}, r"--client_share must be in \(0, 1\], got 0.0"),
        ({"trim_share": 0.5}, "--trim_share"),
        ({"learning_rate": float("nan")}, "--learning_rate must be above 0, got nan"),
        ({"clip_norm": -1.0}, "--clip_norm must not be negative"),
        ({"momentum": 1.0}, r"--momentum must be in \[0, 1\)"),
        ({"batch_size": 6}, "--batch_size=6 is no multiple of --stddev_group=4"),
        ({"arm": "both"}, "--arm must be of"),
        ({"optimizer_memory": "kept"}, "kept needs one training set"),
        ({"seed": -1}, "--seed"),
        ({"engine": "tff", "aggregation": "median"}, "not among TFF's aggregators"),
        ({"engine": "tff", "arm": "single"}, "give --optimizer_memory=fresh"),
        ({"secure_sum": True}, "needs --engine=tff, and --clip_norm"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_federations.settings(**changes)


def test_privacy_is_not_steered_by_distances():
    private = {"on_alarm": "revert", "metric_every_rounds": 2}
    with pytest.raises(ValueError, match="give --check_distance_factor=0"):
        tiny_federations.private_settings(**private)
    assert tiny_federations.private_settings(**private, check_distance_factor=0.0).is_private
    assert not tiny_federations.settings(**private).is_private


def test_memory_of_the_optimizer():
    assert not tiny_federations.settings().keeps_optimizer
    assert tiny_federations.settings(arm="centralized").keeps_optimizer
    assert not tiny_federations.settings(arm="single", optimizer_memory="fresh").keeps_optimizer
