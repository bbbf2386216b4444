"""Drives a real spawner as its host does, and waits for the ends of processes without polling."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pluggy

PLUGGY = str(Path(pluggy.__file__).parent)
SPAWNER = Path(__file__).parents[2] / "src/rldlib/worker/spawner.py"
MAIN = SPAWNER.with_name("main.py")
# Longest wait for anything that must happen at all.
PATIENCE_S = 10.0

# A child with a session of its own that ignores every signal it can, and holds on to what it inherited.
STUBBORN_CHILD = textwrap.dedent(
    """
    import os, signal, socket, time
    channel = socket.socket(fileno=3)
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        channel.send(b"%d" % os.getpid())
        while True:
            time.sleep(1000)
    """
)


class Control:
    """The host's end of a spawner."""

    def __init__(self, python=sys.executable, options=("-S",)):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [
                    str(python),
                    "-I",
                    *options,
                    str(SPAWNER),
                    str(theirs.fileno()),
                    str(os.getpid()),
                    PLUGGY,
                ],
                pass_fds=[theirs.fileno()],
                env={},
            )
        self.socket.settimeout(PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.kill() if self.process.poll() is None and not self._ends() else None
        self.process.wait(PATIENCE_S)

    def _ends(self):
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def spawn(self, code, log, *, number=1, log_bytes=65536, promise=None, **order):
        """Start Python code as a worker; returns its channel."""
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-I", "-S", "-c", textwrap.dedent(code)]
        message = {
            "do": "spawn",
            "id": number,
            "name": "rld:test",
            "argv": argv,
            "env": {"MARK": "1"},
            "cwd": "/",
            **order,
        }
        message |= {"log": str(log), "log_bytes": log_bytes}
        held = os.open(os.devnull, os.O_RDONLY) if promise is None else promise
        with theirs:
            socket.send_fds(self.socket, [json.dumps(message).encode()], [theirs.fileno(), held])
        if promise is None:
            os.close(held)
        ours.settimeout(PATIENCE_S)
        return ours

    def spawn_worker(self, python, log, **order):
        """Start the worker's own program on an environment's interpreter; returns its channel."""
        return self.spawn("", log, argv=[str(python), "-I", str(MAIN), "3"], **order)

    def say(self, **message):
        self.socket.send(json.dumps(message).encode())

    def hear(self):
        return json.loads(self.socket.recv(65536))

    def hear_spawned(self, number=1):
        message = self.hear()
        assert (message["is"], message["id"]) == ("spawned", number), message
        return message["pid"]

    def hear_ended(self, number=1):
        message = self.hear()
        assert (message["is"], message["id"]) == ("ended", number), message
        return message["code"]


@contextlib.contextmanager
def watched(pid):
    """A function that waits until the process is gone, and says whether it went in time."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        yield lambda _seconds=0.0: True
        return
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    try:
        yield lambda seconds=PATIENCE_S: bool(poll.poll(seconds * 1000))
    finally:
        os.close(fd)


def alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def eventually(condition, seconds=PATIENCE_S):
    """Wait for what no descriptor tells; for the state of other processes only."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], 0.002)
    return True
