"""Scores of single images by the discriminator of a tiny run."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny_runs

from pgan import checkpoints, networks, training_step
from pgan.audit import discriminator_scores


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return tiny_runs.make_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def critic(run_dir):
    return discriminator_scores.Critic(run_dir)


def _images(count, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size), np.uint8)


def _scores(critic, images, seed=0):
    return critic.scores(images, seed, progress=False)


def test_facts_are_those_of_the_run(critic):
    assert (critic.resolution, critic.images_shown) == (8, 3000)
    assert critic.trained_on == tiny_runs.RECORDS["fold_fingerprint"]


@pytest.mark.parametrize("count", [16, 17, 50])  # whole batches, and one that is filled up
def test_scores_depend_on_the_seed_alone(critic, count):
    images = _images(count)
    scores = _scores(critic, images)
    assert scores.shape == (count,) and scores.dtype == np.float64
    assert np.isfinite(scores).all() and scores.std() > 0
    np.testing.assert_array_equal(_scores(critic, images), scores)
    # Other company changes them, and less so than the image does.
    other = _scores(critic, images, seed=1)
    assert count == 16 or (other != scores).any()
    assert np.abs(other - scores).mean() < 0.5 * scores.std()


def test_each_image_is_scored_in_every_round(critic, monkeypatch):
    """Its own score, whatever fills the last batch up."""
    asked = []

    def score(images):
        asked.append(len(images))
        return tf.reduce_mean(tf.cast(images, tf.float32), axis=(1, 2))

    monkeypatch.setattr(critic, "_score", score)
    images = _images(21)
    expected = images.mean(axis=(1, 2))
    np.testing.assert_allclose(_scores(critic, images), expected, rtol=1e-6)
    assert asked == [16] * 2 * discriminator_scores.REPEATS


@pytest.mark.parametrize("shown, alpha", [(3000, None), (1500, 0.5)])  # 8 px, and their fading in
def test_without_groups_a_score_is_that_of_the_network(tmp_path, shown, alpha):
    network = dataclasses.replace(tiny_runs.settings().network, stddev_group=1)
    folder = tiny_runs.make_run(tmp_path / "run", shown, network=network)
    images = _images(20)
    scores = _scores(discriminator_scores.Critic(folder), images)
    plain = networks.Discriminator(network, seed=0)
    checkpoints.restore_networks(checkpoints.latest(folder), discriminator=plain)
    real = tf.constant(images[..., np.newaxis] / 127.5 - 1.0, tf.float32)
    if alpha is not None:
        alpha = tf.constant(alpha)
        real = training_step.fade_reals(real, alpha)
    np.testing.assert_allclose(scores, plain(real, 3, alpha)[0].numpy(), rtol=1e-4, atol=1e-5)


def test_other_images_are_refused(critic, run_dir):
    for images in (_images(20, size=16), _images(15)):
        with pytest.raises(ValueError) as error:
            _scores(critic, images)
        assert str(error.value) == (
            f"the discriminator of {run_dir} wants at least 16 images of 8 px, got "
            f"{list(images.shape)}"
        )


def test_scores_that_are_not_finite_are_refused(critic, monkeypatch):
    monkeypatch.setattr(critic, "_score", lambda images: tf.fill([len(images)], np.nan))
    with pytest.raises(ValueError, match="scores that are not finite .* an earlier checkpoint"):
        _scores(critic, _images(16))


def test_a_damaged_checkpoint_is_named(tmp_path):
    folder = tiny_runs.make_run(tmp_path / "run")
    newest = pathlib.Path(checkpoints.latest(folder))
    # An older one is there too, which the generator is read from.
    for path in newest.parent.glob(f"{newest.name}.*"):
        shutil.copy(path, newest.parent / path.name.replace(newest.name, "ckpt-1000"))
    index = newest.with_name(f"{newest.name}.index")
    index.write_bytes(index.read_bytes()[:50])
    with pytest.raises(ValueError, match=f"the checkpoint {newest} is damaged; delete it"):
        discriminator_scores.Critic(folder)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        discriminator_scores.Critic(str(tmp_path))
