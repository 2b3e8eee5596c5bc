"""Rounds whose clients are hospitals, however they are reached: quorum, waiting and the mean.

Quorum and waiting are those of `federated.quorum`, the mean is that of `federated.rounds`. How a
site is asked is `federated.tff_sites`, for sites that run what they are sent, or
`federated.private_sites`, for those that hold a privacy budget.
"""

import abc
import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import grpc
import numpy as np

from federated import config, local, quorum, rounds, sites

MB = 2**20
# A computation's graph, which goes along with the networks, and what gRPC adds.
_GRAPH_MB = 8


def message_megabytes(settings: config.FederatedConfig) -> int:
    """Largest message between coordinator and site: both networks, with a computation beside.

    A worker whose messages are held to this cannot hand out many images at once.
    """
    weights = rounds.flat(local.LocalTrainer(settings).initial_weights())
    return math.ceil(sum(w.nbytes for w in weights) / MB) + _GRAPH_MB


def channel(site: sites.Site, megabytes: int) -> grpc.Channel:
    """A connection to a site that no other call shares.

    Args:
        site: The site.
        megabytes: Largest message either way.
    """
    limit = megabytes * MB
    options = [
        ("grpc.max_receive_message_length", limit),
        ("grpc.max_send_message_length", limit),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc.insecure_channel(site.address, options)


class RemoteRounds(abc.ABC):
    """Rounds at the sites, in the place of `rounds.InProcess`; how to ask is for subclasses."""

    def __init__(
        self,
        settings: config.FederatedConfig,
        all_sites: Sequence[sites.Site],
        holdings: Sequence[sites.Holdings],
        connector,
        times: quorum.QuorumConfig,
        stopped: Callable[[], bool] = lambda: False,
    ):
        """Remembers whom to ask.

        Args:
            settings: Configuration.
            all_sites: The sites, by number.
            holdings: What each had when the run began.
            connector: How to ask them.
            times: Quorum and times.
            stopped: Whether to give up waiting.
        """
        self._settings, self._times, self._stopped = settings, times, stopped
        self._sites, self._holdings, self._connector = all_sites, holdings, connector

    def run(
        self,
        weights: local.Weights,
        moments: Sequence[np.ndarray],
        participants: Iterable[rounds.Participant],
        round_number: int,
    ) -> rounds.Outcome:
        """Runs a round; arguments as of `rounds.InProcess.run`, without batches.

        Raises:
            quorum.QuorumError: If too few sites answer for too long.
            quorum.StoppedError: If told to stop meanwhile.
        """
        asked = [self._sites[participant.number] for participant in participants]
        for site in asked:
            self._prepare(self._holdings[site.number])
        values = [np.asarray(w) for w in rounds.flat(weights)]
        returned = quorum.gather(
            lambda site: self._ask(site, values, round_number),
            asked,
            self._times,
            f"round {round_number}",
            name=lambda site: site.name,
            stopped=self._stopped,
        )
        return rounds.aggregate(values, moments, returned, round_number, self._settings)

    def _ask(self, site, values, round_number):
        known = self._holdings[site.number]
        found = self._connector.holdings(site, self._settings.network.resolution)
        if found != known:
            raise quorum.SiteConfigurationError(
                f"it has other images than when the run began: {_difference(known, found)}. Start "
                "a new run, or put the record set back"
            )
        returned = self._train(site, found, values, round_number)
        if returned.num_examples != known.fold_size:  # by which it would be weighed
            raise quorum.SiteConfigurationError(
                f"it says that it trained on {returned.num_examples} images, and its record set "
                f"has {known.fold_size}"
            )
        return returned

    def _prepare(self, holdings: sites.Holdings) -> None:  # noqa: B027, nothing by default
        """What has to be done before sites are asked, each in a thread of its own."""

    @abc.abstractmethod
    def _train(
        self,
        site: sites.Site,
        found: sites.Holdings,
        values: list[np.ndarray],
        round_number: int,
    ) -> rounds.Returned:
        """Has a site train from the global weights on, a flat list."""


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """What a site sent may be anything, and must not end the rounds of the others.

    Raises:
        quorum.SiteConfigurationError: If it cannot be read within the block.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise quorum.SiteConfigurationError(f"its answer cannot be read: {error!r}") from None


def _difference(known, found):
    pairs = zip(known.to_dict().items(), found.to_dict().values(), strict=True)
    return "; ".join(
        f"{name} {json.dumps(old)} then, {json.dumps(new)} now"
        for (name, old), new in pairs
        if old != new
    )
