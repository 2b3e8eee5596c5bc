"""Configurations: values of the paper, parsing, refusal of values that cannot be used."""

import dataclasses

import pytest

from pgan import config


def test_widths_of_the_paper_double_those_of_pggan_at_512_and_1024():
    paper = config.NetworkConfig()
    pggan = config.NetworkConfig(widths="pggan")
    sizes = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert [paper.feature_maps(s) for s in sizes] == [512, 512, 512, 512, 256, 128, 64, 64, 32]
    assert [pggan.feature_maps(s) for s in sizes] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert paper.hidden_width == 512


def test_round_trip_through_json_types():
    settings = config.TrainConfig(
        network=config.NetworkConfig(resolution=32, findings=("Mass", "Hernia")),
        augment=("cutout",),
    )
    assert config.TrainConfig.from_dict(settings.to_dict()) == settings


def test_unknown_field_is_named():
    with pytest.raises(ValueError, match="colour"):
        config.TrainConfig.from_dict({"colour": 3})


@pytest.mark.parametrize(
    ("text", "resolution", "value"),
    [("600", 64, 600), ("4:10,8:20", 8, 20), ("600,64:80", 64, 80), ("600,64:80", 32, 600)],
)
def test_numbers_by_resolution(text, resolution, value):
    assert config.at_resolution(text, resolution) == value


@pytest.mark.parametrize("text", ["", "a", "4:", "5:1", "4:1;8:2", "-1", "nan", "inf"])
def test_bad_numbers_by_resolution_are_refused(text):
    with pytest.raises(ValueError, match="--stage_kimg"):
        config.per_resolution(text, "--stage_kimg")


def test_a_resolution_without_a_value_says_what_to_add():
    with pytest.raises(ValueError, match="16:VALUE"):
        config.at_resolution("4:1,8:2", 16, "--batch_sizes")


@pytest.mark.parametrize(
    ("config_class", "values", "flag"),
    [
        (config.NetworkConfig, {"resolution": 100}, "--resolution"),
        (config.NetworkConfig, {"resolution": 2048}, "--resolution"),
        (config.NetworkConfig, {"widths": "wide"}, "--widths"),
        (config.NetworkConfig, {"latent_size": 0}, "--latent_size"),
        (config.ScheduleConfig, {"initial_resolution": 6}, "--initial_resolution"),
        (config.TrainConfig, {"precision": "float64"}, "--precision"),
        (config.TrainConfig, {"augment": ("flip",)}, "--augment"),
        (config.TrainConfig, {"ema_decay": 1.0}, "--ema_decay"),
        (config.TrainConfig, {"ema_kimg": -1.0}, "--ema_kimg"),
        (config.TrainConfig, {"ema_kimg": float("inf")}, "--ema_kimg"),
        (config.TrainConfig, {"ema_kimg": float("nan")}, "--ema_kimg"),
        (config.TrainConfig, {"seed": -1}, "--seed"),
        (config.TrainConfig, {"keep_checkpoints": 0}, "--keep_checkpoints"),
    ],
)
def test_values_that_cannot_be_used_are_refused_by_flag_name(config_class, values, flag):
    with pytest.raises(ValueError, match=flag):
        config_class(**values)


@pytest.mark.parametrize(
    ("batch", "decay"), [(128, 0.25), (64, 0.5), (32, 0.70710678), (4, 0.95760328)]
)
def test_half_life_of_64_images(batch, decay):
    """Powers of one half: 2, 1, 1/2, 1/16."""
    settings = config.TrainConfig(ema_kimg=0.064)
    assert settings.averaging_decay(batch) == pytest.approx(decay, rel=1e-7)
    assert config.TrainConfig().averaging_decay(batch) == 0.999


def test_a_continued_run_may_change_how_it_runs_but_not_what_it_is():
    old = config.TrainConfig()
    same = dataclasses.replace(
        old,
        strategy="mirrored",
        learning_rate="0.001,1024:0.0005",
        keep_checkpoints=9,
        tick_kimg="1",
        schedule=dataclasses.replace(old.schedule, total_kimg=15000.0),
    )
    assert config.differences(old, same) == []
    other = dataclasses.replace(old, seed=1, network=dataclasses.replace(old.network, fmap_max=64))
    lines = config.differences(old, other)
    assert len(lines) == 2
    assert any("fmap_max: 512 in the run folder, 64 now" in line for line in lines)
