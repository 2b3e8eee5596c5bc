"""The coordinator's side of sites that train privately and hold their own budgets."""

import json
import logging
import math
import pathlib
from typing import Any, NamedTuple

import grpc

from federated import (
    budget_forecast,
    config,
    local,
    quorum,
    remote_rounds,
    rounds,
    site_messages,
    sites,
)
from pgan import run_folder

_LOG = logging.getLogger(__name__)
_FILE = "privacy.json"
# A run begins without a forecast rather than wait for long.
_FORECAST_SECONDS = 300.0
# Of `site_budget.Budget.spend`.
_SPENT = tuple(
    f"privacy/{name}" for name in ("answers", "epsilon_answer", "epsilon", "delta", "limit")
)


class BudgetLeft(NamedTuple):
    """What a site says of its privacy budget.

    Attributes:
        left: Rounds that it allows, at most those that it was asked about.
        answers: Answers so far.
        limit: Epsilon that no answer may pass.
        delta: Delta of this epsilon.
    """

    left: int
    answers: int
    limit: float
    delta: float


class Connector:
    """Asks sites, each in the thread of the caller."""

    def __init__(self, times: quorum.QuorumConfig, megabytes: int):
        """Remembers how to ask.

        Args:
            times: Time-outs.
            megabytes: Largest message that is taken from a site.
        """
        self._times, self._megabytes = times, megabytes

    def holdings(self, site: sites.Site, resolution: int) -> sites.Holdings:
        """What a site says that it has; its fingerprints are disguised.

        Args:
            site: The site.
            resolution: Of the networks in px.

        Raises:
            quorum.SiteConfigurationError: If it answers that it cannot take part.
            quorum.SiteError: If it does not answer.
        """
        request = {**_where(site), "site": site.name, "resolution": resolution}
        answer = self._call(
            site, site_messages.DESCRIBE, site_messages.pack(request), "connect_timeout"
        )
        with remote_rounds.reading():
            return sites.Holdings.from_dict(site_messages.unpack(answer)[0])

    def budget(
        self, site: sites.Site, settings: config.FederatedConfig, num_rounds: int
    ) -> BudgetLeft:
        """How many rounds the budget of a site allows, by its own accounting, which takes seconds.

        Args:
            site: The site.
            settings: Configuration.
            num_rounds: Rounds that it would be asked for, at least 1.

        Raises:
            quorum.SiteRefusalError: If its budget is for something else.
            quorum.SiteConfigurationError: If it refuses such rounds, or answers something else.
            quorum.SiteError: If it does not answer.
        """
        request = {**_where(site), "settings": settings.to_dict(), "rounds": num_rounds}
        answer = self._call(
            site,
            site_messages.FORECAST,
            site_messages.pack(request),
            "site_timeout",
            _FORECAST_SECONDS,
        )
        with remote_rounds.reading():
            told = site_messages.unpack(answer)[0]
            return BudgetLeft(
                int(told["left"]), int(told["answers"]), float(told["limit"]), float(told["delta"])
            )

    def train(
        self,
        site: sites.Site,
        settings: config.FederatedConfig,
        values: list,
        round_number: int,
    ) -> rounds.Returned:
        """Has a site train from the global weights on.

        Args:
            site: The site.
            settings: Configuration.
            values: Global weights, a flat list.
            round_number: From 0.

        Raises:
            quorum.SiteRefusalError: If its budget is spent, or is for something else.
            quorum.SiteConfigurationError: If it refuses the request, or answers something else.
            quorum.SiteError: If no result comes.
        """
        request = {
            **_where(site),
            "settings": settings.to_dict(),
            "round": round_number,
            "number": site.number,
        }
        message = site_messages.pack(request, values)
        answer = self._call(site, site_messages.TRAIN, message, "site_timeout")
        shapes = [*(value.shape for value in values), (len(local.LOSS_NAMES),)]
        with remote_rounds.reading():
            head, body = site_messages.unpack(answer)
            *update, losses = site_messages.arrays(body, shapes)
            # No other names, which would take the place of what is known of the site.
            spent = {name: float(head["spent"][name]) for name in _SPENT}
            examples = int(head["examples"])
        return rounds.Returned(site.number, site.name, update, examples, losses, spent)

    def _call(self, site, method, request, time_limit, most=math.inf):
        seconds = min(getattr(self._times, time_limit), most)
        with remote_rounds.channel(site, self._megabytes) as channel:
            call = channel.unary_unary(f"/{site_messages.SERVICE}/{method}")
            try:
                # A site that is down is waited for when it is asked what it has, not while it
                # would train.
                first = method == site_messages.DESCRIBE
                return call(request, timeout=seconds, wait_for_ready=first)
            except grpc.RpcError as error:
                raise self._explained(error, site, time_limit, seconds) from None

    def _explained(self, error, site, time_limit, seconds):
        code, details = error.code(), error.details() or "no details"
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return quorum.SiteError(
                f"no answer from {site.address} within {seconds:g} s: "
                "tools/run_private_site.py or the tunnel to it is down, slow or stopped; a higher "
                f"--{time_limit} waits longer"
            )
        if code == grpc.StatusCode.UNAVAILABLE:
            return quorum.SiteError(f"its program or the tunnel to it ended: {details}")
        if code == grpc.StatusCode.FAILED_PRECONDITION:
            return quorum.SiteRefusalError(details)
        if code == grpc.StatusCode.UNIMPLEMENTED:
            return quorum.SiteConfigurationError(
                f"at {site.address} is no tools/run_private_site.py of this version; "
                "--dp_clip_norm needs one, since a worker that runs what it is sent can promise no "
                "privacy"
            )
        if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
            return quorum.SiteConfigurationError(
                f"a message is too large ({details}); start tools/run_private_site.py with "
                f"--max_message_mb={self._megabytes}"
            )
        return quorum.SiteConfigurationError(details)


def _where(site):
    return {"records": site.records, "fold": site.fold}


class PrivateRounds(remote_rounds.RemoteRounds):
    """Rounds of sites that train privately; with a `Connector`."""

    _begun = False

    def run(self, weights, moments, participants, round_number):
        """As of its base; the first call also logs how many of the rounds left budgets allow."""
        if not self._begun:
            self._begun = True
            budget_forecast.log(self._connector, self._sites, self._settings, round_number)
            if self._stopped():
                raise quorum.StoppedError
        return super().run(weights, moments, participants, round_number)

    def _train(self, site, found, values, round_number):
        return self._connector.train(site, self._settings, values, round_number)


class ToldSpending:
    """What sites said that they have spent, in the place of `private_simulation.Spending`.

    The sites count. The run's folder keeps what each told last, which may be more than this run
    spent: a site also counts what other runs asked for.
    """

    def __init__(self, folder: pathlib.Path):
        """Reads what was told before.

        Args:
            folder: The run's folder.
        """
        self._path = folder / _FILE
        self._told = json.loads(self._path.read_text()) if self._path.exists() else {}

    def log_remarks(self) -> None:
        """Says what the guarantees of this run do not cover."""
        _LOG.info(
            "epsilon is each site's own, of all that it has ever answered, for one image; what is "
            "known of its images otherwise is outside"
        )

    def count(self, name: str) -> None:
        """Nothing: the site counts."""

    def count_round(self) -> None:
        """Nothing: no noise is added here."""

    def add_to(self, rows: list[dict[str, Any]], round_number: int) -> dict[str, float]:
        """Keeps and logs what each site of a round told; its row has it already.

        Returns:
            `privacy/epsilon` and `privacy/delta`, the largest of all sites so far.
        """
        for row in rows:
            spent = {name: row[name] for name in row if name.startswith("privacy/")}
            self._told[row["client"]] = spent
            _LOG.info(
                "round %d: %s spent epsilon %.4g at delta %g for an image, %.4g of its limit of %g "
                "in all of its %d answers",
                round_number,
                row["client"],
                spent["privacy/epsilon_answer"],
                spent["privacy/delta"],
                spent["privacy/epsilon"],
                spent["privacy/limit"],
                spent["privacy/answers"],
            )
        run_folder.write_atomically(self._path, json.dumps(self._told, indent=2) + "\n")
        names = ("privacy/epsilon", "privacy/delta")
        return {name: max(spent[name] for spent in self._told.values()) for name in names}
