"""What a site trains on in a round, read from its own disk by TensorFlow operations alone.

The draws are those of `federated.batches`, so that the batches are those that `clients.Clients`
would read from the same record set: a round at hospitals is the round in one process.
"""

from typing import NamedTuple

import tensorflow as tf

from federated import batches, config
from pgan.data import record_reader


class Source(NamedTuple):
    """Where a site's images are; string tensors.

    Attributes:
        table: Path of the record set's records.csv.
        fold: Path of the list of the fold's records.
        shards: Paths of all shards of the resolution, [K].
    """

    table: tf.Tensor
    fold: tf.Tensor
    shards: tf.Tensor


def read(
    settings: config.FederatedConfig,
    source: Source,
    encoding: str,
    round_number: tf.Tensor,
    client: tf.Tensor,
) -> batches.Batches:
    """Reads a site's batches.

    The shards are read from end to end, and only the records that were drawn are decoded.

    Args:
        settings: Sizes, seed and networks.
        source: Where the images are.
        encoding: How they are stored, "raw" or "png".
        round_number: int64 scalar, from 0.
        client: int64 scalar, the site's number.
    """
    E, C, B = settings.generator_steps, settings.critic_steps, settings.batch_size
    network = settings.network
    members = _members(source)
    places = tf.where(members)[:, 0]
    num_examples = tf.size(places)
    drawn = batches.draw_positions(settings, num_examples, round_number, client)
    critic = tf.gather(places, tf.reshape(drawn.critic, [-1]))
    generator = tf.gather(places, tf.reshape(drawn.generator, [-1]))

    wanted = tf.concat([critic, generator], axis=0)
    needed = tf.scatter_nd(
        wanted[:, tf.newaxis], tf.ones_like(wanted), tf.shape(members, tf.int64)
    ) > tf.constant(0, tf.int64)
    serialized = _read_records(source.shards, needed, most=E * C * B + E * B)
    read_record = record_reader.decoder(encoding, network.resolution, network.num_labels)
    found = read_record(serialized)
    row = tf.cumsum(tf.cast(needed, tf.int64)) - 1  # of a record among those read

    def rows(values, chosen, *shape):
        return tf.reshape(tf.gather(values, tf.gather(row, chosen)), shape)

    size, labels = (network.resolution, network.resolution, 1), network.num_labels
    return batches.Batches(
        images=rows(found["images"], critic, E, C, B, *size),
        labels=rows(found["labels"], critic, E, C, B, labels),
        generator_labels=rows(found["labels"], generator, E, B, labels),
        num_examples=num_examples,
    )


def _members(source):
    """Bool [records of the set], true where a record is in the fold, in record order."""
    lines = tf.strings.split(tf.io.read_file(source.table), "\n")[1:]
    lines = tf.boolean_mask(lines, tf.strings.length(lines) > 0)
    ids = tf.strings.regex_replace(lines, ",.*", "")  # the first column; ids have no commas
    fold = tf.strings.split(tf.io.read_file(source.fold))
    others = tf.raw_ops.ListDiff(x=ids, y=fold, out_idx=tf.int64).idx
    return tf.tensor_scatter_nd_update(
        tf.ones_like(ids, tf.bool), others[:, tf.newaxis], tf.zeros_like(others, tf.bool)
    )


def _read_records(shards, needed, most):
    """String [N], the needed records in record order."""
    stream = tf.data.Dataset.zip(
        (tf.data.TFRecordDataset(shards), tf.data.Dataset.from_tensor_slices(needed))
    )
    stream = stream.filter(lambda record, keep: keep)
    stream = stream.map(lambda record, _: record)
    return stream.batch(most).get_single_element()
