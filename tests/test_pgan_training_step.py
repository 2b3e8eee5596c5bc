"""One step: accumulation, replicas, precision, schedules of gradients, XLA."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from pgan import config, distribute, kernel_sharing, losses, schedule, training_step

_BATCH = 8


def _settings(**changes):
    network = config.NetworkConfig(
        resolution=8,
        findings=("Mass", "Hernia"),
        latent_size=8,
        fmap_base=64,
        fmap_max=8,
        stddev_group=1,
    )
    plan = config.ScheduleConfig(
        stage_kimg="1", fade_kimg="1", total_kimg=3, batch_sizes=str(_BATCH)
    )
    return dataclasses.replace(config.TrainConfig(network=network, schedule=plan), **changes)


def _run(settings, steps=2, resolution=8, fading=True):
    """Runs steps on fixed images; returns stat rows and all variables."""
    strategy = distribute.make_strategy(settings.strategy)
    with strategy.scope():
        state = training_step.TrainingState(settings)
    labels = np.array([[0, 1], [1, 0], [1, 1]], np.float32)
    builder = training_step.StepBuilder(state, settings, strategy, labels)
    plan = schedule.build(settings.schedule, 8)
    phase = next(p for p in plan.phases if (p.resolution, p.fading) == (resolution, fading))
    step = builder.build(phase)
    generator = np.random.default_rng(3)
    images = generator.uniform(-1, 1, (_BATCH, resolution, resolution, 1)).astype(np.float32)
    rows = labels[generator.integers(0, 3, _BATCH)]
    replicas = strategy.num_replicas_in_sync
    size = _BATCH // replicas

    def cut(values):
        def part(context):
            start = context.replica_id_in_sync_group * size
            return tf.constant(values[start : start + size])

        return strategy.experimental_distribute_values_from_function(part)

    stats = []
    for i in range(steps):
        shown = tf.constant(1000 + i * _BATCH, tf.int64)
        row = step(cut(images), cut(rows), shown, tf.constant(0.3))
        stats.append(dict(zip(builder.stat_names, row.numpy(), strict=True)))
    assert step.experimental_get_tracing_count() == 1
    variables = {
        f"{name}/{i}": variable.numpy()
        for name in ("generator", "discriminator", "averaged")
        for i, variable in enumerate(getattr(state, name).trainable_variables)
    }
    return stats, variables, state


def _assert_same(first, second, atol):
    for a, b in zip(first[0], second[0], strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name] == pytest.approx(b[name], rel=1e-3, abs=1e-4), name
    for name in first[1]:
        np.testing.assert_allclose(first[1][name], second[1][name], atol=atol, err_msg=name)


# Adam divides by the root of the squared gradient, so rounding of a vanishing gradient can move a
# weight by up to the step size, 1e-3; a fraction of it is allowed.
_ROUNDING = 4e-4


@pytest.fixture(scope="module")
def plain():
    return _run(_settings())


def test_step_moves_all_active_variables_and_returns_finite_stats(plain):
    stats, variables, state = plain
    fresh = training_step.TrainingState(_settings())
    for name in ("generator", "discriminator"):
        active = {v.ref() for v in getattr(state, name).active_variables(3, True)}
        for old, new in zip(
            getattr(fresh, name).trainable_variables,
            getattr(state, name).trainable_variables,
            strict=True,
        ):
            moved = bool(np.any(old.numpy() != new.numpy()))
            assert moved == (new.ref() in active), new.name
    assert all(np.isfinite(list(row.values())).all() for row in stats)


@pytest.mark.parametrize(
    ("changes", "decay"),
    [
        ({"ema_decay": 0.75}, 0.75),
        # Half a batch of 8: a quarter is left, however the batch is divided.
        ({"ema_kimg": 0.004}, 0.25),
        ({"ema_kimg": 0.004, "strategy": "mirrored", "micro_batch": "2"}, 0.25),
    ],
    ids=["by step", "half-life", "half-life, replicas and passes"],
)
def test_average_lags_the_generator_by_the_decay(changes, decay):
    settings = _settings(**changes)
    # The average moves with the discriminator's update, before the generator's of that step.
    one = _run(settings, steps=1)
    two = _run(settings, steps=2)
    state = training_step.TrainingState(settings)
    for i, start in enumerate(state.generator.trainable_variables):
        after_one = one[1][f"generator/{i}"]
        np.testing.assert_array_equal(one[1][f"averaged/{i}"], start.numpy())
        expected = decay * start.numpy() + (1 - decay) * after_one
        np.testing.assert_allclose(two[1][f"averaged/{i}"], expected, atol=1e-6)


def test_repeatable_to_the_bit(plain):
    again = _run(_settings())
    for name, value in plain[1].items():
        np.testing.assert_array_equal(value, again[1][name])


def test_accumulated_passes_equal_one_pass(plain):
    _assert_same(plain, _run(_settings(micro_batch="2")), _ROUNDING)


def test_fused_scaling_is_the_step_of_separate_operations():
    # Wider and with the minibatch statistics, step by step: rounding is all that may differ.
    network = dataclasses.replace(
        _settings().network, resolution=16, fmap_base=256, fmap_max=32, stddev_group=4
    )
    for fading in (True, False):
        settings = _settings(network=network)
        fused = _run(settings, steps=3, fading=fading)
        separate = _run(dataclasses.replace(settings, fused_scaling=False), steps=3, fading=fading)
        for a, b in zip(fused[0], separate[0], strict=True):
            for name in a:
                assert a[name] == pytest.approx(b[name], rel=1e-3, abs=1e-4), name
        differences = [np.abs(fused[1][name] - separate[1][name]).mean() for name in fused[1]]
        assert max(differences) < 2e-5  # of steps of 1e-3


def test_shared_kernels_give_the_gradients_of_the_variables():
    settings = _settings()
    network = training_step.TrainingState(settings).discriminator
    images = tf.random.stateless_normal((_BATCH, 8, 8, 1), (0, 1))
    variables = network.active_variables(3, False)

    def loss():  # two calls, one of them differentiated twice
        with tf.GradientTape() as inner:
            inner.watch(images)
            scores = network(images, 3)[0]
        slope = inner.gradient(scores, images)
        return tf.reduce_sum(slope**2) + tf.reduce_sum(network(images * 0.5, 3)[1] ** 2)

    with tf.GradientTape() as tape:
        value = loss()
    expected = tape.gradient(value, variables)
    shared = kernel_sharing.SharedKernels(network, 3, False)
    with shared.used(), tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(shared.sources)
        value = loss()
    found = shared.gradients(tape.gradient(value, shared.sources))
    for variable, a, b in zip(variables, found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=variable.name)
    # Outside the block the variables count again.
    before = network(images, 3)[0]
    for variable in variables:
        variable.assign(0.5 * variable)
    assert not np.allclose(network(images, 3)[0], before)


def test_two_replicas_equal_one(plain):
    _assert_same(plain, _run(_settings(strategy="mirrored")), _ROUNDING)


def test_xla_step_equals_plain_where_no_noise_enters(plain):
    # XLA draws other numbers from the same seed, so only what reals alone decide is comparable.
    stats, _, _ = _run(_settings(jit_compile=True), steps=1)
    for name in ("discriminator/drift", "discriminator/labels_real", "scores/real"):
        assert stats[0][name] == pytest.approx(plain[0][0][name], rel=1e-4), name
    assert np.isfinite(list(stats[0].values())).all()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "mixed_bfloat16"},
        {"precision": "mixed_float16", "fused_scaling": False},
        {"micro_batch": "4", "augment": config.AUGMENTATIONS},
    ],
    ids=["float32", "bfloat16", "float16", "passes"],
)
def test_whole_step_is_one_xla_program_of_static_shapes_without_the_host(changes):
    # What a TPU asks for: everything of a step, updates included, as one program.
    network = dataclasses.replace(_settings().network, stddev_group=4)
    settings = _settings(jit_compile=True, network=network, **changes)
    state = training_step.TrainingState(settings)
    builder = training_step.StepBuilder(
        state, settings, distribute.make_strategy("one_device"), np.eye(2, dtype=np.float32)
    )
    phase = schedule.Phase(8, True, 0, 1000, _BATCH)
    step = builder.replica_step(phase)
    arguments = (
        tf.zeros((_BATCH, 8, 8, 1)),
        tf.zeros((_BATCH, 2)),
        tf.constant(0, tf.int64),
        tf.constant(0.3),
    )
    program = step.experimental_get_compiler_ir(*arguments)(stage="hlo")
    assert " convolution(" in program and " dot(" in program
    assert re.search(r"\w+\[[\d,]*<=", program) is None  # a dimension with an upper bound
    for operation in ("infeed", "outfeed", "send", "recv", "custom-call"):
        assert f" {operation}(" not in program, operation
    # It runs, and the updates are part of it.
    before = state.discriminator.trainable_variables[0].numpy()
    assert np.isfinite(step(*arguments)).all()
    assert np.any(before != state.discriminator.trainable_variables[0].numpy())


def test_penalty_of_float16_has_finite_gradients_where_the_critic_is_flat_or_steep():
    # Scores scaled down and up: first and second derivatives near both ends of float16. The loss
    # scale is one that training has come down to; overflows at its first ones are skipped steps.
    settings = _settings(precision="mixed_float16")
    state = training_step.TrainingState(settings)
    critic = state.discriminator
    variables = critic.active_variables(3, False)
    images = tf.random.stateless_normal((_BATCH, 8, 8, 1), (0, 1))
    last = critic.blocks[0].dense1.kernel
    initial = last.numpy()
    for factor in (1e-4, 1.0, 50.0):
        last.assign(factor * initial)
        with tf.GradientTape() as tape:
            norms = losses.score_gradient_norms(
                lambda x: critic(x, 3), images, state.discriminator_optimizer.loss_scale / 2.0**5
            )
            penalty = tf.reduce_mean(losses.gradient_penalty(norms))
        gradients = tape.gradient(penalty, variables, unconnected_gradients="zero")
        assert all(np.isfinite(gradient).all() for gradient in gradients), factor
        reference = training_step.TrainingState(_settings()).discriminator
        reference.blocks[0].dense1.kernel.assign(factor * initial)
        exact = losses.score_gradient_norms(lambda x, d=reference: d(x, 3), images)
        np.testing.assert_allclose(norms, exact, rtol=0.05)


def test_stable_phase_leaves_the_lower_path_alone():
    stats, _, state = _run(_settings(), steps=1, fading=False)
    fresh = training_step.TrainingState(_settings())
    old, new = fresh.generator.to_rgb[0], state.generator.to_rgb[0]
    np.testing.assert_array_equal(old.kernel.numpy(), new.kernel.numpy())
    assert np.isfinite(list(stats[0].values())).all()


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_sixteen_bit_steps_stay_near_float32(plain, precision):
    stats, _, state = _run(_settings(precision=precision), steps=1)
    for name in losses.TERM_NAMES:
        # bfloat16 keeps 8 bits, so terms agree to a few percent of their size.
        assert stats[0][name] == pytest.approx(plain[0][0][name], rel=0.1, abs=0.05), name
    assert stats[0]["discriminator/skipped"] == 0
    assert all(v.dtype == tf.float32 for v in state.generator.trainable_variables)


def test_augmented_step_is_finite_and_differs(plain):
    stats, _, _ = _run(_settings(augment=("translation", "brightness", "cutout")), steps=1)
    assert np.isfinite(list(stats[0].values())).all()
    assert stats[0]["scores/real"] != plain[0][0]["scores/real"]


def test_reals_fade_like_the_networks():
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    coarse = image.reshape(1, 2, 2, 2, 2, 1).mean(axis=(2, 4)).repeat(2, 1).repeat(2, 2)
    faded = training_step.fade_reals(tf.constant(image), tf.constant(0.25))
    np.testing.assert_allclose(faded.numpy(), 0.75 * coarse + 0.25 * image, rtol=1e-6)


def test_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ValueError, match="batch of 7 at 8 px cannot be divided over 2 replicas"):
        distribute.per_replica_batch(_TwoReplicas(), 7, 8)
    with pytest.raises(ValueError, match="no multiple of the minibatch-stddev group of 4"):
        distribute.pass_size(6, 0, 4, 8)
    assert distribute.pass_size(128, 48, 4, 8) == 32
    assert distribute.pass_size(8, 0, 4, 8) == 8
    assert distribute.pass_size(2, 0, 4, 8) == 2


class _TwoReplicas:
    num_replicas_in_sync = 2
