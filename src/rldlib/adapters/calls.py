"""Calls that wait for their end: by a thread, by a future, item by item."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from rldlib.wire.frames import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldlib.adapters.io_loop import Timer

# Items that a stream may have under way: enough to hide the way there and back, few enough to hold.
STREAM_CREDIT = 32


class WaitingCall:
    """A call that a thread waits for.

    Attributes:
        id: Its number on the channel.
        operation: What was called.
        deadline_s: Its deadline in seconds; None where it has none.
        sent: Whether all of it was handed to the kernel; a worker cannot have
            begun what it was not sent.
        over: Whether it has ended.
    """

    # What most calls never change costs none of them anything.
    deadline_s: float | None = None
    sent = False
    over = False
    _value: Any = None
    _error: BaseException | None = None
    # Held while there is nothing new; most calls are read by who waits for them, and need none.
    # A lock wakes a thread faster than a condition.
    _asleep: threading.Lock | None = None

    def __init__(self, number: int, operation: str) -> None:
        self.id = number
        self.operation = operation

    @property
    def ready(self) -> bool:
        """Whether there is something for whoever waits."""
        return self.over

    def reply(self, value: Any) -> None:
        """It ended well."""
        self._value = value
        self.over = True
        if self._asleep is not None:
            self.wake()

    def fail(self, error: BaseException) -> None:
        """It ended otherwise; does nothing where it has ended already."""
        if not self.over:
            self._error = error
            self.over = True
            self.wake()

    def item(self, _value: Any) -> None:
        """An item of a stream came."""
        raise ProtocolError(f"an item for {self.operation}, which is no stream")

    def end(self) -> None:
        """The stream is over."""
        raise ProtocolError(f"an end of a stream for {self.operation}, which is none")

    def progressed(self, _done: float, _total: float | None, _text: str) -> None:
        """It told how far it is; a future keeps it."""

    def result(self) -> Any:
        """The value, once it is `ready`; raises what went wrong instead."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                # The traceback refers to this frame: without this, a cycle keeps the arguments.
                self._error = None
        value, self._value = self._value, None
        return value

    def wake(self) -> None:
        """Have whoever waits look again."""
        asleep = self._asleep
        if asleep is not None and asleep.locked():
            try:
                asleep.release()
            except RuntimeError:
                return  # another thread was faster, and it is awake

    def lie_down(self) -> None:
        """From now on, `wake` is noticed by the next `sleep`."""
        if self._asleep is None:
            asleep = threading.Lock()
            asleep.acquire()
            self._asleep = asleep

    def sleep(self, seconds: float | None) -> None:
        """Wait until it is ready, until `wake`, or so many seconds."""
        self.lie_down()
        # What came before there was anything to wake has woken nobody.
        if self._asleep is not None and not self.ready:
            self._asleep.acquire(timeout=-1 if seconds is None else max(seconds, 0))


class StreamCall(WaitingCall):
    """A call whose items one thread takes as they come. What came before it failed is still given."""

    def __init__(self, number: int, operation: str) -> None:
        super().__init__(number, operation)
        self._items: deque[Any] = deque()
        # Each is written by one thread only: who reads the socket, who takes the items.
        self._received = 0
        self._granted = STREAM_CREDIT
        self._taken = 0

    @property
    def ready(self) -> bool:
        """See `WaitingCall.ready`."""
        return self.over or bool(self._items)

    def reply(self, _value: Any) -> None:
        """A stream has no single result."""
        raise ProtocolError(f"a reply for {self.operation}, which is a stream")

    def item(self, value: Any) -> None:
        """See `WaitingCall.item`."""
        if self._received >= self._granted:
            raise ProtocolError(f"an item of {self.operation} beyond its credit")
        self._received += 1
        self._items.append(value)
        self.wake()

    def end(self) -> None:
        """See `WaitingCall.end`."""
        self.over = True
        self.wake()

    def take(self) -> tuple[bool, Any]:
        """Whether there was an item, and the item; raises how the stream ended where it failed."""
        if self._items:
            self._taken += 1
            return True, self._items.popleft()
        self.result()
        return False, None

    def more_credit(self) -> int:
        """How much credit to give now; 0 until half of it was used up."""
        left = self._granted - self._taken
        if self.over or left > STREAM_CREDIT // 2:
            return 0
        self._granted += STREAM_CREDIT - left
        return STREAM_CREDIT - left


class CallFuture(Future[Any]):
    """The future of a submitted call.

    Attributes:
        progress: What the operation told last: done, total or None, text; None before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.progress: tuple[float, float | None, str] | None = None
        self.on_cancel: Callable[[], None] | None = None

    def cancel(self) -> bool:
        """Cancel the call, also where it runs; False where it has ended."""
        if self.cancelled():
            return True
        if not super().cancel():
            return False
        # Those who wait for several futures are told by this alone.
        self.set_running_or_notify_cancel()
        if self.on_cancel is not None:
            self.on_cancel()
        return True


class FutureCall(WaitingCall):
    """A call whose end completes a future.

    The future's callbacks run in the thread that read the reply: they must be short.
    """

    def __init__(self, number: int, operation: str, future: CallFuture) -> None:
        super().__init__(number, operation)
        self.future = future
        self.timer: Timer | None = None

    def reply(self, value: Any) -> None:
        """See `WaitingCall.reply`."""
        self.close()
        with contextlib.suppress(InvalidStateError):  # cancelled, or past its deadline
            self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """See `WaitingCall.fail`."""
        self.close()
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(error)

    def progressed(self, done: float, total: float | None, text: str) -> None:
        """See `WaitingCall.progressed`."""
        self.future.progress = (done, total, text)

    def close(self) -> None:
        """Its deadline is of no interest any more."""
        if self.timer is not None:
            self.timer.cancel()
