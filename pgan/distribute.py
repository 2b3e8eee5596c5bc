"""tf.distribute strategies by name: the only place that knows which device runs the step."""

import tensorflow as tf


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Creates the strategy of a run.

    Args:
        name: `one_device` (the first GPU, else the CPU), `mirrored` (all GPUs of this machine, or
            all logical CPU devices where there is none), `multi_worker` (the cluster of the
            TF_CONFIG environment variable) or `tpu` (the TPU that TPU_NAME names, or a local one).

    Raises:
        ValueError: If the name is unknown.
    """
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy(
            "/gpu:0" if tf.config.list_logical_devices("GPU") else "/cpu:0"
        )
    if name == "mirrored":
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        # NCCL needs GPUs; the reduction that works on CPUs, too, is asked for by name there.
        reduction = None if kind == "GPU" else tf.distribute.ReductionToOneDevice()
        return tf.distribute.MirroredStrategy(devices, cross_device_ops=reduction)
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
        return tf.distribute.TPUStrategy(resolver)
    raise ValueError(f"--strategy must be one_device, mirrored, multi_worker or tpu; got {name!r}")


def input_options() -> tf.distribute.InputOptions | None:
    """How batches get to the replicas: where there is only the CPU, they are there already.

    The iterator that fetches them to devices has a tuner of its own, which cannot be turned off and
    holds up every new stage (see `pgan.data.record_reader`).
    """
    if tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"):
        return None
    return tf.distribute.InputOptions(experimental_fetch_to_device=False)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run folder: worker 0, or the only one."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return True
    return resolver.task_type in (None, "chief") or (
        resolver.task_type == "worker" and resolver.task_id == 0
    )


def cause_of(error: tf.errors.OpError) -> str:
    """The line of a failed collective operation that says what happened."""
    for line in error.message.splitlines():
        if "Collective ops is aborted by: " in line:
            return line.partition("aborted by: ")[2]
    return next(iter(error.message.splitlines()), type(error).__name__)


def per_replica_batch(strategy: tf.distribute.Strategy, batch_size: int, resolution: int) -> int:
    """Divides a batch over the replicas.

    Raises:
        ValueError: If it does not divide evenly.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"the batch of {batch_size} at {resolution} px cannot be divided over {replicas} "
            f"replicas; give --batch_sizes a multiple of {replicas} there"
        )
    return batch_size // replicas


def pass_size(batch: int, limit: int, group: int, resolution: int) -> int:
    """Images of one forward and backward pass; several passes accumulate to a step.

    Args:
        batch: Images of a replica and step.
        limit: Largest pass, 0 for no limit.
        group: Group size of the minibatch standard deviation.
        resolution: For messages.

    Returns:
        The largest divisor of the batch within the limit that holds whole groups.

    Raises:
        ValueError: If without a limit the batch does not hold whole groups.
    """
    if limit and limit < batch:
        sizes = [n for n in range(1, limit + 1) if batch % n == 0 and n % min(group, n) == 0]
        return max(sizes)
    if batch % min(group, batch):
        raise ValueError(
            f"{batch} images per device at {resolution} px are no multiple of the "
            f"minibatch-stddev group of {group}; change --batch_sizes, --micro_batch or "
            "--stddev_group"
        )
    return batch
