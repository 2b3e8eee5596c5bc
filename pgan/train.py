"""The training loop: one clock, phases, ticks, checkpoints, resume."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import shlex
import signal
import time
from collections.abc import Iterator

import tensorflow as tf

from pgan import (
    checkpoints,
    config,
    distance_monitor,
    distribute,
    hardware,
    monitor,
    run_folder,
    schedule,
    snapshots,
    training_errors,
    training_step,
)
from pgan.data import record_folder, record_reader, record_set, splits
from pgan.metrics import extractors

_LOG = logging.getLogger(__name__)
_REFRESH_SECONDS = 1.0
_STEPS_BETWEEN_AGREEMENTS = 16


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a call of `train` did.

    Attributes:
        images_shown: The clock at the end.
        images_trained: Images shown by this call.
        finished: Whether the run reached its end.
        signal: Number of the signal that ended the call early, or None.
    """

    images_shown: int
    images_trained: int
    finished: bool
    signal: int | None


class StopRequest:
    """Turns SIGTERM and Ctrl-C into a wish that the loop grants after the current step."""

    def __init__(self):
        """No wish yet."""
        self.signal: int | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handles the signals within the block; a second one interrupts at once."""

        def note(number, frame):
            if self.signal is not None:
                raise KeyboardInterrupt
            self.signal = number

        old = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def train(
    settings: config.TrainConfig,
    records: record_set.RecordSet,
    run_dir: str,
    init_from: str | None = None,
    rates: monitor.RateBook | None = None,
    show_progress: bool = True,
    stop: StopRequest | None = None,
    flag_file: str | None = None,
) -> TrainResult:
    """Trains a progressive GAN, or continues the run in the folder.

    Args:
        settings: Configuration; a continued run must have the same, but for what may change.
        records: Record set with the findings of `settings.network`.
        run_dir: The run's folder.
        init_from: Run folder whose networks a new run starts from; its clock starts at 0.
        rates: Speeds known from a preflight.
        show_progress: Whether to draw the live line.
        stop: Asks the loop to save and end.
        flag_file: Text of a flag file that repeats the run, kept in the run folder.

    Returns:
        Where the run stands.

    Raises:
        ValueError: If the configuration does not fit the records, devices or the folder's run, or
            another process is training there.
        RuntimeError: If the records are damaged or memory has run out.
        training_errors.TrainingDivergedError: If a loss is not finite; the last checkpoint is from
            before.
        training_errors.WorkerLostError: If another worker of the cluster is gone.
        checkpoints.CheckpointError: If a checkpoint cannot be written, or none can be read.
    """
    check_records(settings, records)
    folder = run_folder.RunFolder(run_dir)
    if init_from and folder.exists:
        raise ValueError(
            f"--init_from starts a new run, but {run_dir} already holds one; leave --init_from "
            "out to continue it, or give another --run_dir"
        )
    if settings.strategy == "multi_worker":
        _LOG.info("waiting for the other workers of TF_CONFIG")
    strategy = distribute.make_strategy(settings.strategy)
    trainer = _Trainer(settings, records, folder, strategy, rates, show_progress)
    facts = run_folder.describe_records(records, settings)
    trainer.agree(facts)
    if init_from:
        trainer.start_from(init_from)
        facts[run_folder.ANCESTORS] = run_folder.started_from(init_from)
    stop = stop or StopRequest()
    with contextlib.ExitStack() as stack:
        if trainer.chief:
            stack.enter_context(record_folder.claimed(folder.path, "training in"))
            replicas, before = strategy.num_replicas_in_sync, folder.replicas
            old_rate = folder.read()[0].learning_rate if folder.exists else settings.learning_rate
            folder.open(settings, facts, replicas)
            if flag_file is not None:
                run_folder.write_atomically(folder.path / "flags.txt", flag_file)
            stack.enter_context(folder.logging_to_file())
            if before not in (None, replicas):
                _LOG.warning(
                    "trained on %d device(s) so far, now on %d: batches stay the same, but each "
                    "device has its own noise and minibatch statistics, so the result differs "
                    "slightly",
                    before,
                    replicas,
                )
            if old_rate != settings.learning_rate:
                _LOG.warning(
                    "learning_rate is %s from here on; it was %s when this run was last started. "
                    "flags.txt has the new one",
                    settings.learning_rate,
                    old_rate,
                )
        # Listening begins after the strategy exists: TensorFlow's takes SIGTERM for itself.
        stack.enter_context(stop.listening())
        _LOG.info(hardware.advice(settings.precision, settings.strategy))
        trainer.prepare(keep_start=bool(init_from))
        with training_errors.explained(records, settings, folder):
            return trainer.run(stop)


def check_records(settings: config.TrainConfig, records: record_set.RecordSet) -> None:
    """Whether records can be trained on; quick, to be asked before anything that takes its time.

    Args:
        settings: Configuration.
        records: Record set.

    Raises:
        ValueError: If they have other findings or sizes, no such fold, or patients of the training
            fold among the held-out ones.
    """
    records.require_findings(settings.network.findings)
    records.require_resolution(settings.network.resolution)
    if not records.fold_size(settings.train_fold):
        raise ValueError(f"the fold {settings.train_fold!r} of {records.path} has no images")
    if not settings.held_out_fold:
        return
    try:
        splits.check_disjoint((records, settings.train_fold), (records, settings.held_out_fold))
    except ValueError as error:
        raise ValueError(
            f"{error} What is watched as held out must not be trained on: give another "
            f"--held_out_fold, or none (--held_out_fold=)."
        ) from None


class _Trainer:
    """State of one call of `train`."""

    def __init__(self, settings, records, folder, strategy, rates, show_progress):
        self._settings, self._records, self._folder = settings, records, folder
        self._strategy = strategy
        self._plan = schedule.build(settings.schedule, settings.network.resolution)
        self._labels = records.label_matrix(settings.train_fold)
        self.chief = distribute.is_chief(strategy)
        self._show_progress = show_progress and self.chief
        self._rates = rates or monitor.RateBook(settings.network)
        with strategy.scope():
            self._state = training_step.TrainingState(settings)
        self._steps = training_step.StepBuilder(self._state, settings, strategy, self._labels)
        for phase in self._plan.phases:  # Batches that cannot be divided are refused now.
            self._steps.batch_and_pass(phase)
        self._window = monitor.Window(self._steps.stat_names)
        self._snapshots = snapshots.Snapshots(self._state, settings, records, folder)
        self._distances = distance_monitor.DistanceMonitor(
            self._state, settings, records, folder, extractors.make(settings.metric_features)
        )
        self._writer = None
        self._looks = 0

    def agree(self, facts):
        """Refuses workers of one run with other flags or images, whose networks would part."""
        if not isinstance(self._strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return
        images = {key: facts[key] for key in ("fingerprint", "fold", "fold_fingerprint")}
        what = json.dumps([self._settings.to_dict(), images], sort_keys=True)
        digest = hashlib.sha256(what.encode()).digest()
        # Small whole numbers, so that sums in float32 are exact.
        own = tf.constant([float(byte) for byte in digest])
        total = self._sum_over_replicas(own) / self._strategy.num_replicas_in_sync
        if (total.numpy() != own.numpy()).any():
            raise ValueError(
                "the workers of this run were not started with the same flags and records: give "
                "all the same command, and record sets that are copies of one (made with the same "
                "key file)"
            )

    def start_from(self, init_from):
        """Takes over the networks of another run; before this one has a folder."""
        checkpoints.start_from(
            init_from,
            self._settings.network.findings,
            generator=self._state.generator,
            discriminator=self._state.discriminator,
            averaged=self._state.averaged,
        )

    def prepare(self, keep_start):
        """Restores the newest checkpoint; without one, writes that of the start if it is to."""
        self._checkpoints = checkpoints.Checkpoints(
            self._state, self._folder.checkpoints, self._settings.keep_checkpoints, self.chief
        )
        shown = self._checkpoints.restore()
        if shown:
            _LOG.info("continuing %s at %s images", self._folder.path, f"{shown:,}")
        else:
            _LOG.info("starting %s", self._folder.path)
            if keep_start:  # --init_from is not given again when the run is continued.
                self._save()
            if self.chief:
                self._snapshots.draw_reals()
        if self.chief:
            self._folder.rewind_stats(shown)
            self._writer = tf.summary.create_file_writer(str(self._folder.path))

    def run(self, stop: StopRequest) -> TrainResult:
        """Steps to the end of the run, or until asked to stop."""
        plan, state = self._plan, self._state
        first = shown = int(state.images_shown.numpy())
        line = monitor.LiveLine(plan, shown, self._show_progress)
        phase = None
        saved, saved_at = shown, time.monotonic()
        times = monitor.TimeBook()
        try:
            while shown < plan.total_images and not self._agreed_to_stop(stop):
                if plan.phase_at(shown) is not phase:
                    phase = plan.phase_at(shown)
                    with times.spent_on("starting phases"):
                        step, batches = self._enter(phase, shown)
                    tick = round(1000 * self._tick_kimg(phase))
                    refreshed, compiled = time.monotonic(), False
                    self._window.start()
                batch = next(batches)
                stats = step(
                    batch["images"],
                    batch["labels"],
                    tf.constant(shown, tf.int64),
                    tf.constant(phase.alpha(shown), tf.float32),
                )
                before, shown = shown, shown + phase.batch_size
                state.images_shown.assign(shown)
                self._window.add(stats, phase.batch_size)
                if not compiled:
                    # The first step traces and compiles; it says nothing about speed.
                    self._check_finite(shown)
                    times.add("compiling", self._log_compiled(phase))
                    compiled = True
                elif time.monotonic() - refreshed > _REFRESH_SECONDS:
                    self._refresh(line, phase, shown)
                    refreshed = time.monotonic()
                ends = shown >= plan.total_images or plan.phase_at(shown) is not phase
                if ends or shown // max(tick, 1) != before // max(tick, 1):
                    with times.spent_on("ticks"):
                        distances = self._tick(line, phase, shown)
                    with times.spent_on("checkpoints"):
                        checkpoint = self._save()
                    if distances and self._distances.keep_if_best(checkpoint, distances, shown):
                        _LOG.info("best so far, kept: %s", distances)
                    saved, saved_at = shown, time.monotonic()
                    self._window.start()
                elif time.monotonic() - saved_at > 60 * self._settings.checkpoint_minutes:
                    self._check_finite(shown)
                    began = time.monotonic()
                    with times.spent_on("checkpoints"):
                        self._save()
                    saved, saved_at = shown, time.monotonic()
                    self._window.pause(saved_at - began)
            if shown > saved:
                self._check_finite(shown)
                self._save()
        finally:
            line.close()
            if self._writer is not None:
                self._writer.close()
        finished = shown >= plan.total_images
        _LOG.info("%s at %s images", "finished" if finished else "stopped", f"{shown:,}")
        _LOG.info("%s", times)
        return TrainResult(shown, shown - first, finished, None if finished else stop.signal)

    def _agreed_to_stop(self, stop):
        """Whether any worker was asked to stop; all workers say so before the same step."""
        if not isinstance(self._strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return stop.signal is not None
        self._looks += 1
        if self._looks % _STEPS_BETWEEN_AGREEMENTS:
            return False
        if not float(self._sum_over_replicas(tf.constant(float(stop.signal is not None)))):
            return False
        stop.signal = stop.signal or signal.SIGTERM
        return True

    @tf.function
    def _sum_over_replicas(self, own):
        values = self._strategy.run(lambda: own)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    def _tick_kimg(self, phase):
        return config.at_resolution(self._settings.tick_kimg, phase.resolution, "--tick_kimg")

    def _enter(self, phase, shown):
        """Begins a phase: fresh optimizers, its step, its images from the clock on."""
        state, settings = self._state, self._settings
        if int(state.phase_start.numpy()) != phase.start:
            if settings.reset_optimizer and shown:
                state.generator_optimizer.reset()
                state.discriminator_optimizer.reset()
            state.phase_start.assign(phase.start)
        _LOG.info("%s from %s images, batch %d", phase.name, f"{shown:,}", phase.batch_size)

        def pipeline(context):
            return record_reader.training_dataset(
                self._records,
                phase.resolution,
                settings.train_fold,
                batch_size=context.get_per_replica_batch_size(phase.batch_size),
                seed=settings.seed,
                start=shown,
                num_pipelines=context.num_input_pipelines,
                pipeline_index=context.input_pipeline_id,
            )

        self._snapshots.enter(phase)
        self._distances.enter(phase)
        dataset = self._strategy.distribute_datasets_from_function(
            pipeline, distribute.input_options()
        )
        step, batches = self._steps.build(phase), iter(dataset)
        self._entered = time.monotonic()
        return step, batches

    def _log_compiled(self, phase):
        """Returns the seconds of the first step, which traces and compiles."""
        seconds = time.monotonic() - self._entered
        _LOG.info("%s: first step in %.1f s", phase.name, seconds)
        self._window.restart_clock()
        return seconds

    def _check_finite(self, shown):
        values = self._window.values()
        training_errors.check_finite(values, shown - self._window.images, shown)
        return values

    def _refresh(self, line, phase, shown):
        values = self._check_finite(shown)
        rate = self._window.rate
        if rate:
            self._rates.note(phase.resolution, 1.0 / rate)
        remaining = self._rates.remaining(self._plan, shown)
        line.update(phase, shown, rate, remaining, monitor.live_values(values))

    def _tick(self, line, phase, shown):
        """Writes what there is to see; the step waits. Returns the distances, if measured now."""
        self._refresh(line, phase, shown)
        values = self._window.values()
        row = {
            **values,
            **monitor.training_values(self._state, self._settings, phase, shown, self._window.rate),
            **self._snapshots.critic_scores(shown),
        }
        skipped = values["discriminator/skipped"] + values["generator/skipped"]
        if skipped:
            _LOG.warning("%d updates with non-finite gradients were skipped", skipped)
        distances = {}
        if self.chief:
            if self._distances.due(shown, last=shown >= self._plan.total_images):
                distances = self._distances.measure(shown)
                row.update(distances)
            grid = self._snapshots.draw_fakes(shown)
            monitor.write_summaries(self._writer, shown, row, grid)
            self._folder.append_stats(
                {"images_shown": shown, "phase": phase.name, "steps": self._window.steps, **row}
            )
        return distances

    def _save(self):
        return self._checkpoints.save()


def resume_command(arguments: list[str]) -> str:
    """The shell command that continues a run: the one that started it, without --init_from.

    Args:
        arguments: `sys.argv` of the tool.
    """
    kept, skip = [], False
    for argument in arguments:
        name, equals, _ = argument.lstrip("-").partition("=")
        if not skip and not (argument.startswith("-") and name == "init_from"):
            kept.append(argument)
        skip = not skip and argument.startswith("-") and name == "init_from" and not equals
    return shlex.join(["python", *kept])
