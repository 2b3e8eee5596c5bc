"""A site that trains privately itself, and runs nothing that it is sent.

TFF's worker runs any computation, so that no promise about privacy can be kept behind it. Here the
coordinator sends global weights, a configuration and a round's number, in a message of
`federated.site_messages`; what is done with them is this program's: `private_critic.make_batches`
with draws and noise from the site's own secret, `local.LocalTrainer`, and `site_budget.Budget`
before every answer.

What leaves the site: the update and the losses that `federated.privacy` accounts for, what was
spent and how many answers are left, how many images there are, how they were prepared, and
fingerprints disguised by a secret.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import numpy as np

from federated import (
    config,
    kept_answer,
    local,
    private_critic,
    rounds,
    site_budget,
    site_messages,
    sites,
)
from pgan.data import record_access, record_set

_LOG = logging.getLogger(__name__)
_TOLD = (ValueError, KeyError, TypeError)  # of a request that is none
_THREADS = 4  # one trains; the others say what the site has meanwhile


class PrivateSite:
    """Answers a coordinator's requests."""

    def __init__(
        self,
        records: record_set.RecordSet,
        fold: str,
        budget: site_budget.Budget,
        allow_test_seed: bool = False,
    ):
        """Remembers what there is.

        Args:
            records: The site's record set.
            fold: Fold to train on.
            budget: Of this record set.
            allow_test_seed: See `site_budget.check_settings`.
        """
        self._records, self._fold, self._budget = records, fold, budget
        self._allow_test_seed = allow_test_seed
        self._kept = kept_answer.KeptAnswer(budget.folder)
        self._places = np.flatnonzero(records.fold_mask(fold))
        self._labels = records.label_matrix("all")
        self._training, self._trainer, self._settings = threading.Lock(), None, None

    def describe(self, request: bytes) -> bytes:
        """What the site has.

        Args:
            request: `site`, `records`, `fold` and `resolution`.

        Returns:
            As of `sites.Holdings.to_dict`.

        Raises:
            ValueError: If the site cannot take part in what is asked for.
        """
        asked, _ = site_messages.unpack(request)
        self._check(asked)
        records, resolution = self._records, asked["resolution"]
        records.require_resolution(resolution)
        holdings = sites.Holdings(
            site=asked["site"],
            findings=tuple(records.findings),
            preparation=records.preparation,
            origin=records.manifest["origin"],
            encoding=records.manifest["encoding"][str(resolution)],
            num_shards=records.manifest["num_shards"],
            fingerprint=self._budget.disguise(records.manifest["fingerprint"]),
            fold_size=len(self._places),
            fold_fingerprint=self._budget.disguise(records.fold_fingerprint(self._fold)),
        )
        return site_messages.pack(holdings.to_dict())

    def forecast(self, request: bytes) -> bytes:
        """Says how many rounds the budget still allows; spends nothing and looks at no image.

        Args:
            request: `records`, `fold`, `settings`, and `rounds` that would be asked for.

        Returns:
            `left`, at most these rounds; `answers` so far; `limit` of epsilon at `delta`.

        Raises:
            ValueError: If rounds of these settings are none that this site answers.
            site_budget.BudgetError: If the budget is for something else.
        """
        asked, _ = site_messages.unpack(request)
        settings = self._checked_settings(asked)
        left = self._budget.answers_left(settings, len(self._places), asked["rounds"])
        limit = self._budget.limit
        told = {"left": left, "answers": self._budget.answers}
        return site_messages.pack({**told, "limit": limit.epsilon, "delta": limit.delta})

    def train(self, request: bytes, wanted: Callable[[], bool] = lambda: True) -> bytes:
        """Trains from global weights on, and spends privacy.

        Asked for the same as the last time, it gives the same answer and spends nothing.

        Args:
            request: `records`, `fold`, `settings`, `round` and `number`, and the weights.
            wanted: Whether somebody still waits for the answer.

        Returns:
            `examples` and `spent`, and the update and the losses.

        Raises:
            ValueError: If it is not a request that this site answers.
            site_budget.BudgetError: If the budget does not allow it.
        """
        asked, body = site_messages.unpack(request)
        settings = self._checked_settings(asked)
        with self._training:
            if not wanted():  # given up while it waited for another
                raise ValueError("the request was given up")
            if (answer := self._kept.find(request)) is not None:
                _LOG.info("round %d: the last answer is given again", asked["round"])
                return answer
            answer = self._answer(settings, asked["round"], asked["number"], body)
            self._kept.keep(request, answer)
            return answer

    def _answer(self, settings, round_number, number, body):
        if settings != self._settings:
            self._trainer, self._settings = local.LocalTrainer(settings), settings
        initial = self._trainer.initial_weights()
        shapes = [w.shape for w in rounds.flat(initial)]
        values = site_messages.arrays(body, shapes)
        split = len(initial.generator)
        # Before a draw that depends on the images is made.
        spent = self._budget.spend(settings, len(self._places))
        _LOG.info(
            "round %d, answer %d: epsilon %.4g of %g at delta %g",
            round_number,
            spent["privacy/answers"],
            spent["privacy/epsilon"],
            spent["privacy/limit"],
            spent["privacy/delta"],
        )
        weights = local.Weights(values[:split], values[split:])
        try:
            batches = self._batches(settings, round_number, number)
            participant = rounds.Participant(number, "", batches)
            returned = rounds.train_client(self._trainer, weights, participant, round_number)
        except _TOLD as error:  # not to be told, as one of a request is
            raise RuntimeError("the images could not be trained on") from error
        answer = {"examples": returned.num_examples, "spent": spent}
        return site_messages.pack(answer, [*returned.update, returned.losses])

    def _batches(self, settings, round_number, number):
        reader = record_access.ImageReader(self._records, settings.network.resolution, "all")

        def read(chosen):
            places = self._places[chosen]
            return reader.read(places)[..., np.newaxis], self._labels[places]

        return private_critic.make_batches(settings, len(self._places), round_number, number, read)

    def _checked_settings(self, asked):
        """Those of a request, if this site trains by them."""
        self._check(asked)
        settings = config.FederatedConfig.from_dict(asked["settings"])
        site_budget.check_settings(settings, self._allow_test_seed)
        self._records.require_findings(settings.network.findings)
        self._records.require_resolution(settings.network.resolution)
        return settings

    def _check(self, asked):
        own = {"records": str(self._records.path.absolute()), "fold": self._fold}
        for name, value in own.items():
            if asked.get(name) != value:
                raise ValueError(
                    f"the site has {name} = {value}, not {asked.get(name)}; write that into the "
                    "file of sites"
                )


@contextlib.contextmanager
def serving(site: PrivateSite, port: int, megabytes: int) -> Iterator[int]:
    """Answers requests within the block, on this machine's own interface only.

    Args:
        site: What answers.
        port: To listen on; 0: any.
        megabytes: Largest request.

    Yields:
        The port.

    Raises:
        ValueError: If another program has the port.
    """
    limit = megabytes * 2**20
    options = [("grpc.max_receive_message_length", limit), ("grpc.max_send_message_length", limit)]
    options.append(("grpc.so_reuseport", 0))  # half of the calls would go to another program
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=options)
    methods = {
        site_messages.DESCRIBE: lambda request, context: site.describe(request),
        site_messages.FORECAST: lambda request, context: site.forecast(request),
        site_messages.TRAIN: lambda request, context: site.train(request, context.is_active),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(_explaining(method))
        for name, method in methods.items()
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(site_messages.SERVICE, handlers),)
    )
    try:
        bound = server.add_insecure_port(f"localhost:{port}")
    except RuntimeError:
        bound = 0
    if not bound:
        raise ValueError(
            f"--port={port} cannot be used; end the program that has it, or give another --port"
        )
    server.start()
    try:
        yield bound
    finally:
        server.stop(grace=None).wait()


def _explaining(method):
    """The same, with errors that a coordinator can mend told as such and others kept here."""

    def call(request, context):
        try:
            return method(request, context)
        except site_budget.BudgetError as error:
            code, message = grpc.StatusCode.FAILED_PRECONDITION, str(error)
        except _TOLD as error:
            code, message = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except Exception:  # its text may tell of the images
            _LOG.exception("a request failed")
            code, message = grpc.StatusCode.INTERNAL, "it failed; the site's log says how"
        _LOG.warning("refused: %s", message)
        context.abort(code, message)

    return call
