"""Frozen configurations of a training run, checked once and saved beside the result.

Every field carries its help text, so that a command-line tool can offer it as a flag of the same
name and default (`tools/config_flags.py`). The defaults are the paper's run at 1024 px; numbers
in angle brackets refer to Han et al., Sci. Adv. 6, eabb7973 (2020) and its released code.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from pgan.data import labels

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = ("one_device", "mirrored", "multi_worker", "tpu")
PREFLIGHTS = ("full", "micro", "off")
AUGMENTATIONS = ("translation", "brightness", "cutout")


def option(default: Any, text: str, choices: tuple[str, ...] = (), resume: bool = False) -> Any:
    """Declares a configuration field.

    Args:
        default: The default value.
        text: Help text, also the flag's help.
        choices: Allowed values, empty for any.
        resume: Whether the value may differ when a run is continued.
    """
    metadata = {"help": text, "choices": choices, "resume": resume}
    return dataclasses.field(default=default, metadata=metadata)


def per_resolution(text: str, name: str = "value") -> dict[int, float]:
    """Parses a number, or numbers by resolution.

    Args:
        text: `600` for every resolution, `4:10,8:20` by resolution, or `600,64:80` for a default
            with exceptions.
        name: Name of the setting, for messages.

    Returns:
        Resolution (px) to value; the default, if any, has key 0.

    Raises:
        ValueError: If an entry is no number, or names a resolution that is no power of two.
    """
    values: dict[int, float] = {}
    for entry in str(text).split(","):
        key, colon, value = entry.strip().rpartition(":")
        try:
            resolution = int(key) if colon else 0
            number = float(value)
        except ValueError:
            raise ValueError(
                f"{name} wants a number, or numbers by resolution such as '600' or '4:10,8:20'; "
                f"got {text!r}"
            ) from None
        if resolution and not is_power_of_two(resolution):
            raise ValueError(f"{name}: {resolution} px is no power of two in {text!r}")
        if not math.isfinite(number) or number < 0:
            raise ValueError(f"{name} must be finite and at least 0, got {entry.strip()!r}")
        values[resolution] = number
    return values


def at_resolution(text: str, resolution: int, name: str = "value") -> float:
    """Returns the value that `per_resolution` text gives for one resolution.

    Raises:
        ValueError: If the text has neither the resolution nor a default.
    """
    values = per_resolution(text, name)
    if resolution in values:
        return values[resolution]
    if 0 in values:
        return values[0]
    raise ValueError(
        f"{name} has no value for {resolution} px (got {text!r}); add '{resolution}:VALUE' or a "
        "plain number as default"
    )


def is_power_of_two(value: int) -> bool:
    """Whether an integer is 1, 2, 4, 8, ..."""
    return value > 0 and value & (value - 1) == 0


class Config:
    """Conversion between a frozen dataclass and plain JSON types."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]):
        """Builds a configuration from `to_dict` output.

        Raises:
            ValueError: If a field is unknown (written by another version).
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise ValueError(f"{cls.__name__} has no fields {unknown}; known: {sorted(fields)}")
        arguments = {}
        for name, value in values.items():
            kind = fields[name].type
            if isinstance(kind, type) and issubclass(kind, Config):
                value = kind.from_dict(value)
            elif isinstance(value, list):
                value = tuple(value)
            arguments[name] = value
        return cls(**arguments)

    def _check_choices(self) -> None:
        for field in dataclasses.fields(self):
            choices = field.metadata.get("choices", ())
            value = getattr(self, field.name)
            chosen = value if isinstance(value, tuple) else (value,)
            wrong = [item for item in chosen if choices and item not in choices]
            if wrong:
                raise ValueError(f"--{field.name} must be of {list(choices)}, got {wrong[0]!r}")


@dataclasses.dataclass(frozen=True)
class NetworkConfig(Config):
    """Shape of generator and discriminator <supplementary table S5>."""

    resolution: int = option(1024, "Final image size in px, a power of two from 8 to 1024.")
    findings: tuple[str, ...] = option(labels.NIH_14, "Finding names, in the order of the labels.")
    channels: int = option(1, "Image channels; radiographs have 1.")
    latent_size: int = option(512, "Entries of the latent vector.")
    fmap_base: int = option(8192, "Feature maps at stage s are fmap_base / 2^(s * fmap_decay).")
    fmap_decay: float = option(1.0, "See fmap_base.")
    fmap_max: int = option(512, "Upper limit of the feature maps of a layer.")
    widths: str = option(
        "paper",
        "paper: 64 and 32 feature maps at 512 and 1024 px (table S5); pggan: 32 and 16, as in the "
        "original PGGAN.",
        ("paper", "pggan"),
    )
    normalize_latents: bool = option(True, "Pixel-normalise the concatenated latent and labels.")
    stddev_group: int = option(4, "Group size of the minibatch standard deviation; 1: off.")

    def __post_init__(self):
        """Checks the values.

        Raises:
            ValueError: If one cannot be used.
        """
        self._check_choices()
        if not is_power_of_two(self.resolution) or not 8 <= self.resolution <= 1024:
            raise ValueError(
                f"--resolution must be a power of two from 8 to 1024, got {self.resolution}"
            )
        for name in ("channels", "latent_size", "fmap_base", "fmap_max", "stddev_group"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if len(set(self.findings)) != len(self.findings):
            raise ValueError(f"findings are not unique: {self.findings}")

    @property
    def num_labels(self) -> int:
        """Entries of the label vector."""
        return len(self.findings)

    @property
    def max_level(self) -> int:
        """log2 of the final resolution."""
        return self.resolution.bit_length() - 1

    @property
    def hidden_width(self) -> int:
        """Width of the discriminator's hidden dense layer, nf(0)."""
        return min(self.fmap_base, self.fmap_max)

    def feature_maps(self, resolution: int) -> int:
        """Feature maps of the layers at one resolution.

        nf(s) = min(floor(fmap_base / 2^(s * fmap_decay)), fmap_max) with s = log2(resolution) - 1,
        where the paper's widths count stages from 8 on one lower (table S5).
        """
        stage = resolution.bit_length() - 2
        if self.widths == "paper" and stage >= 8:
            stage -= 1
        return max(1, min(int(self.fmap_base / 2.0 ** (stage * self.fmap_decay)), self.fmap_max))


@dataclasses.dataclass(frozen=True)
class ScheduleConfig(Config):
    """When each resolution is trained, in thousands of real images shown (kimg) <Methods>."""

    initial_resolution: int = option(4, "Resolution (px) of the first stage.")
    stage_kimg: str = option("600", "Stable kimg of a stage: a number, or '4:10,8:20,...'.")
    fade_kimg: str = option("600", "Fade-in kimg of a stage: a number, or by resolution.")
    total_kimg: float = option(
        12000.0, "Length of the run; the last stage takes what is left.", resume=True
    )
    batch_sizes: str = option(
        "4:128,8:128,16:128,32:128,64:64,128:32,256:16,512:8,1024:4",
        "Images per step over all devices, by resolution.",
    )

    def __post_init__(self):
        """Checks the values.

        Raises:
            ValueError: If one cannot be used.
        """
        if not is_power_of_two(self.initial_resolution) or self.initial_resolution < 4:
            raise ValueError(
                f"--initial_resolution must be 4, 8, 16, ..., got {self.initial_resolution}"
            )
        for name in ("stage_kimg", "fade_kimg", "batch_sizes"):
            per_resolution(getattr(self, name), f"--{name}")


@dataclasses.dataclass(frozen=True)
class TrainConfig(Config):
    """Everything that decides the course of a run, beside the records."""

    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    train_fold: str = option("train", "Fold of the records to train on.")
    held_out_fold: str = option(
        "val", "Fold whose critic scores are logged beside the training fold's; '' for none."
    )
    seed: int = option(1888, "Seed of weights, noise, labels and the order of the images.")
    learning_rate: str = option(
        "0.001", "Adam's step size of both networks, or by resolution.", resume=True
    )
    adam_beta1: float = option(0.0, "Adam's decay of the first moment.")
    adam_beta2: float = option(0.99, "Adam's decay of the second moment.")
    adam_epsilon: float = option(1e-8, "Adam's epsilon.")
    reset_optimizer: bool = option(True, "Forget Adam's moments at the start and end of a fade.")
    ema_decay: float = option(0.999, "Decay per step of the averaged generator.")
    ema_kimg: float = option(
        0.0,
        "Half-life of the averaged generator in kimg, the same for every batch size, instead of "
        "--ema_decay. 0: by --ema_decay.",
    )
    penalty_weight: float = option(10.0, "Weight lambda of the gradient penalty.")
    penalty_target: float = option(1.0, "Gradient norm gamma that the penalty asks for.")
    drift_weight: float = option(0.001, "Weight of the drift term, the squared score on reals.")
    label_weight: float = option(1.0, "Weight of the auxiliary classifier's losses.")
    fake_label_weight: float = option(
        0.0, "Weight of the discriminator's classifier loss on fakes; PGGAN had 1."
    )
    augment: tuple[str, ...] = option(
        (),
        "Differentiable augmentations for small collections, any of translation, brightness, "
        "cutout.",
        AUGMENTATIONS,
    )
    precision: str = option("float32", "Computation type of the layers.", PRECISIONS)
    fused_scaling: bool = option(
        True,
        "Resample and convolve in one operation: the same up to rounding, with less arithmetic.",
        resume=True,
    )
    strategy: str = option("one_device", "tf.distribute strategy.", STRATEGIES, resume=True)
    jit_compile: bool = option(False, "Compile the step with XLA (slower on a CPU).", resume=True)
    micro_batch: str = option(
        "0",
        "Largest batch per device and pass, by resolution if wanted; larger batches accumulate "
        "gradients over passes. 0: no limit. Minibatch statistics are those of a pass.",
    )
    preflight: str = option(
        "full",
        "Before the run, step every stage once: full batch, micro (smallest possible batch), off.",
        PREFLIGHTS,
        resume=True,
    )
    tick_kimg: str = option(
        "160,8:140,16:120,32:100,64:80,128:60,256:40,512:20,1024:10",
        "Kimg between two lines of stats.jsonl, image grids and checkpoints, by resolution.",
        resume=True,
    )
    checkpoint_minutes: float = option(30.0, "Longest time between two checkpoints.", resume=True)
    keep_checkpoints: int = option(3, "Checkpoints kept.", resume=True)
    grid_columns: int = option(8, "Columns of the image grids.", resume=True)
    critic_images: int = option(
        512, "Images per fold for the critic scores at each tick, at most.", resume=True
    )
    metric_every_kimg: float = option(
        120.0,
        "Kimg between two Frechet distances of the averaged generator, at the next tick; the "
        "checkpoint with the smallest is kept in checkpoints/best. 0: never.",
        resume=True,
    )
    metric_images: int = option(
        1000, "Images of each set in these distances, at most.", resume=True
    )
    metric_features: str = option(
        "fixed",
        "Network of these distances: fixed, inception:FILE, keras_inception[:FILE] or "
        "saved_model:FOLDER.",
        resume=True,
    )

    def __post_init__(self):
        """Checks the values.

        Raises:
            ValueError: If one cannot be used.
        """
        self._check_choices()
        size = self.schedule.initial_resolution
        while size <= self.network.resolution:
            for name in ("learning_rate", "micro_batch", "tick_kimg"):
                at_resolution(getattr(self, name), size, f"--{name}")
            size *= 2
        if not self.penalty_target > 0:
            raise ValueError(f"--penalty_target must be above 0, got {self.penalty_target}")
        if not 0 <= self.ema_kimg < math.inf:
            raise ValueError(f"--ema_kimg must be finite and at least 0, got {self.ema_kimg}")
        if self.metric_every_kimg < 0:
            raise ValueError(f"--metric_every_kimg must not be negative: {self.metric_every_kimg}")
        for name in ("keep_checkpoints", "grid_columns", "metric_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"--seed must be from 0 to 2^31 - 1, got {self.seed}")
        for name in ("adam_beta1", "adam_beta2", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"--{name} must be in [0, 1), got {getattr(self, name)}")

    def averaging_decay(self, batch: int) -> float:
        """Decay of the averaged generator in one step.

        With a half-life of h kimg, 0.5^(batch / (1000 h)), so that weights count half after h
        thousand images, whatever the batches; as the released training loops of StyleGAN (Karras
        et al., CVPR 2019; `G_smoothing_kimg` there) and StyleGAN2-ADA (Karras et al., NeurIPS
        2020; `ema_kimg`) have it. Without a half-life it is `ema_decay`, as in PGGAN.

        Args:
            batch: Images of the step, over all devices and passes.

        Returns:
            Decay in [0, 1).
        """
        if not self.ema_kimg:
            return self.ema_decay
        return 0.5 ** (batch / (1000 * self.ema_kimg))


def differences(old: Config, new: Config) -> list[str]:
    """Fields in which a continued run would differ from the run that was started.

    Fields that may change between two sittings (`resume=True`) are left out.

    Args:
        old: Configuration in the run folder; nested ones are compared, too.
        new: Configuration of the same class.

    Returns:
        Lines such as `learning_rate: '0.001' in the run folder, '0.002' now`.
    """
    lines = []
    for field in dataclasses.fields(old):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if isinstance(was, Config):
            lines += differences(was, now)
        elif was != now and not field.metadata["resume"]:
            lines.append(f"{field.name}: {was!r} in the run folder, {now!r} now")
    return lines
