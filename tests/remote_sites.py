"""What tests of remote sites share: a relay that sees all that passes, processes that end."""

import contextlib
import functools
import os
import pathlib
import socket
import subprocess
import sys
import sysconfig
import threading
import time

_ROOT = pathlib.Path(__file__).parents[1]
WAIT_SECONDS = 300  # for what has to happen; the machine may be busy


def free_port():
    with socket.socket() as sock:
        sock.bind(("localhost", 0))
        return sock.getsockname()[1]


class Relay:
    """Passes TCP connections on to a port, and keeps what went through.

    Attributes:
        address: To connect to.
        sent: Bytes towards the port.
        received: Bytes from it.
    """

    def __init__(self, port, path=None):
        """Listens on a port of its own, or on a socket file as that of a tunnel."""
        self._port, self._watch = port, None
        self.sent, self.received = bytearray(), bytearray()
        if path is None:
            self._server = socket.create_server(("localhost", 0))
            self.address = f"localhost:{self._server.getsockname()[1]}"
        else:
            self._server = socket.socket(socket.AF_UNIX)
            self._server.bind(str(path))
            self._server.listen()
            self.address = f"unix:{path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def when_sent(self, count, action):
        """Calls an action once, before byte number `count` from now on is passed on."""
        self._watch = (len(self.sent) + count, action)

    def total(self):
        return len(self.sent) + len(self.received)

    def close(self):
        self._server.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                try:
                    far = socket.create_connection(("localhost", self._port))
                except OSError:
                    near.close()
                    continue
                for pair in ((near, far, self.sent), (far, near, self.received)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source, target, kept):
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(1 << 16):
                kept += data
                if kept is self.sent and self._watch and len(kept) >= self._watch[0]:
                    action, self._watch = self._watch[1], None
                    action()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def as_user(uid, *command):
    """A command line that runs another as some user."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *command]


def _environment():
    paths = [str(_ROOT), sysconfig.get_paths()["purelib"]]
    home = {"HOME": "/", "PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**os.environ, **home}


@functools.cache
def python_for(uid):
    """An interpreter that a user may start; None if there is none, as where it is root's own."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        script = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
        command = as_user(uid, python, "-c", script)
        if subprocess.run(command, capture_output=True, env=_environment()).returncode == 0:
            return python
    return None


def start_tool(name, *arguments, uid=None):
    """Starts a tool in a process of its own, as another user if one is given."""
    command = [
        sys.executable if uid is None else python_for(uid),
        str(_ROOT / f"tools/{name}.py"),
        *map(str, arguments),
    ]
    return subprocess.Popen(
        command if uid is None else as_user(uid, *command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(),
    )


def await_line(process, text):
    """Lines of a process up to one with a text, joined."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"ended without {text!r}:\n" + "".join(lines))


def children(parent, name=""):
    """Process ids of a process's children that have not ended, and whose names begin so."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            its_name, _, rest = path.read_text().partition("(")[2].rpartition(")")
            state, its_parent = rest.split()[:2]
            if int(its_parent) == parent and state != "Z" and its_name.startswith(name):
                found.append(int(path.parent.name))
    return found


def gone(pid):
    """Whether a process ends; waits for it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False
