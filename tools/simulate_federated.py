r"""Trains one GAN over many simulated hospitals, or one of its centralised rivals <fig. 4>.

    python tools/simulate_federated.py --records=records/nih --run_dir=runs/federated
    python tools/simulate_federated.py --records=records/nih --run_dir=runs/all --arm=centralized
    python tools/simulate_federated.py --records=records/nih --run_dir=runs/one --arm=single
    python tools/simulate_federated.py --records=records/nih --run_dir=runs/private \
        --dp_clip_norm=1 --dp_noise_multiplier=1 --stddev_group=1 --metric_every_rounds=0

All arms have the same clients, initial weights and number of generator iterations one after the
other. --preset=paper_code has the released code's optimizer, critic steps, sizes and plain mean;
flags given beside a preset win. The same command again continues the run; SIGTERM and Ctrl-C finish
the round first. tools/export_generator.py exports the result.
"""

import logging
import sys

from absl import flags

import config_flags
import tool_main
from federated import config
from pgan import config as pgan_config

_RECORDS = flags.DEFINE_string("records", None, "Record set of all clients.", required=True)
_RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "Folder of the run; continued if it exists.", required=True
)
_INIT_FROM = flags.DEFINE_string(
    "init_from", None, "Run folder whose networks a new run starts from; not a way to continue."
)
_PRESET = flags.DEFINE_enum("preset", "paper", list(config.PRESETS), "Settings that flags change.")

config_flags.define(pgan_config.NetworkConfig, skip=("findings", "channels"))
config_flags.define(config.FederatedConfig)

# Flags that say where, not what.
_NOT_REPEATED = ("init_from",)
# Flags of clients that are drawn, which those of --client_split are not.
_OF_A_DRAW = ("num_clients", "images_per_client", "client_sizes", "dirichlet")


def _check_clients() -> None:
    """Refuses what would change nothing; the command of a run that is there may go on."""
    from pgan import run_folder

    given = [f"--{name}" for name in _OF_A_DRAW if flags.FLAGS[name].present]
    if flags.FLAGS.client_split and given and not run_folder.RunFolder(_RUN_DIR.value).exists:
        raise ValueError(
            f"the clients of --client_split={flags.FLAGS.client_split} are its folds, as they are; "
            f"leave {', '.join(given)} out, also of a flag file, or --client_split to draw clients"
        )


def _apply_preset() -> None:
    preset = config.PRESETS[_PRESET.value]
    for name, value in preset.items():
        if not flags.FLAGS[name].present:
            flags.FLAGS[name].value = value
    yielded = [f"--{name}" for name in preset if flags.FLAGS[name].value != preset[name]]
    if yielded and _PRESET.value != "paper":
        print(
            f"Warning: flags win over --preset={_PRESET.value}: {', '.join(yielded)}",
            file=sys.stderr,
        )


def _flag_file() -> str:
    own = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]
    if flags.FLAGS.client_split:  # the preset has to say what may not be given
        left_out = [name for name in _OF_A_DRAW if not flags.FLAGS[name].present]
    else:  # the other flags spell the preset out
        left_out = ["preset"]
    left_out += _NOT_REPEATED
    return config_flags.as_flag_file([name for name in own if name not in left_out])


def main() -> int | None:
    """Runs the tool; see the module's docstring."""
    _check_clients()
    _apply_preset()
    from pgan.data import record_set

    records = record_set.RecordSet.open(_RECORDS.value, max_resolution=flags.FLAGS.resolution)
    network = config_flags.build(pgan_config.NetworkConfig, channels=1, findings=records.findings)
    settings = config_flags.build(config.FederatedConfig, network=network)

    from tqdm.contrib import logging as tqdm_logging

    from federated import simulation
    from pgan import train

    loggers = [logging.getLogger(name) for name in ("federated", "pgan")]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.propagate = False  # absl writes whatever reaches the root, too.
    with tqdm_logging.logging_redirect_tqdm(loggers):
        result = simulation.simulate(
            settings, records, _RUN_DIR.value, _INIT_FROM.value, flag_file=_flag_file()
        )
    if result.signal is not None:
        print(
            f"saved after {result.rounds_done:,} rounds; continue with\n"
            f"  {train.resume_command(sys.argv)}"
        )
        return 128 + result.signal
    print(f"finished after {result.rounds_done:,} rounds: {_RUN_DIR.value}")
    return None


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True)
