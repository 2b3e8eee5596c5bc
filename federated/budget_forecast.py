"""Whether the privacy budgets of sites last for a run, as the sites say before it begins.

A budget that ends in the middle of a run ends the run, or goes without the site from then on. The
sites count (`federated.site_budget`): only they know what they have answered, and at which limit.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from federated import clients, config, quorum, sites

_LOG = logging.getLogger(__name__)


class Forecast(NamedTuple):
    """What is known of a site's budget.

    Attributes:
        lasts: Whether it is known to allow all rounds of the run that ask the site.
        text: A sentence with the site's name, and what can be done if it does not last.
    """

    lasts: bool
    text: str


def ask(
    connector: Any,
    all_sites: Sequence[sites.Site],
    settings: config.FederatedConfig,
    first_round: int = 0,
) -> list[Forecast]:
    """Asks all sites at once; what one does not answer within minutes is not known.

    The answer for a round that an earlier run was given and lost costs nothing when it is asked for
    again; the site counts it here, since it cannot know.

    Args:
        connector: A `private_sites.Connector`.
        all_sites: The sites, by number.
        settings: Configuration of the run.
        first_round: From which on, from 0.
    """
    rounds = range(first_round, settings.rounds)
    asked = [clients.sample(settings, len(all_sites), number) for number in rounds]
    counts = np.bincount(np.ravel(asked).astype(int), minlength=len(all_sites))

    def ask_one(site):
        return _forecast(connector, site, settings, int(counts[site.number]))

    return quorum.gather(ask_one, all_sites, quorum.QuorumConfig(), "the budgets")


def log(
    connector: Any,
    all_sites: Sequence[sites.Site],
    settings: config.FederatedConfig,
    first_round: int,
) -> None:
    """Logs what `ask` returns, as warnings where a budget does not last."""
    for forecast in ask(connector, all_sites, settings, first_round):
        _LOG.log(logging.INFO if forecast.lasts else logging.WARNING, "%s", forecast.text)


def _forecast(connector, site, settings, count):
    if not count:
        return Forecast(True, f"{site.name}: no round asks it, so that it spends no privacy")
    rounds = f"{count:,} rounds that ask it"
    try:
        # First whether it is there, which the time for its accounting is too long for.
        connector.holdings(site, settings.network.resolution)
        found = connector.budget(site, settings, count)
    except quorum.SiteRefusalError as error:
        return Forecast(
            False, f"{site.name}: its privacy budget allows none of the {rounds}: {error}"
        )
    except quorum.SiteError as error:
        return Forecast(
            False,
            f"{site.name}: whether its privacy budget allows all {rounds} is not known: {error}",
        )
    budget = (
        f"its privacy budget (epsilon {found.limit:g} at delta {found.delta:g}, "
        f"{found.answers:,} answers so far)"
    )
    if found.left >= count:
        return Forecast(True, f"{site.name}: {budget} allows all {rounds}")
    # The first answer fixes what a budget is for.
    other = "" if found.answers else "a higher --dp_noise_multiplier, "
    return Forecast(
        False,
        f"{site.name}: {budget} allows {found.left:,} of the {rounds}, then it refuses. Give fewer "
        f"--rounds, {other}or a --quorum that goes on without it",
    )
