"""Calls: each begun at most once, each with exactly one end."""

from __future__ import annotations

from threading import Lock
from time import monotonic

from rldlib.plugin import _current
from rldlib.wire import messages
from rldlib.wire.codec import EncodingError
from rldlib.worker.faults import told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rldlib.worker.connection import Connection
    from rldlib.worker.operations import Operation

# Where a reply has its result.
_RESULT = 2


class Call:
    """One call of a function, performed by the thread that runs it.

    Attributes:
        cancelled: Whether the host gave it up.
    """

    cancelled = False

    def __init__(
        self,
        connection: Connection,
        message: list[Any],
        operation: Operation | None,
        done: Callable[[int, None], object],
    ) -> None:
        _, self.id, self._name, self._arguments, deadline_s = message
        self._connection = connection
        self._operation = operation
        self._due = None if deadline_s is None else monotonic() + deadline_s
        self._done = done

    def run(self) -> None:
        """Perform it and tell its end; nothing comes out."""
        token = _current.set(self)
        try:
            keywords = self.begin()
            if keywords is not None:
                result = self._operation.function(**keywords)  # type: ignore[union-attr] # it has begun
                # Let go of the arguments first: what memory they lie in is freed with the reply.
                keywords = None
                self.reply(result)
        except BaseException as exc:  # noqa: BLE001 - SystemExit too is a fault of the call, and no end of the worker
            self.fault(exc)
        finally:
            _current.reset(token)

    def cancel(self) -> None:
        """The host gave it up: not begun if it is waiting, else `rldlib.plugin.cancelled` tells it."""
        self.cancelled = True

    def grant(self, items: int) -> None:
        """A call hands out no items; credit for it is spent on nothing."""

    def progress(self, done: float, total: float | None, text: str) -> None:
        """See `rldlib.plugin.progress`."""
        told = [_number(done), None if total is None else _number(total), str(text)]
        self._connection.send_droppable([messages.PROGRESS, self.id, *told])

    def begin(self) -> dict[str, Any] | None:
        """The keyword arguments; None where it is over before it began."""
        arguments, self._arguments = self._arguments, None
        if self.cancelled:
            self.give_up()
        elif self._due is not None and monotonic() > self._due:
            self._end(
                [messages.FAULT, self.id, messages.OVERDUE, "its deadline passed before it was begun", ""]
            )
        elif self._operation is None:
            self._end([messages.REFUSED, self.id, [f"there is no operation {self._name}"]])
        else:
            issues = self._operation.binding.bind(arguments)
            if not issues:
                bound: dict[str, Any] = arguments
                return bound
            self._end([messages.REFUSED, self.id, issues])
        return None

    def reply(self, result: Any) -> None:
        """End it with its result, or with a fault where that does not travel."""
        # First: the host may use the id again as soon as it has the end.
        self._done(self.id, None)
        try:
            self._connection.send([messages.REPLY, self.id, result], _RESULT)
        except EncodingError as exc:
            self.unsent(exc)

    def unsent(self, exc: EncodingError) -> None:
        """End it with a fault, since what the service gave does not travel."""
        self._end([messages.FAULT, self.id, type(exc).__qualname__, f"what {self._name} gave: {exc}", ""])

    def give_up(self) -> None:
        """End it as one that was cancelled."""
        self._end([messages.FAULT, self.id, messages.CANCELLED, "it was cancelled", ""])

    def fault(self, exc: BaseException) -> None:
        """End it with what the service raised."""
        self._end([messages.FAULT, self.id, *told(exc)])

    def _end(self, message: list[Any]) -> None:
        self._done(self.id, None)
        self._connection.send(message)


class StreamCall(Call):
    """One call of a generator. Without credit it is set aside, and occupies no thread.

    Args:
        resume: Called to have `run` called again, when there is credit or it was cancelled.
    """

    def __init__(self, *arguments: Any, resume: Callable[[StreamCall], object]) -> None:
        super().__init__(*arguments)
        self._resume = resume
        self._lock = Lock()
        self._credit = 0
        self._aside = False
        self._items: Any = None

    def run(self) -> None:
        """Hand out items until the credit is spent, or the end."""
        token = _current.set(self)
        try:
            if self._items is None:
                keywords = self.begin()
                if keywords is None:
                    return
                assert self._operation is not None
                self._items = iter(self._operation.function(**keywords))
            self._hand_out()
        except BaseException as exc:  # noqa: BLE001 - as in Call.run
            self.fault(exc)
        finally:
            _current.reset(token)

    def cancel(self) -> None:
        """See `Call.cancel`; a stream set aside is closed."""
        self.cancelled = True
        self._go_on(0)

    def grant(self, items: int) -> None:
        """Let it hand out so many more items."""
        self._go_on(items)

    def _go_on(self, items: int) -> None:
        with self._lock:
            self._credit += items
            resumed, self._aside = self._aside, False
        if resumed:
            self._resume(self)

    def _hand_out(self) -> None:
        while not self.cancelled:
            with self._lock:
                if self._credit <= 0 and not self.cancelled:
                    self._aside = True
                    return
                self._credit -= 1
            try:
                item = next(self._items)
            except StopIteration:
                self._end([messages.END, self.id])
                return
            try:
                self._connection.send([messages.ITEM, self.id, item])
            except EncodingError as exc:
                self._close()
                self.unsent(exc)
                return
            # Not kept while the next one is made: it may lie in shared memory.
            item = None
        self._close()
        self.give_up()

    def _close(self) -> None:
        close = getattr(self._items, "close", None)
        if close is not None:
            close()


def _number(value: Any) -> float:
    # A Decimal travels as one, and the protocol has numbers here.
    return value if type(value) is int else float(value)
