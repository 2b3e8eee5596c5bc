import numpy as np
import pytest
import tensorflow as tf

from pgan import config, losses


def _weights(**changes):
    """Weights that are all different, so that none can stand in for another."""
    values = {
        "penalty_weight": 10.0,
        "penalty_target": 2.0,
        "drift_weight": 0.001,
        "label_weight": 3.0,
        "fake_label_weight": 0.0,
    }
    return config.TrainConfig(**{**values, **changes})


def _linear_critic(direction):
    """Score: inner product with `direction`. Logits: the first two pixels, times 100."""

    def judge(images):
        flat = tf.reshape(images, [images.shape[0], -1])
        return tf.linalg.matvec(flat, tf.reshape(direction, [-1])), 100.0 * flat[:, :2]

    return judge


def test_classification_loss_sums_over_findings():
    # ln 2 = 0.6931472; a finding absent at logit 2: ln(1 + e^2) = 2.1269280.
    labels = tf.constant([[1.0, 0.0], [0.0, 0.0]])
    logits = tf.constant([[0.0, 2.0], [0.0, 0.0]])
    loss = losses.classification_loss(labels, logits)
    np.testing.assert_allclose(loss, [2.8200752, 1.3862944], rtol=1e-6)
    loss = losses.classification_loss(tf.zeros([1, 14]), tf.zeros([1, 14]))
    np.testing.assert_allclose(loss, [9.7040605], rtol=1e-6)


def test_unknown_labels_cost_nothing_and_condition_as_absent():
    labels = tf.constant([[1.0, np.nan], [np.nan, np.nan]])
    logits = tf.Variable([[0.0, 2.0], [5.0, -5.0]])
    with tf.GradientTape() as tape:
        loss = losses.classification_loss(labels, logits)
    np.testing.assert_allclose(loss, [0.6931472, 0], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[-0.5, 0], [0, 0]])
    assert losses.condition(labels).numpy().tolist() == [[1, 0], [0, 0]]


def test_classification_loss_without_findings_is_zero():
    empty = tf.zeros([3, 0])
    assert losses.classification_loss(empty, empty).numpy().tolist() == [0, 0, 0]


def test_interpolate_by_hand():
    real, fake = tf.fill([2, 1, 2, 1], 1.0), tf.fill([2, 1, 2, 1], 5.0)
    mixed = losses.interpolate(real, fake, tf.reshape([0.25, 1.0], [2, 1, 1, 1]))
    assert mixed[..., 0].numpy().tolist() == [[[2, 2]], [[5, 5]]]


@pytest.mark.parametrize(
    ("norm", "weight", "target", "penalty"),
    [(1.0, 10.0, 1.0, 0.0), (0.0, 10.0, 1.0, 10.0), (3.0, 10.0, 1.0, 40.0), (3.0, 8.0, 2.0, 2.0)],
)
def test_gradient_penalty_by_hand(norm, weight, target, penalty):
    value = losses.gradient_penalty(tf.constant([norm]), weight, target)
    np.testing.assert_allclose(value, [penalty], rtol=1e-6)


def test_norm_of_a_linear_critic_is_that_of_its_direction():
    direction = tf.constant([[[3.0], [0.0]], [[0.0], [4.0]]])
    images = tf.random.stateless_normal([3, 2, 2, 1], [1, 2])
    # The logits' far larger gradient must not enter.
    norms = losses.score_gradient_norms(_linear_critic(direction), images)
    np.testing.assert_allclose(norms, [5, 5, 5], rtol=1e-6)


def test_penalty_of_a_linear_critic_has_its_closed_gradient():
    direction = tf.Variable([[[3.0], [0.0]], [[0.0], [4.0]]])
    with tf.GradientTape() as tape:
        norms = losses.score_gradient_norms(_linear_critic(direction), tf.zeros([1, 2, 2, 1]))
        penalty = losses.gradient_penalty(norms, weight=10.0, target=1.0)
    # 10 (5 - 1)^2 = 160, and its gradient 20 (5 - 1) direction / 5 = 16 direction.
    np.testing.assert_allclose(penalty, [160], rtol=1e-6)
    gradient = tape.gradient(penalty, direction)
    np.testing.assert_allclose(gradient, 16 * direction.numpy(), rtol=1e-5)


def test_penalty_of_a_constant_critic_has_a_finite_gradient():
    direction = tf.Variable(tf.zeros([2, 2, 1]))
    with tf.GradientTape() as tape:
        norms = losses.score_gradient_norms(_linear_critic(direction), tf.ones([1, 2, 2, 1]))
        penalty = losses.gradient_penalty(norms)
    np.testing.assert_allclose(penalty, [10], rtol=1e-4)
    assert np.isfinite(tape.gradient(penalty, direction)).all()


def test_inner_scale_does_not_change_the_norm():
    critic = _linear_critic(tf.constant([[[3.0], [4.0]]]))
    norms = losses.score_gradient_norms(critic, tf.ones([2, 1, 2, 1]), tf.constant(1024.0))
    np.testing.assert_allclose(norms, [5, 5], rtol=1e-6)


def test_inner_scale_saves_small_gradients_of_float16():
    def critic(images):
        x = tf.cast(images, tf.float16) * tf.constant(1e-4, tf.float16)
        x = x * tf.constant(1e-4, tf.float16)  # The product 1e-8 is zero in float16.
        return tf.reduce_sum(tf.cast(x, tf.float32), axis=[1, 2, 3]), None

    images = tf.ones([1, 10, 10, 1])
    lost = losses.score_gradient_norms(critic, images)
    saved = losses.score_gradient_norms(critic, images, inner_scale=2.0**15)
    np.testing.assert_allclose(lost, [1e-6], rtol=1e-3)  # Only the root of the epsilon is left.
    # 100 pixels of 1e-8 have norm 1e-7, beside the epsilon's 1e-6.
    np.testing.assert_allclose(saved**2 - losses.NORM_EPSILON, [1e-14], rtol=0.05)


def test_discriminator_terms_by_hand():
    direction = tf.constant([[[3.0], [4.0]]])
    real = tf.constant([[[[1.0], [2.0]]], [[[0.0], [0.0]]]])  # Scores 11 and 0.
    fake = tf.constant([[[[1.0], [0.0]]], [[[0.0], [0.5]]]])  # Scores 3 and 2.
    labels = tf.constant([[1.0, 1.0], [0.0, 1.0]])
    mix = tf.reshape([0.5, 0.5], [2, 1, 1, 1])
    terms = losses.discriminator_terms(
        _linear_critic(direction), real, fake, labels, mix, _weights()
    )
    expected = {
        "discriminator/wasserstein": [3 - 11, 2 - 0],
        "discriminator/penalty": [22.5, 22.5],  # 10 / 2^2 (5 - 2)^2
        "discriminator/drift": [0.121, 0],
        # Logits (100, 200) are right: 0. Logits (0, 0): 2 ln 2, times 3.
        "discriminator/labels_real": [0, 4.1588831],
        "discriminator/labels_fake": [0, 0],
        "scores/real": [11, 0],
        "scores/fake": [3, 2],
        "scores/gradient_norm": [5, 5],
    }
    assert tuple(terms) == losses.DISCRIMINATOR_TERMS == tuple(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(terms[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
        assert terms[name].dtype == tf.float32


def test_label_loss_on_fakes_is_an_option():
    images, labels = tf.zeros([1, 1, 2, 1]), tf.zeros([1, 2])
    terms = losses.discriminator_terms(
        _linear_critic(tf.ones([1, 2, 1])),
        images,
        images,
        labels,
        tf.zeros([1, 1, 1, 1]),
        _weights(fake_label_weight=0.5),
    )
    # Two findings at logit 0: 2 ln 2, times label weight 3, times 0.5.
    np.testing.assert_allclose(terms["discriminator/labels_fake"], [2.0794415], rtol=1e-6)


def test_generator_terms_by_hand():
    terms = losses.generator_terms(
        tf.constant([2.0, -1.0]), tf.zeros([2, 1]), tf.ones([2, 1]), _weights()
    )
    assert tuple(terms) == losses.GENERATOR_TERMS
    np.testing.assert_allclose(terms["generator/adversarial"], [-2, 1])
    np.testing.assert_allclose(terms["generator/labels"], [2.0794415] * 2, rtol=1e-6)


def test_watched_scores_are_outside_the_loss_and_have_no_gradient():
    direction = tf.Variable([[[3.0], [4.0]]])
    image = tf.ones([1, 1, 2, 1])
    with tf.GradientTape() as tape:
        terms = losses.discriminator_terms(
            _linear_critic(direction), image, image, tf.zeros([1, 2]), image[..., :1, :], _weights()
        )
        watched = [terms[name] for name in terms if losses.LOSS_TERMS[name] == 0.0]
        total = tf.add_n(watched)
    assert len(watched) == 3
    assert tape.gradient(total, direction) is None
