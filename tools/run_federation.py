"""Trains one GAN over hospitals whose images stay with them.

    python tools/run_federation.py --sites=sites.cfg --run_dir=runs/hospitals
    python tools/run_federation.py --sites=sites.cfg --dry_run

sites.cfg has a section for each hospital, in an order that must stay:

    [north]
    address = unix:/run/pgan/north.sock     HOST:PORT, or the socket of the tunnel from there
    records = /srv/pgan/records             its record set, on its own disk

Each hospital runs tools/run_site.py, which says how to secure it: what is sent is not encrypted,
and no site can tell who sends it. This tool sends computations, networks and paths, and receives
updates of the networks, numbers of images, losses and the manifests of the record sets.

With --dp_clip_norm (and --stddev_group=1) every site trains its critic by DP-SGD, draws its own
noise and holds its own privacy budget; it runs tools/run_private_site.py instead. How many rounds
each budget allows is told by --dry_run and logged as the run begins, and what each spent every
round; one whose budget is spent refuses, and --quorum decides about the others.

A site that is down, slow or stopped is asked again for the same round until --quorum of the sites
have answered; the log names it. The same command again continues the run; SIGTERM and Ctrl-C finish
the round first, unless no site is at work in it. tools/export_generator.py exports the result.
"""

import dataclasses
import logging
import sys

from absl import app, flags

import config_flags
import tool_main
from federated import config, quorum, sites
from pgan import config as pgan_config

_SITES = flags.DEFINE_string("sites", None, "File that names the hospitals.", required=True)
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of the run; continued if it exists.")
_INIT_FROM = flags.DEFINE_string(
    "init_from", None, "Run folder whose networks a new run starts from; not a way to continue."
)
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run",
    False,
    "Ask the sites what they have, say what they need to be started with and how many rounds of a "
    "new run their privacy budgets allow, stop.",
)

# What only a simulation has: it draws its clients, and measures with images of its own.
_SIMULATED = (
    "arm", "num_clients", "images_per_client", "client_sizes", "dirichlet", "client_split",
    "held_out_fold", "optimizer_memory", "engine", "secure_sum", "metric_images",
    "metric_every_rounds", "dp_delta", "dp_test_seed",
    "client_dp_noise_multiplier", "client_dp_clipping", "client_dp_delta", "attack", "attackers",
    "attack_scale", "leave_out", "check_distance_factor",
    "metric_features", "critic_images",
)  # fmt: skip

config_flags.define(pgan_config.NetworkConfig, skip=("findings", "channels"))
flags.FLAGS.set_default("resolution", 128)
config_flags.define(config.FederatedConfig, skip=_SIMULATED)
config_flags.define(quorum.QuorumConfig)

# Flags that say where, not what.
_NOT_REPEATED = ("init_from", "dry_run")


def _flag_file() -> str:
    own = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]
    return config_flags.as_flag_file([name for name in own if name not in _NOT_REPEATED])


def _settings(holdings: list[sites.Holdings]) -> config.FederatedConfig:
    return config_flags.build(
        config.FederatedConfig,
        network=config_flags.build(
            pgan_config.NetworkConfig, channels=1, findings=holdings[0].findings
        ),
        num_clients=len(holdings),
        images_per_client=0,
        held_out_fold="",
        check_distance_factor=0.0,  # here is nothing to measure distances to
    )


def _describe(
    settings: config.FederatedConfig,
    all_sites: list[sites.Site],
    holdings: list[sites.Holdings],
    times: quorum.QuorumConfig,
) -> None:
    from federated import budget_forecast, private_sites, remote_rounds

    megabytes = remote_rounds.message_megabytes(settings)
    for h in holdings:
        print(f"{h.site}: {h.fold_size:,} images, {h.origin}, {len(h.findings)} findings")
    print(
        f"start each site with --resolution={settings.network.resolution} "
        f"--max_message_mb={megabytes}"
    )
    if settings.dp_clip_norm:
        connector = private_sites.Connector(times, megabytes)
        for forecast in budget_forecast.ask(connector, all_sites, settings):
            print(forecast.text if forecast.lasts else f"Warning: {forecast.text}")


def main() -> int | None:
    """Runs the tool; see the module's docstring."""
    if not (_RUN_DIR.value or _DRY_RUN.value):
        raise app.UsageError(f"--run_dir is needed: {_RUN_DIR.help}")
    times = config_flags.build(quorum.QuorumConfig)
    all_sites = sites.read_config(_SITES.value, flags.FLAGS.train_fold)

    from tqdm.contrib import logging as tqdm_logging

    from federated import coordination
    from pgan import train

    loggers = [logging.getLogger(name) for name in ("federated", "pgan")]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.propagate = False  # absl writes whatever reaches the root, too.
    with tqdm_logging.logging_redirect_tqdm(loggers):
        resolution = flags.FLAGS.resolution
        private = flags.FLAGS.dp_clip_norm > 0
        run_dir = _RUN_DIR.value
        if _DRY_RUN.value:  # asks all sites, and waits for none
            run_dir, times = None, dataclasses.replace(times, patience=0.0)
        holdings = coordination.find_holdings(
            all_sites, run_dir, resolution, times, private=private
        )
        settings = _settings(holdings)
        if _DRY_RUN.value:
            return _describe(settings, all_sites, holdings, times)
        result = coordination.federate(
            settings,
            all_sites,
            holdings,
            times,
            run_dir,
            _INIT_FROM.value,
            flag_file=_flag_file(),
        )
    if result.signal is not None:
        print(
            f"saved after {result.rounds_done:,} rounds; continue with\n"
            f"  {train.resume_command(sys.argv)}"
        )
        return 128 + result.signal
    print(f"finished after {result.rounds_done:,} rounds: {_RUN_DIR.value}")
    return None


if __name__ == "__main__":
    tool_main.run(main)
