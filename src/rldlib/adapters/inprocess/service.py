"""A service in this process, from its caller's side."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from rldlib.adapters.calls import STREAM_CREDIT, CallFuture, FutureCall, StreamCall, WaitingCall
from rldlib.adapters.inprocess.passage import carried
from rldlib.adapters.inprocess.performing import Performer
from rldlib.adapters.stream import Stream
from rldlib.errors import (
    ArgumentsError,
    CallTimeoutError,
    ServiceFaultError,
    WorkerLostError,
    WorkerStartError,
)
from rldlib.values.operations import differences, read_operations
from rldlib.wire import messages
from rldlib.wire.codec import EncodingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rldlib.adapters.io_loop import IoLoop
    from rldlib.reporter import Reporter
    from rldlib.values.start import StartOrder

_STOPPED = "stopped by its daemon"
_FORKED = "it belongs to the process that this one was forked from"


class LoadedService:
    """See `rldlib.ports.Worker`.

    A call past its deadline is given up by its caller, and goes on: a thread
    cannot be killed. So it is with a service that does not stop in time.

    Args:
        order: What is to be performed.
        packages: Its environment's site-packages, on the process's path already.
        loop: Keeps the deadlines of futures.
        reporter: Told of the progress of calls.
        on_left: Called once the service has come to its end.
    """

    def __init__(
        self,
        order: StartOrder,
        packages: Path,
        loop: IoLoop,
        reporter: Reporter,
        *,
        on_left: Callable[[Path], None],
    ) -> None:
        self.order = order
        self.operations: Mapping[str, Mapping[str, Any]] = {}
        self._loop = loop
        self._reporter = reporter
        self._pid = os.getpid()
        self._python = ""
        self._ids = itertools.count(1)
        self._calls: dict[int, WaitingCall] = {}
        # Streams that nobody reads. A finalizer may run while its very thread
        # holds a lock: it only appends here.
        self._dropped: deque[WaitingCall] = deque()
        self._greeting = WaitingCall(0, messages.START)
        self._lock = threading.Lock()
        self._how: str | None = None
        self._told: list[Callable[[str], None]] = []
        self._performer = Performer(order, packages, self._hear, on_left)

    def greet(self) -> None:
        """Start it, and wait until it is ready and what its profile declares.

        Raises:
            WorkerStartError: It is not.
            ServiceFaultError: The service's own start raised.
        """
        order, wait_s = self.order, self.order.profile.demand.startup_s
        self._performer.start()
        if not _wait(self._greeting, time.monotonic() + wait_s):
            raise WorkerStartError(order.service, f"it was not ready within {wait_s:g} s")
        kind, facts = self._greeting.result()
        if kind == messages.FAILED:
            raise self._failure(**facts)
        try:
            self.operations = read_operations(facts["operations"])
        except ValueError as exc:
            raise WorkerStartError(order.service, str(exc)) from exc
        issues = differences(order.profile.operations, self.operations)
        if issues:
            raise WorkerStartError(order.service, f"it is not what its profile declares: {'; '.join(issues)}")
        self._python = facts["python"]

    def _failure(self, *, stage: str, type: str, message: str, traceback: str) -> Exception:  # noqa: A002 - the message's own word
        if stage == "start":
            return ServiceFaultError(self.order.service, "start", type, message, traceback)
        last = traceback.strip().rpartition("\n")[2] or f"{type}: {message}"
        return WorkerStartError(self.order.service, f"it failed at the stage {stage!r}: {last}")

    # --- calls -----------------------------------------------------------------------

    @property
    def placement(self) -> str:
        """See `Target.placement`."""
        return "local"

    @property
    def worker(self) -> Mapping[str, Any] | None:
        """See `Target.worker`: the process is this one."""
        return {"pid": self._pid, "python": self._python, "environment": str(self.order.environment)}

    def call(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Any:
        """See `Target.call`."""
        until = _until(deadline_s)
        call = WaitingCall(next(self._ids), operation)
        self._send(call, arguments, deadline_s)
        try:
            in_time = _wait(call, until)
        except BaseException:
            self.cancel(call)
            raise
        if not in_time:
            self.cancel(call)
            raise self._late(call)
        return call.result()

    def submit(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> CallFuture:
        """See `Target.submit`."""
        future = CallFuture()
        call = FutureCall(next(self._ids), operation, future)
        future.on_cancel = lambda: self.cancel(call)
        if deadline_s is not None:
            call.timer = self._loop.later(deadline_s, lambda: self._expire(call))
        try:
            self._send(call, arguments, deadline_s)
        except BaseException:
            call.close()
            raise
        return future

    def stream(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Stream:
        """See `Target.stream`."""
        until = _until(deadline_s)
        call = StreamCall(next(self._ids), operation)
        self._send(call, arguments, deadline_s)
        self._performer.grant(call.id, STREAM_CREDIT)
        return Stream(self, call, deadline_s, until)

    def next_item(self, call: StreamCall, deadline_s: float | None, until: float | None) -> tuple[bool, Any]:
        """Whether there is one more item, and the item."""
        del deadline_s
        if not _wait(call, until):
            self.cancel(call)
            raise self._late(call)
        taken = call.take()
        credit = call.more_credit()
        if credit:
            self._performer.grant(call.id, credit)
        return taken

    def cancel(self, call: WaitingCall) -> None:
        """Nobody waits for this call any more."""
        if self._calls.pop(call.id, None) is not None:
            self._performer.cancel(call.id)

    def drop(self, call: WaitingCall) -> None:
        """Cancel with the next call; for finalizers."""
        self._dropped.append(call)

    def _send(self, call: WaitingCall, arguments: Mapping[str, Any], deadline_s: float | None) -> None:
        call.deadline_s = deadline_s
        if deadline_s is not None and deadline_s <= 0:
            raise self._late(call)
        if self._how is not None or os.getpid() != self._pid:
            raise WorkerLostError(self.order.service, self._how or _FORKED, executed=False)
        while self._dropped:
            self.cancel(self._dropped.popleft())
        try:
            message = carried([messages.CALL, call.id, call.operation, dict(arguments), deadline_s])
        except EncodingError as exc:
            raise ArgumentsError(self.order.service, call.operation, [str(exc)]) from exc
        self._calls[call.id] = call
        self._performer.take(message)

    def _expire(self, call: FutureCall) -> None:
        self.cancel(call)
        call.fail(self._late(call))

    def _late(self, call: WaitingCall) -> CallTimeoutError:
        return CallTimeoutError(self.order.service, call.operation, call.deadline_s or 0)

    # --- what the service's side says, in its threads ----------------------------------

    def _hear(self, message: list[Any]) -> None:
        kind, number, *rest = message
        if kind in {messages.READY, messages.FAILED}:
            self._greeting.reply(message)
            return
        call = self._calls.get(number)
        if call is None:
            return  # its caller gave it up
        if kind == messages.ITEM:
            call.item(rest[0])
        elif kind == messages.PROGRESS:
            self._progressed(call, *rest)
        elif self._calls.pop(number, None) is not None:
            self._end(call, kind, rest)

    def _end(self, call: WaitingCall, kind: str, rest: list[Any]) -> None:
        if kind == messages.REPLY:
            call.reply(rest[0])
        elif kind == messages.END:
            call.end()
        elif kind == messages.REFUSED:
            issues = [str(issue) for issue in rest[0]]
            call.fail(ArgumentsError(self.order.service, call.operation, issues))
        elif rest[0] == messages.OVERDUE:
            call.fail(self._late(call))
        elif rest[0] == messages.CANCELLED:
            # Its caller still waits: it was the end of the service that cancelled it.
            call.fail(WorkerLostError(self.order.service, _STOPPED))
        else:
            call.fail(ServiceFaultError(self.order.service, call.operation, *rest))

    def _progressed(self, call: WaitingCall, done: float, total: float | None, text: str) -> None:
        call.progressed(done, total, text)
        of = "" if total is None else f" of {total:g}"
        self._reporter.noted(self.order.service, f"{call.operation}: {done:g}{of} {text}".rstrip())

    # --- the end -----------------------------------------------------------------------

    def on_end(self, told: Callable[[str], None]) -> None:
        """See `rldlib.ports.Worker.on_end`."""
        with self._lock:
            if self._how is None:
                self._told.append(told)
                return
        told(self._how)

    def stop(self, wait_s: float) -> None:
        """See `rldlib.ports.Worker.stop`; what does not stop is left to itself."""
        if self._how is not None:
            return
        if os.getpid() != self._pid:
            # Its threads are its parent's: here is nobody to wait for.
            self._ended(_FORKED)
            return
        self._performer.end(wait_s)
        if self._performer.left.wait(wait_s):
            self._ended(_STOPPED)
        else:
            self._ended(f"given up, since it did not stop within {wait_s:g} s; its threads go on")
            self._reporter.noted(
                self.order.service, f"it did not stop within {wait_s:g} s; its threads go on"
            )

    def _ended(self, how: str) -> None:
        with self._lock:
            if self._how is not None:
                return
            self._how = how
            told, self._told = self._told, []
        while self._calls:
            call = self._calls.popitem()[1]
            call.fail(WorkerLostError(self.order.service, how))
        for tell in told:
            tell(how)


def _wait(call: WaitingCall, until: float | None) -> bool:
    """Wait until there is something for whoever waits for the call; False where `until` came first."""
    while not call.ready:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            return False
        call.sleep(left)
    return True


def _until(deadline_s: float | None) -> float | None:
    return None if deadline_s is None else time.monotonic() + deadline_s
