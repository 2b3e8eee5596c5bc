"""Which clients' updates enter the mean: none that could spoil it by accident or by its size.

A client that returns numbers that are not finite would destroy both networks everywhere; one whose
update is far longer than the others' decides alone. What is looked at are the returned numbers
only; an update that is wrong but of ordinary size passes.
"""

import logging
import math
from collections.abc import Sequence

import numpy as np

from federated import averaging, config

_LOG = logging.getLogger(__name__)


def reason_to_reject(
    update: averaging.Arrays,
    num_examples: int,
    losses: np.ndarray,
    weights: Sequence[np.ndarray],
    settings: config.FederatedConfig,
) -> str | None:
    """Looks at what a client returned.

    Args:
        update: Its update.
        num_examples: Its images.
        losses: Its losses, float32 [...].
        weights: Global weights, whose shapes the update must have.
        settings: `reject_norm` is used.

    Returns:
        Why it must not enter the mean, or None.
    """
    shapes, wanted = [a.shape for a in update], [w.shape for w in weights]
    if shapes != wanted:
        differing = [f"{a} instead of {b}" for a, b in zip(shapes, wanted) if a != b]  # noqa: B905
        first = differing[0] if differing else f"{len(shapes)} arrays instead of {len(wanted)}"
        return (
            f"its networks have other shapes ({first}): it was started with other findings, "
            "resolution or widths"
        )
    finite = bool(np.isfinite(losses).all())
    return reason_by_numbers(averaging.norm(update), num_examples, finite, settings)


def reason_by_numbers(
    length: float, num_examples: int, finite_losses: bool, settings: config.FederatedConfig
) -> str | None:
    """The same from what is known of an update whose entries nobody sees.

    Args:
        length: Its norm.
        num_examples: Images of the client.
        finite_losses: Whether all its losses are finite.
        settings: `reject_norm` is used.
    """
    if num_examples < 1:
        return f"it has {num_examples} images"
    if not math.isfinite(length):
        return "its update is not finite"
    if not finite_losses:
        return "its losses are not finite"
    if settings.reject_norm and length > settings.reject_norm:
        return f"its update has norm {length:.4g}, above --reject_norm={settings.reject_norm:g}"
    return None


def log_rejection(round_number: int, client: str, reason: str) -> None:
    """Says which client was left out of a round, and why."""
    _LOG.warning("round %d: the update of %s is rejected: %s", round_number, client, reason)
