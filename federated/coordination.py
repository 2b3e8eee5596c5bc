"""Federated training over hospitals: the run of `federated.simulation` with sites as clients."""

import contextlib
import dataclasses
import json
import logging
from collections.abc import Callable, Sequence

from federated import clients as clients_lib
from federated import config, private_sites, quorum, remote_rounds, simulation, sites
from pgan import run_folder, train
from pgan.data import manifest

_LOG = logging.getLogger(__name__)
_SITES = "sites.json"


class RemoteClients:
    """The sites in the place of `clients.Clients`; their images stay where they are.

    Attributes:
        names: Of the sites, by number.
        sizes: Their images, by number.
        fingerprint: Of who has which images.
    """

    def __init__(self, settings: config.FederatedConfig, holdings: Sequence[sites.Holdings]):
        """Keeps who has how much."""
        self._settings = settings
        self.names = [h.site for h in holdings]
        self.sizes = [h.fold_size for h in holdings]
        self.fingerprint = manifest.sha256_of_lines(
            f"{h.site} {h.fold_fingerprint}" for h in holdings
        )

    def batches(self, number: int, round_number: int) -> None:
        """None: a site reads its own images."""

    def sample(self, round_number: int) -> list[int]:
        """Numbers of the sites that are asked in a round."""
        return clients_lib.sample(self._settings, len(self.names), round_number)


def find_holdings(
    all_sites: Sequence[sites.Site],
    run_dir: str | None,
    resolution: int,
    times: quorum.QuorumConfig,
    look: Callable[[sites.Site, int], sites.Holdings] | None = None,
    private: bool = False,
) -> list[sites.Holdings]:
    """What every site has: as it was when the run in the folder began, or as they say now.

    A new run asks all sites, and waits for those that are down; a continued one starts without.

    Args:
        all_sites: The sites, by number.
        run_dir: The run's folder; None: of no run.
        resolution: Of the networks in px.
        times: Time-outs and patience.
        look: Asks a site; `holdings` of a connector if not given.
        private: Whether sites hold budgets, for the connector.

    Raises:
        ValueError: If a site cannot take part, two do not fit together, or the folder holds a run
            of other sites.
        quorum.QuorumError: If a site stays down.
    """
    known = _known_holdings(all_sites, run_folder.RunFolder(run_dir)) if run_dir else None
    if known:
        return known
    look = look or _connector(times, 64, private).holdings
    holdings = _ask_all(all_sites, resolution, times, look)
    sites.check_alike(holdings)
    return holdings


def _known_holdings(all_sites, folder):
    """Those of the run in the folder; None without a run."""
    path = folder.path / _SITES
    if not path.exists():
        if folder.exists:
            raise run_folder.ConfigurationMismatchError(
                f"{folder.path} holds a run that is not of tools/run_federation.py; give another "
                "--run_dir"
            )
        return None
    holdings = [sites.Holdings.from_dict(row) for row in json.loads(path.read_text())]
    old, new = [h.site for h in holdings], [site.name for site in all_sites]
    if old != new:
        raise run_folder.ConfigurationMismatchError(
            f"{folder.path} holds a run of other sites: {', '.join(old)} in the run folder, "
            f"{', '.join(new)} now, in this order. Continue it with the same sites, or start anew "
            "with another --run_dir"
        )
    return holdings


def _ask_all(all_sites, resolution, times, look):
    def ask(site):
        try:
            return look(site, resolution)
        except quorum.SiteConfigurationError as error:  # no use in asking again
            raise ValueError(f"{site.name} cannot take part: {error}") from None

    everybody = dataclasses.replace(times, quorum=1.0)
    return quorum.gather(ask, all_sites, everybody, "the start", name=lambda site: site.name)


def federate(
    settings: config.FederatedConfig,
    all_sites: Sequence[sites.Site],
    holdings: Sequence[sites.Holdings],
    times: quorum.QuorumConfig,
    run_dir: str,
    init_from: str | None = None,
    show_progress: bool = True,
    stop: train.StopRequest | None = None,
    flag_file: str | None = None,
) -> simulation.Result:
    """Trains over the sites, or continues the run in the folder.

    Args:
        settings: Configuration; a continued run must have the same.
        all_sites: The sites, by number.
        holdings: From `find_holdings`.
        times: Quorum and times; may differ when a run is continued.
        run_dir: The run's folder.
        init_from: Run folder whose networks a new run starts from.
        show_progress: Whether to draw a progress bar.
        stop: Asks to end after the round, or at once while no site is at work.
        flag_file: Text of a flag file that repeats the run, kept in the run folder.

    Raises:
        ValueError: If the configuration does not fit the folder's run.
        quorum.QuorumError: If too few sites answer for too long; the run can be continued.
        checkpoints.CheckpointError: If a checkpoint cannot be written, or none can be read.
    """
    if settings.client_dp_noise_multiplier:
        raise ValueError(
            "noise for whole clients is added by TFF's aggregator, in the simulation only; leave "
            "client_dp_noise_multiplier at 0"
        )
    if settings.attack != config.NO_ATTACK:
        raise ValueError("attack is of the simulation; leave it out")
    if settings.leave_out:
        raise ValueError(
            "leave_out is of the simulation; a site keeps its own list: tools/split_records.py "
            "--leave_out there makes a fold without those records, which sites.cfg names by a line "
            "fold = <split>/<fold>"
        )
    folder = run_folder.RunFolder(run_dir)
    stop = stop or train.StopRequest()
    # Before config.json, which makes the folder a run.
    folder.path.mkdir(parents=True, exist_ok=True)
    text = json.dumps([h.to_dict() for h in holdings], indent=2)
    run_folder.write_atomically(folder.path / _SITES, text + "\n")
    facts = sites.describe(holdings, settings)
    return simulation.run(
        settings,
        None,
        RemoteClients(settings, holdings),
        folder,
        facts,
        _engine(settings, all_sites, holdings, times, stop),
        init_from,
        show_progress,
        stop,
        flag_file,
        private_sites.ToldSpending(folder.path) if settings.dp_clip_norm else None,
    )


@contextlib.contextmanager
def _engine(settings, all_sites, holdings, times, stop):
    megabytes = remote_rounds.message_megabytes(settings)
    _LOG.info("messages to and from a site have up to %d MB", megabytes)
    private = bool(settings.dp_clip_norm)
    connector = _connector(times, megabytes, private)
    if private:
        engine = private_sites.PrivateRounds
    else:
        from federated import tff_sites

        engine = tff_sites.RemoteRounds
    yield engine(settings, all_sites, holdings, connector, times, lambda: stop.signal is not None)


def _connector(times, megabytes, private):
    if private:
        return private_sites.Connector(times, megabytes)
    try:
        from federated import tff_sites
    except ModuleNotFoundError as error:
        raise ValueError(
            f"sites need tensorflow-federated 0.87.0 ({error}); install requirements.lock"
        ) from None
    return tff_sites.Connector(times, megabytes)
