"""What both programs of a site share: flags, opening the record set, its lines for sites.cfg."""

from typing import Any

from absl import flags

flags.disclaim_key_flags()


def define() -> None:
    """Defines the flags of both kinds of site."""
    flags.DEFINE_string("records", None, "Record set of this site.", required=True)
    flags.DEFINE_integer(
        "port", 10000, "Port that is listened on.", lower_bound=1024, upper_bound=65535
    )
    flags.DEFINE_string("fold", "train", "Fold to train on, such as train or <split>/<fold>.")
    flags.DEFINE_integer("resolution", 128, "Of the federation's networks in px.")
    flags.DEFINE_integer(
        "max_message_mb",
        192,
        "Largest message, in MB; tools/run_federation.py says how large it has to be.",
        lower_bound=1,
    )


def open_records() -> tuple[Any, int]:
    """Opens the record set that the flags name.

    Returns:
        The `record_set.RecordSet`, and the number of images in the fold.

    Raises:
        ValueError: If the site cannot take part with it.
    """
    from pgan.data import record_set

    resolution, fold = flags.FLAGS.resolution, flags.FLAGS.fold
    try:
        records = record_set.RecordSet.open(flags.FLAGS.records, max_resolution=resolution)
    except PermissionError as error:
        raise ValueError(f"this user may not read {error.filename}") from None
    records.require_resolution(resolution)
    size = records.fold_size(fold)
    if not size:
        raise ValueError(f"the fold {fold!r} of {records.path} has no images")
    return records, size


def lines_of_site(records: Any) -> str:
    """What the coordinator's file of sites says of this one.

    Args:
        records: From `open_records`.
    """
    return (
        f"  [{records.name}]\n"
        f"  address = localhost:{flags.FLAGS.port}\n"
        f"  records = {records.path.absolute()}\n"
        f"  fold = {flags.FLAGS.fold}"
    )


def raise_interrupt(number: int, frame: Any) -> None:
    """Handles SIGTERM as Ctrl-C is handled."""
    raise KeyboardInterrupt
