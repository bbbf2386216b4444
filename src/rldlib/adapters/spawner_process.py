"""The spawner's process, from its host's side."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rldlib.rules.supervision import told_end
from rldlib.values.skeleton import SKELETONS, skeleton_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rldlib.adapters.io_loop import IoLoop

# In the environment of every worker; what lost its spawner is found by it.
MARK = "RLDLIB_WORKER"
# Guards bear it too, but go by themselves, and only after all that is below them.
_GO_BY_THEMSELVES = frozenset({"rldlib-guard", "rldlib-spawner"})
_PROGRAM = Path(__file__).parents[1] / "worker" / "spawner.py"
_MAX_MESSAGE_BYTES = 256 * 1024
# From the end of its socket to its own: it kills and reaps in between.
_END_S = 5.0
_SWEEP_S = 1.0


class SpawnerProcess:
    """One spawner. When it is lost, so is every worker it started.

    Args:
        loop: Reads what it tells.
        on_event: Told each message, in the loop's thread.
        on_lost: Told how it ended, once, unless it was closed.
        home: The interpreter of an empty virtualenv, for workers to be forked from; else each is executed.
        environment: What workers get of the host's environment.
        pluggy: Where the workers' pluggy lies.

    Raises:
        OSError: It could not be started.
    """

    def __init__(
        self,
        loop: IoLoop,
        on_event: Callable[[dict[str, Any]], None],
        on_lost: Callable[[str], None],
        *,
        home: Path | None,
        environment: Mapping[str, str],
        pluggy: str,
    ) -> None:
        self.home = home
        self.token = secrets.token_hex(8)
        self._loop = loop
        self._on_event = on_event
        self._on_lost = on_lost
        self._closed = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(self._socket.close)
            self._socket.settimeout(0)
            # All that it forks is found by the mark, until it executes something with another environment.
            marked = {**environment, MARK: f"{self.token}/0"}
            self._process = _start(home, [str(theirs.fileno()), str(os.getpid()), pluggy], marked)
            undo.pop_all()
        loop.watch(self._socket.fileno(), self._on_ready)

    def say(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Send a message.

        Raises:
            OSError: The spawner is gone, or does not listen.
        """
        socket.send_fds(self._socket, [json.dumps(message).encode()], fds)

    def kill(self) -> None:
        """End it at once. Its workers end with it."""
        self._process.kill()

    def close(self) -> None:
        """Have it kill what is left, and wait until it is gone."""
        self._closed = True
        self._let_go()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            kill_marked(self.token)

    def abandon(self) -> None:
        """In a forked child: the process is its parent's child, and so are its ends."""
        self._closed = True
        self._socket.close()
        self._process.returncode = 0

    def _let_go(self) -> None:
        self._loop.forget(self._socket.fileno())
        # A forked child of this process may hold the socket too: closing alone would tell nobody.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _on_ready(self, _events: int) -> None:
        if self._closed:
            return
        try:
            data = self._socket.recv(_MAX_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._on_event(json.loads(data))
            return
        self._closed = True
        self._let_go()
        self._process.kill()
        code = self._process.wait()
        kill_marked(self.token)
        self._on_lost(f"lost with its spawner ({told_end(code)})")


def home(host_dir: Path) -> Path | None:
    """The interpreter of the empty environment of this process's own one; None where there is none yet."""
    own = os.path.realpath(_own())
    try:
        found = os.stat(own)  # noqa: PTH116 - beside a string
    except OSError:
        return None
    version = ".".join(map(str, sys.version_info[:3]))
    name = skeleton_name(own, found.st_size, found.st_mtime_ns, version)
    python = host_dir / SKELETONS / name / "bin" / "python"
    return python if python.exists() else None


def _own() -> str:
    """Of a virtualenv, the interpreter it was made from."""
    return getattr(sys, "_base_executable", "") or sys.executable


def _start(
    home: Path | None, arguments: list[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    command = [_own(), "-I", "-S"] if home is None else [str(home), "-I"]
    return subprocess.Popen(
        [*command, str(_PROGRAM), *arguments],
        pass_fds=[int(arguments[0])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=environment,
        # An interrupt at the terminal is for the host, which stops its workers in order.
        start_new_session=True,
    )


def kill_marked(token: str) -> None:
    """Kill every process that carries the token: what is left where spawner and guard were both killed."""
    mark = f"{MARK}={token}/".encode()
    until = time.monotonic() + _SWEEP_S
    while found := [int(entry.name) for entry in os.scandir("/proc") if _carries(entry.name, mark)]:
        over = time.monotonic() > until
        for pid in found:
            if over or _listed_as(pid) not in _GO_BY_THEMSELVES:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        if over:
            return


def _listed_as(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", errors="replace").strip()
    except OSError:  # it is gone
        return ""


def _carries(name: str, mark: bytes) -> bool:
    if not name.isdigit():
        return False
    try:
        return any(
            entry.startswith(mark) for entry in Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
        )
    except OSError:
        return False
