"""The host's end of a worker's channel, for tests: bare, and able to misbehave."""

from __future__ import annotations

import array
import mmap
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

import pluggy

import rldlib.worker.main
from rldlib.wire import messages
from rldlib.wire.codec import decode, encode
from rldlib.wire.frames import FrameReader
from rldlib.wire.segments import Segments, segment_size
from rldlib.worker.connection import Connection
from rldlib.worker.process import Worker

PLUGGY = str(Path(pluggy.__file__).parent)
_PATIENCE_S = 20.0


def install(site: Path, code: str, *, service: str = "echo", entry_points: str | None = None) -> None:
    """Put a service into a site-packages folder, as an installer would: module and .dist-info."""
    module = service.replace("-", "_") + "_service"
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text(code, encoding="utf-8")
    info = site / f"rld_{service.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    if entry_points is None:
        entry_points = f"[other]\nx = y\n\n[rldlib.services]\n# ours\n{service} = {module}:service\n"
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")


def environment(folder: Path, python: str = sys.executable) -> Path:
    """A virtual environment without anything in it; its site-packages."""
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = (folder / "lib").glob("python3*/site-packages")
    return site


def interpreters() -> list[str]:
    """Every CPython from 3.10 on that can be found by its name or beside this one."""
    found: dict[str, str] = {}
    for minor in range(10, 16):
        beside = Path(sys.base_prefix).parent.glob(f"3.{minor}.*/bin/python")
        for python in (shutil.which(f"python3.{minor}"), *map(str, beside)):
            if python and _runs(python):
                found.setdefault(f"3.{minor}", python)
    return list(found.values())


def _runs(python: str) -> bool:
    return subprocess.run([python, "-Ic", "import venv"], capture_output=True, check=False).returncode == 0


class Host:
    """Says what it is told to say, and hears everything in order."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(_PATIENCE_S)
        self.socket = sock
        self.segments = Segments()
        self._reader = FrameReader()
        self._next_segment = 0
        # Whether a worker's wish for memory is granted, and what it wished for.
        self.generous = True
        self.needs: list[int] = []

    def send(self, *message: Any) -> None:
        self.socket.sendall(b"".join(map(bytes, encode(list(message), self.segments))))

    def give_segment(self, length: int, filler: str) -> int:
        """Make shared memory and hand it to the worker, as the adapter for memory does."""
        self._next_segment += 1
        size = segment_size(length)
        descriptor = os.memfd_create("rldlib-test")
        os.ftruncate(descriptor, size)
        mapping = mmap.mmap(descriptor, size)
        (self.segments.add_own if filler == messages.HOST else self.segments.add_foreign)(
            self._next_segment, mapping
        )
        frame = b"".join(map(bytes, encode([messages.SEGMENT, self._next_segment, size, filler])))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        self.socket.sendmsg([frame], rights)
        os.close(descriptor)
        return self._next_segment

    def receive(self, *kinds: str) -> list[Any]:
        """The next message; with `kinds`, the next of these, memory being dealt with meanwhile."""
        while True:
            frame = self._reader.next()
            if frame is None:
                data = self.socket.recv(1 << 16)
                if not data:
                    raise EOFError("the worker closed its end")
                self._reader.feed(data)
                continue
            message = decode(frame, self.segments)
            messages.verify(message, messages.FROM_WORKER)
            if message[0] == messages.FREE:
                self.segments.freed(message[1])
            elif message[0] == messages.NEED:
                self.needs.append(message[1])
                if self.generous:
                    self.give_segment(message[1], messages.WORKER)
                else:
                    self.send(messages.SEGMENT, 0, 0, messages.WORKER)
            elif message[0] == messages.BEAT and messages.BEAT not in kinds:
                continue
            if not kinds or message[0] in kinds:
                return message

    def close(self) -> None:
        self.socket.close()
        self.segments.close()

    def start(self, *, service: str = "echo", ready: bool = True, **order: Any) -> dict[str, Any]:
        """Send START; what READY (or FAILED, with `ready` false) says."""
        self.send(
            messages.START,
            {
                "service": service,
                "version": "1.0",
                "distribution": f"rld-{service}",
                "resources": [],
                "threads": 1,
                "heartbeat_s": 60,
                "protocol": messages.PROTOCOL,
                "pluggy": PLUGGY,
                **order,
            },
        )
        kind, facts = self.receive(messages.READY, messages.FAILED)
        assert kind == (messages.READY if ready else messages.FAILED), facts
        return facts

    def call(
        self, call_id: int, operation: str, deadline_s: float | None = None, /, **arguments: Any
    ) -> None:
        self.send(messages.CALL, call_id, operation, arguments, deadline_s)

    def ask(self, operation: str, /, **arguments: Any) -> Any:
        """Call and wait for the result; a fault is a `RuntimeError`."""
        self.call(1_000_000, operation, **arguments)
        end = self.receive(messages.REPLY, messages.FAULT, messages.REFUSED)
        if end[0] != messages.REPLY:
            raise RuntimeError(end[2:])
        return end[2]

    def free_dropped(self) -> None:
        """Tell the worker of results that this side has let go of."""
        for segment_id in self.segments.dropped():
            self.send(messages.FREE, segment_id)


class ProcessWorker:
    """A worker in a process of its own, started as the spawner starts it."""

    def __init__(self, python: str | Path, *options: str) -> None:
        ours, theirs = socket.socketpair()
        self.host = Host(ours)
        main = rldlib.worker.main.__file__
        with theirs:
            self.process = subprocess.Popen(
                [str(python), "-I", *options, main, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.host.close()
        self.process.kill()
        self.process.communicate()

    def ended(self) -> tuple[int, str, str]:
        """Its status, and what it had written."""
        out, err = self.process.communicate(timeout=_PATIENCE_S)
        return self.process.returncode, out, err


class ThreadWorker:
    """The same worker in a thread of this process: what it does can be measured and looked at."""

    def __init__(self, site: Path) -> None:
        ours, theirs = socket.socketpair()
        self.host = Host(ours)
        self.left: list[int] = []
        self.has_left = threading.Event()
        self.status: int | None = None
        self.connection = Connection(theirs)
        self.worker = Worker(self.connection, self._leave, [str(site)])
        self._thread = threading.Thread(target=self._perform, daemon=True)
        self._thread.start()

    def _perform(self) -> None:
        self.status = self.worker.perform()

    def _leave(self, status: int) -> None:
        self.left.append(status)
        self.has_left.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.host.close()
        self._thread.join(_PATIENCE_S)
        self.worker.finish()
        self.connection.close()

    def ended(self) -> int | None:
        """Its status, once it has come to its end."""
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive()
        return self.status
