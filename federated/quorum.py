"""Asking sites that may be down, slow, restarted or stopped, until enough of them have answered.

Nothing here knows how a site is reached. A round asks all its sites at once. One that fails is
asked again for the same round, also while others still work, unless these can make up the quorum;
with the quorum reached, those that work are waited for and no one is asked again. What a site
returns for a round does not depend on when it was asked: it is a function of the seed and the
round, or, with noise of the site's own, kept by it until it is asked for something else.
"""

import dataclasses
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pgan import config

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.2

S = TypeVar("S")
R = TypeVar("R")


class SiteError(RuntimeError):
    """A site did not answer this time; the message says why."""


class SiteConfigurationError(SiteError):
    """A site answers, but cannot take part as it is."""


class SiteRefusalError(SiteConfigurationError):
    """A site will not answer whatever is done, as one whose privacy budget is spent."""


class QuorumError(RuntimeError):
    """Too few sites answered for too long."""


class StoppedError(Exception):
    """Whoever watches asked to end while sites were waited for."""


@dataclasses.dataclass(frozen=True)
class QuorumConfig(config.Config):
    """How long sites are waited for, and how many of them a round needs."""

    quorum: float = config.option(
        1.0, "Share of the sites asked in a round that must answer; the others are left out of it."
    )
    site_timeout: float = config.option(
        3600.0, "Seconds that a site has for a round's training; a stopped one is noticed by it."
    )
    connect_timeout: float = config.option(20.0, "Seconds that a site has to take the call.")
    retry_seconds: float = config.option(30.0, "Seconds before sites that failed are asked again.")
    patience: float = config.option(
        86_400.0,
        "Seconds that a round waits for its quorum before the run ends with an error; sites that "
        "are at work then are waited for.",
    )

    def __post_init__(self):
        """Checks the values.

        Raises:
            ValueError: If one cannot be used.
        """
        if not 0 < self.quorum <= 1:
            raise ValueError(f"--quorum must be in (0, 1], got {self.quorum}")
        for name in ("site_timeout", "connect_timeout"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"--{name} must be above 0, got {getattr(self, name)}")
        for name in ("retry_seconds", "patience"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"--{name} must not be negative, got {getattr(self, name)}")


def gather(
    ask: Callable[[S], R],
    sites: Sequence[S],
    settings: QuorumConfig,
    what: str,
    name: Callable[[S], str] = str,
    stopped: Callable[[], bool] = lambda: False,
) -> list[R]:
    """Asks sites until enough have answered.

    Args:
        ask: Asks one site, in a thread of its own; raises SiteError if it does not answer. Must
            end by itself.
        sites: Whom to ask, at least one.
        settings: Quorum and times.
        what: What is asked for, such as "round 3", for the log.
        name: Name of a site.
        stopped: Whether to give up waiting, once no site is at work.

    Returns:
        Answers, in the order of the sites; those of sites that were left out are missing.

    Raises:
        QuorumError: If the quorum is not reached in time, or never can be.
        StoppedError: If told to stop before it is reached.
        BaseException: Whatever else `ask` raises.
    """
    needed = math.ceil(settings.quorum * len(sites) - 1e-9)
    calls = _Calls(ask, sites)
    answers: dict[int, R] = {}
    reasons: dict[int, str] = {}
    refused: set[int] = set()  # are not asked again
    again: dict[int, float] = {}  # when the others that failed are asked next
    began, said = time.monotonic(), set()
    for k in range(len(sites)):
        calls.start(k)
    while True:
        for k, answer, error in calls.ended(_LOOK_SECONDS):
            if error is None:
                answers[k] = answer
            elif not isinstance(error, SiteError):
                raise error
            else:
                if isinstance(error, SiteRefusalError):
                    refused.add(k)
                else:
                    again[k] = time.monotonic() + settings.retry_seconds
                if reasons.get(k) != str(error):  # not again with every attempt
                    _LOG.warning("%s: %s: %s", what, name(sites[k]), error)
                reasons[k] = str(error)
        reached = len(answers) >= needed
        hopeless = len(sites) - len(refused) < needed
        late = time.monotonic() - began >= settings.patience
        if not (reached or hopeless or late or stopped()):
            failing = reasons.keys() - answers.keys() - refused
            if failing and failing != said:
                names = ", ".join(name(sites[k]) for k in sorted(failing))
                _LOG.info("%s: %s asked again every %g s", what, names, settings.retry_seconds)
                said = failing
            # Not while those at work may be enough: asking costs a site its time, and its budget.
            if len(answers) + calls.running < needed:
                for k in [k for k, moment in again.items() if moment <= time.monotonic()]:
                    del again[k]
                    calls.start(k)
            continue
        if calls.running:  # what they return may be all that is wanted, and may have cost a budget
            continue
        failed = sorted(refused | again.keys())
        missing = "; ".join(f"{name(sites[k])}: {reasons[k]}" for k in failed)
        if reached:
            if failed:
                names = ", ".join(name(sites[k]) for k in failed)
                _LOG.warning("%s goes on without %s", what, names)
            elif reasons:
                _LOG.info("%s: all have answered now", what)
            return [answers[k] for k in sorted(answers)]
        if hopeless:
            raise QuorumError(
                f"{what}: only {len(sites) - len(refused)} of {needed} wanted can answer. Missing: "
                f"{missing}. A lower --quorum goes on without them"
            )
        if late:
            raise QuorumError(
                f"{what}: only {len(answers)} of {needed} wanted answers after "
                f"{settings.patience:g} s. Missing: {missing}. The same command continues when "
                "they are back; a lower --quorum goes on without them"
            )
        raise StoppedError


class _Calls:
    """Calls to sites, each in a thread of its own.

    The threads are daemons, so that a program that is ended does not wait for a site that is
    stopped.

    Attributes:
        running: Number of calls that have not ended.
    """

    def __init__(self, ask, sites):
        self._ask, self._sites = ask, sites
        self._outcomes = queue.SimpleQueue()
        self.running = 0

    def start(self, k):
        """Calls the site of this place."""
        self.running += 1
        threading.Thread(target=self._run, args=(k,), daemon=True).start()

    def _run(self, k):
        try:
            self._outcomes.put((k, self._ask(self._sites[k]), None))
        except BaseException as error:  # a call that ended unheard would be waited for for ever
            self._outcomes.put((k, None, error))

    def ended(self, seconds):
        """Yields (place, answer, error) of those that end within some seconds."""
        try:
            yield self._outcomes.get(timeout=seconds)
            self.running -= 1
            while True:
                yield self._outcomes.get_nowait()
                self.running -= 1
        except queue.Empty:
            return
