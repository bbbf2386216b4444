"""Many calls in flight, from many threads, over one worker's socket."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from rldlib.adapters.calls import STREAM_CREDIT, CallFuture, FutureCall, StreamCall, WaitingCall
from rldlib.adapters.line import Line
from rldlib.adapters.memory import SharedMemory
from rldlib.adapters.stream import Stream
from rldlib.errors import ArgumentsError, CallTimeoutError, ServiceFaultError, WorkerLostError
from rldlib.wire import messages
from rldlib.wire.codec import EncodingError, decode, encode
from rldlib.wire.frames import FrameReader, ProtocolError

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from rldlib.adapters.io_loop import IoLoop
    from rldlib.adapters.listener import Listener

# Where a call's message has its arguments.
_ARGUMENTS = 3


class Channel:
    """The host's end of one worker's socket. Safe for many threads.

    Args:
        sock: The socket; the channel owns it.
        service: Named in errors.
        loop: Serves the channel where nobody waits.
        listener: Told what comes beside the ends of calls.
    """

    def __init__(self, sock: socket.socket, service: str, loop: IoLoop, listener: Listener) -> None:
        self._service = service
        self._loop = loop
        self._listener = listener
        self._frames = FrameReader()
        self._ids = itertools.count(1)
        self._calls: dict[int, WaitingCall] = {}
        # Cancelled, and not ended yet as far as we know: since when.
        self._abandoned: dict[int, float] = {}
        self._cancelling = threading.Lock()
        self._greeting: WaitingCall | None = None
        # Calls whose streams were dropped unread. A finalizer may run while its
        # very thread holds a lock: it only appends here.
        self._dropped: deque[WaitingCall] = deque()
        self.line = Line(
            sock,
            loop,
            under_way=self._calls,
            take_in=self._take_in,
            on_broken=listener.broken,
            on_lost=self._fail_all,
        )
        self._memory = SharedMemory(self.line.send)

    # --- calls -------------------------------------------------------------------

    def greet(self, order: Mapping[str, Any], wait_s: float) -> list[Any] | None:
        """Send ``start`` and give what the worker says to it; None where it says nothing in time.

        Raises:
            WorkerLostError: It ended first.
        """
        until = time.monotonic() + wait_s
        greeting = self._greeting = WaitingCall(0, messages.START)
        self.line.post(encode([messages.START, dict(order)]), greeting, until)
        if self.line.lost is not None:
            raise self._lost_error(greeting)
        if not self.line.wait(greeting, until):
            return None
        answer: list[Any] = greeting.result()
        return answer

    def call(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Any:
        """See `Target.call`."""
        until = None if deadline_s is None else time.monotonic() + deadline_s
        call = WaitingCall(next(self._ids), operation)
        parts = self._ready_to_send(call, arguments, deadline_s)
        try:
            in_time = self.line.exchange(parts, call, until)
        except BaseException:
            self.cancel(call)
            raise
        if in_time:
            return call.result()
        if in_time is None:
            raise self._not_sent(call)
        self.cancel(call)
        raise self._late(operation, deadline_s)

    def submit(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> CallFuture:
        """See `Target.submit`."""
        until = _until(deadline_s)
        future = CallFuture()
        call = FutureCall(next(self._ids), operation, future)
        future.on_cancel = lambda: self.cancel(call)
        if until is not None:
            call.timer = self._loop.later(until - time.monotonic(), lambda: self._expire(call, deadline_s))
        try:
            self._send(call, arguments, deadline_s, until)
        except BaseException:
            call.close()
            raise
        return future

    def stream(self, operation: str, arguments: Mapping[str, Any], deadline_s: float | None) -> Stream:
        """See `Target.stream`."""
        until = _until(deadline_s)
        call = StreamCall(next(self._ids), operation)
        self._send(call, arguments, deadline_s, until)
        self.line.send([messages.CREDIT, call.id, STREAM_CREDIT])
        return Stream(self, call, deadline_s, until)

    def next_item(self, call: StreamCall, deadline_s: float | None, until: float | None) -> tuple[bool, Any]:
        """Whether there is one more item, and the item."""
        if not self.line.wait(call, until):
            self.cancel(call)
            raise self._late(call.operation, deadline_s)
        taken = call.take()
        credit = call.more_credit()
        if credit:
            self.line.send([messages.CREDIT, call.id, credit])
        return taken

    def cancel(self, call: WaitingCall) -> None:
        """Nobody waits for this call any more: say so, where it was sent and has not ended."""
        with self._cancelling:
            if call.id not in self._calls:
                return
            if self.line.take_back(call):
                self._calls.pop(call.id, None)
                return
            # Noted before it is taken out: its end finds it in one of the two.
            self._abandoned[call.id] = time.monotonic()
            if self._calls.pop(call.id, None) is None:
                self._abandoned.pop(call.id, None)
                return
        self.line.send([messages.CANCEL, call.id])
        self._listener.left_running()

    def drop(self, call: WaitingCall) -> None:
        """Cancel with the next message; for finalizers."""
        self._dropped.append(call)

    def overdue(self, at_least_s: float) -> int:
        """How many calls were cancelled at least so long ago, and have not ended."""
        before = time.monotonic() - at_least_s
        return sum(1 for since in tuple(self._abandoned.values()) if since <= before)

    def stop(self, deadline_s: float) -> None:
        """Ask the worker to stop."""
        self.line.send([messages.STOP, deadline_s])

    # --- what comes --------------------------------------------------------------

    def _take_in(self, data: bytes) -> None:
        frames = self._frames
        frames.feed(data)
        while frames.pending_bytes and (frame := frames.next()) is not None:
            message = decode(frame, self._memory.segments)
            kind = messages.verify(message, messages.FROM_WORKER)
            if kind == messages.REPLY:
                self._reply(message[1], message[2])
            else:
                self._dispatch(kind, message)

    def _dispatch(self, kind: str, message: list[Any]) -> None:
        match kind:
            case messages.BEAT:
                self._sweep()
            case messages.ITEM:
                self._item(message[1], message[2])
            case messages.END:
                self._end(message[1], lambda call: call.end())
            case messages.FAULT:
                self._end(message[1], lambda call: call.fail(self._fault(call, *message[2:])))
            case messages.REFUSED:
                issues = [str(issue) for issue in message[2]]
                self._end(
                    message[1], lambda call: call.fail(ArgumentsError(self._service, call.operation, issues))
                )
            case messages.LOG:
                self._listener.logged(*message[1:])
            case messages.PROGRESS:
                self._progress(*message[1:])
            case messages.NEED:
                self._sweep()
                self._memory.needed(message[1])
            case messages.FREE:
                self._memory.segments.freed(message[1])
            case _:
                self._greeted(kind, message)

    def _greeted(self, kind: str, message: list[Any]) -> None:
        if self._greeting is None or self._greeting.ready:
            raise ProtocolError(f"a second {kind} message")
        self._greeting.reply(message)

    def _end(self, number: int, end: Any) -> None:
        call = self._under_way(number)
        if call is not None:
            # Taken out last: a thread that is interrupted here leaves nobody waiting for ever.
            end(call)
            self._take_out(number)

    def _reply(self, number: int, value: Any) -> None:
        """As `_end`, for what most messages are."""
        call = self._calls.get(number) or self._under_way(number)
        if call is not None:
            call.reply(value)
            if self._calls.pop(number, None) is None:
                self._take_out(number)

    def _under_way(self, number: int) -> WaitingCall | None:
        call = self._calls.get(number)
        if call is None and self._abandoned.pop(number, None) is None:
            raise ProtocolError(f"an end of call {number}, which is not under way")
        return call

    def _take_out(self, number: int) -> None:
        if self._calls.pop(number, None) is None:
            self._abandoned.pop(number, None)

    def _item(self, number: int, value: Any) -> None:
        call = self._calls.get(number)
        if call is not None:
            call.item(value)
        elif number not in self._abandoned:
            raise ProtocolError(f"an item of call {number}, which is not under way")

    def _progress(self, number: int, done: float, total: float | None, text: str) -> None:
        call = self._calls.get(number)
        if call is not None:
            call.progressed(done, total, text)
            self._listener.progressed(call.operation, done, total, text)

    def _fault(self, call: WaitingCall, kind: str, message: str, traceback: str) -> Exception:
        if kind == messages.OVERDUE:
            return self._late(call.operation, call.deadline_s)
        if kind == messages.CANCELLED:
            # Its caller still waits: it was the end of the worker that cancelled it.
            return WorkerLostError(self._service, "stopped by its daemon")
        return ServiceFaultError(self._service, call.operation, kind, message, traceback)

    # --- what goes ---------------------------------------------------------------

    def _send(
        self, call: WaitingCall, arguments: Mapping[str, Any], deadline_s: float | None, until: float | None
    ) -> None:
        parts = self._ready_to_send(call, arguments, deadline_s)
        if not self.line.post(parts, call, until):
            raise self._not_sent(call)

    def _ready_to_send(
        self, call: WaitingCall, arguments: Mapping[str, Any], deadline_s: float | None
    ) -> list[bytes | memoryview]:
        """The call's message; its reply is awaited from now on."""
        call.deadline_s = deadline_s
        if deadline_s is not None and deadline_s <= 0:
            raise self._late(call.operation, deadline_s)
        if self.line.lost is not None:
            raise self._lost_error(call)
        segments = self._memory.segments
        if segments.let_go or self._dropped:
            self._sweep()
        try:
            message = [messages.CALL, call.id, call.operation, arguments, deadline_s]
            parts = encode(message, segments, _ARGUMENTS)
        except EncodingError as exc:
            raise ArgumentsError(self._service, call.operation, [str(exc)]) from exc
        self._calls[call.id] = call
        return parts

    def _not_sent(self, call: WaitingCall) -> Exception:
        self._calls.pop(call.id, None)
        return self._lost_error(call) if self.line.lost else self._late(call.operation, call.deadline_s)

    def _sweep(self) -> None:
        """Tell the worker of what finalizers let go of: buffers, and streams that nobody reads."""
        for segment_id in self._memory.segments.dropped():
            self.line.send([messages.FREE, segment_id])
        while self._dropped:
            self.cancel(self._dropped.popleft())

    def _expire(self, call: FutureCall, deadline_s: float | None) -> None:
        self.cancel(call)
        call.fail(self._late(call.operation, deadline_s))

    def _fail_all(self, _how: str) -> None:
        held = [*self._calls.values(), *filter(None, [self._greeting])]
        self._calls.clear()
        self._abandoned.clear()
        # What was shared goes with its last reader; nothing more will be.
        self._memory = SharedMemory(self.line.send, max_bytes=0)
        for call in held:
            call.fail(self._lost_error(call))

    def _late(self, operation: str, deadline_s: float | None) -> CallTimeoutError:
        return CallTimeoutError(self._service, operation, deadline_s or 0)

    def _lost_error(self, call: WaitingCall) -> WorkerLostError:
        return WorkerLostError(self._service, self.line.lost or "lost", None if call.sent else False)


def _until(deadline_s: float | None) -> float | None:
    return None if deadline_s is None else time.monotonic() + deadline_s
