"""The clients of a simulation: parts of a record set by patient, and who takes part when."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from federated import batches, config, example_screening, private_critic
from pgan import run_folder
from pgan.data import clients as clients_lib
from pgan.data import manifest, record_access, record_set, splits
from pgan.data import pool as pool_lib

_LOG = logging.getLogger(__name__)
_SAMPLING, _SIZES = range(2)  # streams of random numbers below the seed


class Clients:
    """The training sets of an arm.

    Attributes:
        names: Of the clients, by number.
        sizes: Their images, by number.
        fingerprint: Of who has which images.
    """

    def __init__(
        self,
        settings: config.FederatedConfig,
        records: record_set.RecordSet,
        members: dict[str, Sequence[int]],
    ):
        """Keeps who has what.

        Args:
            settings: Batches and seed.
            records: Where the images are.
            members: Client's name to its records' places in the whole set.

        Raises:
            ValueError: If a client has no images.
        """
        empty = [name for name, places in members.items() if not len(places)]
        if empty:
            raise ValueError(f"{', '.join(empty)} of {records.path} would have no images")
        self._settings = settings
        self._reader = record_access.ImageReader(records, settings.network.resolution, "all")
        self._labels = records.label_matrix("all")
        self._places = [np.asarray(places, np.int64) for places in members.values()]
        self.names = list(members)
        self.sizes = [len(places) for places in self._places]
        ids = records.record_ids("all")
        self.fingerprint = manifest.sha256_of_lines(
            f"{name} {manifest.fold_fingerprint(ids[place] for place in places)}"
            for name, places in zip(self.names, self._places, strict=True)
        )

    def batches(
        self, number: int, round_number: int
    ) -> batches.Batches | private_critic.PrivateBatches:
        """Reads what a client trains on in a round."""
        places = self._places[number]
        if self._settings.dp_clip_norm:
            return private_critic.make_batches(
                self._settings,
                len(places),
                round_number,
                number,
                lambda chosen: (
                    self._reader.read(places[chosen])[..., np.newaxis],
                    self._labels[places[chosen]],
                ),
            )
        drawn = batches.draw_positions(
            self._settings,
            tf.constant(len(places)),
            tf.constant(round_number, tf.int64),
            tf.constant(number, tf.int64),
        )
        critic = places[drawn.critic.numpy()]
        images = self._reader.read(critic.ravel())
        return batches.Batches(
            images=tf.constant(images.reshape(*critic.shape, *images.shape[1:], 1)),
            labels=tf.constant(self._labels[critic]),
            generator_labels=tf.constant(self._labels[places[drawn.generator.numpy()]]),
            num_examples=tf.constant(len(places)),
        )

    def describe(self, records: record_set.RecordSet) -> dict[str, Any]:
        """Identity of what the arm is trained on, as `run_folder.describe_records` has it.

        The fold named is the single client's own or `train_fold`, of which the clients may have a
        part: fold_size counts their images.

        Args:
            records: The clients' record set.
        """
        settings, fold = self._settings, self._settings.train_fold
        if settings.client_split and len(self.names) == 1 and settings.arm == config.SINGLE:
            fold = f"{settings.client_split}/{self.names[0]}"
        training = dataclasses.replace(settings.train_config(), train_fold=fold)
        facts = run_folder.describe_records(records, training)
        return {**facts, "fold_size": sum(self.sizes)}

    def sample(self, round_number: int) -> list[int]:
        """Numbers of the clients that take part in a round."""
        return sample(self._settings, len(self.names), round_number)

    def first_images(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first images that any client has, in record order.

        Returns:
            uint8 [N, R, R] and float32 [N, L] with N at most the count.
        """
        places = np.sort(np.concatenate(self._places))[:count]
        return self._reader.read(places), self._labels[places]


def sample(settings: config.FederatedConfig, num_clients: int, round_number: int) -> list[int]:
    """Numbers of the clients that take part in a round: C K of them, at least one, ascending.

    A function of seed and round alone.
    """
    count = max(1, int(settings.client_share * num_clients + 0.5))
    generator = np.random.default_rng([settings.seed, _SAMPLING, round_number])
    chosen = generator.choice(num_clients, count, replace=False)
    return sorted(int(number) for number in chosen)


def draw(settings: config.FederatedConfig, records: record_set.RecordSet) -> Clients:
    """Divides a record set into the clients of an arm, by patient.

    Args:
        settings: Arm, clients, sizes, skew and seed.
        records: Images with the findings and resolution of the networks.

    Raises:
        ValueError: If the records do not fit the networks, the clients cannot be had, or a client
            has images of a held-out patient.
    """
    records.require_findings(settings.network.findings)
    records.require_resolution(settings.network.resolution)
    if settings.client_split:
        folds = records.split_folds(settings.client_split)
        members = {fold.split("/")[1]: np.flatnonzero(records.fold_mask(fold)) for fold in folds}
    else:
        folds, members = [settings.train_fold], _drawn(settings, records)
    if settings.leave_out:
        members = _screened(members, settings.leave_out, records)
    if settings.attack != config.NO_ATTACK and settings.attackers >= len(members):
        raise ValueError(
            f"--attackers={settings.attackers} leaves none of {len(members)} clients honest"
        )
    for fold in folds if settings.held_out_fold else ():
        splits.check_disjoint((records, fold), (records, settings.held_out_fold))
    if settings.client_split and settings.arm != config.SINGLE:
        inside = records.fold_mask(settings.train_fold)
        if not all(inside[places].all() for places in members.values()):
            raise ValueError(
                f"clients of --client_split={settings.client_split} have images outside of "
                f"--train_fold={settings.train_fold}, by which the run is known and audited; give "
                "the fold that the split was drawn from, or --train_fold=all"
            )
    if settings.arm == config.CENTRALIZED:
        members = {"all": np.concatenate(list(members.values()))}
    elif settings.arm == config.SINGLE:
        first = next(iter(members))
        members = {first: members[first]}
    return Clients(settings, records, members)


def _screened(members, path, records):
    """The clients without the records of a list, which has to be one of this record set."""
    unwanted, ids = set(example_screening.read_ids(path)), records.record_ids("all")
    foreign = sorted(unwanted.difference(ids))
    if foreign:
        raise ValueError(
            f"{len(foreign)} of the {len(unwanted)} records of --leave_out={path} are not in "
            f"{records.path}, such as {foreign[0]}; give the list that tools/screen_examples.py "
            "wrote for this record set"
        )
    kept = {
        name: [place for place in places if ids[place] not in unwanted]
        for name, places in members.items()
    }
    for name, places in members.items():
        _LOG.info(
            "%s: %d of %d images are left out", name, len(places) - len(kept[name]), len(places)
        )
    return kept


def _drawn(settings, records):
    pool = pool_lib.Pool.of_records(records, settings.train_fold)
    count, each = settings.num_clients, settings.images_per_client
    if count == 1:
        if each:
            raise ValueError(
                "--num_clients=1 takes all images of the fold; give --images_per_client=0, or "
                "--arm=single for the first of several clients"
            )
        folds = {"client_00": pool.image_ids}
    else:
        sizes = {}
        if settings.client_sizes == "random":
            total = each * count or len(pool)
            # Any way of cutting the row of images into clients is as likely as another.
            generator = np.random.default_rng([settings.seed, _SIZES])
            cuts = np.sort(generator.choice(total - 1, count - 1, replace=False)) + 1
            numbers = [int(n) for n in np.diff([0, *cuts, total])]
            sizes = {"images_per_client" if each else "shares": numbers}
        elif each:
            sizes = {"images_per_client": [each]}
        skew = settings.dirichlet or None
        folds = clients_lib.draw(pool, count, settings.seed, dirichlet=skew, **sizes).folds
    place = {record_id: p for p, record_id in enumerate(records.record_ids("all"))}
    return {name: [place[i] for i in ids] for name, ids in folds.items()}
