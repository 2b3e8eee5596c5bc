r"""Offers a hospital's record set to a federation, by TFF's worker; the images stay here.

    sudo -u pgan_site python tools/run_site.py --records=/srv/pgan/records --port=10000

tools/run_federation.py sends the worker computations, the global networks and paths; the worker
reads the shards from this disk, trains, and returns updates of the networks.

WHAT A WORKER DOES. It runs whatever computation it is sent, by whoever reaches its port: TFF's
protocol has no password and no encryption, and a computation can read every file that the worker's
user can read. Therefore
  - it runs as a user of its own that may read this record set and nothing else worth reading, and
    write nothing; the tool refuses root;
  - its messages are held to --max_message_mb, about the size of both networks;
  - nobody but the coordinator may reach the port. The worker listens on all interfaces: let the
    firewall refuse the port from outside, and open the way from here with
        ssh -N -o ServerAliveInterval=30 -o ExitOnForwardFailure=yes \
            -R /run/pgan/north.sock:localhost:10000 pgan@coordinator
    The tunnel encrypts, knows both ends by their keys, and ends in a socket that only the
    coordinator's user can open: `address = unix:/run/pgan/north.sock`. It is the coordinator's
    sshd_config that decides who opens it, and whether a tunnel that broke can come back:
        Match User pgan
            StreamLocalBindMask 0177
            StreamLocalBindUnlink yes

The updates of a round are computed from the images and can give some of them away; who must rule
that out needs differential privacy, for which there is tools/run_private_site.py.

The tool ends with SIGTERM or Ctrl-C, and the worker with it; with --log, its output is kept. Let
systemd start it again after an accident: rounds that it missed are asked for again.
"""

import os
import pathlib
import shlex
import signal
import socket
import sys
import time

from absl import flags

import site_main
import tool_main

_FLAGS = flags.FLAGS
site_main.define()
_LOG = flags.DEFINE_string("log", os.devnull, "File for the worker's output.")
_START_SECONDS, _LOOK_SECONDS = 60, 0.1
_ALLOW_ROOT = flags.DEFINE_boolean(
    "allow_root", False, "Run as root, so that whoever reaches the port can read everything."
)


def _check_user() -> None:
    if os.geteuid() == 0 and not _ALLOW_ROOT.value:
        raise ValueError(
            "a worker runs whatever it is sent and must not be root; make a user that may read "
            f"{_FLAGS.records} only, and type\n"
            f"  {shlex.join(['sudo', '-u', 'USER', 'python', *sys.argv])}"
        )


def _check_port() -> None:
    # gRPC would share a port that another worker has, and half of the calls would go there.
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", _FLAGS.port))
        except OSError as error:
            raise ValueError(
                f"--port={_FLAGS.port} cannot be used ({error.strerror}); end the program that "
                "has it, or give another --port"
            ) from None


def _check_records() -> None:
    records, size = site_main.open_records()
    if os.access(records.path, os.W_OK):
        print(f"Warning: this user may write to {records.path}; reading is all it needs.")
    print(
        f"{size:,} images of the fold {_FLAGS.fold}, {_FLAGS.resolution} px. For sites.cfg:\n"
        f"{site_main.lines_of_site(records)}"
    )


def _await_port(process) -> None:
    """Waits until the worker takes calls, or has ended, which is told by who waits for it."""
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None:
        with socket.socket() as sock:
            sock.settimeout(_LOOK_SECONDS)
            if sock.connect_ex(("localhost", _FLAGS.port)) == 0:
                print(f"worker {process.pid} listens on port {_FLAGS.port}", flush=True)
                return
        if time.monotonic() > until:
            raise RuntimeError(
                f"the worker takes no calls on port {_FLAGS.port} after {_START_SECONDS} s; its "
                f"output {_output()}"
            )
        time.sleep(_LOOK_SECONDS)


def _output() -> str:
    return f"is in {_LOG.value}" if _LOG.value != os.devnull else "was not kept: give --log=FILE"


def main() -> None:
    """Runs the tool; see the module's docstring."""
    _check_user()
    _check_port()
    _check_records()

    try:
        from federated import tff_workers
    except ModuleNotFoundError as error:
        raise ValueError(
            f"a site's worker is tensorflow-federated 0.87.0 ({error}); install requirements.lock"
        ) from None

    signal.signal(signal.SIGTERM, site_main.raise_interrupt)
    process = None
    try:
        process = tff_workers.start_worker(
            pathlib.Path(_LOG.value),
            *tff_workers.site_arguments(_FLAGS.port, _FLAGS.max_message_mb),
        )
        _await_port(process)
        status = process.wait()
    except KeyboardInterrupt:
        print("ended")
        return None
    finally:
        if process is not None:
            tff_workers.end_worker(process)
    raise RuntimeError(
        f"the worker has ended (exit status {status}; -9: killed, as for want of memory); its "
        f"output {_output()}"
    )


if __name__ == "__main__":
    tool_main.run(main)
