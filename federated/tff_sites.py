"""Rounds whose clients are hospitals: each trains in TFF's worker beside its own record set.

The coordinator sends a site the computation, the global networks and the paths of its shards; the
worker reads its images from its own disk, and returns the update of both networks, the number of
images and the losses. TFF only carries one site's computation there and its result back, so that a
site that fails fails alone; `federated.remote_rounds` does the rest.

Every request has a connection and an executor of its own and a deadline on each call, so that
nothing waits for ever on a worker that is stopped, and nothing is left over from one that was
restarted.
"""

import asyncio
import contextlib
import time
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from federated import (
    config,
    local,
    quorum,
    remote_rounds,
    rounds,
    site_batches,
    sites,
    tff_workers,
)
from pgan.data import manifest

_END_SECONDS = 5.0  # for telling a worker that a request is over, after its deadline as well


class _Channel:
    """What TFF's stub needs of a channel, with an end to every call.

    Nothing subscribes to the channel's state, which gRPC would go on polling after its end.
    """

    def __init__(self, channel):
        self._channel, self._end, self._wait = channel, 0.0, False

    def limit(self, seconds, wait=False):
        """Lets the calls from now on end in time; with `wait`, they wait for a connection."""
        self._end, self._wait = time.monotonic() + seconds, wait

    def subscribe(self, callback, try_to_connect=False):
        pass

    def unary_unary(self, *arguments, **options):
        call = self._channel.unary_unary(*arguments, **options)

        def limited(request):
            left = max(self._end - time.monotonic(), 0.0)
            return call(request, timeout=left, wait_for_ready=self._wait)

        return limited


class Connector:
    """Asks sites, each in the thread of the caller."""

    def __init__(self, times: quorum.QuorumConfig, megabytes: int):
        """Remembers how to ask.

        Args:
            times: Time-outs.
            megabytes: Largest message that is taken from a site.
        """
        self._times, self._megabytes = times, megabytes
        self._read = tff.backends.native.desugar_and_transform_to_native(_read_text)

    def holdings(self, site: sites.Site, resolution: int) -> sites.Holdings:
        """Reads what a site has from its manifest.

        Args:
            site: The site.
            resolution: Of the networks in px.

        Raises:
            quorum.SiteConfigurationError: If it answers that it cannot take part.
            quorum.SiteError: If it does not answer.
        """
        with self._connection(site, "connect_timeout") as executor:
            texts = []
            for path in (f"{site.records}/{manifest.MANIFEST}", site.split_path):
                texts.append(self._run(executor, self._read, np.str_(path)) if path else None)
        with remote_rounds.reading():
            try:
                return sites.parse(site, resolution, *(t and _text(t) for t in texts))
            except sites.UnfitError as error:
                raise quorum.SiteConfigurationError(str(error)) from None

    def train(self, site: sites.Site, computation: Any, argument: Any) -> Any:
        """Runs a computation at a site.

        Args:
            site: The site.
            computation: What to run.
            argument: Its argument.

        Raises:
            quorum.SiteError: If no result comes.
        """
        with self._connection(site, "site_timeout") as executor:
            return self._run(executor, computation, argument)

    @contextlib.contextmanager
    def _connection(self, site, time_limit):
        plain = remote_rounds.channel(site, self._megabytes)
        channel = _Channel(plain)
        executor = tff.framework.RemoteExecutor(tff.framework.RemoteExecutorGrpcStub(channel))
        try:
            self._connect(site, channel, executor)
            channel.limit(getattr(self._times, time_limit))
            yield executor
        except (grpc.RpcError, tff.framework.RetryableError) as error:
            raise self._explained(error, site, time_limit) from None
        finally:
            channel.limit(_END_SECONDS)
            with contextlib.suppress(grpc.RpcError):
                executor.close()
            plain.close()

    def _connect(self, site, channel, executor):
        channel.limit(self._times.connect_timeout, wait=True)
        try:
            executor.set_cardinalities({tff.CLIENTS: 0})
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            raise quorum.SiteError(
                f"no worker answers at {site.address} within {self._times.connect_timeout:g} s: "
                "tools/run_site.py or the tunnel to it is down, or the worker is stopped"
            ) from None

    def _run(self, executor, computation, argument):
        async def call():
            function = await executor.create_value(computation, computation.type_signature)
            value = await executor.create_value(argument, computation.type_signature.parameter)
            result = await executor.create_call(function, value)
            return await result.compute()

        return asyncio.run(call())

    def _explained(self, error, site, time_limit):
        code = error.code() if isinstance(error, grpc.Call) else None
        details = (error.details() or "" if isinstance(error, grpc.Call) else str(error)).strip()
        details = details.splitlines()[0] if details else "no details"
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return quorum.SiteError(
                f"no answer within {getattr(self._times, time_limit):g} s: it is slow or stopped; "
                f"a higher --{time_limit} waits longer"
            )
        if code == grpc.StatusCode.UNAVAILABLE:
            return quorum.SiteError(f"its worker or the tunnel to it ended: {details}")
        if code == grpc.StatusCode.UNIMPLEMENTED:
            return quorum.SiteConfigurationError(
                f"at {site.address} is no tools/run_site.py; sites that hold a privacy budget "
                "(tools/run_private_site.py) need --dp_clip_norm here"
            )
        if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
            return quorum.SiteConfigurationError(
                f"a message is too large ({details}); start tools/run_site.py with "
                f"--max_message_mb={self._megabytes}"
            )
        return quorum.SiteConfigurationError(
            f"its worker cannot do it (records = {site.records}): {details}. Does the path exist "
            "there, and may the worker's user read it?"
        )


def build_training(settings: config.FederatedConfig, encoding: str) -> Any:
    """What a site runs in a round.

    Args:
        settings: Configuration.
        encoding: How the site stores its images, "raw" or "png".

    Returns:
        Computation from (weights, (table, fold, shards), round, number) to (update, examples,
        losses), ready for a worker.
    """
    initial = local.LocalTrainer(settings).initial_weights()
    weights_type = tff.to_type([(np.float32, w.shape) for w in rounds.flat(initial)])
    source_type = tff.to_type((np.str_, np.str_, tff.TensorType(np.str_, [None])))
    num_generator = len(initial.generator)

    @tff.tensorflow.computation(weights_type, source_type, np.int64, np.int64)
    def train(weights, source, round_number, client):
        trainer = local.LocalTrainer(settings)
        read = site_batches.read(
            settings, site_batches.Source(*source), encoding, round_number, client
        )
        given = local.Weights(list(weights[:num_generator]), list(weights[num_generator:]))
        update = trainer.train(given, read, round_number, client)
        values = [
            tf.ensure_shape(v, tuple(t.shape))
            for v, t in zip(rounds.flat(update.weights), weights_type, strict=True)
        ]
        losses = tf.ensure_shape(update.losses, [len(local.LOSS_NAMES)])
        return values, update.num_examples, losses

    tff_workers.restore_layers(settings)
    return tff.backends.native.desugar_and_transform_to_native(train)


@tff.tensorflow.computation(np.str_)
def _read_text(path):
    return tf.io.read_file(path)


def _text(value):
    value = np.asarray(value).item()
    return value.decode() if isinstance(value, bytes) else value


class RemoteRounds(remote_rounds.RemoteRounds):
    """Rounds of sites that run the computation that they are sent; with a `Connector`."""

    def __init__(self, *arguments, **options):
        """Takes what its base takes."""
        super().__init__(*arguments, **options)
        self._computations = {}

    def _prepare(self, holdings):
        self._computation(holdings.encoding)  # traced here, since threads would all do it

    def _train(self, site, found, values, round_number):
        source = (
            np.str_(f"{site.records}/{manifest.RECORDS}"),
            np.str_(site.fold_path),
            np.array(sites.shard_paths(site, found, self._settings.network.resolution), np.str_),
        )
        argument = [values, source, np.int64(round_number), np.int64(site.number)]
        update, num_examples, losses = self._connector.train(
            site, self._computation(found.encoding), argument
        )
        with remote_rounds.reading():
            return rounds.Returned(
                site.number,
                site.name,
                [np.asarray(u) for u in update],
                int(num_examples),
                np.asarray(losses),
            )

    def _computation(self, encoding):
        if encoding not in self._computations:
            self._computations[encoding] = build_training(self._settings, encoding)
        return self._computations[encoding]
