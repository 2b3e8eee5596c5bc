"""The measuring process of `pgan.benchmark`: a request on standard input, a row on standard output.

Everything is built as training builds it, and fed from memory unless the input is the subject.
"""

import contextlib
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from pgan import (
    arithmetic,
    benchmark,
    config,
    distribute,
    kernel_sharing,
    memory,
    networks,
    schedule,
    timing,
    training_step,
)
from pgan.data import record_reader, record_set


def measure(
    case: benchmark.Case, effort: benchmark.Effort, records_dir: str = "", fold: str = ""
) -> dict[str, Any]:
    """Measures one case in this process.

    Args:
        case: What to measure.
        effort: How thoroughly.
        records_dir: For "input", the record set.
        fold: For "input", the fold of it that is read.

    Returns:
        Medians over the rounds, and the state of the machine.
    """
    if case.what == "input":
        values = _measure_input(case, effort, records_dir, fold)
    else:
        values = {
            "peak": _measure_peak, "step": _measure_step, "sampling": _measure_sampling
        }[case.what](case, effort)  # fmt: skip
    return {**values, "machine": _machine()}


def _measure_peak(case, effort):
    sizes = [effort.matrix_size // 4, effort.matrix_size // 2, effort.matrix_size]
    products = {
        (dtype, size): _product(dtype, size) for dtype in ("float32", "bfloat16") for size in sizes
    }
    subject = products.pop(("float32", sizes[-1]))
    rounds = timing.compare(
        subject, products, effort.repeats, effort.min_seconds, reference_share=1.0
    )
    rates = [["float32", sizes[-1], _median_rate(rounds, sizes[-1])]]
    rates += [[*key, _median_rate(rounds, key[1], key)] for key in products]
    return {
        "gflops": sorted(rates),
        "reference_cores": statistics.median(round_.subject.cores for round_ in rounds),
    }


def _measure_step(case, effort):
    step, compile_seconds = _training_step(case)
    peak = memory.peak_bytes()
    rounds = timing.compare(
        lambda: step().numpy(), _products(case, effort), effort.repeats, effort.min_seconds
    )
    flops = arithmetic.step_flops(case.network, _level(case))
    return {
        **_rates(case, effort, rounds, flops),
        "compile_seconds": compile_seconds,
        "peak_bytes": peak,
    }


def _measure_sampling(case, effort):
    fused = case.form == "fused"
    generator = networks.Generator(case.network, seed=0, dtype=case.precision, fused_scaling=fused)
    kernels = kernel_sharing.SharedKernels(generator, _level(case), case.fading)
    latents = tf.random.stateless_normal((case.batch, case.network.latent_size), seed=(0, 0))
    labels = tf.zeros((case.batch, case.network.num_labels))
    alpha = tf.constant(0.5) if case.fading else None

    @tf.function
    def draw():
        # As in an export, kernels are ready.
        with kernels.used() if fused else contextlib.nullcontext():
            return generator(latents, labels, _level(case), alpha)

    first = timing.sample(lambda: draw().numpy())
    peak = memory.peak_bytes()
    rounds = timing.compare(
        lambda: draw().numpy(), _products(case, effort), effort.repeats, effort.min_seconds
    )
    flops = arithmetic.generator_flops(case.network, _level(case))
    return {
        **_rates(case, effort, rounds, flops),
        "compile_seconds": first.seconds,
        "peak_bytes": peak,
    }


def _measure_input(case, effort, records_dir, fold):
    records = record_set.RecordSet.open(records_dir, verify="size")
    dataset = record_reader.training_dataset(
        records, case.resolution, fold, batch_size=case.batch, seed=0
    )
    batches = iter(dataset)
    step, _ = _training_step(case, records.findings)

    def fed_step():
        batch = next(batches)
        step(batch["images"], batch["labels"]).numpy()

    # What the pipeline had ready when its turn came must be few batches among those timed.
    rounds = timing.compare(
        lambda: next(batches),
        {"step": lambda: step().numpy(), "fed": fed_step},
        effort.repeats,
        4 * effort.min_seconds,
    )
    slowdown = statistics.median(
        round_.references["fed"].seconds / round_.references["step"].seconds for round_ in rounds
    )
    return {
        "images_per_second": case.batch / timing.median_seconds(rounds),
        "step_images_per_second": case.batch
        / statistics.median(round_.references["step"].seconds for round_ in rounds),
        "ratio": timing.median_ratio(rounds, "step"),
        "fed_slowdown": slowdown - 1.0,
        "fingerprint": records.fingerprint,
        "peak_bytes": memory.peak_bytes(),
    }


def _training_step(case, findings=None) -> tuple[Callable[..., tf.Tensor], float]:
    """A training step that takes images and labels, by default ones from memory.

    It has run once; the time of that comes with it.
    """
    network = case.network
    if findings is not None:
        network = config.NetworkConfig.from_dict({**network.to_dict(), "findings": findings})
    settings = config.TrainConfig(
        network=network,
        precision=case.precision,
        fused_scaling=case.form == "fused",
        micro_batch=str(case.micro_batch),
    )
    strategy = distribute.make_strategy("one_device")
    with strategy.scope():
        state = training_step.TrainingState(settings)
    builder = training_step.StepBuilder(
        state, settings, strategy, np.zeros((1, network.num_labels), np.float32)
    )
    phase = schedule.Phase(case.resolution, case.fading, 0, 1, case.batch)
    step = builder.build(phase)
    shape = (case.batch, case.resolution, case.resolution, network.channels)
    some_images = tf.random.stateless_uniform(shape, seed=(0, 0), minval=-1.0)
    no_labels = tf.zeros((case.batch, network.num_labels))
    clock, alpha = tf.constant(0, tf.int64), tf.constant(0.5)

    def take(images=some_images, labels=no_labels):
        return step(images, labels, clock, alpha)

    return take, timing.sample(lambda: take().numpy()).seconds


def _product(dtype: str, size: int) -> Callable[[], object]:
    """A square matrix product that has ended when the call returns."""
    a, b = (
        tf.cast(tf.random.stateless_normal((size, size), seed=(size, i)), dtype) for i in range(2)
    )

    @tf.function
    def multiply():
        return tf.matmul(a, b)[0, 0]

    return lambda: multiply().numpy()


def _products(case, effort):
    dtypes = {"float32", benchmark.COMPUTE_TYPES[case.precision]}
    return {dtype: _product(dtype, effort.matrix_size) for dtype in sorted(dtypes)}


def _rates(case, effort, rounds, flops):
    """Medians of speed and utilisation; `flops` are operations per image."""
    dtype = benchmark.COMPUTE_TYPES[case.precision]
    ratio = flops * case.batch / (2 * effort.matrix_size**3)
    speeds = sorted(case.batch / round_.subject.seconds for round_ in rounds)
    cpu = statistics.median(
        round_.references[dtype].cpu_seconds / round_.subject.cpu_seconds for round_ in rounds
    )
    return {
        "images_per_second": statistics.median(speeds),
        "slowest": speeds[0],
        "fastest": speeds[-1],
        "gflop_per_image": flops / 1e9,
        "gflops": flops * statistics.median(speeds) / 1e9,
        "peak_gflops": {
            name: _median_rate(rounds, effort.matrix_size, name) for name in rounds[0].references
        },
        "utilisation": ratio * timing.median_ratio(rounds, dtype),
        "utilisation_of_float32": ratio * timing.median_ratio(rounds, "float32"),
        # The same per second of computing: what other programs take is not counted against it,
        # nor is a core that waits.
        "utilisation_while_computing": ratio * cpu,
        "cores": statistics.median(round_.subject.cores for round_ in rounds),
        "reference_cores": statistics.median(round_.references[dtype].cores for round_ in rounds),
    }


def _median_rate(rounds, size, reference=None):
    """GFLOP/s of a matrix product, the subject of the rounds or one of their references."""
    samples = [
        round_.subject if reference is None else round_.references[reference] for round_ in rounds
    ]
    return 2 * size**3 / statistics.median(sample.seconds for sample in samples) / 1e9


def _level(case):
    return case.resolution.bit_length() - 1


def _machine() -> dict[str, Any]:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    gpus = [device.name for device in tf.config.list_physical_devices("GPU")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": timing.cores(),
        "gpus": gpus,
        "load_average": os.getloadavg()[0],
        "tensorflow": tf.__version__,
    }


if __name__ == "__main__":
    request = json.load(sys.stdin)
    row = measure(
        benchmark.Case(**request["case"]),
        benchmark.Effort(**request["effort"]),
        request["records_dir"],
        request["fold"],
    )
    sys.stdout.write(json.dumps(row) + "\n")
