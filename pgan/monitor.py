"""What a person watches: one live line, TensorBoard and stats.jsonl."""

import contextlib
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tqdm

from pgan import arithmetic, config, losses, schedule, training_step


class RateBook:
    """Seconds per image by resolution, as last timed by a preflight or by the run.

    A resolution that nobody timed is taken from the nearest timed one by the ratio of their
    arithmetic, which is pessimistic when that one is so small that it is bound by overheads.
    """

    def __init__(self, network: config.NetworkConfig):
        """Starts with no measurement."""
        self._network = network
        self._seconds: dict[int, float] = {}

    def note(self, resolution: int, seconds_per_image: float) -> None:
        """Notes a measurement; it replaces an earlier one of the resolution."""
        self._seconds[resolution] = seconds_per_image

    def seconds_per_image(self, resolution: int) -> float | None:
        """Expected seconds per image, None before the first measurement."""
        if not self._seconds:
            return None
        known = min(self._seconds, key=lambda r: abs(r.bit_length() - resolution.bit_length()))
        return self._seconds[known] * self._work(resolution) / self._work(known)

    def _work(self, resolution: int) -> float:
        return arithmetic.step_flops(self._network, resolution.bit_length() - 1)

    def remaining(self, plan: schedule.Schedule, images_shown: int) -> float | None:
        """Expected seconds to the end of the run, None before the first measurement."""
        total = 0.0
        for phase in plan.phases:
            images = min(phase.end, plan.total_images) - max(phase.start, images_shown)
            if images > 0:
                seconds = self.seconds_per_image(phase.resolution)
                if seconds is None:
                    return None
                total += images * seconds
        return total


class LiveLine:
    """One line in the terminal: where the run is, how fast, how long still, and its losses."""

    def __init__(self, plan: schedule.Schedule, images_shown: int, show: bool = True):
        """Opens the line at the images already shown."""
        self._plan = plan
        self._bar = tqdm.tqdm(
            total=plan.total_images,
            initial=images_shown,
            unit="img",
            unit_scale=True,
            dynamic_ncols=True,
            smoothing=0.1,
            disable=not show,
            bar_format="{desc} {n_fmt}/{total_fmt} {percentage:3.0f}%{postfix}",
        )

    def update(
        self,
        phase: schedule.Phase,
        images_shown: int,
        rate: float | None,
        remaining: float | None,
        values: dict[str, float],
    ) -> None:
        """Redraws the line.

        Args:
            phase: Current phase.
            images_shown: The clock.
            rate: Images per second of late, None if not yet known.
            remaining: Seconds to the end of the run.
            values: Values to show, by short name.
        """
        end = min(phase.end, self._plan.total_images)
        left = max(end - images_shown, 0) / rate if rate else None
        self._bar.set_description_str(
            f"{phase.resolution} px {'fade' if phase.fading else 'stable'} "
            f"alpha {phase.alpha(images_shown):.2f}",
            refresh=False,
        )
        shown = " ".join(f"{name} {value:.3g}" for name, value in values.items())
        times = f"phase {_interval(left)}, run {_interval(remaining)}"
        self._bar.set_postfix_str(f"{rate or 0:.3g} img/s, {times} | {shown}", refresh=False)
        self._bar.update(images_shown - self._bar.n)
        self._bar.refresh()

    def write(self, text: str) -> None:
        """Prints a line above the live line."""
        self._bar.write(text)

    def close(self) -> None:
        """Leaves the line as it stands."""
        self._bar.close()


def live_values(stats: dict[str, float]) -> dict[str, float]:
    """What the live line shows of a step's statistics: both losses, scores of reals and fakes.

    Args:
        stats: Means over some steps, by name.
    """
    critic_terms = [name for name in losses.DISCRIMINATOR_TERMS if losses.LOSS_TERMS[name] != 0.0]
    return {
        "D": sum(stats[name] for name in critic_terms),
        "G": sum(stats[name] for name in losses.GENERATOR_TERMS),
        "real": stats["scores/real"],
        "fake": stats["scores/fake"],
    }


def training_values(
    state: training_step.TrainingState,
    settings: config.TrainConfig,
    phase: schedule.Phase,
    images_shown: int,
    rate: float | None,
) -> dict[str, float]:
    """Where a run stands, as a line of stats.jsonl has it beside the step's statistics.

    Args:
        state: What is trained.
        settings: Configuration of the run.
        phase: Current phase.
        images_shown: The clock.
        rate: Images per second of late, None if not yet known.
    """
    return {
        "training/alpha": phase.alpha(images_shown),
        "training/resolution": phase.resolution,
        "training/batch_size": phase.batch_size,
        "training/learning_rate": config.at_resolution(
            settings.learning_rate, phase.resolution, "--learning_rate"
        ),
        "training/images_per_second": rate or 0.0,
        "training/generator_loss_scale": float(state.generator_optimizer.loss_scale.numpy()),
        "training/discriminator_loss_scale": float(
            state.discriminator_optimizer.loss_scale.numpy()
        ),
    }


def _interval(seconds: float | None) -> str:
    return "?" if seconds is None else tqdm.tqdm.format_interval(max(seconds, 0))


class Window:
    """Sums of a step's statistics over the steps since the last tick."""

    def __init__(self, names: tuple[str, ...]):
        """Starts empty."""
        self._names = names
        self.start()

    def start(self) -> None:
        """Empties the window and starts its clock."""
        self._sum = None
        self.steps = 0
        self.images = 0
        self.restart_clock()

    def restart_clock(self) -> None:
        """Measures speed from here on, as after a step that had to compile."""
        self._began = time.monotonic()
        self._untimed = self.images

    def add(self, stats: tf.Tensor, images: int) -> None:
        """Adds a step without waiting for it."""
        self._sum = stats if self._sum is None else self._sum + stats
        self.steps += 1
        self.images += images

    def values(self) -> dict[str, float]:
        """Means over the window; flags of skipped steps as sums. Waits for the device."""
        sums = self._sum.numpy().astype(np.float64)
        return {
            name: float(value if name.endswith("/skipped") else value / self.steps)
            for name, value in zip(self._names, sums, strict=True)
        }

    def pause(self, seconds: float) -> None:
        """Takes time that was not spent in steps off the clock."""
        self._began += seconds

    @property
    def rate(self) -> float | None:
        """Images per second, None before a step was timed."""
        timed = self.images - self._untimed
        return timed / (time.monotonic() - self._began) if timed else None


class TimeBook:
    """Where the time of a run goes, beside its steps."""

    def __init__(self):
        """Starts now."""
        self._began = time.monotonic()
        self._seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def spent_on(self, what: str) -> Iterator[None]:
        """Adds the time of the block to what it was spent on."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.add(what, time.monotonic() - began)

    def add(self, what: str, seconds: float) -> None:
        """Adds seconds to what they were spent on."""
        self._seconds[what] = self._seconds.get(what, 0.0) + seconds

    def __str__(self) -> str:
        total = time.monotonic() - self._began
        parts = {"steps": total - sum(self._seconds.values()), **self._seconds}
        shares = [f"{name} {part:.0f} s ({part / total:.1%})" for name, part in parts.items()]
        return f"{total:.0f} s: {', '.join(shares)}"


def write_summaries(
    writer: tf.summary.SummaryWriter,
    images_shown: int,
    row: dict[str, float],
    grid: np.ndarray | None = None,
) -> None:
    """Writes a tick to TensorBoard, against images shown.

    Args:
        writer: Event file of the run.
        images_shown: The clock.
        row: Values by name; the part before `/` groups them.
        grid: Picture of the averaged generator's images, uint8 [H, W], if one was drawn.
    """
    with writer.as_default(step=images_shown):
        for name, value in row.items():
            tf.summary.scalar(name, value)
        if grid is not None:
            tf.summary.image("fakes", grid[np.newaxis, :, :, np.newaxis])
    writer.flush()
