"""What the server makes of the clients' updates, on lists of arrays and without TensorFlow.

The weighted mean is federated averaging (McMahan et al. 2017, https://arxiv.org/abs/1602.05629) as
the paper's text has it; the released code took the plain mean. Coordinate-wise median and trimmed
mean are those of Yin et al. 2018 (https://arxiv.org/abs/1803.01498); they do not weigh clients,
since the number of images is what a client says it is. FedAdam is algorithm 2 of Reddi et al. 2021
(https://arxiv.org/abs/2003.00295), without bias correction.

An update is a list of float32 arrays, those of the generator and then of the discriminator, trained
minus global weights. Norms are over all of it.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from federated import config

Arrays = list[np.ndarray]


def norm(update: Sequence[np.ndarray]) -> float:
    """Euclidean norm over all arrays; not finite if any entry is not."""
    return math.sqrt(sum(float(np.sum(np.square(a, dtype=np.float64))) for a in update))


def clip(update: Arrays, limit: float) -> tuple[Arrays, bool]:
    """Shortens an update to a norm.

    Args:
        update: Finite arrays.
        limit: Largest norm; 0 for none.

    Returns:
        The update, and whether it was shortened.
    """
    length = norm(update)
    if not limit or length <= limit:
        return update, False
    return [a * np.float32(limit / length) for a in update], True


def weighted_mean(updates: Sequence[Arrays], weights: Sequence[float]) -> Arrays:
    """Mean with weights that need not sum to 1, summed in float64."""
    total = float(sum(weights))
    return [
        (
            sum(w * a.astype(np.float64) for w, a in zip(weights, arrays, strict=True)) / total
        ).astype(np.float32)
        for arrays in zip(*updates, strict=True)
    ]


def median(updates: Sequence[Arrays]) -> Arrays:
    """Median of every weight over the clients; of an even number, the mean of the middle two."""
    return [
        np.median(np.stack(arrays), axis=0).astype(np.float32)
        for arrays in zip(*updates, strict=True)
    ]


def trimmed_mean(updates: Sequence[Arrays], share: float) -> Arrays:
    """Mean of every weight over the clients without its largest and smallest values.

    Args:
        updates: Of the clients.
        share: Share of the clients left out at each end, in [0, 0.5); their number is rounded up,
            but one or two values are left in any case.
    """
    cut = min(math.ceil(share * len(updates)), (len(updates) - 1) // 2)
    return [
        np.sort(np.stack(arrays), axis=0)[cut : len(updates) - cut]
        .mean(axis=0, dtype=np.float64)
        .astype(np.float32)
        for arrays in zip(*updates, strict=True)
    ]


def combine(
    updates: Sequence[Arrays], num_examples: Sequence[int], settings: config.FederatedConfig
) -> Arrays:
    """Aggregates the updates as `--aggregation` says.

    Args:
        updates: Of at least one client, finite.
        num_examples: Images of each client, above 0.
        settings: `aggregation` and `trim_share` are used.
    """
    if settings.aggregation == "median":
        return median(updates)
    if settings.aggregation == "trimmed_mean":
        return trimmed_mean(updates, settings.trim_share)
    weighted = settings.aggregation == "weighted_mean"
    return weighted_mean(updates, num_examples if weighted else [1] * len(updates))


def initial_moments(weights: Sequence[Any], settings: config.FederatedConfig) -> list[Any]:
    """FedAdam's moments before the first round: zeros, then tau^2, in the shapes of the weights.

    Returns:
        First moments, then second ones; an empty list for plain averaging.
    """
    if settings.server_optimizer != "adam":
        return []
    return [w * 0.0 for w in weights] + [w * 0.0 + settings.server_tau**2 for w in weights]


def server_step(
    weights: Sequence[Any],
    update: Sequence[Any],
    moments: Sequence[Any],
    settings: config.FederatedConfig,
) -> tuple[list[Any], list[Any]]:
    """Moves the global weights along the aggregated update.

    Only operators are used, so that arrays and tensors will do alike.

    Args:
        weights: Global weights, float32.
        update: Aggregated update, in their shapes.
        moments: From `initial_moments` or the last step.
        settings: The `server_...` fields are used.

    Returns:
        New weights and moments.
    """
    rate = settings.server_learning_rate
    if settings.server_optimizer != "adam":
        return [w + u * rate for w, u in zip(weights, update, strict=True)], []
    beta1, beta2, tau = settings.server_beta1, settings.server_beta2, settings.server_tau
    count = len(update)
    first = [m * beta1 + u * (1.0 - beta1) for m, u in zip(moments[:count], update, strict=True)]
    second = [
        v * beta2 + u * u * (1.0 - beta2) for v, u in zip(moments[count:], update, strict=True)
    ]
    moved = [w + m / (v**0.5 + tau) * rate for w, m, v in zip(weights, first, second, strict=True)]
    return moved, first + second
