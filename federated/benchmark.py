"""Seconds of a round by each way of running it, next to the bare local training in it.

All ways do the same work: the same clients with the same images, steps and networks, starting from
the same weights. The bare training is `LocalTrainer.train`, client by client, of batches that are
in memory; a way also reads the images, carries networks and updates to and fro, and aggregates.

What happens once is told apart: the first round traces and compiles, and that of sites also reads
their manifests. Two more rounds of either warm up and are not counted. Then rounds and bare
training are timed in turns (`pgan.timing`), and the overhead is the median of their ratios. Workers
train their clients at the same time and on the same processor, so that a ratio below 1 is possible
where one client leaves cores idle.
"""

import contextlib
import dataclasses
import itertools
import pathlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from federated import clients as clients_lib
from federated import config, local, quorum, remote_rounds, rounds, sites
from pgan import config as pgan_config
from pgan import results, timing
from pgan.data import record_set

IN_PROCESS, TFF, REMOTE = "in_process", "tff", "remote"
WAYS = (IN_PROCESS, TFF, REMOTE)
_FOLD = "all"
# A sample of the bare training lasts at least this share of a round's.
_REFERENCE_SHARE = 0.5
_QUIET = 0.9


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        way: One of WAYS.
        clients: Clients, all in every round.
        images: Images of each.
        resolution: Image size in px.
        fmap_base: Width of the networks, see pgan's config.NetworkConfig.
        fmap_max: As well.
        generator_steps: See config.FederatedConfig.
        critic_steps: As well.
        batch_size: As well.
    """

    way: str
    clients: int
    images: int
    resolution: int
    fmap_base: int
    fmap_max: int
    generator_steps: int
    critic_steps: int
    batch_size: int

    def __post_init__(self):
        """Checks the way; the other values are checked where they are used.

        Raises:
            ValueError: If there is no such way.
        """
        if self.way not in WAYS:
            raise ValueError(f"--ways must be of {', '.join(WAYS)}, got {self.way!r}")

    def settings(self, findings: Sequence[str]) -> config.FederatedConfig:
        """The federation, in which all clients take part in every round."""
        return config.FederatedConfig(
            network=pgan_config.NetworkConfig(
                resolution=self.resolution,
                findings=tuple(findings),
                fmap_base=self.fmap_base,
                fmap_max=self.fmap_max,
            ),
            num_clients=self.clients,
            images_per_client=0,
            client_share=1.0,
            held_out_fold="",
            generator_steps=self.generator_steps,
            critic_steps=self.critic_steps,
            batch_size=self.batch_size,
            engine=config.TFF if self.way == TFF else config.IN_PROCESS,
        )


def measure(
    case: Case,
    records: record_set.RecordSet,
    folder: pathlib.Path,
    repeats: int,
    on_round: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Measures a case; its workers end before this returns.

    Args:
        case: What to measure.
        records: What each client has, all of it.
        folder: For the output of workers.
        repeats: Timed rounds.
        on_round: Called after each of them.

    Returns:
        The row: the case and, in seconds, medians over the rounds; `overhead` is the median of a
        round's time over that of the bare training next to it.
    """
    settings = case.settings(records.findings)
    members = {f"site_{k}": np.arange(len(records.record_ids(_FOLD))) for k in range(case.clients)}
    clients = clients_lib.Clients(settings, records, members)
    trainer = local.LocalTrainer(settings)
    weights = trainer.initial_weights()
    in_memory = _participants(clients, 0)

    def train():
        for participant in in_memory:
            rounds.train_client(trainer, weights, participant, 0)

    numbers = itertools.count()
    with _engine(case, settings, clients, records, folder) as run:
        first_local = timing.sample(train)
        first = timing.sample(lambda: run(weights, next(numbers)))
        timed = timing.compare(
            lambda: run(weights, next(numbers)),
            {"local": train},
            repeats,
            min_seconds=0.0,
            reference_share=_REFERENCE_SHARE,
            on_round=on_round,
        )
    seconds = [one.subject.seconds for one in timed]
    bare = [one.references["local"] for one in timed]
    return {
        **dataclasses.asdict(case),
        "repeats": repeats,
        "seconds_per_round": timing.median_seconds(timed),
        "fastest": min(seconds),
        "slowest": max(seconds),
        "local_seconds": statistics.median(one.seconds for one in bare),
        "local_cores": statistics.median(one.cores for one in bare),
        "overhead": statistics.median(1.0 / one.ratio("local") for one in timed),
        "first_seconds": first.seconds,
        "first_local_seconds": first_local.seconds,
        "cores": timing.cores(),
    }


def _participants(clients, round_number):
    return [
        rounds.Participant(k, name, clients.batches(k, round_number))
        for k, name in enumerate(clients.names)
    ]


@contextlib.contextmanager
def _engine(case, settings, clients, records, folder) -> Iterator[Callable[..., rounds.Outcome]]:
    """Function of weights and a round's number that runs the round, reading of images included."""
    if case.way == REMOTE:
        with _sites(settings, clients, records, folder) as (engine, asked):
            yield lambda weights, number: engine.run(weights, [], asked, number)
        return
    with contextlib.ExitStack() as stack:
        if case.way == TFF:
            from federated import tff_process, tff_workers

            context = stack.enter_context(tff_workers.local_worker(folder / "tff_worker.log"))
            engine = tff_process.TffRounds(settings, context)
        else:
            engine = rounds.InProcess(settings)
        yield lambda weights, number: engine.run(
            weights, [], _participants(clients, number), number
        )


@contextlib.contextmanager
def _sites(settings, clients, records, folder):
    """A worker for each client, as tools/run_site.py starts it, reached by loopback."""
    from federated import tff_sites, tff_workers

    megabytes, times = remote_rounds.message_megabytes(settings), quorum.QuorumConfig(patience=0.0)
    connector = tff_sites.Connector(times, megabytes)
    found, started = [], []
    try:
        for number, name in enumerate(clients.names):
            port = tff_workers.free_port()
            started.append(
                tff_workers.start_worker(
                    folder / f"{name}.log", *tff_workers.site_arguments(port, megabytes)
                )
            )
            address = f"localhost:{port}"
            found.append(sites.Site(number, name, address, str(records.path.absolute()), _FOLD))
        holdings = [connector.holdings(site, settings.network.resolution) for site in found]
        asked = [rounds.Participant(site.number, site.name, None) for site in found]
        yield tff_sites.RemoteRounds(settings, found, holdings, connector, times), asked
    finally:
        for process in started:
            tff_workers.end_worker(process)


def answers(
    cases: Sequence[Case], repeats: int, rows: Sequence[Mapping[str, Any]]
) -> dict[Case, Mapping[str, Any]]:
    """The newest row of each case that has one."""
    found = {}
    for case in cases:
        wanted = {**dataclasses.asdict(case), "repeats": repeats}
        matching = [row for row in rows if wanted.items() <= row.items()]
        if matching:
            found[case] = matching[-1]
    return found


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Writes a Markdown table of rows of `measure`, and what its columns are."""
    lines = [
        [
            row["way"],
            f"{row['resolution']} px, {row['fmap_base']}/{row['fmap_max']}",
            f"{row['clients']} x {row['generator_steps']} x {row['critic_steps']} x "
            f"{row['batch_size']}",
            row["seconds_per_round"],
            f"{row['fastest']:.3g} to {row['slowest']:.3g}",
            f"{row['local_seconds']:.3g}" + "*" * _is_busy(row),
            f"{row['overhead']:.2f}",
            row["first_seconds"],
            row["first_local_seconds"],
        ]
        for row in rows
    ]
    table = results.markdown_table(_HEADER, lines)
    notes = [
        "Clients x generator iterations x critic steps x batch. The first rounds, which trace and "
        "compile, and two more to warm up are in no other column."
    ]
    if any(_is_busy(row) for row in rows):
        notes.append(
            "\\* The bare training had less than 90 % of a core: other programs were running."
        )
    return "\n\n".join([table, *notes])


def _is_busy(row):
    return row["local_cores"] < _QUIET


_HEADER = (
    "way", "networks", "work", "s/round", "range", "bare training s", "overhead", "first round s",
    "first bare training s",
)  # fmt: skip
