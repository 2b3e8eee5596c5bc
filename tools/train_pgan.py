"""Trains a progressive GAN on a record set, or continues a run.

    python tools/train_pgan.py --flagfile=nih.flags --records=records/nih --run_dir=runs/nih
    python tools/train_pgan.py --flagfile=nih.flags --dry_run

The same command again continues the run; SIGTERM and Ctrl-C save first.
"""

import contextlib
import logging
import os
import sys

import tqdm
from absl import app, flags

import config_flags
import tool_main
from pgan import config

_RECORDS = flags.DEFINE_string("records", None, "Record set of tools/build_records.py.")
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of the run; continued if it exists.")
_INIT_FROM = flags.DEFINE_string(
    "init_from", None, "Run folder whose networks a new run starts from; not a way to continue."
)
_VERIFY = flags.DEFINE_enum(
    "verify_records",
    "auto",
    ["auto", "full", "size"],
    "Checksums of all shards (full), their sizes only (size), or by the size of the set (auto).",
)
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run", False, "Print configuration, stages, parameters, time and disk, and stop."
)
_MEASURE = flags.DEFINE_boolean(
    "measure", False, "With --dry_run: time steps of every stage, and drawing."
)

config_flags.define(config.NetworkConfig, skip=("findings", "channels"))
config_flags.define(config.ScheduleConfig)
config_flags.define(config.TrainConfig)

# Flags that say where, not what: a flag file that repeats the run leaves them out or changes them.
_NOT_REPEATED = ("dry_run", "measure", "init_from")


def _check_average() -> None:
    """Refuses two decays of the averaged generator."""
    half_life, decay = flags.FLAGS["ema_kimg"], flags.FLAGS["ema_decay"]
    if half_life.value and decay.present:
        raise ValueError(
            f"--ema_kimg={half_life.value:g} and --ema_decay={decay.value:g} both set the decay of "
            "the averaged generator; leave one of them out, also of a flag file"
        )


def _settings(findings: tuple[str, ...] | None) -> config.TrainConfig:
    vocabulary = {} if findings is None else {"findings": findings}
    return config_flags.build(
        config.TrainConfig,
        network=config_flags.build(config.NetworkConfig, channels=1, **vocabulary),
        schedule=config_flags.build(config.ScheduleConfig),
    )


def _flag_file() -> str:
    own = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]
    left_out = [*_NOT_REPEATED, *(["ema_decay"] if flags.FLAGS["ema_kimg"].value else [])]
    return config_flags.as_flag_file([name for name in own if name not in left_out])


def _dry_run(settings: config.TrainConfig) -> None:
    from pgan import plan, preflight

    reports, sampling = [], []
    if _MEASURE.value:
        reports = preflight.run(settings, timed_steps=3, sampling=sampling)
    print(plan.describe(settings, reports, sampling))


def main() -> int | None:
    """Runs the tool; see the module's docstring."""
    with _log_above_the_live_line():
        return _train()


def _train() -> int | None:
    _check_average()
    findings = None
    if not _DRY_RUN.value:
        for flag in (_RECORDS, _RUN_DIR):
            if not flag.value:
                raise app.UsageError(f"--{flag.name} is needed: {flags.FLAGS[flag.name].help}")
    if _RECORDS.value and os.path.exists(_RECORDS.value):
        from pgan.data import record_set

        records = record_set.RecordSet.open(_RECORDS.value, verify=_VERIFY.value)
        findings = records.findings
    elif not _DRY_RUN.value:
        raise ValueError(
            f"--records={_RECORDS.value} does not exist; build it with tools/build_records.py"
        )
    settings = _settings(findings)
    if _DRY_RUN.value:
        return _dry_run(settings)

    from pgan import monitor, preflight, run_folder, train

    train.check_records(settings, records)
    folder = run_folder.RunFolder(_RUN_DIR.value)
    rates = monitor.RateBook(settings.network)
    reports_path = folder.path / "preflight.json"
    if settings.preflight != "off" and not folder.exists:
        reports = preflight.run(settings)
        folder.path.mkdir(parents=True, exist_ok=True)
        preflight.save(reports, reports_path)
    for report in preflight.load(reports_path):
        rates.note(report.resolution, report.seconds_per_image)
    result = train.train(
        settings, records, _RUN_DIR.value, _INIT_FROM.value, rates, flag_file=_flag_file()
    )
    if result.signal is not None:
        print(
            f"saved at {result.images_shown:,} images; continue with\n"
            f"  {train.resume_command(sys.argv)}"
        )
        return 128 + result.signal
    print(f"finished at {result.images_shown:,} images: {_RUN_DIR.value}")
    return None


class _AboveBars(logging.Handler):
    """Writes log lines above the progress bars instead of across them."""

    def emit(self, record):
        tqdm.tqdm.write(self.format(record), file=sys.stderr)


@contextlib.contextmanager
def _log_above_the_live_line():
    handler = _AboveBars()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("pgan")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # absl writes whatever reaches the root, too.
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True)
