"""Whether the global generator of a round is broken, by a look at some of its images.

The paper proposes to inspect generated samples so that an attack is noticed <Results>. What can be
seen without a person is looked for here; the grids of images are for one. A slow or small attack
shows in neither.
"""

import math

import numpy as np
import tensorflow as tf

from federated import config, server

# An image is flat if the standard deviation of its grey levels, 0 to 255, is below this.
FLAT_DEVIATION = 1.0
# An image is saturated if this share of its pixels is at or beyond black or white.
SATURATED_PIXELS = 0.95
# Images are alike if the mean over pixels of the standard deviation over images is below this.
ALIKE_DEVIATION = 0.5
# An alarm is raised from this share of such images on; for numbers that are not finite, from one.
ALARM_SHARE = 0.25

_BATCH = 16
_STREAM = 2_000_003  # Seed stream of the latents; critic, grids and distances have their own.


def judge(images: np.ndarray) -> list[str]:
    """Looks at images of a generator.

    Args:
        images: float32 [N, R, R, 1], -1 black to 1 white, values beyond included; N at least 1.

    Returns:
        What is wrong with them, as sentences; an empty list if nothing is.
    """
    pixels = images.reshape(len(images), -1).astype(np.float64)
    broken = int(np.sum(~np.isfinite(pixels).all(axis=1)))
    if broken:
        return [f"{broken} of {len(images)} images hold numbers that are not finite"]
    grey = np.clip(pixels * 127.5 + 127.5, 0, 255)
    found = []
    flat = float(np.mean(grey.std(axis=1) < FLAT_DEVIATION))
    if flat >= ALARM_SHARE:
        found.append(f"{flat:.0%} of the images are of one grey")
    saturated = float(np.mean((np.abs(pixels) >= 1).mean(axis=1) >= SATURATED_PIXELS))
    if saturated >= ALARM_SHARE:
        found.append(f"{saturated:.0%} of the images are but black and white")
    if len(images) > 1 and grey.std(axis=0).mean() < ALIKE_DEVIATION:
        found.append("all images are alike")
    return found


def judge_distance(value: float, best: float | None, factor: float) -> list[str]:
    """Compares a distance with the best of earlier rounds.

    Args:
        value: Distance of the round.
        best: Smallest so far; None before there is one.
        factor: From how many times the best on it is an alarm; 0: never.
    """
    if not math.isfinite(value):
        return [f"its distance is {value}"]
    if factor and best is not None and value >= factor * best:
        return [f"its distance is {value:.4g} after {best:.4g} at best"]
    return []


class GeneratorCheck:
    """Draws the same images of the global generator each time, without changing anything."""

    def __init__(
        self, state: server.ServerState, settings: config.FederatedConfig, labels: np.ndarray
    ):
        """Fixes labels and latents.

        Args:
            state: Whose generator is looked at.
            settings: Seed and sizes.
            labels: float32 [N, L] in [0, 1], for which images are drawn.
        """
        self._state, self._settings, self._labels = state, settings, labels

    def look(self) -> list[str]:
        """What is wrong with the generator; see `judge`."""
        parts = [
            self._draw(tf.constant(self._labels[start : start + _BATCH]), start).numpy()
            for start in range(0, len(self._labels), _BATCH)
        ]
        return judge(np.concatenate(parts)) if parts else []

    def _draw(self, labels, start):
        shape = (len(labels), self._settings.network.latent_size)
        seed = (self._settings.seed, _STREAM + start)
        return self._generate(tf.random.stateless_normal(shape, seed, alg="philox"), labels)

    @tf.function(reduce_retracing=True)
    def _generate(self, latents, labels):
        return self._state.generator(latents, labels)
