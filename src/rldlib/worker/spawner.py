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
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
from rldlib.worker.handing import MAX_MESSAGE_BYTES, hand, pair
from rldlib.worker.host_line import HostLine
from rldlib.worker.identity import Identity
from rldlib.worker.launching import EXECUTE, FORK, Forked, perform

# As processes are listed.
NAME = "rldlib-spawner"
# From an order until the next guard is made: about what a worker takes that has little to import.
_CALM_S = 0.01
_KILLED = -int(signal.SIGKILL)


class _Held:
    """What the spawner keeps of one guard, and of its worker."""

    def __init__(self, line: int) -> None:
        self.line = line
        # Nobody's until it is told an order.
        self.number: int | None = None
        self.promise = -1
        self.pid: int | None = None
        # How it ended, as its guard told; a guard that was killed tells nothing.
        self.end: dict[str, Any] = {"is": "ended", "code": _KILLED}


class Spawner:
    """See the module."""

    def __init__(self, control: int, host: int, pluggy: str) -> None:
        self._identity = Identity()
        self._pluggy = pluggy
        self._warm = False
        self._wakeup = Wakeup(signal.SIGCHLD, signal.SIGTERM)
        self._host = os.pidfd_open(host)
        # Looked at after the pidfd is there: a process id could have been given to another.
        self._orphan = os.getppid() != host
        self._workers: dict[int, _Held] = {}
        self._guards: dict[int, _Held] = {}
        # The one for the next order, and when it is to be made where there is none.
        self._reserve: _Held | None = None
        self._reserve_at: float | None = None
        self._poll = select.poll()
        self._line = HostLine(control, self._poll)

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
            self._line.tell({"is": "broken", "reason": repr(exc)})
        end_descendants()
        self._give_room_back()
        # An interpreter that ends in order takes its time, for which the host waits.
        os._exit(0)

    def _serve(self) -> None:
        self._poll.register(self._host, select.POLLIN)
        self._poll.register(self._wakeup, select.POLLIN)
        while True:
            ready = dict(self._poll.poll(self._patience_ms()))
            if self._host in ready or signal.SIGTERM in self._wakeup.take():
                return
            if self._line.fileno() in ready and not self._hear():
                return
            for held in tuple(self._workers.values()):
                if held.line in ready and not self._hear_guard(held):
                    self._deafen(held)
            self._collect(reap() or [])
            if not ready:
                self._use_the_calm()

    def _patience_ms(self) -> float | None:
        """How long to wait for anything before it is calm enough to prepare; None for ever."""
        if not self._warm:
            return 0
        if self._reserve_at is None:
            return None
        return max(0.0, self._reserve_at - monotonic()) * 1000

    def _use_the_calm(self) -> None:
        """Prepare for the next order: first the imports, then a guard and its child."""
        if not self._warm:
            self._warm_up()
            self._reserve_at = 0.0
        elif self._reserve_at is not None and monotonic() >= self._reserve_at:
            self._reserve_at = None
            with contextlib.suppress(OSError):  # the order that there is no process for will tell
                self._reserve = self._new_guard()

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
            from rldlib.worker.rehearsal import rehearse

            self._identity.rehearse = rehearse
        # What is there now lives as long as the process: no collection in a fork need touch it.
        gc.freeze()
        gc.enable()

    # --- the host's side ---------------------------------------------------------

    def _hear(self) -> bool:
        """Take one message of the host; False at its end."""
        try:
            heard = self._line.hear()
        except EOFError:
            return False
        if heard is not None:
            self._obey(*heard)
        return True

    def _obey(self, data: bytes, fds: list[int]) -> None:
        message = json.loads(data)
        what = message["do"]
        if what == "spawn":
            self._spawn(message, data, *fds)
        elif what == "status":
            self._line.tell({"is": "status", "workers": {n: held.pid for n, held in self._workers.items()}})
        elif message["id"] in self._workers:
            try:
                os.write(self._workers[message["id"]].line, KILL if what == "kill" else TERM)
            except OSError:
                return  # the guard is ending; its end is told when it is reaped

    # --- the workers' side -------------------------------------------------------

    def _spawn(self, order: dict[str, Any], data: bytes, channel: int, promise: int) -> None:
        forks = self._identity.fits(order["argv"], order["env"])
        if forks:
            self._warm_up()
        try:
            held = self._guard_with((FORK if forks else EXECUTE) + data, channel, promise)
        except OSError as exc:
            os.close(channel)
            os.close(promise)
            self._line.tell({"is": "failed", "id": order["id"], "reason": f"no process for it: {exc}"})
            return
        os.close(channel)
        held.number, held.promise = order["id"], promise
        self._workers[order["id"]] = held
        self._poll.register(held.line, select.POLLIN)
        self._reserve_at = monotonic() + _CALM_S

    def _guard_with(self, order: bytes, channel: int, promise: int) -> _Held:
        """Give the order to the guard in reserve, or to one that is made for it."""
        held, self._reserve = self._reserve, None
        if held is not None:
            # Where it was killed meanwhile, its end is told when it is reaped.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                hand(held.line, order, channel, promise)
                return held
        held = self._new_guard()
        hand(held.line, order, channel, promise)
        return held

    def _new_guard(self) -> _Held:
        ours, theirs = pair()
        try:
            pid = os.fork()
        except OSError:
            os.close(ours)
            os.close(theirs)
            raise
        if pid == 0:
            self._leave_to_guard(theirs)
        os.close(theirs)
        # A guard that does not listen must not hold up the others.
        os.set_blocking(ours, False)
        held = self._guards[pid] = _Held(ours)
        return held

    def _leave_to_guard(self, line: int) -> NoReturn:
        """In the guard's process: leave all of this to it."""
        try:
            gc.enable()
            guard = Guard(self._identity, line)
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
            self._line.tell({**message, "id": held.number})
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
            self._let_go(held)

    def _let_go(self, held: _Held) -> None:
        self._deafen(held)
        os.close(held.line)
        if held is self._reserve:
            # Not made anew at once: whatever has ended it may end the next one too.
            self._reserve = None
        if held.number is not None:
            os.close(held.promise)
            del self._workers[held.number]
            self._line.tell({**held.end, "id": held.number})

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
    perform(Spawner(control, host, pluggy).run)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
