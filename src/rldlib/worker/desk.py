"""The desk: takes calls from the reader, and hands them to whoever performs them."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread
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
    from rldlib.worker.records import Records


class Desk:
    """The calls in hand. One thread, the reader, gives and cancels; `threads` threads perform.

    The thread that calls `work` is one of them. So with one thread, hooks and
    calls of functions all run in the process's main thread.
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
        self._queue: SimpleQueue[Call | None] = SimpleQueue()
        self._ended = False
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
        call = self._call(message, operation)
        if self._ended:
            call.give_up()
            return
        self._calls[call.id] = call
        if operation is not None and operation.asynchronous:
            call.run()
        else:
            self._queue.put(call)

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

    def work(self) -> None:
        """Perform calls until `end`."""
        while True:
            call = self._queue.get()
            if call is None:
                # For the next thread: each takes it out and puts it back.
                self._queue.put(None)
                return
            call.run()
            # Not kept until the next call comes: its result may lie in shared memory.
            del call
            self._records.watch()

    def end(self) -> None:
        """Begin nothing more: what waits is given up, what runs is told that it is cancelled."""
        if self._ended:
            return
        self._ended = True
        for call in list(self._calls.values()):
            call.cancel()
        self._queue.put(None)

    def wait_ended(self, deadline: float) -> None:
        """Wait for the other threads' calls until `deadline`, by the monotonic clock."""
        for thread in self._others:
            thread.join(max(0.0, deadline - monotonic()))

    def _call(self, message: list[Any], operation: Operation | None) -> Call:
        known: tuple[Any, ...] = (self._connection, message, operation, self._forget)
        if operation is not None and operation.asynchronous:
            from rldlib.worker.coroutines import AsyncCall

            assert self._loop is not None
            return AsyncCall(*known, loop=self._loop)
        if operation is not None and operation.stream:
            return StreamCall(*known, resume=self._queue.put)
        return Call(*known)

    def _forget(self, call_id: int) -> None:
        self._calls.pop(call_id, None)


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
