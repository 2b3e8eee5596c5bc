"""What a client computes: draws, the algorithm against a plain loop, optimizers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tiny_federations

from federated import batches, config, local
from pgan import losses, networks

_NUMBERS = tiny_federations.numbers


def _train(chosen, batches_=None, weights=None, round_number=0, client=0):
    trainer = local.LocalTrainer(chosen)
    weights = weights or trainer.initial_weights()
    batches_ = batches_ or tiny_federations.make_batches(chosen, round_number, client)
    return trainer.train(weights, batches_, *_NUMBERS(round_number, client))


def _flat(update):
    return [value.numpy() for value in (*update.generator, *update.discriminator)]


def _plain_training(chosen, data, optimizers):
    """The same algorithm with Keras' optimizers and gradients of the variables themselves."""
    generator = networks.Generator(chosen.network, chosen.seed)
    discriminator = networks.Discriminator(chosen.network, chosen.seed)
    weighting = chosen.train_config()
    of_round = batches.key(chosen.seed, *_NUMBERS(0, 0))
    size = chosen.batch_size

    def total(terms):
        return sum(tf.reduce_mean(term) for name, term in terms.items() if losses.LOSS_TERMS[name])

    def latents(seed, stream):
        seed = tf.random.fold_in(seed, stream, "philox")
        return tf.random.stateless_normal((size, chosen.network.latent_size), seed, alg="philox")

    def minimise(optimizer, loss, tape, variables):
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    variables = local.active(generator, discriminator)
    for step in range(chosen.generator_steps):
        for i in range(chosen.critic_steps):
            seed = tf.random.fold_in(of_round, step * chosen.critic_steps + i, "philox")
            labels = data.labels[step, i]
            real = tf.cast(data.images[step, i], tf.float32) / 127.5 - 1.0
            fake = generator(latents(seed, 16), labels)
            mix_seed = tf.random.fold_in(seed, 17, "philox")
            mix = tf.random.stateless_uniform((size, 1, 1, 1), mix_seed, alg="philox")
            with tf.GradientTape() as tape:
                loss = total(
                    losses.discriminator_terms(discriminator, real, fake, labels, mix, weighting)
                )
            minimise(optimizers[0], loss, tape, variables.discriminator)
        labels = data.generator_labels[step]
        seed = tf.random.fold_in(of_round, step, "philox")
        with tf.GradientTape() as tape:
            scores, logits = discriminator(generator(latents(seed, 18), labels))
            loss = total(losses.generator_terms(scores, logits, labels, weighting))
        minimise(optimizers[1], loss, tape, variables.generator)
    return [variable.numpy() for part in variables for variable in part]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_is_that_of_a_plain_loop(optimizer):
    chosen = tiny_federations.settings(optimizer=optimizer)
    data = tiny_federations.make_batches(chosen)
    if optimizer == "adam":
        make = lambda: tf.keras.optimizers.legacy.Adam(0.01, 0.0, 0.9, 1e-8)  # noqa: E731
    else:
        make = lambda: tf.keras.optimizers.legacy.SGD(0.01, 0.5)  # noqa: E731
    expected = _plain_training(chosen, data, (make(), make()))
    trainer = local.LocalTrainer(chosen)
    start = trainer.initial_weights()
    update = trainer.train(start, data, *_NUMBERS(0, 0))
    before = [*start.generator, *start.discriminator]
    for old, change, new in zip(before, _flat(update), expected, strict=True):
        assert np.abs(change).max() > 0
        # Adam moves a weight whose gradient vanishes by up to the step size, 0.01, either way.
        np.testing.assert_allclose(old + change, new, atol=1e-3 if optimizer == "adam" else 1e-5)
    assert int(update.num_examples) == 10


def test_an_update_is_a_function_of_weights_batches_and_key():
    chosen = tiny_federations.settings()
    trainer = local.LocalTrainer(chosen)
    start = trainer.initial_weights()
    data = tiny_federations.make_batches(chosen)
    first = _flat(trainer.train(start, data, *_NUMBERS(0, 0)))
    other = trainer.train(start, data, *_NUMBERS(1, 0))  # leaves nothing behind
    again = _flat(trainer.train(start, data, *_NUMBERS(0, 0)))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.any(a != b) for a, b in zip(first, _flat(other), strict=True))
    client = _flat(trainer.train(start, data, *_NUMBERS(0, 1)))
    assert any(np.any(a != b) for a, b in zip(first, client, strict=True))
    assert trainer.train.experimental_get_tracing_count() == 1


def test_kept_optimizer_goes_on_and_fresh_one_does_not():
    data = tiny_federations.make_batches(tiny_federations.settings())
    updates = {}
    for memory in ("fresh", "kept"):
        chosen = tiny_federations.settings(
            arm=config.CENTRALIZED, optimizer_memory=memory, adam_beta1=0.9
        )
        trainer = local.LocalTrainer(chosen)
        start = trainer.initial_weights()
        updates[memory] = [_flat(trainer.train(start, data, *_NUMBERS(0, 0))) for _ in range(2)]
    for first, second in zip(*updates["fresh"], strict=True):
        np.testing.assert_array_equal(first, second)
    assert any(np.any(a != b) for a, b in zip(*updates["kept"], strict=True))


def test_losses_are_means_and_the_auxiliary_loss_is_optional():
    chosen = tiny_federations.settings()
    row = dict(zip(local.LOSS_NAMES, _train(chosen).losses.numpy(), strict=True))
    assert all(np.isfinite(list(row.values())))
    assert row["discriminator/labels_real"] > 0 and row["discriminator/drift"] == 0
    gap = row["scores/fake"] - row["scores/real"]
    assert row["discriminator/wasserstein"] == pytest.approx(gap, abs=1e-6)
    assert row["discriminator/skipped"] == row["generator/skipped"] == 0
    without = _train(dataclasses.replace(chosen, label_weight=0.0))
    row = dict(zip(local.LOSS_NAMES, without.losses.numpy(), strict=True))
    assert row["discriminator/labels_real"] == row["generator/labels"] == 0


def test_steps_on_broken_images_are_skipped_and_counted():
    chosen = tiny_federations.settings()
    data = tiny_federations.make_batches(chosen)
    start = local.LocalTrainer(chosen).initial_weights()
    start.discriminator[0][...] = np.nan
    row = dict(zip(local.LOSS_NAMES, _train(chosen, data, start).losses.numpy(), strict=True))
    assert (row["discriminator/skipped"], row["generator/skipped"]) == (4, 2)
    assert np.isnan(row["scores/real"])


def _positions(chosen, count, round_number=0, client=0):
    drawn = batches.draw_positions(chosen, tf.constant(count), *_NUMBERS(round_number, client))
    return drawn.critic.numpy(), drawn.generator.numpy()


def test_rounds_go_through_whole_passes():
    chosen = tiny_federations.settings()  # 16 images a round
    shown = np.concatenate([_positions(chosen, 6, r)[0].ravel() for r in range(3)])
    assert shown.shape == (48,)
    passes = shown.reshape(8, 6)
    assert (np.sort(passes, axis=1) == np.arange(6)).all()
    assert len({tuple(order) for order in passes}) > 1
    assert _positions(chosen, 6)[0].shape == (2, 2, 4)
    assert _positions(chosen, 1000)[0].max() < 1000


def test_small_clients_draw_with_replacement():
    critic, generator = _positions(tiny_federations.settings(), 3)
    assert set(critic.ravel()) == {0, 1, 2}
    assert any(len(set(batch)) < 4 for batch in critic.reshape(-1, 4))
    assert generator.shape == (2, 4) and generator.max() < 3


def test_draws_follow_from_seed_round_and_client():
    chosen = tiny_federations.settings()
    first = _positions(chosen, 100, 1, 2)
    for a, b in zip(first, _positions(chosen, 100, 1, 2), strict=True):
        np.testing.assert_array_equal(a, b)
    others = [
        _positions(chosen, 100, 2, 2),
        _positions(chosen, 100, 1, 3),
        _positions(dataclasses.replace(chosen, seed=1), 100, 1, 2),
    ]
    for other in others:
        assert all(np.any(a != b) for a, b in zip(first, other, strict=True))


def test_bfloat16_layers_move_float32_weights_nearly_as_float32_layers_do():
    full, mixed = (
        _train(tiny_federations.settings(optimizer="sgd", precision=precision))
        for precision in ("float32", "mixed_bfloat16")
    )
    assert {value.dtype for value in _flat(mixed)} == {np.dtype(np.float32)}
    full, mixed = (np.concatenate([v.ravel() for v in _flat(update)]) for update in (full, mixed))
    difference = np.linalg.norm(full - mixed) / np.linalg.norm(full)
    assert 0 < difference < 0.05
