"""One worker process, from its host's side."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from rldlib.adapters.channel import Channel
from rldlib.adapters.liveness import Liveness
from rldlib.errors import ServiceFaultError, WorkerLostError, WorkerStartError
from rldlib.rules.supervision import told_end
from rldlib.values.operations import differences, read_operations
from rldlib.wire import messages

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from rldlib.adapters.calls import CallFuture
    from rldlib.adapters.io_loop import IoLoop
    from rldlib.adapters.stream import Stream
    from rldlib.reporter import Reporter
    from rldlib.values.start import StartOrder

# From being killed to being reaped: then the spawner itself is not what it was.
REAP_S = 5.0
# A worker that logs more in a second loses the rest: its host has other work to do.
_RECORDS_PER_SECOND = 1000


class Worker:
    """See `rldlib.ports.Worker`.

    Args:
        order: What it was started with.
        sock: The host's end of its socket; the worker owns it.
        loop: Serves it where nobody waits.
        reporter: Told of the progress of calls.
        kill: Asks the spawner to kill it and all below it.
        give_up: Ends the spawner itself, which does not do it.
    """

    def __init__(
        self,
        order: StartOrder,
        sock: socket.socket,
        loop: IoLoop,
        reporter: Reporter,
        *,
        kill: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        self.order = order
        self.operations: Mapping[str, Mapping[str, Any]] = {}
        self.pid: int | None = None
        self._python = ""
        self._loop = loop
        self._reporter = reporter
        self._ask_to_kill = kill
        self._give_up = give_up
        self._lock = threading.Lock()
        self._spawned = threading.Event()
        self._gone = threading.Event()
        self._why: str | None = None
        self._how = ""
        self._told: list[Callable[[str], None]] = []
        self._liveness: Liveness | None = None
        self._records = (0.0, 0)
        self._log = logging.getLogger(f"rldlib.services.{order.service}")
        self.channel = Channel(sock, order.service, loop, self)

    # --- start -------------------------------------------------------------------

    def greet(self, told: Mapping[str, Any]) -> None:
        """Wait until it is READY and what its profile declares.

        Raises:
            WorkerStartError: It is not.
            ServiceFaultError: The service's own start raised.
        """
        order = self.order
        wait_s = order.profile.demand.startup_s
        try:
            answer = self.channel.greet(told, wait_s)
        except WorkerLostError as exc:
            raise self._start_error(f"it ended before it was ready: {exc.how}") from exc
        if answer is None:
            raise self._start_error(f"it was not ready within {wait_s:g} s")
        kind, facts = answer
        if kind == messages.FAILED:
            raise self._failure(facts)
        self._accept(facts)
        # Told by the spawner before the worker could say anything; perhaps not heard of yet.
        self._spawned.wait(wait_s)
        if self.pid is None:
            raise self._start_error("its spawner does not know it")
        self._liveness = Liveness(self.pid, self.channel, order.profile, self._loop, self.kill)

    def _accept(self, facts: Mapping[str, Any]) -> None:
        order = self.order
        for name, expected in (
            ("protocol", messages.PROTOCOL),
            ("service", order.service),
            ("version", order.version),
        ):
            found = facts.get(name)
            if type(found) is not type(expected) or found != expected:
                told = f"{found!r:.80}" if isinstance(found, (str, int)) else f"a {type(found).__name__}"
                raise self._start_error(f"its {name} is {told}, and not {expected!r}")
        try:
            self.operations = read_operations(facts.get("operations"))
        except ValueError as exc:
            raise self._start_error(str(exc)) from exc
        issues = differences(order.profile.operations, self.operations)
        if issues:
            raise self._start_error(f"it is not what its profile declares: {'; '.join(issues)}")
        self._python = _text_of(facts, "python")

    def _failure(self, facts: Mapping[str, Any]) -> Exception:
        stage, kind, message, traceback = (
            _text_of(facts, name) for name in ("stage", "type", "message", "traceback")
        )
        if stage == "start":
            return ServiceFaultError(self.order.service, "start", kind, message, traceback)
        last = traceback.strip().rpartition("\n")[2] or f"{kind}: {message}"
        return self._start_error(f"it failed at the stage {stage!r}: {last}")

    def _start_error(self, reason: str) -> WorkerStartError:
        return WorkerStartError(self.order.service, reason)

    # --- calls -------------------------------------------------------------------

    @property
    def placement(self) -> str:
        """See `Target.placement`."""
        return "local"

    @property
    def worker(self) -> Mapping[str, Any] | None:
        """See `Target.worker`."""
        return {"pid": self.pid, "python": self._python, "environment": str(self.order.environment)}

    def call(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Any:
        """See `Target.call`."""
        return self.channel.call(operation, arguments, deadline_s)

    def submit(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> CallFuture:
        """See `Target.submit`."""
        return self.channel.submit(operation, arguments, deadline_s)

    def stream(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Stream:
        """See `Target.stream`."""
        return self.channel.stream(operation, arguments, deadline_s)

    # --- the end -----------------------------------------------------------------

    def on_end(self, told: Callable[[str], None]) -> None:
        """See `rldlib.ports.Worker.on_end`."""
        with self._lock:
            if not self._gone.is_set():
                self._told.append(told)
                return
        told(self._how)

    def stop(self, wait_s: float) -> None:
        """See `rldlib.ports.Worker.stop`."""
        self.channel.stop(wait_s)
        if not self._gone.wait(wait_s):
            self.kill(f"killed, since it did not stop within {wait_s:g} s")
            self.wait_gone()

    def kill(self, why: str) -> None:
        """Kill it and all it started; returns before it is gone."""
        with self._lock:
            if self._why is None:
                self._why = why
        self._ask_to_kill()

    def wait_gone(self) -> None:
        """Wait until it was reaped; where the spawner does not answer, that goes too."""
        if not self._gone.wait(REAP_S):
            self._give_up()
            self._gone.wait(REAP_S)

    # --- what the spawner tells, in the loop's thread ------------------------------

    def spawned(self, pid: int) -> None:
        """It has a process."""
        self.pid = pid
        self._spawned.set()

    def exited(self, code: int) -> None:
        """It was reaped, and nothing of it is left."""
        self.ended(self._why or told_end(code))

    def ended(self, how: str) -> None:
        """It is gone, in words."""
        if self._liveness is not None:
            self._liveness.close()
        self.channel.line.ended(how)
        with self._lock:
            if self._gone.is_set():
                return
            self._how = how
            self._gone.set()
            told, self._told = self._told, []
        self._spawned.set()
        for tell in told:
            tell(how)

    def abandon(self, how: str) -> None:
        """In a forked child: the worker is its parent's."""
        self._lock = threading.Lock()
        self.channel.line.abandon(how)

    # --- what the channel tells: see `Listener` ------------------------------------

    def logged(self, level: int, logger: str, text: str) -> None:
        """See `Listener.logged`."""
        began, count = self._records
        now = time.monotonic()
        if now - began > 1.0:
            began, count = now, 0
        self._records = (began, count + 1)
        if count < _RECORDS_PER_SECOND:
            self._log.log(
                max(logging.DEBUG, min(level, logging.CRITICAL)), "%s", _encodable(f"{logger}: {text}")
            )

    def progressed(self, operation: str, done: float, total: float | None, text: str) -> None:
        """See `Listener.progressed`."""
        of = "" if total is None else f" of {total:g}"
        noted = _encodable(f"{operation}: {done:g}{of} {text}".rstrip())
        self._reporter.noted(self.order.service, noted)

    def left_running(self) -> None:
        """See `Listener.left_running`."""
        if self._liveness is not None:
            self._liveness.left_running()

    def broken(self) -> None:
        """See `Listener.broken`."""
        self._ask_to_kill()


def _text_of(facts: Mapping[str, Any], name: str) -> str:
    """A fact that is text; anything else a worker may send is none, and may not even be shown."""
    found = facts.get(name)
    return found if isinstance(found, str) else ""


def _encodable(text: str) -> str:
    """Half a character is escaped: who writes the text to a file would lose all of it."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
