"""What differential privacy guarantees here, and its accounting by dp-accounting; no TensorFlow.

**Images (`dp_clip_norm`).** Two data sets of a client are neighbours if an image of one is empty,
contributing nothing, in the other ("zero-out", Kairouz et al. 2021, https://arxiv.org/abs/
2103.00039, definition 1.1); how many images a client has is public. Whatever a client returns in
the rounds that it takes part in is (epsilon, delta) private in this sense against anyone who sees
all of it and the global models. Taken for granted:

- The unit is an image. A patient with m images has m epsilon only, with a larger delta.
- Each answer of a client, also one that got lost and is asked for again, has new draws and new
  noise and counts (`Ledger`). Answers compose adaptively; that only some clients take part in a
  round is known and makes nothing smaller. Clients hold different patients, so that an image has
  the epsilon of its own client, and the federation's is the largest.
- Which images are drawn and the noise come from the operating system's secret (`secret_generator`).
  Noise from a seed that others know is no noise: they subtract it. Nor may two different answers
  ever share it.
- A run counts itself only. Epsilons of runs on the same images add up; a site that trains where it
  is counts all of them itself (`federated.site_budget`).
- The initial weights and everything in the configuration were chosen without these images.
  Measurements and grids of images, a best checkpoint chosen by them, and the fingerprint of the
  records in a run folder are outside.
- Generators of pseudo-random numbers that are not cryptographic, noise in float32 (Mironov 2012,
  https://doi.org/10.1145/2382196.2382264), and the time that a step takes are not accounted for.

Every image is in a step's batch with probability q on its own. A draw of more than the slots is
drawn again, which costs nothing: given the other members of an accepted draw, an image is a member
with probability q if there is room, else certainly not, alike in both neighbours. The step is a
mixture, with the same weights, of Gaussian mechanisms subsampled at rate q and of steps that do not
depend on the image, and mixing makes no divergence larger.

**Clients (`client_dp_noise_multiplier`).** Neighbours differ in all of one client's data, which are
exchanged; so a sum of clipped updates changes by twice the clip norm. Each round takes the same
number of clients without replacement (Wang et al. 2019, https://arxiv.org/abs/1808.00087), and
nobody may know whom: `seed`, which they are drawn from, is then a secret. It holds against who sees
the global models, not what single clients return or report: the server is trusted with that. What
it comes to for 20 clients is told at `client_epsilon`: nothing of use.
"""

import functools
import json
import math
import pathlib

import numpy as np

from federated import config
from pgan import run_folder

# A draw has more members than slots about once in so many; see the module's docstring.
_DRAWS_UP_TO_OVERFLOW = 1_000_000
# Below, the grid of privacy losses takes gigabytes, for an epsilon that guarantees nothing.
_LEAST_NOISE_OF_LOSS_DISTRIBUTION = 0.5


def sampling_rate(batch_size: int, num_examples: int) -> float:
    """Probability by which each image is in a batch; 1 for a client that has no whole batch."""
    return min(1.0, batch_size / num_examples)


@functools.cache
def slots(batch_size: int) -> int:
    """Most members that a batch may have: exceeded once in 10^6 draws at most.

    The quantile of the Poisson distribution, whose upper tail is above the binomial one of the same
    mean (Anderson & Samuels 1967).

    Args:
        batch_size: Expected members of a batch.
    """
    members, log_factorial, below = 0, 0.0, math.exp(-batch_size)
    while 1.0 - below > 1.0 / _DRAWS_UP_TO_OVERFLOW:
        members += 1
        log_factorial += math.log(members)
        below += math.exp(members * math.log(batch_size) - batch_size - log_factorial)
    return members


def secret_generator(
    settings: config.FederatedConfig, round_number: int, client: int
) -> np.random.Generator:
    """Generator of what nobody else may know, from the operating system's randomness.

    Args:
        settings: With `dp_test_seed`, of seed, round and client instead: for tests only.
        round_number: From 0.
        client: The client's number.
    """
    if settings.dp_test_seed >= 0:
        return np.random.default_rng([settings.dp_test_seed, round_number, client])
    return np.random.default_rng()  # 128 bits of `secrets`


def draw_members(
    generator: np.random.Generator, num_examples: int, rate: float, most: int
) -> np.ndarray:
    """Draws a batch: every image on its own, all again if there are too many.

    Args:
        generator: Secret.
        num_examples: Images of the client.
        rate: Probability of each.
        most: Slots.

    Returns:
        int64 [N], ascending, N at most the slots and often 0 if the expectation is small.
    """
    while True:
        members = np.flatnonzero(generator.random(num_examples) < rate)
        if len(members) <= most:
            return members


@functools.cache
def example_epsilon(noise_multiplier: float, rate: float, steps: int, delta: float) -> float:
    """Epsilon of some steps of DP-SGD with batches drawn image by image.

    Args:
        noise_multiplier: Standard deviation of the noise over the clip norm.
        rate: Probability by which an image is in a batch.
        steps: Steps, one after the other.
        delta: Delta.

    Returns:
        By the privacy loss distribution, rounded up; by Renyi divergences, which are looser, for
        noise below 0.5. Infinite without noise.

    Raises:
        ValueError: If dp-accounting is not installed.
    """
    if not steps:
        return 0.0
    if not noise_multiplier:
        return math.inf
    dp_accounting = _dp_accounting()
    event = dp_accounting.SelfComposedDpEvent(
        dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise_multiplier)),
        steps,
    )
    if noise_multiplier < _LEAST_NOISE_OF_LOSS_DISTRIBUTION:
        accountant = dp_accounting.rdp.RdpAccountant()
    else:
        accountant = dp_accounting.pld.PLDAccountant()
    return float(accountant.compose(event).get_epsilon(delta))


@functools.cache
def client_epsilon(
    noise_multiplier: float, clients: int, per_round: int, num_rounds: int, delta: float
) -> float:
    """Epsilon of some rounds for exchanging all data of one client.

    With 20 clients, 2 in each round and delta 0.001, it is 28 after 30 rounds and 227 after 300 for
    a multiplier of 1, and 0.8 and 3.1 for 8. But then every weight of the mean update of two gets
    noise of 8 / 2 clip norms, and all d of them together of 4 sqrt(d): for the paper's networks, of
    46 million, 27,000 times the longest update that there can be. So few clients can have privacy
    or a network, not both; it takes thousands. Images can be protected inside a client instead.

    Args:
        noise_multiplier: Standard deviation of the noise on the sum of updates over the clip norm.
        clients: K.
        per_round: Clients in each round, drawn without replacement.
        num_rounds: Rounds.
        delta: Delta.

    Returns:
        By Renyi divergences, rounded up; infinite without noise.

    Raises:
        ValueError: If dp-accounting is not installed.
    """
    if not num_rounds:
        return 0.0
    if not noise_multiplier:
        return math.inf
    dp_accounting = _dp_accounting()
    # Exchanging an update changes the sum by twice the clip norm.
    gaussian = dp_accounting.GaussianDpEvent(noise_multiplier / 2.0)
    if per_round < clients:
        gaussian = dp_accounting.SampledWithoutReplacementDpEvent(clients, per_round, gaussian)
    accountant = dp_accounting.rdp.RdpAccountant(
        neighboring_relation=dp_accounting.NeighboringRelation.REPLACE_ONE
    )
    event = dp_accounting.SelfComposedDpEvent(gaussian, num_rounds)
    return float(accountant.compose(event).get_epsilon(delta))


def _dp_accounting():
    try:
        import dp_accounting
        import dp_accounting.pld
        import dp_accounting.rdp
    except ModuleNotFoundError as error:
        raise ValueError(
            f"privacy needs dp-accounting 0.4.3 ({error}); install requirements.lock, which has "
            "it, or leave --dp_clip_norm and --client_dp_noise_multiplier out"
        ) from None
    return dp_accounting


class Ledger:
    """Answers that were given, in a file that is written before each of them and never goes back.

    A round that is asked for again after a crash counts again: its first answer may have been seen.
    """

    def __init__(self, settings: config.FederatedConfig, path: pathlib.Path):
        """Reads the file if there is one.

        Args:
            settings: Noise, batch size, steps and delta.
            path: JSON file of answers by name.
        """
        self._settings, self._path = settings, path
        self._answers = json.loads(path.read_text()) if path.exists() else {}

    def count(self, name: str) -> None:
        """Counts an answer of a client, or a round of the server, that is about to be given."""
        self._answers[name] = self.answers(name) + 1
        run_folder.write_atomically(self._path, json.dumps(self._answers, indent=2) + "\n")

    def answers(self, name: str) -> int:
        """Answers so far."""
        return self._answers.get(name, 0)

    def spent(self, name: str, num_examples: int) -> dict[str, float]:
        """Privacy that a client has spent.

        Args:
            name: The client's name.
            num_examples: Its images.

        Returns:
            `privacy/answers`; `privacy/epsilon_answer` of one of them, `privacy/epsilon` of all so
            far, each at `privacy/delta`.
        """
        settings, answers = self._settings, self.answers(name)
        rate = sampling_rate(settings.batch_size, num_examples)
        noise, delta = settings.dp_noise_multiplier, settings.dp_delta
        steps = settings.generator_steps * settings.critic_steps
        return {
            "privacy/answers": float(answers),
            "privacy/epsilon_answer": example_epsilon(noise, rate, steps, delta),
            "privacy/epsilon": example_epsilon(noise, rate, steps * answers, delta),
            "privacy/delta": delta,
        }
