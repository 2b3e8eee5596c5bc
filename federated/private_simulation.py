"""What a simulated federation tells of the privacy that it spends, every round."""

import logging
import pathlib
from typing import Any

from federated import clients as clients_lib
from federated import config, privacy

_LOG = logging.getLogger(__name__)
_FILE = "privacy.json"
_SERVER = "rounds of the server"
_LEAST_SECRET_SEED = 2**24


class Spending:
    """Counts answers in the run's folder, and tells epsilon and delta; nothing without privacy."""

    def __init__(
        self, settings: config.FederatedConfig, clients: clients_lib.Clients, folder: pathlib.Path
    ):
        """Reads what was spent before.

        Args:
            settings: Configuration.
            clients: Their names and sizes are used.
            folder: The run's folder.
        """
        self._settings = settings
        self._sizes = dict(zip(clients.names, clients.sizes, strict=True))
        self._per_round = len(clients.sample(0))
        self._ledger = privacy.Ledger(settings, folder / _FILE)

    def log_remarks(self) -> None:
        """Says what the guarantees of this run do not cover."""
        settings = self._settings
        if not settings.is_private:
            return
        if settings.dp_clip_norm and settings.dp_test_seed >= 0:
            _LOG.warning(
                "--dp_test_seed=%d: whoever knows it can subtract the noise, so nothing is "
                "private; leave it out",
                settings.dp_test_seed,
            )
        if settings.metric_every_rounds:
            _LOG.warning(
                "measurements, reals.png and the best checkpoint, which is chosen by them, come "
                "from real images and are outside of epsilon; do not give them away, or give "
                "--metric_every_rounds=0"
            )
        if settings.client_dp_noise_multiplier:
            _LOG.warning(
                "epsilon of clients is that of the global networks; losses and norms of single "
                "clients in stats.jsonl have no noise"
            )
            if settings.seed < _LEAST_SECRET_SEED:
                _LOG.warning(
                    "--seed can be guessed, and so can who takes part in a round: epsilon of "
                    "clients is counted as if all took part in every one; give a random --seed of "
                    "at least %d that is a secret, and keep the run folder to yourself",
                    _LEAST_SECRET_SEED,
                )
            else:
                _LOG.warning(
                    "epsilon of clients assumes that nobody knows who took part in a round: keep "
                    "--seed, flags.txt, federation.json and stats.jsonl to yourself"
                )

    def count(self, name: str) -> None:
        """Counts the answer that a client is about to give."""
        if self._settings.dp_clip_norm:
            self._ledger.count(name)

    def count_round(self) -> None:
        """Counts the round that the server is about to run."""
        if self._settings.client_dp_noise_multiplier:
            self._ledger.count(_SERVER)

    def add_to(self, rows: list[dict[str, Any]], round_number: int) -> dict[str, float]:
        """Adds what each client of a round has spent to its row, and logs it.

        Args:
            rows: Of the round's clients.
            round_number: From 0, for the log.

        Returns:
            `privacy/epsilon`, the largest of all clients, `privacy/delta`, and the same of clients
            as `privacy/client_epsilon` and `privacy/client_delta`.
        """
        settings, spent = self._settings, {}
        if settings.dp_clip_norm:
            for row in rows:
                row.update(self._ledger.spent(row["client"], self._sizes[row["client"]]))
                _LOG.info(
                    "round %d: %s spent epsilon %.4g at delta %g for an image, %.4g in all of its "
                    "%d rounds",
                    round_number,
                    row["client"],
                    row["privacy/epsilon_answer"],
                    row["privacy/delta"],
                    row["privacy/epsilon"],
                    row["privacy/answers"],
                )
            # Of clients that have nothing to do in this round nothing changed; each is cached.
            all_clients = [self._ledger.spent(name, size) for name, size in self._sizes.items()]
            spent["privacy/epsilon"] = max(each["privacy/epsilon"] for each in all_clients)
            spent["privacy/delta"] = settings.dp_delta
        if settings.client_dp_noise_multiplier:
            done = self._ledger.answers(_SERVER)
            # Who takes part is drawn from the seed; one that can be guessed hides nothing.
            hidden = settings.seed >= _LEAST_SECRET_SEED
            per_round = self._per_round if hidden else len(self._sizes)
            arguments = settings.client_dp_noise_multiplier, len(self._sizes), per_round
            delta = settings.client_dp_delta
            spent["privacy/client_epsilon"] = privacy.client_epsilon(*arguments, done, delta)
            spent["privacy/client_delta"] = delta
            _LOG.info(
                "round %d: the networks spent epsilon %.4g at delta %g for a client, %.4g in all "
                "%d rounds",
                round_number,
                privacy.client_epsilon(*arguments, 1, delta),
                delta,
                spent["privacy/client_epsilon"],
                done,
            )
        return spent
