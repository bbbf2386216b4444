"""The spawner: starts the workers of one daemon, and sees to it that none outlives it.

Run as ``python -I spawner.py FD PID PLUGGY``: the control socket, the process
that the spawner belongs to, and where the workers' pluggy lies. It speaks JSON
over a sequenced-packet socket:

host to spawner
    ``{"do": "spawn", "id", "name", "argv", "env", "cwd", "log", "log_bytes"}``
    with two descriptors, the worker's channel and its promise;
    ``{"do": "term" | "kill", "id"}``; ``{"do": "status"}``.
spawner to host
    ``{"is": "spawned", "id", "pid"}``, ``{"is": "failed", "id", "reason"}``,
    ``{"is": "ended", "id", "code"}`` (as `os.waitstatus_to_exitcode` gives it),
    ``{"is": "status", "workers": {id: pid}}``, ``{"is": "broken", "reason"}``.

One thread. It belongs to the host by two ties, since a forked child of the
host may keep the socket open: the socket, and the host's pidfd. When either
tells the host's end, every descendant is killed, and the spawner goes.

It imports what every worker imports. A worker of the interpreter that it runs
on itself is forked from it, and has that already; see `identity`.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import sys
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_NOSIGNAL,
    SOCK_SEQPACKET,
    socket,
    socketpair,
)
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

if __name__ == "__main__":
    # Imports make much and drop nothing: to look for garbage meanwhile is a twentieth of a start.
    gc.disable()
    # Started by path: mount the package from here, without running the `__init__` that is the host's.
    _package = type(sys)("rldlib")
    _package.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    sys.modules["rldlib"] = _package

from rldlib.worker.containment import Wakeup, adopt_orphans, call_process, end_descendants, reap
from rldlib.worker.guard import KILL, TERM, Guard
from rldlib.worker.identity import Identity
from rldlib.worker.launching import Forked, perform

# One message; an order carries a command line and an environment.
MAX_MESSAGE_BYTES = 256 * 1024
# As processes are listed.
NAME = "rldlib-spawner"
# The two descriptors of an order.
_ANCILLARY_BYTES = CMSG_SPACE(2 * array("i").itemsize)
_KILLED = -int(signal.SIGKILL)


class _Held:
    """What the spawner keeps of one worker."""

    def __init__(self, number: int, line: int, promise: int) -> None:
        self.number = number
        self.line = line
        self.promise = promise
        self.pid: int | None = None
        # How it ended, as its guard told; a guard that was killed tells nothing.
        self.end: dict[str, Any] = {"is": "ended", "code": _KILLED}


class Spawner:
    """See the module."""

    def __init__(self, control: socket, host: int, pluggy: str) -> None:
        self._identity = Identity()
        self._pluggy = pluggy
        self._warm = False
        self._control = control
        control.settimeout(0)
        self._wakeup = Wakeup(signal.SIGCHLD, signal.SIGTERM)
        self._host = os.pidfd_open(host)
        # Looked at after the pidfd is there: a process id could have been given to another.
        self._orphan = os.getppid() != host
        self._workers: dict[int, _Held] = {}
        self._guards: dict[int, _Held] = {}
        self._outgoing: list[bytes] = []
        self._poll = select.poll()

    def run(self) -> None:
        """Serve until the host is gone, then leave nothing behind.

        Raises:
            Forked: In the process of a guard, where nothing of this may happen.
        """
        try:
            if not self._orphan:
                self._serve()
        except Forked:
            raise
        except BaseException as exc:  # noqa: BLE001 - whatever it was, the workers must not outlive us
            self._tell({"is": "broken", "reason": repr(exc)})
        end_descendants()
        self._give_room_back()
        # An interpreter that ends in order takes its time, for which the host waits.
        os._exit(0)

    def _serve(self) -> None:
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._host, select.POLLIN)
        self._poll.register(self._wakeup, select.POLLIN)
        while True:
            ready = dict(self._poll.poll(None if self._warm else 0))
            if self._host in ready or signal.SIGTERM in self._wakeup.take():
                return
            if self._control.fileno() in ready and not self._hear():
                return
            for held in tuple(self._workers.values()):
                if held.line in ready and not self._hear_guard(held):
                    self._deafen(held)
            self._collect(reap() or [])
            if not ready:
                self._warm_up()

    def _warm_up(self) -> None:
        """Import what every worker imports; once, and not before an order that has no use for it."""
        if self._warm:
            return
        self._warm = True
        import rldlib.worker.process  # noqa: F401 - see above
        from rldlib.worker.loading import LoadError, mount_pluggy

        # Where it is not there, the worker that looks for it tells.
        with contextlib.suppress(LoadError):
            mount_pluggy(self._pluggy)
        # What is there now lives as long as the process: no collection in a fork need touch it.
        gc.freeze()
        gc.enable()

    # --- the host's side ---------------------------------------------------------

    def _hear(self) -> bool:
        """Take one message of the host; False at its end."""
        self._flush()
        try:
            data, ancillary, _, _ = self._control.recvmsg(MAX_MESSAGE_BYTES, _ANCILLARY_BYTES)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        if not data:
            return False
        fds = [fd for _, _, payload in ancillary for fd in array("i", payload)]
        for fd in fds:
            os.set_inheritable(fd, False)  # noqa: FBT003 - the language's
        self._obey(json.loads(data), fds)
        return True

    def _obey(self, message: dict[str, Any], fds: list[int]) -> None:
        what = message["do"]
        if what == "spawn":
            self._spawn(message, *fds)
        elif what == "status":
            self._tell({"is": "status", "workers": {n: held.pid for n, held in self._workers.items()}})
        elif message["id"] in self._workers:
            try:
                os.write(self._workers[message["id"]].line, KILL if what == "kill" else TERM)
            except OSError:
                return  # the guard is ending; its end is told when it is reaped

    def _tell(self, message: dict[str, Any]) -> None:
        self._outgoing.append(json.dumps(message).encode())
        self._flush()

    def _flush(self) -> None:
        """Send what the host takes now: a host that reads slowly must not keep us from seeing it end."""
        try:
            while self._outgoing:
                self._control.send(self._outgoing[0], MSG_NOSIGNAL)
                del self._outgoing[0]
        except BlockingIOError:
            self._poll.register(self._control, select.POLLIN | select.POLLOUT)
            return
        except OSError:
            self._outgoing.clear()  # the host is gone, which the next poll tells
        self._poll.register(self._control, select.POLLIN)

    # --- the workers' side -------------------------------------------------------

    def _spawn(self, order: dict[str, Any], channel: int, promise: int) -> None:
        identity = self._identity if self._identity.fits(order["argv"], order["env"]) else None
        if identity is not None:
            self._warm_up()
        ours, theirs = (end.detach() for end in socketpair(AF_UNIX, SOCK_SEQPACKET))
        try:
            pid = os.fork()
        except OSError as exc:
            for fd in (ours, theirs, channel, promise):
                os.close(fd)
            self._tell({"is": "failed", "id": order["id"], "reason": f"no process for it: {exc}"})
            return
        if pid == 0:
            self._leave_to(lambda: Guard(order, identity, line=theirs, channel=channel, promise=promise))
        os.close(theirs)
        os.close(channel)
        # A guard that does not listen must not hold up the others.
        os.set_blocking(ours, False)
        held = _Held(order["id"], ours, promise)
        self._workers[held.number] = self._guards[pid] = held
        self._poll.register(ours, select.POLLIN)

    def _leave_to(self, make: Callable[[], Guard]) -> NoReturn:
        """In the guard's process: leave all of this to it."""
        try:
            # An object that goes later would close whatever has its number by then.
            self._control.detach()
            gc.enable()
            guard = make()
        except BaseException:  # noqa: BLE001 - this process must never go on as the spawner
            os._exit(1)
        raise Forked(guard.run)

    def _hear_guard(self, held: _Held) -> bool:
        """Take one message of a guard; False where there is none now."""
        try:
            data = os.read(held.line, MAX_MESSAGE_BYTES)
        except OSError:
            return False
        if not data:
            return False
        message = json.loads(data)
        if message["is"] == "spawned":
            held.pid = message["pid"]
            self._tell({**message, "id": held.number})
        else:
            held.end = message
        return True

    def _collect(self, ended: list[tuple[int, int]]) -> None:
        """Guards that ended: tell the end once all that belonged to it is gone, room included."""
        while ended:
            pid, status = ended.pop()
            held = self._guards.pop(pid, None)
            if held is None:
                continue  # an orphan, adopted from a guard that was killed
            while self._hear_guard(held):
                pass
            if status != 0:
                # It was killed, and what it left behind is ours now: all that is not below a living guard.
                ended += end_descendants(spare=frozenset(self._guards))
            self._deafen(held)
            os.close(held.line)
            os.close(held.promise)
            del self._workers[held.number]
            self._tell({**held.end, "id": held.number})

    def _deafen(self, held: _Held) -> None:
        """A line at its end stays readable until the guard is reaped: wait for that alone."""
        with contextlib.suppress(KeyError):
            self._poll.unregister(held.line)

    def _give_room_back(self) -> None:
        """Unlock every promise: a forked child of the host may hold the descriptor open for ever."""
        for held in self._workers.values():
            fcntl.flock(held.promise, fcntl.LOCK_UN)


def main(control: int, host: int, pluggy: str) -> None:
    """Be the spawner, with the control socket inherited as a descriptor; or what it forks."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(control, False)  # noqa: FBT003 - the language's
    call_process(NAME)
    adopt_orphans()
    perform(Spawner(socket(fileno=control), host, pluggy).run)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
