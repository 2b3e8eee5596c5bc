"""The critic's losses by hand, on images that differ."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tiny_federations

from federated import critic_loss, local, server
from pgan import losses

_PENALTY_WEIGHT = 7.0


def _images(grey, count=8):
    generator = np.random.default_rng(grey)
    shape = (count, tiny_federations.PIXELS, tiny_federations.PIXELS)
    pixels = generator.integers(grey - 10, grey + 10, shape).astype(np.uint8)
    return pixels, generator.integers(0, 2, (count, 2)).astype(np.float32)


def _settings(**changes):
    return tiny_federations.settings(penalty_weight=_PENALTY_WEIGHT, label_weight=2.0, **changes)


def _state(chosen):
    state = server.ServerState(chosen)
    generator = np.random.default_rng(5)
    for variable in local.active(state.generator, state.discriminator).discriminator:
        variable.assign_add(generator.normal(0, 0.3, variable.shape).astype(np.float32))
    return state


def _by_hand(state, pixels, labels, chosen, monkeypatch):
    """Means of scores, penalty and label loss; the fakes are those of the images' labels."""
    drawn = []
    terms = losses.discriminator_terms

    def spy(discriminator, real, fake, labels, mix, weights):
        drawn.append((fake, mix))
        return terms(discriminator, real, fake, labels, mix, weights)

    tf.config.run_functions_eagerly(True)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(losses, "discriminator_terms", spy)
            critic_loss.CriticLoss(state, chosen, {"held_out": (pixels, labels)}).measure()
    finally:
        tf.config.run_functions_eagerly(False)
    values = []
    for start, (fake, mix) in zip(range(0, len(pixels), chosen.batch_size), drawn, strict=True):
        part = slice(start, start + chosen.batch_size)
        seed = [chosen.seed + critic_loss._STREAM, start]
        latents = tf.random.stateless_normal(
            (chosen.batch_size, chosen.network.latent_size), seed, alg="philox"
        )
        expected = state.generator(latents, losses.condition(tf.constant(labels[part])))
        np.testing.assert_allclose(fake, expected, atol=1e-6)
        real = tf.constant(pixels[part, :, :, np.newaxis] / np.float32(127.5) - np.float32(1))
        between = real + mix * (fake - real)
        with tf.GradientTape() as tape:
            tape.watch(between)
            total = tf.reduce_sum(state.discriminator(between)[0])
        gradient = tape.gradient(total, between).numpy().reshape(len(real), -1)
        penalty = _PENALTY_WEIGHT * np.mean((np.linalg.norm(gradient, axis=1) - 1) ** 2)
        scores, logits = state.discriminator(real)
        fakes = state.discriminator(fake)[0]
        known = labels[part]
        entropy = -(
            known * np.log(tf.sigmoid(logits)) + (1 - known) * np.log(1 - tf.sigmoid(logits))
        )
        values.append(
            (
                np.mean(scores) - np.mean(fakes) - penalty,
                penalty,
                2.0 * np.mean(np.sum(entropy, axis=1)),
            )
        )
    return np.mean(values, axis=0)


def test_losses_by_hand_on_the_images_they_are_named_after(monkeypatch):
    chosen = _settings()
    state = _state(chosen)
    before = [value.copy() for value in state.weights().discriminator]
    images = {"train": _images(60), "held_out": _images(190)}
    values = critic_loss.CriticLoss(state, chosen, images).measure()
    for name, (pixels, labels) in images.items():
        found = [values[f"critic/{term}_{name}"] for term in
                 ("negative_loss", "penalty", "labels_real")]  # fmt: skip
        expected = _by_hand(state, pixels, labels, chosen, monkeypatch)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert min(abs(expected)) > 1e-3  # or an omitted term would not show
    assert (
        abs(values["critic/negative_loss_train"] - values["critic/negative_loss_held_out"]) > 0.01
    )
    after = state.weights().discriminator
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_all_sets_have_the_number_of_the_smallest_and_repeat():
    chosen = _settings()
    state = _state(chosen)
    pixels, labels = _images(60, 12)
    few = _images(190, 4)
    measured = critic_loss.CriticLoss(state, chosen, {"train": (pixels, labels), "held_out": few})
    short = critic_loss.CriticLoss(
        state, chosen, {"train": (pixels[:4], labels[:4]), "held_out": few}
    )
    assert measured.measure() == measured.measure() == short.measure()


def test_no_images_measure_nothing():
    chosen = _settings()
    images = {"train": _images(60), "held_out": _images(60, 0)}
    assert critic_loss.CriticLoss(_state(chosen), chosen, images).measure() == {}


@pytest.mark.parametrize("label_weight", [0.0, 1.0])
def test_label_loss_carries_its_weight(label_weight):
    chosen = dataclasses.replace(_settings(), label_weight=label_weight)
    value = critic_loss.CriticLoss(_state(chosen), chosen, {"a": _images(60)}).measure()
    assert (value["critic/labels_real_a"] > 0) == bool(label_weight)
