"""The round as a process of TensorFlow Federated, with TFF's own aggregators.

The client's part is `federated.local`, the server's `federated.averaging.server_step`; between them
TFF clips and takes the weighted mean, by its secure sum if wanted. An update that is oversized or
not finite is zero and has weight zero, so that the mean is that of the accepted clients, as in
`federated.rounds`. TFF's own zeroing would leave a client its weight and so pull the mean to zero.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from federated import (
    averaging,
    config,
    local,
    private_critic,
    rounds,
    screening,
    tff_privacy,
    tff_workers,
)
from federated import batches as batches_lib

# With the secure sum, a client weighs as much as so many images at most; see `_mean_factory`.
_MOST_EXAMPLES = 100_000


class Task(NamedTuple):
    """A client's value.

    Attributes:
        slot: int32 scalar, its place among the clients of the round.
        number: int64 scalar, the client's number.
        batches: Its examples; private ones with `dp_clip_norm`.
    """

    slot: Any
    number: Any
    batches: batches_lib.Batches


class State(NamedTuple):
    """The server's value.

    Attributes:
        weights: Global weights, a flat list.
        moments: Of the server's optimizer.
        round_number: int64 scalar.
        aggregator: State of TFF's aggregator.
    """

    weights: list
    moments: list
    round_number: Any
    aggregator: Any


class _Report(NamedTuple):
    """What the server learns of each client: a row a slot, summed over the clients.

    Attributes:
        num_examples: int32 [clients].
        update_norm: float32 [clients].
        weight: float32 [clients], 0 if rejected.
        losses: float32 [clients, len(local.LOSS_NAMES)].
    """

    num_examples: Any
    update_norm: Any
    weight: Any
    losses: Any


def build_process(
    settings: config.FederatedConfig, num_clients: int
) -> tff.templates.IterativeProcess:
    """Builds the process; its `next` takes the state and a list of tasks.

    Args:
        settings: Configuration.
        num_clients: Clients in a round.

    Returns:
        Process whose `next` returns the new state and a report of all clients.
    """
    initial = local.LocalTrainer(settings).initial_weights()
    weights_type = tff.to_type([(np.float32, w.shape) for w in rounds.flat(initial)])
    task_type = _task_type(settings)
    num_generator = len(initial.generator)

    @tff.tensorflow.computation(weights_type, task_type, np.int64)
    def train(weights, task, round_number):
        trainer = local.LocalTrainer(settings)
        given = local.Weights(list(weights[:num_generator]), list(weights[num_generator:]))
        return _checked(
            trainer.train(given, task.batches, round_number, task.number),
            [tuple(t.shape) for t in weights_type],
            task.slot,
            num_clients,
            settings,
        )

    private = bool(settings.client_dp_noise_multiplier)
    if private:
        aggregator = tff_privacy.mean_factory(settings, num_clients).create(weights_type)
    else:
        aggregator = _mean_factory(settings).create(weights_type, tff.TensorType(np.float32))

    @tff.tensorflow.computation
    def start():
        trainer = local.LocalTrainer(settings)
        variables = local.active(trainer.generator, trainer.discriminator)
        weights = [tf.identity(v) for v in rounds.flat(variables)]
        moments = averaging.initial_moments(weights, settings)
        return weights, moments, tf.constant(0, tf.int64)

    @tff.federated_computation
    def initialize():
        weights, moments, number = tff.federated_eval(start, tff.SERVER)
        return tff.federated_zip(State(weights, moments, number, aggregator.initialize()))

    state_type = initialize.type_signature.result.member
    moments_type = state_type.moments

    @tff.tensorflow.computation(weights_type, moments_type, np.int64, weights_type, np.float32)
    def step(weights, moments, number, update, total):
        moved, new_moments = averaging.server_step(weights, update, moments, settings)
        # Without an accepted update nothing changes, the optimizer's momentum included; unless
        # noise hides whether there was any.
        changes = tf.constant(True) if private else total > 0
        kept = [tf.where(changes, a, b) for a, b in zip(moved, weights, strict=True)]
        new_moments = [tf.where(changes, a, b) for a, b in zip(new_moments, moments, strict=True)]
        return kept, new_moments, number + 1

    @tff.federated_computation(
        initialize.type_signature.result, tff.FederatedType(task_type, tff.CLIENTS)
    )
    def next_round(state, tasks):
        weights = tff.federated_broadcast(state.weights)
        number = tff.federated_broadcast(state.round_number)
        update, weight, report = tff.federated_map(train, (weights, tasks, number))
        weights_of_clients = () if private else (weight,)
        mean = aggregator.next(state.aggregator, update, *weights_of_clients)
        total = tff.federated_sum(weight)
        weights, moments, number = tff.federated_map(
            step, (state.weights, state.moments, state.round_number, mean.result, total)
        )
        new_state = tff.federated_zip(State(weights, moments, number, mean.state))
        return new_state, tff.federated_sum(report)

    process = tff.templates.IterativeProcess(initialize, next_round)
    tff_workers.restore_layers(settings)
    return process


def _task_type(settings):
    network = settings.network
    if settings.dp_clip_norm:
        batches = private_critic.shapes(settings)
        return tff.to_type(Task(slot=np.int32, number=np.int64, batches=batches))
    E, C, B = settings.generator_steps, settings.critic_steps, settings.batch_size
    size, labels = network.resolution, network.num_labels
    return tff.to_type(
        Task(
            slot=np.int32,
            number=np.int64,
            batches=batches_lib.Batches(
                images=(np.uint8, (E, C, B, size, size, network.channels)),
                labels=(np.float32, (E, C, B, labels)),
                generator_labels=(np.float32, (E, B, labels)),
                num_examples=np.int32,
            ),
        )
    )


def _checked(update, shapes, slot, num_clients, settings):
    """Update, weight and report of a client; updates that are not accepted are zeros."""
    values = [
        tf.ensure_shape(v, shape)
        for v, shape in zip(rounds.flat(update.weights), shapes, strict=True)
    ]
    losses = tf.ensure_shape(update.losses, [len(local.LOSS_NAMES)])
    norm = tf.linalg.global_norm(values)
    finite = tf.math.is_finite(norm) & tf.reduce_all(tf.math.is_finite(losses))
    accepted = finite & (update.num_examples > 0)
    if settings.reject_norm:
        accepted &= norm <= settings.reject_norm
    weighted = settings.aggregation == "weighted_mean"
    weight = tf.cast(update.num_examples, tf.float32) if weighted else tf.constant(1.0)
    if settings.secure_sum:
        weight = tf.minimum(weight, _MOST_EXAMPLES)
    weight = tf.where(accepted, weight, 0.0)
    values = [tf.where(accepted, value, tf.zeros_like(value)) for value in values]

    def in_slot(value):
        value = tf.convert_to_tensor(value)[tf.newaxis]
        # Not `==`, which compares Python objects in the graphs that TFF builds.
        places = tf.equal(tf.range(num_clients), slot)
        places = tf.reshape(places, [num_clients] + [1] * (value.shape.rank - 1))
        return tf.where(places, value, tf.zeros_like(value))

    report = _Report(in_slot(update.num_examples), in_slot(norm), in_slot(weight), in_slot(losses))
    return values, weight, report


def _mean_factory(settings):
    """TFF's aggregator: clipping, then the weighted mean."""
    sums = {}
    if settings.secure_sum:
        # The secure sum adds whole numbers of 32 bits, into which it cuts a range: that of a
        # clipped entry times its weight, and that of a weight.
        weights = settings.aggregation == "weighted_mean"
        most = float(_MOST_EXAMPLES if weights else 1)
        sums = {
            "value_sum_factory": tff.aggregators.SecureSumFactory(settings.clip_norm * most),
            "weight_sum_factory": tff.aggregators.SecureSumFactory(most, 0.0),
        }
    factory = tff.aggregators.MeanFactory(no_nan_division=True, **sums)
    if settings.clip_norm:
        factory = tff.aggregators.clipping_factory(settings.clip_norm, factory)
    return factory


class TffRounds:
    """Rounds in a context of TFF, in the place of `rounds.InProcess`.

    Attributes:
        clip_norm: Of the next round's clipping; adaptive clipping moves it. A continued run sets
            it before its first round.
    """

    def __init__(self, settings: config.FederatedConfig, context: tff.framework.SyncContext):
        """Remembers what to run where.

        Args:
            settings: Configuration.
            context: Of `tff_workers.local_worker`.
        """
        self._settings, self._context = settings, context
        self.clip_norm = settings.clip_norm
        self._processes = {}

    def run(
        self,
        weights: local.Weights,
        moments: Sequence[np.ndarray],
        participants: Iterable[rounds.Participant],
        round_number: int,
    ) -> rounds.Outcome:
        """Runs a round; arguments as of `rounds.InProcess.run`."""
        participants = list(participants)
        tasks = [
            Task(np.int32(slot), np.int64(p.number), tf.nest.map_structure(np.asarray, p.batches))
            for slot, p in enumerate(participants)
        ]
        with tff.framework.get_context_stack().install(self._context):
            process, last = self._process(len(participants))
            state = last._replace(
                weights=rounds.flat(weights),
                moments=list(moments),
                round_number=np.int64(round_number),
            )
            state, report = process.next(state, tasks)
        # The next round goes on with the aggregator's state: the norm that clips adaptively.
        self._processes[len(participants)] = process, state
        if self._settings.client_dp_clipping == config.ADAPTIVE:
            self.clip_norm = tff_privacy.clip_norm(state.aggregator)
        return self._outcome(state, report, participants, round_number)

    def _process(self, num_clients):
        if num_clients not in self._processes:
            settings = dataclasses.replace(self._settings, clip_norm=self.clip_norm)
            process = build_process(settings, num_clients)
            self._processes[num_clients] = process, process.initialize()
        return self._processes[num_clients]

    def _outcome(self, state, report, participants, round_number):
        rows, accepted = [], []
        for slot, participant in enumerate(participants):
            losses = np.asarray(report.losses[slot])
            row = {
                "client": participant.name,
                "examples": int(report.num_examples[slot]),
                "update_norm": float(report.update_norm[slot]),
                "rejected": None,
                **local.losses_by_name(losses, self._settings),
            }
            if report.weight[slot] > 0:
                clip = self._settings.clip_norm
                # With an adaptive norm, only the noisy count of the clipped is known.
                if self._settings.client_dp_clipping == config.FIXED:
                    row["clipped"] = bool(clip and row["update_norm"] > clip)
                accepted.append((losses, row["examples"]))
            else:
                finite = bool(np.isfinite(losses).all())
                row["rejected"] = screening.reason_by_numbers(
                    row["update_norm"], row["examples"], finite, self._settings
                )
                screening.log_rejection(round_number, participant.name, row["rejected"])
            rows.append(row)
        means = rounds.mean_losses(accepted, self._settings)
        weights = [np.asarray(w) for w in state.weights]
        return rounds.Outcome(weights, [np.asarray(m) for m in state.moments], means, rows)
