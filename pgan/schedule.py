"""Images shown -> resolution, fade-in and batch size, as arithmetic without TensorFlow.

A stage is one resolution. The first is trained stable; every later one fades in, then is stable;
the last stays until the run ends <Methods; 600k images each, 12 M in all>. The single clock is the
number of real images shown to the discriminator. Batches need not divide the length of a phase:
a phase ends with the first step that reaches its end.
"""

import bisect
import dataclasses
import math

from pgan import config


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of the run with one graph: a resolution, fading in or stable.

    Attributes:
        resolution: Image size in px.
        fading: Whether the resolution is being faded in.
        start: Images shown when the phase begins by plan.
        end: Images shown when it ends by plan.
        batch_size: Images per step over all devices.
    """

    resolution: int
    fading: bool
    start: int
    end: int
    batch_size: int

    @property
    def level(self) -> int:
        """log2 of the resolution."""
        return self.resolution.bit_length() - 1

    @property
    def name(self) -> str:
        """Name for people, such as `64 px fade-in`."""
        return f"{self.resolution} px {'fade-in' if self.fading else 'stable'}"

    def alpha(self, images_shown: int) -> float:
        """Weight of the new resolution in [0, 1] <Fig. S1B>; 1 when stable."""
        if not self.fading:
            return 1.0
        return min(max((images_shown - self.start) / (self.end - self.start), 0.0), 1.0)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The phases of a run in order.

    Attributes:
        phases: Phases, joined end to start.
        total_images: Images shown when the run is done.
    """

    phases: tuple[Phase, ...]
    total_images: int

    def phase_at(self, images_shown: int) -> Phase:
        """The phase of the step that starts with so many images shown."""
        starts = [phase.start for phase in self.phases]
        return self.phases[max(bisect.bisect_right(starts, images_shown) - 1, 0)]

    def steps(self) -> int:
        """Steps of the whole run."""
        shown, steps = 0, 0
        for phase in self.phases:
            count = max(0, math.ceil((phase.end - shown) / phase.batch_size))
            shown += count * phase.batch_size
            steps += count
        return steps


def build(settings: config.ScheduleConfig, resolution: int) -> Schedule:
    """Lays out the phases of a run.

    Args:
        settings: Lengths and batch sizes.
        resolution: Final resolution in px.

    Raises:
        ValueError: If the run would end before the final resolution is reached, starts above it,
            or a batch size is no positive integer.
    """
    if settings.initial_resolution > resolution:
        raise ValueError(
            f"--initial_resolution={settings.initial_resolution} is above --resolution={resolution}"
        )
    total = round(settings.total_kimg * 1000)
    phases: list[Phase] = []
    shown, size = 0, settings.initial_resolution
    while size <= resolution:
        batch = config.at_resolution(settings.batch_sizes, size, "--batch_sizes")
        if batch != int(batch) or batch < 1:
            raise ValueError(f"--batch_sizes wants whole numbers from 1, got {batch} at {size} px")
        lengths = [(False, config.at_resolution(settings.stage_kimg, size, "--stage_kimg"))]
        if size > settings.initial_resolution:
            fade = config.at_resolution(settings.fade_kimg, size, "--fade_kimg")
            lengths.insert(0, (True, fade))
        for fading, kimg in lengths:
            images = round(kimg * 1000)
            if images:
                phases.append(Phase(size, fading, shown, shown + images, int(batch)))
                shown += images
        size *= 2
    if not phases or phases[-1].resolution < resolution:
        raise ValueError(
            f"--stage_kimg={settings.stage_kimg} and --fade_kimg={settings.fade_kimg} give "
            f"{resolution} px no images"
        )
    begin_of_last = min(phase.start for phase in phases if phase.resolution == resolution)
    if total <= begin_of_last:
        raise ValueError(
            f"--total_kimg={settings.total_kimg:g} ends before {resolution} px begins at "
            f"{begin_of_last / 1000:g} kimg; raise it, or lower --resolution, --stage_kimg or "
            "--fade_kimg"
        )
    kept = [phase for phase in phases if phase.start < total]
    # A fade keeps its planned end, so that a shortened run has the same alphas as a long one.
    last = kept[-1]
    if not last.fading:
        kept[-1] = dataclasses.replace(last, end=total)
    elif last.end < total:
        kept.append(Phase(last.resolution, False, last.end, total, last.batch_size))
    return Schedule(tuple(kept), total)
