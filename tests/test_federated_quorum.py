"""Sites that fail are asked again; enough answers end a round."""

import logging
import threading
import time

import pytest

from federated import quorum


def _times(**changes):
    return quorum.QuorumConfig(**{"retry_seconds": 0.0, **changes})


class _Sites:
    """Sites that fail a number of times each, with a message of its own."""

    def __init__(self, **failures):
        self.left, self.asked = dict(failures), []

    def ask(self, name):
        self.asked.append(name)
        if self.left.get(name, 0):
            self.left[name] -= 1
            raise quorum.SiteError("it is down")
        return name.upper()


def test_all_answer_at_once():
    """All are asked at the same time: each waits for the others."""
    barrier = threading.Barrier(3)

    def ask(name):
        barrier.wait(30)
        return name.upper()

    assert quorum.gather(ask, ["c", "a", "b"], _times(), "round 0") == ["C", "A", "B"]


def test_who_failed_is_asked_again_and_named(caplog):
    sites = _Sites(b=2)
    with caplog.at_level(logging.INFO, logger="federated"):
        answers = quorum.gather(sites.ask, ["a", "b", "c"], _times(), "round 4")
    assert answers == ["A", "B", "C"]
    assert sorted(sites.asked) == ["a", "b", "b", "b", "c"]
    assert caplog.text.count("round 4: b: it is down") == 1  # and not with every attempt
    assert "round 4: all have answered now" in caplog.text


def test_a_quorum_goes_on_without_the_rest(caplog):
    """One that failed is not asked again while those at work may be enough, nor afterwards."""
    sites, failed = _Sites(b=9), threading.Event()

    def ask(name):
        if name != "b":
            assert failed.wait(30)
            time.sleep(0.5)  # time enough to ask again
            return sites.ask(name)
        try:
            return sites.ask(name)
        finally:
            failed.set()

    answers = quorum.gather(ask, ["a", "b", "c"], _times(quorum=2 / 3), "round 4")
    assert answers == ["A", "C"] and sites.asked.count("b") == 1
    assert "round 4 goes on without b" in caplog.text


def test_a_slow_site_does_not_hold_up_the_asking_of_others():
    """The slow one only ends when the one that failed has been asked again."""
    recovered, tries = threading.Event(), []

    def ask(name):
        if name == "slow":
            assert recovered.wait(30)
        else:
            tries.append(name)
            if len(tries) < 3:
                raise quorum.SiteError("it is down")
            recovered.set()
        return name

    assert quorum.gather(ask, ["slow", "down"], _times(), "round 4") == ["slow", "down"]
    assert len(tries) == 3


def test_an_answer_that_is_on_its_way_is_not_given_up():
    """Neither by a stop nor by patience: it may complete the quorum, and may have cost a budget."""
    begun = threading.Event()

    def ask(name):
        begun.set()
        time.sleep(0.5)
        return name

    times = _times(patience=0.0)
    assert quorum.gather(ask, ["a"], times, "round 4", stopped=begun.is_set) == ["a"]


def test_patience_ends_with_who_was_missing():
    sites = _Sites(b=9)
    with pytest.raises(quorum.QuorumError, match=r"round 4: only 1 of 2 .*Missing: b: it is down"):
        quorum.gather(sites.ask, ["a", "b"], _times(patience=0.0), "round 4")


def test_waiting_can_be_stopped():
    sites = _Sites(b=9)
    with pytest.raises(quorum.StoppedError):
        quorum.gather(
            sites.ask, ["a", "b"], _times(retry_seconds=600.0), "round 4", stopped=lambda: True
        )
    # A round whose sites have all answered is not given up.
    assert quorum.gather(sites.ask, ["a"], _times(), "round 5", stopped=lambda: True) == ["A"]


def test_other_errors_are_not_swallowed():
    def ask(name):
        raise KeyError(name)

    with pytest.raises(KeyError):
        quorum.gather(ask, ["a"], _times(), "round 0")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"quorum": 0.0}, r"--quorum must be in \(0, 1\], got 0"),
        ({"site_timeout": 0.0}, "--site_timeout must be above 0"),
        ({"patience": -1.0}, "--patience must not be negative"),
    ],
)
def test_messages(changes, message):
    with pytest.raises(ValueError, match=message):
        quorum.QuorumConfig(**changes)


@pytest.mark.parametrize("share, answered", [(1.0, None), (0.5, ["a"])])
def test_a_site_that_refuses_for_good_is_not_waited_for(share, answered):
    """The run would ask it for ten minutes otherwise."""
    asked = []

    def ask(site):
        asked.append(site)
        if site == "b":
            raise quorum.SiteRefusalError("its budget is spent")
        time.sleep(0.5)
        return site

    times = _times(quorum=share, patience=600.0)
    if answered:
        assert quorum.gather(ask, ["a", "b"], times, "round 1") == answered
    else:
        with pytest.raises(quorum.QuorumError, match="only 1 of 2 .* b: its budget is spent"):
            quorum.gather(ask, ["a", "b"], times, "round 1")
    assert sorted(asked) == ["a", "b"]
