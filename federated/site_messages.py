"""Messages between a coordinator and sites that train privately: JSON in a line, then float32.

They are read without running anything: no pickle, and no sizes that the other side decides.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

SERVICE = "pgan.PrivateSite"
DESCRIBE, FORECAST, TRAIN = "Describe", "Forecast", "Train"
_TYPE = np.dtype("<f4")


def pack(head: dict[str, Any], arrays_: Sequence[np.ndarray] = ()) -> bytes:
    """Writes a message.

    Args:
        head: JSON types.
        arrays_: float32, of any shapes.
    """
    parts = [np.asarray(array, _TYPE).tobytes() for array in arrays_]
    return b"".join([json.dumps(head).encode(), b"\n", *parts])


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Reads the head of a message, and leaves the rest.

    Raises:
        ValueError: If it is none.
    """
    line, _, body = message.partition(b"\n")
    head = json.loads(line)
    if not isinstance(head, dict):
        raise ValueError(f"the head of a message is an object, got {type(head).__name__}")
    return head, body


def arrays(body: bytes, shapes: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Reads the arrays of a message.

    Args:
        body: From `unpack`.
        shapes: Of all of them.

    Raises:
        ValueError: If they do not come to the size of the body.
    """
    counts = [math.prod(shape) for shape in shapes]
    if sum(counts) * _TYPE.itemsize != len(body):
        raise ValueError(
            f"a message has {len(body):,} bytes of weights where {sum(counts) * _TYPE.itemsize:,} "
            "were expected; do both sides have the same version?"
        )
    parts = np.split(np.frombuffer(body, _TYPE), np.cumsum(counts)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
