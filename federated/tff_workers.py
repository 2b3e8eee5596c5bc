"""TFF's worker processes, owned by whoever needs them.

TFF runs computations in a C++ worker. The one that its default context starts can outlive the
program and holds its output open, so that a pipe or a CI job hangs. Here a worker is started by
hand: in a process group of its own, so that Ctrl-C is handled by its owner only, with its output in
a file, ended when the block ends and by the kernel if this process is killed.
"""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import grpc
import tensorflow_federated as tff

from federated import config, local

_START_SECONDS = 60.0
_POLL_SECONDS = 0.1
_END_SECONDS = 5.0

BINARY = pathlib.Path(tff.__file__).parent / "data" / "worker_binary"

# Asks the kernel to be killed with the parent (prctl's PR_SET_PDEATHSIG), and becomes the worker.
# It is a program of its own, since gRPC aborts a process that runs Python between fork and exec.
_EXEC = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class WorkerError(RuntimeError):
    """A worker could not be started, or has ended."""


def _watched(name):
    """A call of the stub that fails for good, instead of being tried again, if the worker ended."""
    plain = getattr(tff.framework.RemoteExecutorGrpcStub, name)

    def call(self, request):
        try:
            return plain(self, request)
        except tff.framework.RetryableError:
            if self.process.poll() is None:
                raise
            raise WorkerError(
                f"TFF's worker has ended (exit status {self.process.returncode}; -9: killed, as "
                f"for want of memory); its output is in {self.log_path}"
            ) from None

    return call


class _Stub(tff.framework.RemoteExecutorGrpcStub):
    """Reaches a worker that this process has started; without it TFF would wait for ever."""

    def __init__(self, channel, process, log_path):
        super().__init__(channel)
        self.process, self.log_path = process, log_path

    get_executor = _watched("get_executor")
    create_value = _watched("create_value")
    create_struct = _watched("create_struct")
    create_call = _watched("create_call")
    create_selection = _watched("create_selection")
    compute = _watched("compute")


def restore_layers(settings: config.FederatedConfig) -> None:
    """Lets networks that were there before a computation was built be used again.

    Keras gives a class of layers other bases when one is made in a graph of TensorFlow 1, as those
    of TFF's computations are, and its own back when one is made outside.
    """
    local.LocalTrainer(settings)


@contextlib.contextmanager
def local_worker(log_path: pathlib.Path) -> Iterator[tff.framework.SyncExecutionContext]:
    """Runs a worker on this machine within the block.

    The worker listens on a port of all interfaces, and TFF's protocol knows no password: on a
    machine with other users, whoever reaches the port can run computations as this user meanwhile.

    Args:
        log_path: File for its output.

    Yields:
        Context whose computations run in it; see `tff.framework.get_context_stack`.

    Raises:
        WorkerError: If it does not start; computations raise it once it has ended.
    """
    port = free_port()
    process = start_worker(log_path, f"--port={port}")
    channel = grpc.insecure_channel(f"localhost:{port}", _CHANNEL_OPTIONS)
    try:
        stub = _Stub(channel, process, log_path)
        _await(stub)
        yield _context(stub)
    finally:
        channel.close()
        end_worker(process)


def start_worker(log_path: pathlib.Path, *arguments: str) -> subprocess.Popen:
    """Starts a worker that the kernel ends with this thread.

    Args:
        log_path: File that its output is appended to.
        *arguments: Of the worker.
    """
    with open(log_path, "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-ISc", _EXEC, str(os.getpid()), str(BINARY), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def site_arguments(port: int, megabytes: int) -> list[str]:
    """Arguments of a site's worker.

    Args:
        port: That it listens on.
        megabytes: Largest message.
    """
    return [
        f"--port={port}",
        f"--grpc_max_message_length_megabytes={megabytes}",
        # A request that was given up and asked for again waits for the first to end.
        "--max_concurrent_computation_calls=1",
    ]


def end_worker(process: subprocess.Popen) -> None:
    """Ends a worker, a stopped one as well, and waits for it."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# No limit beside gRPC's own: the messages are this program's.
_CHANNEL_OPTIONS = [
    (f"grpc.max_{name}message_length", 2**31 - 1) for name in ("", "receive_", "send_")
]


def _context(stub):
    def executor(cardinalities):
        cardinalities.setdefault(tff.CLIENTS, 0)
        result = tff.framework.RemoteExecutor(stub)
        result.set_cardinalities(cardinalities)
        return result

    return tff.framework.SyncExecutionContext(
        executor_fn=tff.framework.ResourceManagingExecutorFactory(executor),
        compiler_fn=_compile,
        transform_args=tff.tensorflow.transform_args,
        transform_result=tff.tensorflow.transform_result,
    )


def _compile(computation):
    """As TFF's local context does, with secure sums in the clear, which its runtime cannot do."""
    computation = tff.backends.test.replace_secure_intrinsics_with_bodies(computation)
    return tff.backends.native.desugar_and_transform_to_native(computation)


def _await(stub):
    deadline = time.monotonic() + _START_SECONDS
    while not stub.is_ready:
        status = stub.process.poll()
        if status is not None or time.monotonic() > deadline:
            text = stub.log_path.read_text(errors="replace").strip().splitlines()
            raise WorkerError(
                f"TFF's worker did not start within {_START_SECONDS:g} s (exit status {status}); "
                f"the end of {stub.log_path}: {text[-1] if text else 'empty'}"
            )
        time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """A port of this machine that nobody listens on yet."""
    with socket.socket() as sock:
        sock.bind(("localhost", 0))
        return sock.getsockname()[1]
