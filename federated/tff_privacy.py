"""Client-level differential privacy by TFF's aggregator; `federated.privacy` has its accounting.

Nothing here is secure aggregation. TFF's secure sum (`--secure_sum`) is a protocol whose simulation
adds whole numbers in the clear: it shows what rounding and the range cost, hides nothing from the
process that runs it, and adds no noise, so that the sum itself still tells of the clients.
"""

from typing import Any

import tensorflow_federated as tff

from federated import config

# Noise on the count of clipped updates, in units of that on their sum. At 1 the updates get
# 1 / sqrt(3/4), 15 %, more noise for the same privacy. TFF's default is a twentieth of the clients,
# meant for hundreds of them, and refuses two.
_COUNT_NOISE = 1.0


def mean_factory(
    settings: config.FederatedConfig, num_clients: int
) -> tff.aggregators.UnweightedAggregationFactory:
    """Builds the mean of clipped updates with noise.

    Args:
        settings: `clip_norm`, `client_dp_noise_multiplier` and `client_dp_clipping` are used.
        num_clients: Clients of each round, by which the sum is divided.
    """
    multiplier, clients = settings.client_dp_noise_multiplier, float(num_clients)
    if settings.client_dp_clipping == config.FIXED:
        return tff.aggregators.DifferentiallyPrivateFactory.gaussian_fixed(
            multiplier, clients, settings.clip_norm
        )
    return tff.aggregators.DifferentiallyPrivateFactory.gaussian_adaptive(
        multiplier,
        clients,
        initial_l2_norm_clip=settings.clip_norm,
        clipped_count_stddev=_COUNT_NOISE * multiplier,
    )


def clip_norm(state: Any) -> float:
    """The norm at which adaptive clipping has arrived, from the aggregator's state."""
    return float(state.query_state.numerator_state.sum_state.l2_norm_clip)
