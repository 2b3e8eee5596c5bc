r"""Trains a hospital's part of a federation with differential privacy, up to a limit of its own.

    sudo -u pgan_site python tools/run_private_site.py --records=/srv/pgan/records --port=10000 \
        --budget=/var/lib/pgan/budget --max_epsilon=8 --delta=1e-5

tools/run_federation.py --dp_clip_norm=1 --stddev_group=1 sends global networks and a configuration;
this program trains, and returns updates that are (epsilon, delta) private for every image. Unlike
the worker of tools/run_site.py it runs no computation that it is sent: what protects the images is
decided here. It listens on this machine's own interface only; open the way from here with

    ssh -N -o ServerAliveInterval=30 -o ExitOnForwardFailure=yes \
        -R /run/pgan/north.sock:localhost:10000 pgan@coordinator

with the lines in the coordinator's sshd_config that tools/run_site.py shows.

--budget is a folder in which every answer is counted before it is given, over restarts and over all
federations that ask. An answer that would pass --max_epsilon is refused. The budget is for one
noise, batch size and number of steps, those of the first answer. Never delete it and never put back
an older copy: nobody would know what was spent. federated/privacy.py says what epsilon means: an
image, not a patient, is protected, and how many images there are is not.

Ends with SIGTERM or Ctrl-C, training or not. The flags fit into a file: --flagfile=site.flags.
"""

import logging
import os
import pathlib
import signal

from absl import flags

import site_main
import tool_main

_BUDGET = flags.DEFINE_string(
    "budget", None, "Folder in which answers are counted, for this record set.", required=True
)
_MAX_EPSILON = flags.DEFINE_float(
    "max_epsilon", None, "Epsilon of an image that no answer may pass.", required=True
)
_DELTA = flags.DEFINE_float(
    "delta", 1e-5, "Delta of this epsilon; should be well below 1 / images of the site."
)
_FLAGS = flags.FLAGS
site_main.define()


def _open_records(limit):
    records, size = site_main.open_records()
    if limit.delta >= 1 / size:
        print(
            f"Warning: --delta={limit.delta:g} is not below 1 / {size:,} images, so that an image "
            "may be given away whole."
        )
    return records, size


def main() -> int | None:
    """Runs the tool; see the module's docstring."""
    from federated import site_budget
    from pgan.data import record_folder

    limit = site_budget.Limit(_MAX_EPSILON.value, _DELTA.value)
    records, size = _open_records(limit)

    from federated import private_site

    logging.getLogger("federated").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, site_main.raise_interrupt)
    folder = pathlib.Path(_BUDGET.value)
    with record_folder.claimed(folder, "counting in"):
        budget = site_budget.Budget(folder, limit)
        site = private_site.PrivateSite(records, _FLAGS.fold, budget)
        with private_site.serving(site, _FLAGS.port, _FLAGS.max_message_mb) as port:
            try:
                print(
                    f"{size:,} images of the fold {_FLAGS.fold}; {budget.answers} answers so far, "
                    f"up to epsilon {limit.epsilon:g} at delta {limit.delta:g}. For sites.cfg:\n"
                    f"{site_main.lines_of_site(records)}\n"
                    f"listens on port {port}",
                    flush=True,
                )
                signal.pause()
            except KeyboardInterrupt:
                print("ended", flush=True)
                # Not by returning, which would wait for a training that nobody wants any more.
                os._exit(0)


if __name__ == "__main__":
    tool_main.run(main, tensorflow=True)
