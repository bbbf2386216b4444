"""The desk: takes calls from whoever reads, and hands them to whoever performs them."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from threading import Lock, Thread
from time import monotonic

from rldlib.wire import messages
from rldlib.wire.frames import ProtocolError
from rldlib.worker.calls import Call, StreamCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rldlib.worker.connection import Connection
    from rldlib.worker.coroutines import Loop
    from rldlib.worker.operations import Operation
    from rldlib.worker.reading import Reading
    from rldlib.worker.records import Records


class Desk:
    """The calls in hand. One thread at a time gives and cancels; `threads` threads perform.

    The thread that calls `work` is one of them. So with one thread, hooks and
    calls of functions all run in the process's main thread.

    Attributes:
        ended: Whether nothing more is begun.
        roused: How often somebody who had nothing to do was woken.
    """

    def __init__(
        self,
        connection: Connection,
        operations: Mapping[str, Operation],
        *,
        threads: int,
        loop: Loop | None,
        records: Records,
    ) -> None:
        self._connection = connection
        self._operations = operations
        self._loop = loop
        self._records = records
        self._calls: dict[int, Call] = {}
        self._forget = self._calls.pop
        self._queue: deque[Call] = deque()
        self.ended = False
        self.roused = 0
        # Who has nothing to do, and does not read: each held by itself until it is woken.
        self._asleep: list[Any] = []
        self._reading: Reading | None = None
        self._others = [
            Thread(target=self.work, name=f"rldlib-{n}", daemon=True) for n in range(2, threads + 1)
        ]

    def take(self, message: list[Any]) -> None:
        """Take a ``call``.

        Raises:
            ProtocolError: Another call in hand has its id.
        """
        operation = self._operations.get(message[2])
        if message[1] in self._calls:
            raise ProtocolError(f"two calls have the id {message[1]}")
        if operation is None or not (operation.asynchronous or operation.stream):
            call = Call(self._connection, message, operation, self._forget)
        else:
            call = self._special(message, operation)
        if self.ended:
            call.give_up()
            return
        self._calls[call.id] = call
        if operation is not None and operation.asynchronous:
            call.run()
        else:
            self._put(call)

    def cancel(self, call_id: int) -> None:
        """Cancel a call; one that has ended meanwhile is nobody's any more."""
        call = self._calls.get(call_id)
        if call is not None:
            call.cancel()

    def grant(self, call_id: int, items: int) -> None:
        """Let a stream hand out so many more items."""
        call = self._calls.get(call_id)
        if call is not None:
            call.grant(items)

    def open(self) -> None:
        """Start the other threads."""
        for thread in self._others:
            thread.start()

    def read_with(self, reading: Reading) -> None:
        """Have those read who have nothing else to do; without this, calls are given by others."""
        self._reading = reading

    @property
    def waits(self) -> bool:
        """Whether a call waits to be performed, or nothing is performed any more."""
        return self.ended or len(self._queue) > 0

    def work(self) -> None:
        """Perform calls until `end`."""
        while True:
            call = self._next()
            if call is None:
                return
            call.run()
            # Not kept until the next call comes: its result may lie in shared memory.
            del call
            self._records.watch()

    def end(self) -> None:
        """Begin nothing more: what waits is given up, what runs is told that it is cancelled."""
        if self.ended:
            return
        self.ended = True
        for call in list(self._calls.values()):
            call.cancel()
        while self._wake():
            pass

    def wait_ended(self, deadline: float) -> None:
        """Wait for the other threads' calls until `deadline`, by the monotonic clock."""
        for thread in self._others:
            thread.join(max(0.0, deadline - monotonic()))

    def _special(self, message: list[Any], operation: Operation) -> Call:
        known: tuple[Any, ...] = (self._connection, message, operation, self._forget)
        if operation.asynchronous:
            from rldlib.worker.coroutines import AsyncCall

            assert self._loop is not None
            return AsyncCall(*known, loop=self._loop)
        return StreamCall(*known, resume=self._put)

    def _next(self) -> Call | None:
        """The next call, as soon as there is one; None at the end."""
        while True:
            if self._queue:
                try:
                    return self._queue.popleft()
                except IndexError:
                    continue  # others take from it too
            elif self.ended:
                return None
            elif self._reading is None or not self._reading.read():
                self._sleep()

    def _put(self, call: Call) -> None:
        self._queue.append(call)
        if self._asleep:
            # Also where the thread that reads will perform it: then another one is to read.
            self._wake()

    def _sleep(self) -> None:
        """Sleep until there is something to do, or to read."""
        own = Lock()
        own.acquire()
        self._asleep.append(own)
        # What came before it was in the list has woken nobody.
        if self.waits or (self._reading is not None and self._reading.free):
            with suppress(ValueError):  # else somebody is about to wake it
                self._asleep.remove(own)
                return
        own.acquire()

    def _wake(self) -> bool:
        if not self._asleep:
            return False
        try:
            asleep = self._asleep.pop()
        except IndexError:
            return False
        self.roused += 1
        asleep.release()
        return True


def answer_check(connection: Connection, check: Any, message_id: int) -> None:
    """Call the check hook and tell what it gave; for a thread of its own."""
    from rldlib.wire.codec import EncodingError
    from rldlib.worker.faults import told

    try:
        connection.send([messages.REPLY, message_id, check()])
    except EncodingError:
        # It answered: that what it answered does not travel says nothing of its health.
        connection.send([messages.REPLY, message_id, None])
    except BaseException as exc:  # noqa: BLE001 - whatever the service's own code raises is told
        connection.send([messages.FAULT, message_id, *told(exc)])
