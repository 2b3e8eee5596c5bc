"""Timing on machines whose speed changes from minute to minute.

A shared machine swings by a factor of two within minutes, so that two times taken one after the
other say little about each other. What is compared is therefore timed in turns: a reference before
and after every subject. The ratio is taken within each such round, and the median over the rounds
is what counts.
"""

import dataclasses
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Sample:
    """Time of one call, averaged over the calls of a sample.

    Attributes:
        seconds: Wall-clock time.
        cpu_seconds: Time that all threads of this process computed.
    """

    seconds: float
    cpu_seconds: float

    @property
    def cores(self) -> float:
        """Cores that were computing, on average."""
        return self.cpu_seconds / self.seconds


@dataclasses.dataclass(frozen=True)
class Round:
    """A subject and its references, timed next to each other.

    Attributes:
        subject: The subject's sample.
        references: By name, the mean of the samples before and after the subject.
    """

    subject: Sample
    references: dict[str, Sample]

    def ratio(self, reference: str) -> float:
        """Time of the reference over the time of the subject: above 1 if the subject is faster."""
        return self.references[reference].seconds / self.subject.seconds


def sample(function: Callable[[], object], calls: int = 1) -> Sample:
    """Times some calls of a function in a row."""
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(calls):
        function()
    seconds = time.perf_counter() - began
    return Sample(seconds / calls, (time.process_time() - cpu) / calls)


def calls_for(function: Callable[[], object], seconds: float) -> tuple[int, float]:
    """How many calls take about so long, and how long those take.

    The first call is not counted: it may compile, or fill caches.
    """
    function()
    calls = 1
    while (taken := calls * sample(function, calls).seconds) < seconds / 4:
        calls = math.ceil(calls * seconds / 2 / max(taken, 1e-6))
    needed = max(1, round(calls * seconds / taken))
    return needed, needed * taken / calls


def compare(
    subject: Callable[[], object],
    references: Mapping[str, Callable[[], object]],
    repeats: int = 5,
    min_seconds: float = 0.5,
    reference_share: float = 0.1,
    on_round: Callable[[], object] = lambda: None,
) -> list[Round]:
    """Times a subject in turns with references: references, subject, references, subject, ...

    Args:
        subject: What is measured.
        references: What it is compared with, by name; may be empty.
        repeats: Rounds.
        min_seconds: Least duration of a sample; short functions are called several times.
        reference_share: A reference's sample lasts at least this share of the subject's, so that
            it sees enough of the machine's changes.
        on_round: Called after each round.

    Returns:
        The rounds.

    Raises:
        ValueError: If there is no round to time.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    calls, seconds = calls_for(subject, min_seconds)
    share = max(min_seconds, reference_share * seconds)
    reference_calls = {name: calls_for(function, share)[0] for name, function in references.items()}

    def sample_references():
        return {
            name: sample(function, reference_calls[name]) for name, function in references.items()
        }

    rounds = []
    before = sample_references()
    for _ in range(repeats):
        taken = sample(subject, calls)
        after = sample_references()
        means = {
            name: Sample(
                (before[name].seconds + after[name].seconds) / 2,
                (before[name].cpu_seconds + after[name].cpu_seconds) / 2,
            )
            for name in references
        }
        rounds.append(Round(taken, means))
        before = after
        on_round()
    return rounds


def median_seconds(rounds: Sequence[Round]) -> float:
    """Median time of a call of the subject."""
    return statistics.median(round_.subject.seconds for round_ in rounds)


def median_ratio(rounds: Sequence[Round], reference: str) -> float:
    """Median over the rounds of the reference's time over the subject's."""
    return statistics.median(round_.ratio(reference) for round_ in rounds)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
