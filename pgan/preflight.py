"""Steps every stage once before the run, so that memory runs out in minutes instead of days.

The steps run in a child process: what they allocate is gone before the run begins, and a child
that the system kills for its memory is an answer, not the end of the run. The child writes one
JSON line a stage.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import tqdm

from pgan import config, run_folder, schedule

# Steps of a stage that took so long are enough to know its speed.
_ENOUGH_SECONDS = 20.0
# Pixels of a pass when sampling is timed: 4 images of 256 px.
_SAMPLED_PIXELS = 4 * 256**2


@dataclasses.dataclass(frozen=True)
class StageReport:
    """What one stage took.

    Attributes:
        resolution: Image size in px.
        batch_size: Images of the step over all devices.
        compile_seconds: Time of the first step, tracing and compiling included.
        step_seconds: Median time of the further steps.
        peak_bytes: Peak memory of the process (CPU) or of the first device (GPU) in this stage.
    """

    resolution: int
    batch_size: int
    compile_seconds: float
    step_seconds: float
    peak_bytes: int

    @property
    def seconds_per_image(self) -> float:
        """Seconds per image shown."""
        return self.step_seconds / self.batch_size


@dataclasses.dataclass(frozen=True)
class SamplingReport:
    """How fast the generator draws.

    Attributes:
        resolution: Image size in px.
        batch_size: Images of a pass.
        images_per_hour: On the first device.
    """

    resolution: int
    batch_size: int
    images_per_hour: float


def save(reports: Sequence[StageReport], path: pathlib.Path) -> None:
    """Writes the reports as JSON."""
    run_folder.write_atomically(
        path, json.dumps([dataclasses.asdict(report) for report in reports], indent=2) + "\n"
    )


def load(path: pathlib.Path) -> list[StageReport]:
    """Reads the reports that `save` wrote; none if there is no such file."""
    if not path.exists():
        return []
    return [StageReport(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


class OutOfMemoryError(RuntimeError):
    """A stage does not fit."""


def stages(settings: config.TrainConfig, replicas: int = 1) -> list[schedule.Phase]:
    """The phase of every resolution that needs the most memory: the fade-in where there is one."""
    plan = schedule.build(settings.schedule, settings.network.resolution)
    heaviest = {}
    for phase in plan.phases:
        if phase.resolution not in heaviest or phase.fading:
            heaviest[phase.resolution] = phase
    if settings.preflight != "micro":
        return list(heaviest.values())
    smallest = replicas * settings.network.stddev_group
    return [
        dataclasses.replace(phase, batch_size=min(smallest, phase.batch_size))
        for phase in heaviest.values()
    ]


def sampled_resolutions(network: config.NetworkConfig) -> list[int]:
    """Sizes at which sampling is timed: from 256 px on, as in the paper, or the network's own."""
    return [size for size in (256, 512, 1024) if size <= network.resolution] or [network.resolution]


def run(
    settings: config.TrainConfig,
    timed_steps: int = 1,
    show_progress: bool = True,
    sampling: list[SamplingReport] | None = None,
) -> list[StageReport]:
    """Steps every stage in a child process.

    Args:
        settings: Configuration; `preflight` decides the batch, full or micro.
        timed_steps: Steps after the first, at least 1, of which the median is reported. A stage
            whose steps take long gets fewer, but one.
        show_progress: Whether to draw a progress bar.
        sampling: Where to add the speed of the generator at `sampled_resolutions`; None: it is not
            measured.

    Returns:
        A report for each resolution.

    Raises:
        ValueError: If a batch does not divide over devices and groups.
        OutOfMemoryError: If a stage ran out of memory, naming it and what to change.
        RuntimeError: If the child failed for another reason.
    """
    planned = stages(settings)
    request = {
        "config": settings.to_dict(),
        "timed_steps": timed_steps,
        "workers": _workers(settings),
        "sampled": [] if sampling is None else sampled_resolutions(settings.network),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "pgan.preflight"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_child_environment(settings),
    )
    reports: list[StageReport] = []
    with tqdm.tqdm(
        desc="preflight",
        total=len(planned) + len(request["sampled"]),
        unit="stage",
        disable=not show_progress,
    ) as bar:
        try:
            # The child's warnings go through a thread, or a full pipe would stop it.
            errors = _drain(child.stderr)
            child.stdin.write(json.dumps(request))
            child.stdin.close()
            for line in child.stdout:
                if not line.startswith("{"):
                    continue
                row = json.loads(line)
                if "refused" in row:
                    raise ValueError(row["refused"])
                if "images_per_hour" in row:
                    sampling.append(SamplingReport(**row))
                    bar.set_postfix_str(f"sampling at {row['resolution']} px")
                else:
                    reports.append(StageReport(**row))
                    bar.set_postfix_str(f"{row['resolution']} px, {_gib(row['peak_bytes'])}")
                bar.update()
            code = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
    if code:
        stage = planned[min(len(reports), len(planned) - 1)]
        text = "".join(errors()).strip()
        if code == -9 or "ResourceExhausted" in text or "OOM when allocating" in text:
            raise OutOfMemoryError(
                f"{stage.name} with a batch of {stage.batch_size} runs out of memory; make the "
                f"passes smaller with --micro_batch={stage.resolution}:"
                f"{max(stage.batch_size // 2, 1)},0, or lower --batch_sizes or --fmap_max"
            )
        raise RuntimeError(f"the preflight failed at {stage.name}:\n{text[-3000:]}")
    return reports


def _workers(settings: config.TrainConfig) -> int:
    """Workers that share a batch, as TF_CONFIG has them."""
    if settings.strategy != "multi_worker":
        return 1
    cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    return max(len(cluster.get("worker", [])) + len(cluster.get("chief", [])), 1)


def _child_environment(settings: config.TrainConfig) -> dict[str, str]:
    environment = dict(os.environ)
    if settings.strategy == "multi_worker":
        # One worker alone: the cluster's ports belong to the run.
        environment.pop("TF_CONFIG", None)
    return environment


def _drain(stream):
    lines: list[str] = []
    thread = threading.Thread(target=lambda: lines.extend(stream), daemon=True)
    thread.start()

    def finish():
        thread.join(timeout=10)
        return lines

    return finish


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def _child() -> None:
    """Reads the request from standard input and writes a line for each stage."""
    request = json.load(sys.stdin)
    settings = config.TrainConfig.from_dict(request["config"])

    import numpy as np
    import tensorflow as tf

    from pgan import distribute, memory, training_step

    workers = request["workers"]
    if settings.strategy == "multi_worker":
        settings = dataclasses.replace(settings, strategy="mirrored")
    strategy = distribute.make_strategy(settings.strategy)
    replicas = strategy.num_replicas_in_sync
    network = settings.network
    with strategy.scope():
        state = training_step.TrainingState(settings)
    labels = np.zeros((1, network.num_labels), np.float32)
    builder = training_step.StepBuilder(state, settings, strategy, labels)
    phases = [
        dataclasses.replace(phase, batch_size=max(phase.batch_size // workers, 1))
        for phase in stages(settings, replicas * workers)
    ]
    for phase in phases:  # before any of them takes its time
        try:
            builder.batch_and_pass(phase)
        except ValueError as error:
            _answer({"refused": str(error)})
            return
    for phase in phases:
        step = builder.build(phase)
        batch, _ = builder.batch_and_pass(phase)
        shape = (batch, phase.resolution, phase.resolution, network.channels)

        everywhere = strategy.experimental_distribute_values_from_function
        images = tf.random.stateless_uniform(shape, seed=(0, 0), minval=-1.0)
        absent = tf.zeros((batch, network.num_labels))
        arguments = (
            everywhere(lambda _, value=images: value),
            everywhere(lambda _, value=absent: value),
            tf.constant(0, tf.int64),
            tf.constant(0.5),
        )
        memory.reset_peak()
        seconds = []
        while len(seconds) <= request["timed_steps"] and sum(seconds[1:]) < _ENOUGH_SECONDS:
            began = time.monotonic()
            step(*arguments).numpy()
            seconds.append(time.monotonic() - began)
        report = StageReport(
            resolution=phase.resolution,
            batch_size=phase.batch_size,
            compile_seconds=seconds[0],
            step_seconds=float(np.median(seconds[1:])),
            peak_bytes=memory.peak_bytes(),
        )
        _answer(dataclasses.asdict(report))
    for resolution in request["sampled"]:
        _answer(dataclasses.asdict(_sample(state.averaged, resolution)))


def _answer(row) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def _sample(generator, resolution: int) -> SamplingReport:
    """Times the generator on the first device, kernels ready as in an export."""
    import tensorflow as tf

    from pgan import kernel_sharing

    level, network = resolution.bit_length() - 1, generator.config
    batch = max(_SAMPLED_PIXELS // resolution**2, 1)
    latents = tf.random.stateless_normal((batch, network.latent_size), seed=(0, 0))
    labels = tf.zeros((batch, network.num_labels))
    kernels = kernel_sharing.SharedKernels(generator, level, fading=False)

    @tf.function
    def draw():
        with kernels.used():
            return generator(latents, labels, level)

    draw().numpy()
    passes, began = 0, time.monotonic()
    while passes < 3 or time.monotonic() - began < 2.0:
        draw().numpy()
        passes += 1
    return SamplingReport(resolution, batch, 3600 * batch * passes / (time.monotonic() - began))


if __name__ == "__main__":
    _child()
