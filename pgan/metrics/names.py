"""Names of numbers: measure, count, settings, features."""

from typing import Any

# In the facts of an extractor: the network whose Frechet distance is the FID.
INCEPTION_2015 = "inception-2015-12-05"

_OF_INCEPTION = {"fd": "fid", "kd": "kid"}


def number(count: int) -> str:
    """A count as names have it: 10k for 10,000, 141 for 141."""
    return f"{count // 1000}k" if count and count % 1000 == 0 else str(count)


def metric_name(kind: str, count: int, extractor: Any, settings: str = "") -> str:
    """Name of a number, such as `fd141_fixed`, `fid10k_clean` or `pr10k_k3_fixed`.

    Only features of the Inception graph of 2015 make a Frechet distance (`fd`) an FID and a kernel
    distance (`kd`) a KID; these two names say nothing but how the images were resized. For all
    other numbers and features the name holds the extractor's.

    Args:
        kind: `fd`, `kd` or another measure, such as `pr`.
        count: Samples in each set.
        extractor: A `features.Extractor`.
        settings: Of the measure, where they are not the customary ones, such as `k3`.
    """
    features = extractor.name
    if extractor.facts["network"] == INCEPTION_2015 and kind in _OF_INCEPTION:
        kind, features = _OF_INCEPTION[kind], extractor.facts["variant"]
    return "_".join(part for part in (f"{kind}{number(count)}", settings, features) if part)
