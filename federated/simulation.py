"""Federated training of many clients in one process: rounds, measurements, checkpoints, resume."""

import contextlib
import dataclasses
import json
import logging
import time
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from federated import (
    attacks,
    averaging,
    config,
    critic_loss,
    generator_check,
    private_simulation,
    quorum,
    rounds,
    server,
)
from federated import clients as clients_lib
from pgan import (
    checkpoints,
    distance_monitor,
    losses,
    monitor,
    run_folder,
    schedule,
    snapshots,
    train,
)
from pgan import config as pgan_config
from pgan.data import record_access, record_folder, record_set
from pgan.metrics import extractors

_LOG = logging.getLogger(__name__)
_CONFIG = "federation.json"
_ON_THE_BAR = {
    "critic": "discriminator/wasserstein",
    "generator": "generator/adversarial",
    "epsilon": "privacy/epsilon",
    "client_epsilon": "privacy/client_epsilon",
}


@dataclasses.dataclass(frozen=True)
class Result:
    """What a call of `simulate` did.

    Attributes:
        rounds_done: Rounds at the end.
        rounds_run: Rounds of this call.
        finished: Whether all rounds are done.
        signal: Number of the signal that ended the call early, or None.
    """

    rounds_done: int
    rounds_run: int
    finished: bool
    signal: int | None


def simulate(
    settings: config.FederatedConfig,
    records: record_set.RecordSet,
    run_dir: str,
    init_from: str | None = None,
    show_progress: bool = True,
    stop: train.StopRequest | None = None,
    flag_file: str | None = None,
) -> Result:
    """Trains an arm of the experiment, or continues the run in the folder.

    After every round the folder holds a line of stats.jsonl with a row for each client, TensorBoard
    events and a checkpoint, in the layout of tools/train_pgan.py.

    Args:
        settings: Configuration; a continued run must have the same.
        records: Record set of all clients.
        run_dir: The run's folder.
        init_from: Run folder whose networks a new run starts from.
        show_progress: Whether to draw a progress bar.
        stop: Asks to end after the round.
        flag_file: Text of a flag file that repeats the run, kept in the run folder.

    Raises:
        ValueError: If the configuration does not fit the records or the folder's run.
        checkpoints.CheckpointError: If a checkpoint cannot be written, or none can be read.
    """
    clients = clients_lib.draw(settings, records)
    folder = run_folder.RunFolder(run_dir)
    return run(
        settings,
        records,
        clients,
        folder,
        clients.describe(records),
        _engine(settings, folder),
        init_from,
        show_progress,
        stop or train.StopRequest(),
        flag_file,
    )


def run(
    settings: config.FederatedConfig,
    records: record_set.RecordSet | None,
    clients: Any,
    folder: run_folder.RunFolder,
    facts: dict[str, Any],
    engine: contextlib.AbstractContextManager,
    init_from: str | None,
    show_progress: bool,
    stop: train.StopRequest,
    flag_file: str | None,
    spending: Any = None,
) -> Result:
    """Trains with clients and an engine of any kind, or continues the run in the folder.

    Args:
        settings: As of `simulate`.
        records: Images to measure with; None: only grids of synthetic images are drawn.
        clients: Like `clients.Clients`; `first_images` is asked for only with records.
        folder: The run's folder.
        facts: Identity of the clients' images, as of `run_folder.describe_records`.
        engine: Gives something like `rounds.InProcess`.
        init_from: As of `simulate`.
        show_progress: As of `simulate`.
        stop: As of `simulate`.
        flag_file: As of `simulate`.
        spending: Like `private_simulation.Spending`, which is taken if none is given.

    Raises:
        ValueError: As `simulate`.
        checkpoints.CheckpointError: As `simulate`.
    """
    if init_from and folder.exists:
        raise ValueError(
            f"--init_from starts a new run, but {folder.path} already holds one; leave --init_from "
            "out to continue it, or give another --run_dir"
        )
    started = server.ServerState(settings)
    if init_from:  # before there is a folder of a run that would have to begin otherwise
        checkpoints.start_from(
            init_from,
            settings.network.findings,
            generator=started.generator,
            discriminator=started.discriminator,
        )
        facts = {**facts, run_folder.ANCESTORS: run_folder.started_from(init_from)}
    with record_folder.claimed(folder.path, "training in"):
        _open(folder, settings, facts, clients)
        if flag_file is not None:
            run_folder.write_atomically(folder.path / "flags.txt", flag_file)
        with (
            folder.logging_to_file("pgan"),
            folder.logging_to_file("federated"),
            stop.listening(),
            engine as rounds_,
            contextlib.closing(
                _Training(settings, started, records, clients, folder, rounds_, spending)
            ) as training,
        ):
            training.prepare()
            return training.run(stop, show_progress)


@contextlib.contextmanager
def _engine(settings, folder):
    """What runs the rounds; TFF takes seconds to load and is loaded for those only who ask."""
    if settings.engine == config.IN_PROCESS:
        yield rounds.InProcess(settings)
        return
    try:
        from federated import tff_process, tff_workers
    except ModuleNotFoundError as error:
        raise ValueError(
            f"--engine=tff needs tensorflow-federated 0.87.0 ({error}); install "
            "requirements.lock, which has it, or leave --engine out"
        ) from None
    with tff_workers.local_worker(folder.path / "tff_worker.log") as context:
        yield tff_process.TffRounds(settings, context)


def _open(folder, settings, facts, clients):
    """Starts the run's folder, or checks that it is the same run."""
    path = folder.path / _CONFIG
    federation = {
        "arm": settings.arm,
        "clients": len(clients.names),
        "images": sum(clients.sizes),
        "fingerprint": clients.fingerprint,
    }
    if folder.exists and not path.exists():
        raise run_folder.ConfigurationMismatchError(
            f"{folder.path} holds a run of tools/train_pgan.py; give another --run_dir"
        )
    if folder.exists:
        old = config.FederatedConfig.from_dict(json.loads(path.read_text()))
        lines = pgan_config.differences(old, settings)
        if lines:
            raise run_folder.ConfigurationMismatchError(
                f"{folder.path} holds a run of another configuration:\n  "
                + "\n  ".join(lines)
                + f"\nContinue it with --flagfile={folder.path / 'flags.txt'}, or start anew with "
                "another --run_dir (--init_from takes over its weights)."
            )
        known = folder.read()[1]["federation"].get("fingerprint")
        if known not in (None, federation["fingerprint"]):
            raise run_folder.ConfigurationMismatchError(
                f"the clients of {folder.path} have other images than when its run began: put the "
                "files of --client_split and --leave_out back, or give another --run_dir "
                "(--init_from takes over its weights)"
            )
    folder.path.mkdir(parents=True, exist_ok=True)
    # config.json, which makes the folder a run, comes last.
    run_folder.write_atomically(path, json.dumps(settings.to_dict(), indent=2) + "\n")
    training = settings.train_config()
    folder.open(training, {**facts, "federation": federation})


class _Training:
    """State of one call of `run`."""

    def __init__(self, settings, state, records, clients, folder, engine, spending):
        self._settings, self._clients, self._folder = settings, clients, folder
        self._state = state
        self._engine = engine
        self._privacy = spending or private_simulation.Spending(settings, clients, folder.path)
        if settings.keeps_optimizer:
            self._state.keep(engine.trainer)
        training = settings.train_config()
        self._snapshots = snapshots.Snapshots(self._state, training, records, folder)
        self._check = generator_check.GeneratorCheck(
            self._state, settings, _check_labels(settings, records, clients)
        )
        phase = schedule.build(training.schedule, settings.network.resolution).phases[0]
        self._snapshots.enter(phase)
        self._has_reals = records is not None
        if self._has_reals:
            self._distances = distance_monitor.DistanceMonitor(
                self._state, training, records, folder, extractors.make(settings.metric_features)
            )
            self._distances.enter(phase)
            self._critic_loss = critic_loss.CriticLoss(
                self._state, settings, _critic_images(settings, records, clients)
            )
        self._writer = tf.summary.create_file_writer(str(folder.path))

    def close(self):
        self._writer.close()

    def prepare(self):
        """Restores the newest checkpoint, or saves the first."""
        state, folder, clients = self._state, self._folder, self._clients
        self._checkpoints = checkpoints.Checkpoints(
            state, folder.checkpoints, self._settings.keep_checkpoints
        )
        shown = self._checkpoints.restore()
        folder.rewind_stats(shown)
        if shown:
            _LOG.info("continuing %s after %d rounds", folder.path, state.rounds_done)
            if self._settings.client_dp_clipping == config.ADAPTIVE:
                self._engine.clip_norm = float(state.clip_norm.numpy())
            return
        _LOG.info(
            "starting %s: %s, %d training sets with %d to %d images, %d in a round",
            folder.path,
            self._settings.arm,
            len(clients.names),
            min(clients.sizes),
            max(clients.sizes),
            len(clients.sample(0)),
        )
        if self._settings.aggregation in ("median", "trimmed_mean") and len(clients.sample(0)) < 3:
            _LOG.warning(
                "--aggregation=%s of fewer than 3 clients is their mean and withstands nothing; "
                "raise --client_share",
                self._settings.aggregation,
            )
        if self._settings.metric_every_rounds and self._has_reals:
            self._snapshots.draw_reals()
        self._privacy.log_remarks()
        self._checkpoints.save()  # What was taken over is not lost if the first round is.

    def run(self, stop, show_progress):
        """Rounds to the end, or until asked to stop."""
        state, total = self._state, self._settings.rounds
        first = state.rounds_done
        bar = tqdm.tqdm(
            total=total,
            initial=first,
            unit="round",
            desc=self._settings.arm,
            dynamic_ncols=True,
            disable=not show_progress,
        )
        with bar:
            while state.rounds_done < total and stop.signal is None:
                try:
                    self._round(bar)
                except quorum.StoppedError:  # while waiting for sites; the round is done again
                    break
                bar.update()
        done = state.rounds_done
        _LOG.info("%s after %d rounds", "finished" if done >= total else "stopped", done)
        return Result(done, done - first, done >= total, None if done >= total else stop.signal)

    def _round(self, bar):
        state, number = self._state, self._state.rounds_done
        began = time.monotonic()
        weights, moments = state.weights(), [m.numpy() for m in state.moments]
        self._privacy.count_round()
        outcome = self._engine.run(weights, moments, self._participants(number, bar), number)
        state.advance(outcome)
        spent = self._privacy.add_to(outcome.clients, number)
        if self._settings.client_dp_clipping == config.ADAPTIVE:
            state.clip_norm.assign(self._engine.clip_norm)
            spent["privacy/clip_norm"] = self._engine.clip_norm
        alarms = self._check.look()
        values = {
            **outcome.means,
            **spent,
            "training/server_step_norm": server.step_norm(weights, state.weights()),
            "training/rejected": float(sum(bool(row["rejected"]) for row in outcome.clients)),
            "training/seconds_per_round": time.monotonic() - began,
        }
        shown = int(state.images_shown.numpy())
        every, done = self._settings.metric_every_rounds, number + 1
        distances = {}
        if every and self._has_reals:
            values.update(self._critic_loss.measure())  # every round: it varies much
        is_last = done == self._settings.rounds
        is_measured = bool(every) and (done % every == 0 or is_last)
        if is_measured and self._has_reals:
            if self._settings.metric_images and self._distances.enabled:
                distances = self._distances.measure(shown)
        grid, grids = None, self._settings.grid_every_rounds
        if alarms or grids and (done % grids == 0 or is_last):
            drawn = self._snapshots.draw_fakes(shown)
            # TensorBoard's file would grow by a grid every round.
            grid = drawn if alarms or is_measured or is_last else None
        values.update(distances)
        distance_alarms = self._distance_alarms(distances)
        self._settle(number, weights, moments, alarms, distance_alarms)
        self._write(bar, shown, done, values, outcome.clients, grid, alarms + distance_alarms)
        checkpoint = self._checkpoints.save()
        sound = distances and not alarms + distance_alarms
        if sound and self._distances.keep_if_best(checkpoint, distances, shown):
            _LOG.info("best so far, kept: %s", distances)

    def _distance_alarms(self, distances):
        if not distances:
            return []
        best = distance_monitor.read_best(self._folder)
        # A continued run may measure with other features or numbers of images.
        known = best and best["metric"] == self._distances.judge
        return generator_check.judge_distance(
            distances[self._distances.judge],
            best["value"] if known else None,
            self._settings.check_distance_factor,
        )

    def _settle(self, number, weights, moments, alarms, distance_alarms):
        """Says what is wrong with the generator, and goes back if asked to."""
        for alarm in alarms + distance_alarms:
            _LOG.warning("round %d: the generator looks broken: %s", number, alarm)
        if self._settings.on_alarm != config.REVERT or not alarms + distance_alarms:
            return
        best = distance_monitor.read_best(self._folder)
        if distance_alarms and best:
            path = self._folder.checkpoints / checkpoints.BEST / f"ckpt-{best['images_shown']}"
            checkpoints.restore_networks(
                str(path),
                generator=self._state.generator,
                discriminator=self._state.discriminator,
            )
            restored = rounds.flat(self._state.weights())
            moments = averaging.initial_moments(restored, self._settings)
            self._state.replace(restored, moments)
            _LOG.warning("round %d: back to the networks of %s", number, path)
        else:
            self._state.replace(rounds.flat(weights), moments)
            _LOG.warning("round %d: back to the networks before the round", number)

    def _participants(self, number, bar):
        for client in self._clients.sample(number):
            name = self._clients.names[client]
            bar.set_description_str(f"{self._settings.arm}, {name}")
            self._privacy.count(name)
            batches = self._clients.batches(client, number)
            batches = attacks.poison_batches(self._settings, batches, number, client)
            yield rounds.Participant(client, name, batches)

    def _write(self, bar, shown, done, values, clients, grid, alarms):
        bar.set_postfix(
            {
                **{
                    short: f"{values[name]:.3g}"
                    for short, name in _ON_THE_BAR.items()
                    if name in values
                },
                **{
                    name.removeprefix(f"{distance_monitor.FOLDER}/"): f"{value:.4g}"
                    for name, value in values.items()
                    if name.startswith(distance_monitor.FOLDER) and name.endswith("_held_out")
                },
            },
            refresh=False,
        )
        of_clients = {
            f"{row['client']}/{name}": value
            for row in clients
            for name, value in row.items()
            if isinstance(value, float)
        }
        monitor.write_summaries(self._writer, shown, {**values, **of_clients}, grid)
        attackers = {
            name
            for number, name in enumerate(self._clients.names)
            if attacks.is_attacker(self._settings, number)
        }
        clients = [{**row, "attacker": row["client"] in attackers} for row in clients]
        self._folder.append_stats(
            {"images_shown": shown, "round": done, **values, "alarms": alarms, "clients": clients}
        )


def _check_labels(settings, records, clients):
    """Labels of the images that the generator is checked by: of real ones, or one finding each.

    With privacy they are of no patient, so that what is seen in the images tells of none.
    """
    if records is None or settings.is_private:
        count = settings.network.num_labels
        return np.eye(count, dtype=np.float32)[np.arange(settings.check_images) % max(count, 1)]
    _, labels = clients.first_images(settings.check_images)
    return losses.condition(tf.constant(labels)).numpy()


def _critic_images(settings, records, clients):
    """Images of the arm's own clients and held-out ones, by name."""
    images = {"train": clients.first_images(settings.critic_images)}
    fold = settings.held_out_fold
    if fold and records.fold_size(fold):
        places = range(min(settings.critic_images, records.fold_size(fold)))
        pixels = record_access.read_images(records, settings.network.resolution, fold, places)
        images["held_out"] = (pixels, records.label_matrix(fold)[: len(places)])
    return images
