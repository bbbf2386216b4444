"""Performs operations for others, on the workers of a daemon of this host.

A call has a place from its arrival to its end: some are performed, some more
wait for that, in their order, and what comes beyond is turned away at once.
No network here: `rldlib.server` puts it on one.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from rldlib.errors import ArgumentsError, CallTimeoutError, OverloadedError
from rldlib.values.operations import RESERVED_ARGUMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from rldlib.daemon import LocalDaemon
    from rldlib.handle import Handle
    from rldlib.ports import Items
    from rldlib.values.support import Load

# No call holds its place longer, whatever who asks would wait.
LONGEST_S: Final = 600.0
# For each call that is performed so many wait: more would only wait in vain.
_QUEUED_PER_SLOT: Final = 4
_MOST_WAIT_S: Final = 60
# How much the newest call counts in what one takes.
_NEWEST: Final = 0.2


class Performer:
    """See the module. Safe for many threads.

    Args:
        daemon: Makes a daemon over this host's ports; a second one only where two versions of one
            service are performed side by side.
        measured: How busy the host is.
        slots: How many calls are performed at once; None takes what `measured` says.
        queue_slots: How many more may wait.
        longest_s: The longest that one call may hold its place.
    """

    def __init__(
        self,
        daemon: Callable[[], LocalDaemon],
        measured: Callable[[], Load],
        *,
        slots: int | None = None,
        queue_slots: int | None = None,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._make = daemon
        self._measured = measured
        self.slots = slots if slots is not None else measured().slots
        self.queue_slots = queue_slots if queue_slots is not None else _QUEUED_PER_SLOT * self.slots
        self.longest_s = longest_s
        self._guard = threading.Lock()
        self._active = 0
        self._waiting: deque[Turn] = deque()
        self._mean_s = 0.0
        # One thread at a time acquires; the workers themselves are started once.
        self._acquiring = threading.Lock()
        self._daemons: list[LocalDaemon] = []
        self._kept: dict[tuple[str, str], Handle] = {}

    def load(self) -> Load:
        """How busy this host is, its places for calls included."""
        with self._guard:
            active, queued = self._active, len(self._waiting)
        return replace(
            self._measured(), slots=self.slots, queue_slots=self.queue_slots, active=active, queued=queued
        )

    # --- services ------------------------------------------------------------------

    def hold(self, service: str, version: str) -> Handle:
        """A version of a service, acquired once and then kept.

        Raises:
            RldlibError: As `LocalDaemon.acquire`.
        """
        key = service, version
        kept = self._kept.get(key)
        if kept is None:
            with self._acquiring:
                kept = self._kept.get(key)
                if kept is None:
                    # What a local daemon runs, it runs in one version.
                    before = sum(1 for name, _ in self._kept if name == service)
                    while len(self._daemons) <= before:
                        self._daemons.append(self._make())
                    kept = self._daemons[before].acquire(f"{service}=={version}")
                    self._kept = {**self._kept, key: kept}
        return kept

    def operations(self, service: str, version: str) -> Mapping[str, Mapping[str, Any]]:
        """What is performed of a version that is kept; empty where it is not yet."""
        kept = self._kept.get((service, version))
        return kept.operations if kept is not None else {}

    def close(self) -> None:
        """End every worker, and with them the calls under way."""
        for daemon in self._daemons:
            daemon.close()

    # --- places --------------------------------------------------------------------

    def admit(self, service: str) -> Turn:
        """A place for one call; use it in a ``with``.

        Raises:
            OverloadedError: All are taken; nothing was begun.
        """
        with self._guard:
            turn = Turn(self, service)
            if self._active < self.slots:
                self._active += 1
                turn.begin()
            elif len(self._waiting) < self.queue_slots:
                self._waiting.append(turn)
            else:
                ahead = (self._active + len(self._waiting)) * self._mean_s / self.slots
                raise OverloadedError(service, max(1, min(_MOST_WAIT_S, math.ceil(ahead))))
            return turn

    def leave(self, turn: Turn) -> None:
        """A call is over: the first that waits begins."""
        with self._guard:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return
            self._active -= 1
            self._mean_s += _NEWEST * (turn.took_s - self._mean_s)
            if self._waiting:
                self._active += 1
                self._waiting.popleft().begin()


class Turn:
    """The place of one call. For one thread, but for `cancel`, which any may call.

    Args:
        performer: Whose place it is.
        service: The service that is called.
    """

    def __init__(self, performer: Performer, service: str) -> None:
        self._performer = performer
        self._service = service
        self._arrived = time.monotonic()
        self._began = self._arrived
        self._begun = threading.Event()
        self._guard = threading.Lock()
        self._end: Callable[[], object] | None = None
        self._cancelled = self._left = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    @property
    def took_s(self) -> float:
        """How long it has been performed."""
        return time.monotonic() - self._began

    def begin(self) -> None:
        """It need not wait any more."""
        self._began = time.monotonic()
        self._begun.set()

    def leave(self) -> None:
        """Give the place to the next, and cancel what still runs in it. May be called again."""
        with self._guard:
            if self._left:
                return
            self._left = True
        self.cancel()
        self._performer.leave(self)

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        with self._guard:
            self._cancelled = True
            end = self._end
        self._begun.set()
        if end is not None:
            end()

    def perform(
        self, handle: Handle, operation: str, arguments: Mapping[str, Any], deadline_s: float | None
    ) -> Any:
        """Wait until the call may begin, perform it, and give its result.

        Args:
            handle: The service.
            operation: The operation, which is no stream.
            arguments: Its arguments.
            deadline_s: The longest that it may take from its arrival on.

        Raises:
            RldlibError: As `Handle.call`.
            CancelledError: It was cancelled.
        """
        allowed_s = self._allowed_s(deadline_s)
        left_s = self._wait(operation, arguments, allowed_s)
        try:
            future = handle.submit(operation, deadline=left_s, **arguments)
            self._ends_by(future.cancel)
            return future.result()
        except CallTimeoutError as exc:
            raise CallTimeoutError(self._service, operation, allowed_s) from exc

    def stream(
        self, handle: Handle, operation: str, arguments: Mapping[str, Any], deadline_s: float | None
    ) -> Items:
        """Like `perform`, for a stream; the place is held until `leave`."""
        left_s = self._wait(operation, arguments, self._allowed_s(deadline_s))
        items = handle.stream(operation, deadline=left_s, **arguments)
        self._ends_by(items.close)
        return items

    def _allowed_s(self, deadline_s: float | None) -> float:
        longest_s = self._performer.longest_s
        return longest_s if deadline_s is None else min(deadline_s, longest_s)

    def _wait(self, operation: str, arguments: Mapping[str, Any], allowed_s: float) -> float:
        """How long it may take, once it may begin."""
        if RESERVED_ARGUMENT in arguments:
            issue = f"{RESERVED_ARGUMENT} is the call's own, and no argument of an operation"
            raise ArgumentsError(self._service, operation, [issue])
        until = self._arrived + allowed_s
        self._begun.wait(max(0.0, until - time.monotonic()))
        if self._cancelled:
            raise CancelledError
        left_s = until - time.monotonic()
        if left_s <= 0 or not self._begun.is_set():
            raise CallTimeoutError(self._service, operation, allowed_s)
        return left_s

    def _ends_by(self, end: Callable[[], object]) -> None:
        """What `cancel` does from now on."""
        with self._guard:
            self._end = end
            cancelled = self._cancelled
        if cancelled:
            end()
