"""Record sets as tf.data pipelines.

No Python runs in the pipelines and all randomness is stateless, so the images that training sees
are a function of the record set, the fold, the resolution and the seed.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pgan.data import record_set

# Records are shuffled in windows of about this many bytes. At low resolutions that is a whole
# epoch; at high ones shards come in a new random order each epoch and a window holds pieces of
# SHARDS_AT_ONCE of them. Two or three windows are in memory at a time.
_WINDOW_BYTES = 256 * 2**20
_SHARDS_AT_ONCE = 16
_READ_BUFFER_BYTES = 256 * 2**10


def training_dataset(
    records: record_set.RecordSet,
    resolution: int,
    fold: str,
    batch_size: int,
    seed: int,
    start: int = 0,
    num_pipelines: int = 1,
    pipeline_index: int = 0,
) -> tf.data.Dataset:
    """An endless, shuffled stream of batches.

    Each epoch shows every record of the fold once, in an order that follows from seed and epoch.
    Epochs are joined: a batch may hold the end of one and the beginning of the next.

    Args:
      records: the record set.
      resolution: of the images.
      fold: name of the fold.
      batch_size: of one pipeline.
      seed: of the order.
      start: images of the stream that were drawn already; the stream goes on after them. Resuming
        reads over what was drawn of the current epoch, without decoding it.
      num_pipelines: number of pipelines that share the stream.
      pipeline_index: which of them this is. Batches are dealt out in turn, so that the batches of
        all pipelines, one after the other, are the batch of one pipeline num_pipelines as large.

    Returns:
      Yields {"images": float32 [batch_size, R, R, 1] in [-1, 1], "labels": float32
      [batch_size, L]}, shapes static.

    Raises:
      ValueError: the set lacks the resolution or the fold, the fold is empty, or a number is out
        of range.
    """
    records.require_resolution(resolution)
    size = records.fold_size(fold)
    if not size:
        raise ValueError(f"The fold {fold!r} of {records.path} is empty.")
    if batch_size < 1 or start < 0 or not 0 <= pipeline_index < num_pipelines:
        raise ValueError(
            f"Expected batch_size >= 1, start >= 0 and 0 <= pipeline_index < num_pipelines, got "
            f"{batch_size}, {start}, {pipeline_index}, {num_pipelines}."
        )
    first_epoch, offset = divmod(start, size)
    order_of = _epoch_function(records, resolution, fold, seed)
    stream = tf.data.Dataset.counter(first_epoch).flat_map(order_of).skip(offset)
    batches = stream.batch(batch_size, drop_remainder=True)
    if num_pipelines > 1:
        batches = batches.shard(num_pipelines, pipeline_index)
    dataset = _decode_batches(batches, records, resolution, batch_size)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(_options())


def evaluation_dataset(
    records: record_set.RecordSet,
    resolution: int,
    fold: str,
    batch_size: int,
    limit: int | None = None,
) -> tf.data.Dataset:
    """The records of a fold once, in record order.

    Args:
      records: the record set.
      resolution: of the images.
      fold: name of the fold.
      batch_size: of all batches but the last, which may be smaller.
      limit: end after this many records.

    Returns:
      Yields {"images": float32 [B, R, R, 1] in [-1, 1], "labels": float32 [B, L], "record_ids":
      string [B]}.

    Raises:
      ValueError: the set lacks the resolution or the fold.
    """
    records.require_resolution(resolution)
    read_shard = _shard_function(records, resolution, fold)
    stream = tf.data.Dataset.range(records.manifest["num_shards"]).flat_map(read_shard)
    if limit is not None:
        stream = stream.take(limit)
    dataset = _decode_batches(stream.batch(batch_size), records, resolution, None, with_ids=True)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(_options())


def _shard_function(records: record_set.RecordSet, resolution: int, fold: str):
    """A function from a shard's number to the serialized records of the fold in it."""
    paths = tf.constant(records.shard_paths(resolution))
    mask = records.fold_mask(fold)
    sizes = records.manifest["records_per_shard"]
    starts = tf.constant(np.cumsum([0, *sizes]), tf.int64)

    def read(shard: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(paths[shard], buffer_size=_READ_BUFFER_BYTES)

    def read_chosen(shard: tf.Tensor) -> tf.data.Dataset:
        chosen = tf.data.Dataset.from_tensor_slices(
            tf.constant(mask)[starts[shard] : starts[shard + 1]]
        )
        pairs = tf.data.Dataset.zip((read(shard), chosen))
        return pairs.filter(lambda record, keep: keep).map(lambda record, keep: record)

    return read if mask.all() else read_chosen


def _epoch_function(records: record_set.RecordSet, resolution: int, fold: str, seed: int):
    """A function from an epoch's number to the fold's serialized records in that epoch's order."""
    read_shard = _shard_function(records, resolution, fold)
    num_shards = records.manifest["num_shards"]
    window = max(1, _WINDOW_BYTES * records.num_records // records.level_bytes(resolution))

    run_key = tf.constant([seed, 0], tf.int64)

    def permutation(count: tf.Tensor, epoch: tf.Tensor, use: tf.Tensor) -> tf.Tensor:
        # Dataset.shuffle would mix in the program's global seed.
        key = tf.random.fold_in(tf.random.fold_in(run_key, epoch, "philox"), use, "philox")
        return tf.random.experimental.stateless_shuffle(tf.range(count), key, "philox")

    def epoch_records(epoch: tf.Tensor) -> tf.data.Dataset:
        order = permutation(tf.constant(num_shards), epoch, tf.constant(0, tf.int64))
        stream = tf.data.Dataset.from_tensor_slices(order).interleave(
            read_shard,
            cycle_length=min(_SHARDS_AT_ONCE, num_shards),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        windows = stream.batch(window).enumerate(1)
        shuffled = windows.map(
            lambda number, window: tf.gather(
                window, permutation(tf.shape(window)[0], epoch, number)
            )
        )
        return shuffled.prefetch(1).unbatch()

    return epoch_records


def _decode_batches(
    batches: tf.data.Dataset,
    records: record_set.RecordSet,
    resolution: int,
    batch_size: int | None,
    with_ids: bool = False,
) -> tf.data.Dataset:
    """Serialized records [B] to images, labels and, on request, record ids."""
    count = len(records.findings)
    parse = decoder(records.encoding(resolution), resolution, count, with_ids)

    def decode(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        result = parse(serialized)
        images = tf.cast(result["images"], tf.float32) / 127.5 - 1.0
        result["images"] = tf.ensure_shape(images, (batch_size, resolution, resolution, 1))
        result["labels"] = tf.ensure_shape(result["labels"], (batch_size, count))
        return result

    return batches.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def decoder(
    encoding: str, resolution: int, num_labels: int, with_ids: bool = False
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """A function from serialized records, string [B], to what they hold.

    Args:
      encoding: of the images, "raw" or "png".
      resolution: of the images.
      num_labels: labels L of a record.
      with_ids: whether to read the record ids.

    Returns:
      Function whose result is {"images": uint8 [B, R, R, 1], "labels": float32 [B, L]} and, on
      request, {"record_ids": string [B]}.
    """
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "labels": tf.io.FixedLenFeature([num_labels], tf.float32),
    }
    if with_ids:
        features["record_id"] = tf.io.FixedLenFeature([], tf.string)
    shape = (resolution, resolution, 1)

    def decode_png(image: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.io.decode_png(image, channels=1), shape)

    def decode(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(serialized, features)
        if encoding == "raw":
            pixels = tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), (-1, *shape))
        else:
            pixels = tf.map_fn(
                decode_png, parsed["image"], fn_output_signature=tf.TensorSpec(shape, tf.uint8)
            )
        result = {"images": pixels, "labels": parsed["labels"]}
        if with_ids:
            result["record_ids"] = parsed["record_id"]
        return result

    return decode


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # TensorFlow's tuner sleeps between its looks, up to a minute in long runs, and an iterator
    # that is given up waits for it: at every new stage, and at the end. It would gain a third
    # where PNG is decoded, which is far more than any training step asks for.
    options.autotune.enabled = False
    # Pipelines are shared out by num_pipelines; a strategy must not cut them up once more.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
