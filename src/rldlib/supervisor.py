"""Keeps one service running: starts its worker again when it is lost, until that is hopeless."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from rldlib.errors import CallTimeoutError, RldlibError, WorkerLostError
from rldlib.later import LaterCall
from rldlib.reporter import Reporter
from rldlib.rules.lifecycle import Event, State, after
from rldlib.rules.supervision import GiveUp, next_start

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from rldlib.ports import Items, Worker
    from rldlib.values.profile import HostSettings

# What is left of a deadline when a worker is there at the last moment.
_SHORTEST_S = 0.001


class Supervisor:
    """See `rldlib.ports.Target`: the same service, whichever worker performs it now.

    A worker that is lost is replaced in the background. Calls meanwhile wait
    for the next one, within their deadlines; no call is ever sent twice.

    Args:
        start: Starts a worker and waits until it is ready.
        service: Named in errors.
        settings: How often it is started again, and how long it may take to stop.
        reporter: Told of losses and restarts.
    """

    def __init__(
        self,
        start: Callable[[], Worker],
        *,
        service: str,
        settings: HostSettings,
        reporter: Reporter | None = None,
    ) -> None:
        self._start = start
        self._service = service
        self._settings = settings
        self._reporter = reporter or Reporter()
        self._changed = threading.Condition()
        self._state = State.ENDED
        self._worker: Worker | None = None
        # See `Target.operations`; of the worker that got ready last.
        self.operations: Mapping[str, Mapping[str, Any]] = {}
        self._ends: list[float] = []
        self._last: RldlibError | None = None
        self._mender: threading.Thread | None = None
        # Submitted while no worker ran, and the one thread that waits for all of them.
        self._later: list[LaterCall] = []
        self._usher: threading.Thread | None = None

    # --- its life ------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the worker stands."""
        return self._state

    def start(self) -> None:
        """Start the first worker; its errors come out, and nothing is tried again.

        Raises:
            WorkerStartError: It did not get ready.
            ServiceFaultError: The service's own start raised.
        """
        self._happens(Event.START)
        try:
            worker = self._start()
        except BaseException as exc:
            with self._changed:
                self._last = exc if isinstance(exc, RldlibError) else None
                if self._state is State.STARTING:
                    self._happens(Event.GIVE_UP)
            raise
        self._running(worker)

    def stop(self) -> None:
        """Ask the worker to stop, wait, kill it, reap it. May be called again."""
        with self._changed:
            if self._state in {State.ENDED, State.STOPPING}:
                return
            self._happens(Event.STOP)
            worker, self._worker = self._worker, None
            mender = self._mender
        if worker is not None:
            worker.stop(self._settings.stop_s)
        if mender is not None and mender is not threading.current_thread():
            mender.join()
        with self._changed:
            self._happens(Event.GONE)

    def _running(self, worker: Worker) -> None:
        """A worker got ready: calls go there from now on."""
        with self._changed:
            self.operations = worker.operations
            self._happens(Event.READY)
            wanted = self._state is State.RUNNING
            self._worker = worker if wanted else None
        if wanted:
            worker.on_end(lambda how: self._ended(worker, how))
        else:
            worker.stop(self._settings.stop_s)

    def _ended(self, worker: Worker, how: str) -> None:
        """In the I/O thread: whatever takes time happens in a thread of its own."""
        with self._changed:
            if self._worker is not worker:
                return  # it was stopped
            self._worker = None
            self._lose(WorkerLostError(self._service, how, executed=False))
            self._mender = threading.Thread(
                target=self._mend, name=f"rldlib-mend-{self._service}", daemon=True
            )
            self._mender.start()
        self._reporter.noted(self._service, f"its worker ended: {how}")

    def _lose(self, error: RldlibError) -> None:
        self._ends.append(time.monotonic())
        self._last = error
        self._happens(Event.LOST)

    def _mend(self) -> None:
        """Start workers until one runs, it is given up, or nobody wants it any more."""
        while self._wait_to_retry():
            try:
                worker = self._start()
            except RldlibError as exc:
                with self._changed:
                    self._lose(exc)
            else:
                self._running(worker)
                return

    def _wait_to_retry(self) -> bool:
        with self._changed:
            if self._unwanted():
                return False
            decision = next_start(self._ends, time.monotonic(), self._settings)
            if isinstance(decision, GiveUp):
                self._happens(Event.GIVE_UP)
                self._reporter.noted(self._service, f"given up: {decision.reason}")
                return False
            if self._changed.wait_for(self._unwanted, decision.after_s):
                return False
            self._happens(Event.RETRY)
            return True

    def _unwanted(self) -> bool:
        return self._state is State.STOPPING

    def _happens(self, event: Event) -> None:
        with self._changed:
            self._state = after(self._state, event)
            self._changed.notify_all()

    # --- calls -----------------------------------------------------------------------

    @property
    def placement(self) -> str:
        """See `Target.placement`."""
        return "local"

    @property
    def worker(self) -> Mapping[str, Any] | None:
        """See `Target.worker`."""
        worker = self._worker
        return worker.worker if worker is not None else None

    def call(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Any:
        """See `Target.call`."""
        worker = self._worker
        if worker is None:
            return self._perform("call", operation, arguments, deadline_s)
        began = time.monotonic()
        try:
            return worker.call(operation, arguments, deadline_s)
        except WorkerLostError as exc:
            # Certainly not begun: sending it to the next worker repeats nothing.
            if exc.executed is not False:
                raise
            self._wait_until_replaced(worker)
        return self._perform("call", operation, arguments, deadline_s, began)

    def stream(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Items:
        """See `Target.stream`."""
        items: Items = self._perform("stream", operation, arguments, deadline_s)
        return items

    def submit(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Future[Any]:
        """See `Target.submit`."""
        worker = self._worker
        if worker is not None:
            try:
                return worker.submit(operation, arguments, deadline_s)
            except WorkerLostError as exc:
                if exc.executed is not False:
                    raise
        return self._submit_later(operation, arguments, deadline_s)

    def _perform(
        self,
        way: str,
        operation: str,
        arguments: Mapping[str, Any],
        deadline_s: float | None,
        began: float | None = None,
    ) -> Any:
        worker, left = (self._worker if began is None else None), deadline_s
        until = None if deadline_s is None else (began or time.monotonic()) + deadline_s
        while True:
            if worker is None:
                worker = self._wait_for_worker(operation, deadline_s, until)
                left = None if until is None else max(until - time.monotonic(), _SHORTEST_S)
            try:
                return getattr(worker, way)(operation, arguments, left)
            except WorkerLostError as exc:
                # Certainly not begun: sending it to the next worker repeats nothing.
                if exc.executed is not False or not self._wait_until_replaced(worker):
                    raise
                worker = None

    def _wait_for_worker(self, operation: str, deadline_s: float | None, until: float | None) -> Worker:
        """The worker that runs, or the next one.

        Raises:
            CallTimeoutError: None came in time.
            RldlibError: None will come: why the last one did not.
        """
        with self._changed:
            in_time = self._changed.wait_for(
                self._settled,
                None if until is None else max(until - time.monotonic(), 0),
            )
            if self._worker is not None:
                return self._worker
            if not in_time:
                raise CallTimeoutError(self._service, operation, deadline_s or 0)
            raise self._refusal()

    def _settled(self) -> bool:
        """Whether there is a worker, or none will come."""
        return self._worker is not None or self._state in {State.FATAL, State.ENDED, State.STOPPING}

    def _refusal(self) -> RldlibError:
        if self._state is not State.FATAL or self._last is None:
            return WorkerLostError(self._service, "stopped by its daemon", executed=False)
        # A copy: each caller's traceback is its own.
        return type(self._last)(*self._last.args)

    def _wait_until_replaced(self, lost: Worker) -> bool:
        """A line may be lost a moment before its worker is reaped: do not call the same one again.

        In a forked child it stays the same for ever: nobody replaces a worker there.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._worker is not lost, self._settings.stop_s)

    def _submit_later(
        self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None
    ) -> Future[Any]:
        later = LaterCall(self._service, operation, arguments, deadline_s)
        with self._changed:
            self._later.append(later)
            if self._usher is None:
                self._usher = threading.Thread(
                    target=self._usher_in, name=f"rldlib-wait-{self._service}", daemon=True
                )
                self._usher.start()
            self._changed.notify_all()
        return later

    def _usher_in(self) -> None:
        """Send the calls that wait for a worker, once there is one: one thread for all of them."""
        while True:
            with self._changed:
                self._later = [later for later in self._later if not later.done()]
                if not self._later:
                    self._usher = None
                    return
                if not self._settled():
                    deadlines = [later.until for later in self._later if later.until is not None]
                    self._changed.wait(max(min(deadlines) - time.monotonic(), 0) if deadlines else None)
                due, self._later = self._later, []
                if not self._settled():
                    now = time.monotonic()
                    self._later = [later for later in due if not later.is_past(now)]
                    due = [later for later in due if later.is_past(now)]
            for later in due:
                later.follow(self._perform)
