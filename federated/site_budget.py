"""A site's own privacy budget: what it has answered, on its own disk, and when it stops; no TF.

The budget is for one mechanism, which the first answer fixes: noise, batch size, steps of an answer
and images. Composition is then that of equal steps (`privacy.example_epsilon`), whoever asks and
however many federations ask; epsilons of steps whose noise a coordinator chooses as it goes do not
simply add up, and another mechanism is refused. Everything else that a coordinator can choose, such
as weights, learning rate or labels' prior, epsilon does not depend on.
"""

import bisect
import dataclasses
import hashlib
import hmac
import json
import os
import pathlib
import secrets
import threading

from federated import config, privacy

_FILE = "budget.json"
# Far inside float32, so that neither sums nor noise overflow or vanish, which would tell of images.
_CLIP_NORMS = (1e-3, 1e3)
# Less guarantees nothing, more trains nothing, and far beyond both the accounting never ends.
_NOISE_MULTIPLIERS = (1e-2, 1e3)


class BudgetError(RuntimeError):
    """The site's budget does not allow the answer, now or later."""


@dataclasses.dataclass(frozen=True)
class Limit:
    """What a site allows for each of its images, in its whole life.

    Attributes:
        epsilon: Most that may be spent.
        delta: At this delta.
    """

    epsilon: float
    delta: float

    def __post_init__(self):
        """Checks the values.

        Raises:
            ValueError: If one cannot be used.
        """
        if not 0 < self.epsilon < float("inf"):
            raise ValueError(f"--max_epsilon must be above 0 and finite, got {self.epsilon}")
        if not 0 < self.delta < 1:
            raise ValueError(f"--delta must be in (0, 1), got {self.delta}")


def check_settings(settings: config.FederatedConfig, allow_test_seed: bool = False) -> None:
    """Refuses what would make an answer less private than its epsilon says.

    Args:
        settings: That the coordinator asks for; its own checks have passed.
        allow_test_seed: For tests: whether noise may be drawn from a seed that others know.

    Raises:
        ValueError: If an answer would not be private.
    """
    low, high = _CLIP_NORMS
    if not low <= settings.dp_clip_norm <= high:
        raise ValueError(
            f"this site answers with differential privacy only: --dp_clip_norm must be in [{low:g},"
            f" {high:g}], got {settings.dp_clip_norm:g}"
        )
    low, high = _NOISE_MULTIPLIERS
    if not low <= settings.dp_noise_multiplier <= high:
        raise ValueError(
            f"this site answers with noise only: --dp_noise_multiplier must be in [{low:g}, "
            f"{high:g}], got {settings.dp_noise_multiplier:g}"
        )
    if settings.dp_test_seed >= 0 and not allow_test_seed:
        raise ValueError("this site draws its own noise; leave --dp_test_seed out")
    if settings.arm != config.FEDERATED:
        raise ValueError(f"sites have --arm=federated, got {settings.arm}")


class Budget:
    """Answers that a site has given, in a file that is written before each and never goes back.

    Every answer counts, also one that got lost; `kept_answer.KeptAnswer` gives the last one again.

    Attributes:
        folder: Folder of the file.
        limit: What is allowed.
    """

    def __init__(self, folder: pathlib.Path, limit: Limit):
        """Reads the file, or makes it.

        Args:
            folder: Folder of the file; only the site may read or write it.
            limit: What is allowed.

        Raises:
            ValueError: If the file is damaged.
        """
        self.folder, self.limit = folder, limit
        self._path, self._lock = folder / _FILE, threading.Lock()
        if not self._path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)  # the secret is for nobody else
            self._write({"secret": secrets.token_hex(32), "mechanism": None, "answers": 0})
        try:
            self._content = json.loads(self._path.read_text())
            self._content["secret"], self._content["mechanism"], self._content["answers"] + 0
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self._path} is damaged ({error!r}); restore it from a backup. Without it nobody "
                "knows what was spent"
            ) from None

    @property
    def answers(self) -> int:
        """Answers so far."""
        return self._content["answers"]

    def disguise(self, fingerprint: str) -> str:
        """Changes with a fingerprint and tells nothing of it, which itself tells of every image."""
        secret = self._content["secret"].encode()
        return hmac.new(secret, fingerprint.encode(), hashlib.sha256).hexdigest()

    def answers_left(self, settings: config.FederatedConfig, num_examples: int, most: int) -> int:
        """How many more answers the budget allows; counts nothing.

        Args:
            settings: Of the answers.
            num_examples: Images of the site.
            most: Answers that are wanted, at least 1; more are not looked for.

        Raises:
            ValueError: If no number of answers is wanted.
            BudgetError: If the answers would be of another mechanism than those before.
        """
        if not isinstance(most, int) or most < 1:
            raise ValueError(f"a budget is asked for a number of rounds from 1 on, got {most!r}")
        with self._lock:
            self._check_mechanism(_mechanism(settings, num_examples))
            answers = self.answers
        epsilon = self._epsilon(settings, num_examples)

        def refused(more):
            return not epsilon(answers + more) <= self.limit.epsilon  # nor if it is no number

        if not refused(most):  # the usual case, in one step of some seconds
            return most
        return bisect.bisect_left(range(1, most), True, key=refused)

    def spend(self, settings: config.FederatedConfig, num_examples: int) -> dict[str, float]:
        """Counts an answer that is about to be given.

        Args:
            settings: Of the answer.
            num_examples: Images of the site.

        Returns:
            `privacy/answers`; `privacy/epsilon_answer` of one of them, `privacy/epsilon` of all so
            far, each at `privacy/delta`; `privacy/limit` of epsilon.

        Raises:
            BudgetError: If epsilon would pass the limit, or the answer would be of another
                mechanism than those before; nothing is counted then.
        """
        with self._lock:
            mechanism = _mechanism(settings, num_examples)
            self._check_mechanism(mechanism)
            epsilon = self._epsilon(settings, num_examples)
            answers = self.answers + 1
            if not epsilon(answers) <= self.limit.epsilon:  # nor if it is no number
                raise BudgetError(
                    f"its privacy budget is spent: {self.answers} answers came to epsilon "
                    f"{epsilon(self.answers):.4g} at delta {self.limit.delta:g}, and one more to "
                    f"{epsilon(answers):.4g}, above its limit of {self.limit.epsilon:g}"
                )
            content = {**self._content, "mechanism": mechanism, "answers": answers}
            self._write(content)
            self._content = content
            return {
                "privacy/answers": float(answers),
                "privacy/epsilon_answer": epsilon(1),
                "privacy/epsilon": epsilon(answers),
                "privacy/delta": self.limit.delta,
                "privacy/limit": self.limit.epsilon,
            }

    def _epsilon(self, settings, num_examples):
        """Function of a number of answers to their epsilon."""
        rate = privacy.sampling_rate(settings.batch_size, num_examples)
        steps = settings.generator_steps * settings.critic_steps
        noise, delta = settings.dp_noise_multiplier, self.limit.delta
        return lambda answers: privacy.example_epsilon(noise, rate, steps * answers, delta)

    def _check_mechanism(self, mechanism):
        known = self._content["mechanism"] or mechanism
        for name, value in known.items():
            if mechanism[name] != value:
                raise BudgetError(
                    f"its {self.answers} answers had {name} = {value}, which its budget is for, "
                    f"and now {mechanism[name]} is asked for. Ask for {value}; a new budget at the "
                    "site would add its epsilon to the old one's"
                )

    def _write(self, content):
        """On the disk before it returns: a count that a power cut takes back was not counted."""
        beside = self._path.with_name(self._path.name + ".tmp")
        with open(beside, "w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too
        finally:
            os.close(folder)


def _mechanism(settings, num_examples):
    """What all answers of a budget have in common."""
    return {
        "dp_noise_multiplier": settings.dp_noise_multiplier,
        "batch_size": settings.batch_size,
        "generator_steps": settings.generator_steps,
        "critic_steps": settings.critic_steps,
        "images": num_examples,
    }
