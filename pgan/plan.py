"""What a run would be, as text: stages, parameters, time and disk, before anything is trained."""

import json
import time
from collections.abc import Sequence

import tqdm

from pgan import arithmetic, config, preflight, schedule

_FLOAT_BYTES = 4
# Generator: weights, average and two moments; discriminator: weights and two moments.
_GENERATOR_COPIES, _DISCRIMINATOR_COPIES = 4, 3


def checkpoint_bytes(network: config.NetworkConfig) -> int:
    """Size of one checkpoint."""
    values = _GENERATOR_COPIES * arithmetic.generator_parameters(network)
    values += _DISCRIMINATOR_COPIES * arithmetic.discriminator_parameters(network)
    return values * _FLOAT_BYTES


def matrix_product_rate(size: int = 2048) -> float:
    """Floating-point operations per second of TensorFlow's float32 matrix product here."""
    import tensorflow as tf

    matrix = tf.ones((size, size))
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        tf.linalg.matmul(matrix, matrix).numpy()
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def describe(settings: config.TrainConfig, reports: Sequence[preflight.StageReport] = ()) -> str:
    """Describes a run.

    Args:
        settings: Its configuration.
        reports: Measured stages, if any.

    Returns:
        Configuration, table of phases, parameter totals, and estimates of time and disk.
    """
    network = settings.network
    plan = schedule.build(settings.schedule, network.resolution)
    measured = {report.resolution: report for report in reports}
    lines = ["Configuration", json.dumps(settings.to_dict(), indent=2), "", "Phases"]
    header = ["phase", "batch", "pass", "kimg from", "to", "maps", "GFLOP/img"]
    lines.append(_row([*header, "s/step", "img/s", "peak"] if reports else header))
    seconds = 0.0
    for phase in plan.phases:
        end = min(phase.end, plan.total_images)
        limit = int(config.at_resolution(settings.micro_batch, phase.resolution, "--micro_batch"))
        flops = arithmetic.step_flops(network, phase.level)
        cells = [
            phase.name,
            str(phase.batch_size),
            str(min(limit or phase.batch_size, phase.batch_size)),
            f"{phase.start / 1000:g}",
            f"{end / 1000:g}",
            str(network.feature_maps(phase.resolution)),
            f"{flops / 1e9:,.1f}",
        ]
        report = measured.get(phase.resolution)
        if report:
            cells += [
                f"{report.step_seconds:.3g}",
                f"{1 / report.seconds_per_image:.3g}",
                f"{report.peak_bytes / 2**30:.2f} GiB",
            ]
            seconds += (end - phase.start) * report.seconds_per_image
        lines.append(_row(cells))
    generator = arithmetic.generator_parameters(network)
    discriminator = arithmetic.discriminator_parameters(network)
    lines += [
        "",
        f"Parameters: generator {generator:,}, discriminator {discriminator:,}",
        f"Images: {plan.total_images:,} in {plan.steps():,} steps",
        _time(settings, plan, seconds),
        _disk(settings),
    ]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    first, *rest = cells
    return f"  {first:<18}" + "".join(f"{cell:>11}" for cell in rest)


def _time(settings, plan, measured_seconds):
    if measured_seconds:
        hours = tqdm.tqdm.format_interval(measured_seconds)
        return f"Time: {hours} h:m:s by the steps measured here, checkpoints and grids aside"
    flops = sum(
        (min(phase.end, plan.total_images) - phase.start)
        * arithmetic.step_flops(settings.network, phase.level)
        for phase in plan.phases
    )
    rate = matrix_product_rate()
    return (
        f"Time: about {flops / rate / 3600:,.1f} h here, by arithmetic: {flops:.3g} "
        f"operations at its matrix-product rate of {rate / 1e9:,.0f} GFLOP/s; --measure times "
        "real steps on the device of the run"
    )


def _disk(settings):
    one = checkpoint_bytes(settings.network) / 2**30
    kept = settings.keep_checkpoints
    return (
        f"Disk: {one:.2f} GiB a checkpoint, {one * (kept + 1):.2f} GiB for the {kept} kept and "
        "the one being written"
    )
