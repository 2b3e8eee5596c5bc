"""Which number types the processor or card multiplies fast, without TensorFlow where possible."""

import dataclasses
import pathlib

# Least CUDA compute capability whose matrix units take the type.
_CAPABILITIES = (((8, 0), "mixed_bfloat16"), ((7, 0), "mixed_float16"))
_PROCESSOR_FLAGS = (
    ("amx_bf16", "bfloat16 matrix units (AMX)"),
    ("avx512_bf16", "bfloat16 instructions (AVX-512)"),
)


@dataclasses.dataclass(frozen=True)
class FastPrecision:
    """The precision that this machine computes fastest in.

    Attributes:
        precision: One of config.PRECISIONS.
        reason: What the machine has, or lacks, for people.
    """

    precision: str
    reason: str


def of_processor(cpuinfo: str) -> FastPrecision:
    """Reads the text of /proc/cpuinfo."""
    flags = set()
    for line in cpuinfo.splitlines():
        if line.startswith(("flags", "Features")):
            flags.update(line.partition(":")[2].split())
            break
    # "bf16" is Arm's name.
    for name, what in (*_PROCESSOR_FLAGS, ("bf16", "bfloat16 instructions")):
        if name in flags:
            return FastPrecision("mixed_bfloat16", f"the processor has {what}")
    return FastPrecision("float32", "the processor has no 16-bit arithmetic")


def of_card(name: str, capability: tuple[int, int]) -> FastPrecision:
    """Reads the name and CUDA compute capability of a GPU."""
    number = ".".join(map(str, capability))
    for least, precision in _CAPABILITIES:
        if capability >= least:
            kind = precision.removeprefix("mixed_")
            return FastPrecision(
                precision, f"{name} (compute capability {number}) has {kind} matrix units"
            )
    return FastPrecision("float32", f"{name} (compute capability {number}) has no matrix units")


def fast_precision(strategy: str = "one_device") -> FastPrecision:
    """Asks the device that a run with this strategy would use.

    Args:
        strategy: One of config.STRATEGIES.
    """
    if strategy == "tpu":
        return FastPrecision("mixed_bfloat16", "TPUs multiply in bfloat16")
    import tensorflow as tf

    cards = tf.config.list_physical_devices("GPU")
    if cards:
        details = tf.config.experimental.get_device_details(cards[0])
        return of_card(
            details.get("device_name", "the card"), details.get("compute_capability", (0, 0))
        )
    path = pathlib.Path("/proc/cpuinfo")
    return of_processor(path.read_text(encoding="utf-8") if path.exists() else "")


def advice(precision: str, strategy: str = "one_device") -> str:
    """A sentence on whether another precision would be faster here.

    Args:
        precision: The one that was asked for.
        strategy: One of config.STRATEGIES.
    """
    fast = fast_precision(strategy)
    if precision == fast.precision:
        return f"computing in {precision}, the fastest here: {fast.reason}"
    if precision == "float32":
        return (
            f"computing in float32; --precision={fast.precision} would be faster here: "
            f"{fast.reason}"
        )
    return f"computing in {precision}, which is not the fastest here: {fast.reason}"
