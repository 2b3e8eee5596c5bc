"""What a run would be, as text: stages, parameters, time and disk, before anything is trained."""

import json
import time
from collections.abc import Sequence

import tqdm

from pgan import arithmetic, config, preflight, schedule

_FLOAT_BYTES = 4
# Generator: weights, average and two moments; discriminator: weights and two moments.
_GENERATOR_COPIES, _DISCRIMINATOR_COPIES = 4, 3


# Han et al. 2020: hours of training by final resolution, on one P100, and images drawn per hour.
PAPER_HOURS = {256: 60, 512: 114, 1024: 272}
PAPER_IMAGES_PER_HOUR = {256: 67_925, 512: 41_379, 1024: 4_511}


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


def describe(
    settings: config.TrainConfig,
    reports: Sequence[preflight.StageReport] = (),
    sampling: Sequence[preflight.SamplingReport] = (),
) -> str:
    """Describes a run.

    Args:
        settings: Its configuration.
        reports: Measured stages, if any.
        sampling: Measured speeds of drawing, if any.

    Returns:
        Configuration, table of phases, parameter totals, estimates of time and disk and, of what
        was measured, the time with more devices and beside the paper's.
    """
    network = settings.network
    plan = schedule.build(settings.schedule, network.resolution)
    measured = {report.resolution: report for report in reports}
    lines = ["Configuration", json.dumps(settings.to_dict(), indent=2), "", "Phases"]
    header = ["phase", "batch", "pass", "kimg from", "to", "maps", "GFLOP/img"]
    if reports:
        header += ["s/step", "img/s", "hours", "start s", "peak"]
    lines.append(_row(header))
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
                f"{(end - phase.start) * report.seconds_per_image / 3600:,.3g}",
                f"{report.compile_seconds:.1f}",
                f"{report.peak_bytes / 2**30:.2f} GiB",
            ]
        lines.append(_row(cells))
    generator = arithmetic.generator_parameters(network)
    discriminator = arithmetic.discriminator_parameters(network)
    lines += [
        "",
        f"Parameters: generator {generator:,}, discriminator {discriminator:,}",
        f"Images: {plan.total_images:,} in {plan.steps():,} steps",
        _time(settings, plan, measured),
        _disk(settings),
    ]
    if reports:
        lines += _devices(plan, measured) + _beside_the_paper(settings, measured)
    if sampling:
        lines += _sampling(sampling)
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    first, *rest = cells
    return f"  {first:<18}" + "".join(f"{cell:>11}" for cell in rest)


def _seconds(plan, measured):
    """Time of a run by measured steps; None where a stage was not measured."""
    if any(phase.resolution not in measured for phase in plan.phases):
        return None
    return sum(
        (min(phase.end, plan.total_images) - phase.start)
        * measured[phase.resolution].seconds_per_image
        for phase in plan.phases
    )


def _devices(plan, measured):
    """Time on several times the devices that were measured, each with an equal part of a batch."""
    seconds, batches = _seconds(plan, measured), [phase.batch_size for phase in plan.phases]
    lines = [
        "",
        "On several times the devices used here, if the work divided without loss (it does not:",
        "each gets a smaller batch, and gradients are exchanged)",
    ]
    for count in (1, 2, 4, 8):
        if all(batch % count == 0 for batch in batches):
            text = f"{seconds / count / 3600:,.3g} h"
        else:
            text = "batches do not divide; see --batch_sizes"
        lines.append(_row([f"x {count}", text]))
    return lines


def _beside_the_paper(settings, measured):
    lines = ["", "Whole runs with this schedule, and the paper's (one P100)"]
    for resolution, hours in PAPER_HOURS.items():
        if resolution > settings.network.resolution:
            continue
        seconds = _seconds(schedule.build(settings.schedule, resolution), measured)
        lines.append(_row([f"{resolution} px", f"{seconds / 3600:,.3g} h", f"{hours} h"]))
    return lines if len(lines) > 2 else []


def _sampling(reports):
    lines = ["", "Images drawn in an hour on one device, and the paper's"]
    for report in reports:
        paper = PAPER_IMAGES_PER_HOUR.get(report.resolution)
        cells = [f"{report.resolution} px", f"{report.images_per_hour:,.0f}"]
        lines.append(_row([*cells, f"{paper:,}" if paper else "-"]))
    return lines


def _time(settings, plan, measured):
    if measured:
        hours = tqdm.tqdm.format_interval(_seconds(plan, measured))
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
