"""DP-SGD of the critic: single gradients, sensitivity, noise, draws and what leaves a client."""

import dataclasses
import unittest.mock

import numpy as np
import pytest
import tensorflow as tf
import tiny_federations

from federated import local, privacy, private_critic, rounds
from pgan import losses, networks

_NUMBERS = tiny_federations.numbers
_SIZE = tiny_federations.PIXELS


def _discriminator(chosen):
    discriminator = networks.Discriminator(chosen.network, 3)
    for i, variable in enumerate(discriminator.trainable_variables):
        noise = tf.random.stateless_normal(variable.shape, [5, i])  # biases begin at zero
        variable.assign_add(0.3 * noise)
    return discriminator


def _examples(count, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.uniform(-1, 1, (2, count, _SIZE, _SIZE, 1)).astype(np.float32)
    labels = generator.integers(0, 2, (count, 2)).astype(np.float32)
    labels[0, 0] = np.nan  # unknown
    mix = generator.uniform(size=(count, 1, 1, 1)).astype(np.float32)
    return private_critic.Examples(*map(tf.constant, (*images, labels, mix)))


def _part(examples, chosen):
    return private_critic.Examples(*(tf.gather(part, chosen) for part in examples))


def _plain_gradient(discriminator, examples, settings):
    """Gradient of the mean loss, float64 arrays."""
    variables = discriminator.active_variables(discriminator.config.max_level, False)
    with tf.GradientTape() as tape:
        terms = losses.discriminator_terms(
            discriminator, *examples, weights=settings.train_config()
        )
        loss = sum(tf.reduce_mean(term) for name, term in terms.items() if losses.LOSS_TERMS[name])
    return [g.numpy().astype(np.float64) for g in tape.gradient(loss, variables)]


def _norm(arrays):
    return float(np.sqrt(sum(np.sum(np.square(a, dtype=np.float64)) for a in arrays)))


def _sum(discriminator, examples, settings, count=None, wrap=lambda function: function):
    count = len(examples.real) if count is None else count
    call = wrap(lambda n: private_critic.clipped_sum(discriminator, examples, n, settings))
    return [total.numpy() for total in call(tf.constant(count))]


@pytest.mark.parametrize("share", [0.5, 1e6], ids=["some clipped", "none clipped"])
def test_sum_is_that_of_a_loop_over_single_examples(share):
    chosen = tiny_federations.private_settings(drift_weight=0.1)
    discriminator, examples = _discriminator(chosen), _examples(4)
    singles = [_plain_gradient(discriminator, _part(examples, [i]), chosen) for i in range(4)]
    norms = np.sort([_norm(single) for single in singles])
    limit = float(share * norms[:3].sum() / 1.5)
    chosen = dataclasses.replace(chosen, dp_clip_norm=limit)
    if share < 1:
        assert norms[0] < limit < norms[-1]
    scales = [min(1.0, limit / _norm(single)) for single in singles]
    expected = [sum(s * g for s, g in zip(scales, parts, strict=True)) for parts in zip(*singles)]  # noqa: B905
    summed = _sum(discriminator, examples, chosen, wrap=tf.function)
    for ours, theirs in zip(summed, expected, strict=True):
        assert np.abs(theirs).max() > 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * norms[-1])


def test_leaving_an_image_out_changes_the_sum_by_the_clip_norm_at_most():
    """Through all that a client draws: the images behind the one left out move up a slot."""
    chosen = tiny_federations.private_settings(dp_clip_norm=0.05)
    discriminator = _discriminator(chosen)
    generator = networks.Generator(chosen.network, 3)
    pool = _examples(6)
    seed = tf.constant([3, 4], tf.int64)

    def summed(places):
        latents, mix = private_critic.draw_noise(seed, tf.constant(places), 4)
        labels = tf.gather(pool.labels, places)
        fake = generator(latents, losses.condition(labels))
        examples = private_critic.Examples(tf.gather(pool.real, places), fake, labels, mix)
        return _sum(discriminator, examples, chosen)

    whole = summed([0, 1, 2, 4, 5])
    for left_out in ([1, 2, 4, 5], [0, 1, 4, 5], [0, 1, 2, 4]):
        change = _norm([a - b for a, b in zip(whole, summed(left_out), strict=True)])
        # Every gradient is longer than the limit, so that the bound is met.
        assert change == pytest.approx(0.05, rel=1e-3)


def test_a_statistic_of_the_batch_would_break_the_bound():
    """The same comparison notices the minibatch standard deviation, which is refused for it."""
    chosen = tiny_federations.private_settings()
    leaky = _discriminator(tiny_federations.settings())
    safe, examples = _discriminator(chosen), _examples(4)
    other = examples._replace(real=tf.concat([examples.real[:3], examples.real[3:] * 0.1], axis=0))

    def influence(discriminator):
        """Of the last image on the score of the first."""
        first, second = (discriminator(e.real)[0][0].numpy() for e in (examples, other))
        return abs(first - second)

    assert influence(leaky) > 1e-4 and influence(safe) < 1e-6


def test_unused_slots_and_broken_gradients_leave_no_trace():
    chosen = tiny_federations.private_settings()
    discriminator, examples = _discriminator(chosen), _examples(4)
    whole = _sum(discriminator, examples, chosen, count=2)
    garbage = examples._replace(real=tf.concat([examples.real[:2], 1e3 * examples.real[2:]], 0))
    two = _part(examples, [0, 1])
    broken = _part(examples, [0, 1, 2])
    broken = broken._replace(fake=tf.concat([broken.fake[:2], broken.fake[2:] * np.nan], axis=0))
    for same in (
        _sum(discriminator, garbage, chosen, count=2),
        _sum(discriminator, two, chosen),
        _sum(discriminator, broken, chosen),
    ):
        for a, b in zip(whole, same, strict=True):
            np.testing.assert_array_equal(a, b)
    assert all(np.all(a == 0) for a in _sum(discriminator, examples, chosen, count=0))


def test_noise_has_its_standard_deviation_and_follows_from_its_key():
    chosen = tiny_federations.private_settings(dp_clip_norm=2.0, dp_noise_multiplier=1.5)
    discriminator, examples = _discriminator(chosen), _examples(2)

    def noise(key, num_examples=10):
        gradient = private_critic.noisy_gradient(
            discriminator,
            examples,
            tf.constant(0),
            tf.constant(num_examples),
            tf.constant(key, tf.int64),
            chosen,
        )
        return np.concatenate([part.numpy().ravel() for part in gradient])

    drawn = np.stack([noise([1, key]) for key in range(40)])
    # sigma C / B = 1.5 * 2 / 4; of n numbers, the standard error is a 1 / sqrt(2 n) of it.
    assert drawn.size > 25_000
    assert drawn.std() == pytest.approx(0.75, rel=5 / np.sqrt(2 * drawn.size))
    assert abs(drawn.mean()) < 5 * 0.75 / np.sqrt(drawn.size)
    correlation = np.corrcoef(drawn)[np.triu_indices(len(drawn), 1)]
    assert np.abs(correlation).max() < 5.5 / np.sqrt(drawn.shape[1])
    np.testing.assert_array_equal(noise([1, 0]), drawn[0])
    # A client of two images has two a step, not four.
    np.testing.assert_allclose(noise([1, 0], 2), 2 * drawn[0], rtol=1e-6)


def test_without_noise_and_clipping_a_round_is_that_without_privacy():
    """With the same images, latents and labels; the minibatch standard deviation off."""
    network = tiny_federations.private_settings().network
    plain = tiny_federations.settings(network=network, optimizer="sgd")
    private = dataclasses.replace(plain, dp_clip_norm=1e6, dp_noise_multiplier=0.0)
    data = tiny_federations.make_batches(plain)
    steps = data.labels.shape[:2]
    private_data = private_critic.PrivateBatches(
        **data._asdict(),
        places=tf.zeros((*steps, 4), tf.int32),
        counts=tf.fill(steps, 4),
        noise_keys=tf.zeros((*steps, 2), tf.int64),
    )

    def of_slots(seed, places, latent_size):
        """What local training draws without privacy, by slot and not by image."""
        latents, mix = (tf.random.fold_in(seed, stream, "philox") for stream in (16, 17))
        return (
            tf.random.stateless_normal((len(places), latent_size), latents, alg="philox"),
            tf.random.stateless_uniform((len(places), 1, 1, 1), mix, alg="philox"),
        )

    updates = []
    with unittest.mock.patch.object(private_critic, "draw_noise", of_slots):
        for settings, batches in ((plain, data), (private, private_data)):
            trainer = local.LocalTrainer(settings)
            updates.append(trainer.train(trainer.initial_weights(), batches, *_NUMBERS(0, 0)))
    flat = [rounds.flat(update.weights) for update in updates]
    for a, b in zip(*flat, strict=True):
        assert np.abs(a).max() > 1e-4
        np.testing.assert_allclose(a, b, atol=2e-6)
    terms = len(losses.DISCRIMINATOR_TERMS)
    np.testing.assert_allclose(updates[0].losses[terms:], updates[1].losses[terms:], rtol=1e-4)


def test_what_a_client_draws():
    chosen = tiny_federations.private_settings(dp_label_prior="0.9,0")
    drawn = tiny_federations.make_private_batches(chosen, count=40)
    slots = privacy.slots(4)
    for name, (dtype, shape) in private_critic.shapes(chosen)._asdict().items():
        value = getattr(drawn, name).numpy()
        assert (value.dtype, value.shape) == (np.dtype(dtype), shape), name
    images = np.random.default_rng(0).integers(0, 256, (40, _SIZE, _SIZE, 1), np.uint8)
    for at in np.ndindex(2, 2):
        count = int(drawn.counts[at])
        places = drawn.places[at].numpy()[:count]
        assert count <= slots and len(set(places)) == count
        np.testing.assert_array_equal(drawn.images[at][:count], images[places])
        assert not np.any(drawn.images[at][count:])
    assert len(np.unique(drawn.noise_keys)) == 8
    # Labels of the generator come from the prior, and not from the client.
    assert np.all(drawn.generator_labels[..., 1] == 0)
    assert np.mean(drawn.generator_labels[..., 0]) > 0.5
    other = tiny_federations.make_private_batches(chosen, client=0, count=5)
    np.testing.assert_array_equal(drawn.generator_labels, other.generator_labels)
    secret = dataclasses.replace(chosen, dp_test_seed=-1)
    first, second = (tiny_federations.make_private_batches(secret) for _ in range(2))
    assert np.all(first.noise_keys != second.noise_keys)
    np.testing.assert_array_equal(first.generator_labels, second.generator_labels)


def test_what_a_client_returns_tells_nothing_without_noise():
    chosen = tiny_federations.private_settings()
    trainer = local.LocalTrainer(chosen)
    start = trainer.initial_weights()
    data = tiny_federations.make_private_batches(chosen)
    update = trainer.train(start, data, *_NUMBERS(0, 0))
    again = trainer.train(start, data, *_NUMBERS(0, 0))
    for a, b in zip(rounds.flat(update.weights), rounds.flat(again.weights), strict=True):
        assert np.abs(a).max() > 0
        np.testing.assert_array_equal(a, b)
    assert np.all(update.losses[: len(losses.DISCRIMINATOR_TERMS)].numpy() == 0)
    named = local.losses_by_name(update.losses, chosen)
    assert not set(named) & set(losses.DISCRIMINATOR_TERMS)
    assert {"generator/adversarial", "discriminator/gradient_norm"} <= set(named)
    assert named["discriminator/skipped"] == 0
    arrays = [value.numpy() for value in rounds.flat(update.weights)]
    returned = [rounds.Returned(0, "north", arrays, 10, update.losses.numpy())]
    outcome = rounds.aggregate(rounds.flat(start), [], returned, 0, chosen)
    (row,) = outcome.clients
    for values in (row, outcome.means):
        assert not set(values) & set(losses.DISCRIMINATOR_TERMS)


def test_images_reach_the_update_through_the_noisy_gradient_only():
    """With the critic's gradients taken away, other images and labels give the same update."""
    chosen = tiny_federations.private_settings(dp_clip_norm=1e-30, label_weight=1.0)
    trainer = local.LocalTrainer(chosen)
    start = trainer.initial_weights()
    data = tiny_federations.make_private_batches(chosen)
    other = data._replace(images=255 - data.images, labels=1 - data.labels)
    zeros = lambda discriminator, *_: [  # noqa: E731
        tf.zeros(v.shape) for v in discriminator.active_variables(3, False)
    ]
    with unittest.mock.patch.object(private_critic, "clipped_sum", zeros):
        first, second = (
            rounds.flat(trainer.train(start, batches, *_NUMBERS(0, 0)).weights)
            for batches in (data, other)
        )
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert max(np.abs(a).max() for a in first) > 0
