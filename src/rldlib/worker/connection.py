"""The worker's end of the channel: one reader at a time, many senders, no lock that a sender waits for."""

from __future__ import annotations

import mmap
import os
from _socket import CMSG_SPACE, MSG_DONTWAIT, SCM_RIGHTS, SOL_SOCKET
from array import array
from collections import deque
from threading import Condition, Lock
from time import monotonic

from rldlib.wire import messages
from rldlib.wire.codec import decode, encode
from rldlib.wire.frames import FrameReader, ProtocolError
from rldlib.wire.patience import SPIN_S, Patience
from rldlib.wire.segments import Segments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable
    from typing import Any

_READ_BYTES = 256 * 1024
# One descriptor comes with one message; more than a few at once are none of ours.
_ANCILLARY_BYTES = CMSG_SPACE(8 * array("i").itemsize)
# A log that floods is cut here, while the host does not read.
_MAX_WAITING_BYTES = 8 * 1024 * 1024
# How long a result waits for shared memory before it goes inline.
_SEGMENT_WAIT_S = 5.0


class Connection:
    """Messages in both directions over one socket. Any thread may send; one reads."""

    def __init__(self, sock: socket) -> None:
        self._socket = sock
        self._reader = FrameReader()
        # Made once: to make so large an object for every read costs more than the read.
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._patience = Patience()
        self._descriptors: deque[int] = deque()
        self._segments = Segments(self._more_memory)
        self._announced = Condition(Lock())
        self._announcements = 0
        self._refusals = 0
        self._sending = Lock()
        self._waiting: deque[list[Any]] = deque()
        self._waiting_bytes = 0
        self.lost = False
        # Called before somebody waits for the host to announce memory.
        self.on_wait: Callable[[], object] = lambda: None

    def receive(self) -> list[Any] | None:
        """The next message from the host, waiting for it; None once the host is gone.

        Raises:
            ProtocolError: The host sent what is no message.
        """
        while (message := self.next()) is None:
            if not self.read():
                return None
        return message

    def next(self) -> list[Any] | None:
        """The next message of what was read; None where there is none. Messages about memory are dealt with.

        Raises:
            ProtocolError: The host sent what is no message.
        """
        reader = self._reader
        while reader.pending_bytes and (frame := reader.next()) is not None:
            message = decode(frame, self._segments)
            kind = messages.verify(message, messages.FROM_HOST)
            if kind == messages.CALL:
                return message  # what most messages are
            if kind == messages.SEGMENT:
                self._add_segment(*message[1:])
            elif kind == messages.FREE:
                self._segments.freed(message[1])
                self._tell_announced()
            else:
                return message
        return None

    def send(self, message: list[Any], payload: int | None = None) -> None:
        """Send a message, after those that wait; does nothing once the host is gone.

        Args:
            message: As `encode` takes it.
            payload: Which of its elements may be anything; None where each may.

        Raises:
            EncodingError: Something in it does not travel; nothing was sent.
        """
        parts = encode(message, self._segments, payload)
        if self._segments.let_go:
            freed = [part for gone in self._segments.dropped() for part in encode([messages.FREE, gone])]
            parts.insert(0, b"".join(freed))
        # A finalizer or a log record may come here while this very thread is
        # sending: it must neither wait for itself nor cut into a frame. So
        # nobody waits: what comes meanwhile is queued, and the sender goes on.
        if not self._waiting and self._sending.acquire(blocking=False):
            try:
                self._write(parts)
            finally:
                self._sending.release()
        else:
            # The queue outlives the call: what the service may change is copied.
            queued = [bytes(part) for part in parts]
            self._waiting_bytes += sum(map(len, queued))
            self._waiting.append(queued)
        if self._waiting:
            self._send_waiting()

    def send_droppable(self, message: list[Any]) -> None:
        """Send what may be lost when too much waits already. It never blocks on another sender."""
        if self._waiting_bytes < _MAX_WAITING_BYTES:
            self.send(message)

    def _send_waiting(self) -> None:
        while self._waiting and self._sending.acquire(blocking=False):
            try:
                while self._waiting:
                    queued = self._waiting.popleft()
                    self._waiting_bytes -= sum(map(len, queued))
                    self._write(queued)
            finally:
                self._sending.release()

    def _write(self, parts: list[Any]) -> None:
        if self.lost:
            return
        try:
            sent = self._socket.sendmsg(parts)
            if sent < (len(parts[0]) if len(parts) == 1 else sum(map(len, parts))):
                # Rare: a large message, and a signal or a full buffer.
                self._socket.sendall(b"".join(parts)[sent:])
        except OSError:
            # The host is gone; the reader sees it too, and ends the worker.
            self.lost = True

    def read(self, *, spin: bool = False) -> bool:
        """Wait for something from the host; False once it is gone. For one thread at a time.

        Args:
            spin: Whether what comes next may come at once.
        """
        try:
            size, ancillary, _, _ = self._soon() if spin else self._receive()
        except OSError:
            return False
        if ancillary:
            self._keep(ancillary)
        if not size:
            return False
        self._reader.feed(bytes(self._buffer[:size]))
        return True

    @property
    def heard(self) -> bool:
        """Whether some of what was read waits for `next`."""
        return self._reader.pending_bytes > 0

    def _keep(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, payload in ancillary:
            if level == SOL_SOCKET and kind == SCM_RIGHTS:
                whole = len(payload) - len(payload) % array("i").itemsize
                self._descriptors.extend(array("i", payload[:whole]))

    def _receive(self, flags: int = 0) -> Any:
        return self._socket.recvmsg_into([self._buffer], _ANCILLARY_BYTES, flags)

    def _soon(self) -> Any:
        """What comes; asked for again and again for a moment, where that has paid."""
        patience, began = self._patience, monotonic()
        if patience.left > 0:
            until = began + SPIN_S
            while monotonic() < until:
                try:
                    came = self._receive(MSG_DONTWAIT)
                except BlockingIOError:  # nothing yet
                    continue
                patience.spun(monotonic() - began)
                return came
        came = self._receive()
        patience.slept(monotonic() - began)
        return came

    def _add_segment(self, segment_id: int, size: int, filler: str) -> None:
        if size == 0:
            with self._announced:
                self._refusals += 1
            self._tell_announced()
            return
        if not self._descriptors or filler not in {messages.HOST, messages.WORKER}:
            raise ProtocolError(
                f"segment {segment_id} of {size:,} bytes came without a descriptor or a filler"
            )
        descriptor = self._descriptors.popleft()
        try:
            mapping = mmap.mmap(descriptor, size)
        except (OSError, ValueError, OverflowError) as exc:
            raise ProtocolError(f"segment {segment_id} of {size:,} bytes cannot be mapped: {exc}") from exc
        finally:
            os.close(descriptor)
        if filler == messages.HOST:
            self._segments.add_foreign(segment_id, mapping)
        else:
            self._segments.add_own(segment_id, mapping)
            self._tell_announced()

    def _tell_announced(self) -> None:
        with self._announced:
            self._announcements += 1
            self._announced.notify_all()

    def _more_memory(self, size: int) -> bool:
        """Ask the host for a segment, and wait a bounded time; whether one came."""
        deadline = monotonic() + _SEGMENT_WAIT_S
        with self._announced:
            refusals = self._refusals
        self.send([messages.NEED, size])
        self.on_wait()
        with self._announced:
            while self._segments.free_bytes() < size and self._refusals == refusals and not self.lost:
                if not self._announced.wait(deadline - monotonic()):
                    return False
        return self._segments.free_bytes() >= size

    def close(self) -> None:
        """Close the socket, and what came over it and was not used."""
        self.lost = True
        self._tell_announced()
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self._segments.close()
        self._socket.close()
