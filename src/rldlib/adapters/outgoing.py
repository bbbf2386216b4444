"""What is on its way to a worker that reads slowly, or not at all."""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import suppress
from struct import Struct
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rldlib.adapters.calls import WaitingCall

# Beyond this, calls wait for room instead of being buffered. One message fits always.
MAX_BUFFERED_BYTES = 8 * 1024 * 1024
# So many messages go in one: what the kernel takes at once is bounded (IOV_MAX is 1024).
_TOGETHER = 64
_FD = Struct("i")
# A number: the socket module's own is looked up, and is an enumeration's member.
_NOW = int(socket.MSG_DONTWAIT)


class _Message:
    """One message that waits: the bytes that are left of it, its descriptor, the call that it is."""

    __slots__ = ("begun", "call", "fd", "left")

    def __init__(self, left: memoryview, fd: int | None, call: WaitingCall | None) -> None:
        self.left = left
        self.fd = fd
        self.call = call
        self.begun = False

    def advance(self, sent: int) -> None:
        """So many bytes of it were sent; its descriptor goes with the first."""
        if sent:
            self.begun = True
            self.left = self.left[sent:]
            _close(self.fd)
            self.fd = None
        if not self.left and self.call is not None:
            self.call.sent = True


class Outgoing:
    """Sends without ever blocking; what the kernel does not take now waits here. Safe for many threads.

    Nobody waits for who is sending: what comes meanwhile is queued, and the sender goes on.

    Attributes:
        blocked: Whether the kernel takes nothing now: `flush` once it does.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: deque[_Message] = deque()
        self._sending = Lock()
        self._closed = False
        self.blocked = False

    @property
    def full(self) -> bool:
        """Whether calls should wait before they add more."""
        return self.blocked and sum(len(each.left) for each in tuple(self._waiting)) >= MAX_BUFFERED_BYTES

    def send(
        self, parts: list[bytes | memoryview], call: WaitingCall | None = None, fd: int | None = None
    ) -> None:
        """Send a message, or keep what cannot be sent now. Takes the descriptor over."""
        if fd is None and not self._waiting and self._sending.acquire(blocking=False):
            # Nearly all messages: nothing is before it, and there is room.
            try:
                if self._closed:
                    return
                sent = self._try(parts)
                if sent == (len(parts[0]) if len(parts) == 1 else sum(map(len, parts))):
                    if call is not None:
                        call.sent = True
                else:
                    self._keep_rest(parts, sent, call)
            finally:
                self._sending.release()
            if not self._waiting:
                return
        else:
            self.keep(parts, call, fd)
        self.flush()

    def keep(
        self, parts: list[bytes | memoryview], call: WaitingCall | None = None, fd: int | None = None
    ) -> None:
        """Keep a message for whoever flushes next."""
        # A copy: the caller may change its buffers as soon as it is told that the call is on its way.
        self._waiting.append(_Message(memoryview(b"".join(parts)), fd, call))

    @property
    def kept(self) -> int:
        """How many messages wait to be flushed."""
        return len(self._waiting)

    def flush(self, *, again: bool = False) -> None:
        """Send what the kernel takes now; `again` where it takes something again."""
        while (again or (self._waiting and not self.blocked)) and self._sending.acquire(blocking=False):
            again = False
            try:
                if self._closed:
                    self._drop_all()
                else:
                    self.blocked = not self._send_some()
            finally:
                self._sending.release()

    def drop(self, call: WaitingCall) -> bool:
        """Take a call back of which nothing was sent; False where something was."""
        with self._sending:
            dropped = self._drop(call)
        # What came meanwhile was left to whoever held the lock.
        self.flush()
        return dropped

    def close(self) -> None:
        """Drop everything. Nothing is being sent any more when this returns, nor will be."""
        with self._sending:
            self._closed = True
            self._drop_all()

    # --- whoever holds `_sending` --------------------------------------------------

    def _keep_rest(self, parts: list[bytes | memoryview], sent: int, call: WaitingCall | None) -> None:
        rest = _Message(memoryview(b"".join(parts)), None, call)
        rest.advance(sent)
        # Before what came meanwhile: of that, nothing was begun.
        self._waiting.appendleft(rest)
        self.blocked = True

    def _send_some(self) -> bool:
        """Send the first ones together; whether the kernel took them all."""
        together = list(tuple(self._waiting)[:_TOGETHER])
        if not together:
            return True  # somebody else has sent it, or it was taken back
        fd = together[0].fd
        if fd is not None:
            del together[1:]
        else:
            # A descriptor goes with the first byte of its own message.
            del together[next((n for n, each in enumerate(together) if each.fd is not None), _TOGETHER) :]
        sent = self._try([message.left for message in together], fd)
        for message in together:
            took = min(sent, len(message.left))
            sent -= took
            message.advance(took)
            if message.left:
                return False
            self._waiting.popleft()
        return True

    def _drop(self, call: WaitingCall) -> bool:
        for message in tuple(self._waiting):
            if message.call is call and not message.begun:
                self._waiting.remove(message)
                _close(message.fd)
                return True
        return False

    def _drop_all(self) -> None:
        with suppress(IndexError):
            while True:
                _close(self._waiting.popleft().fd)

    def _try(self, parts: list[bytes | memoryview] | list[memoryview], fd: int | None = None) -> int:
        try:
            if fd is not None:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, _FD.pack(fd))
                return self._sock.sendmsg(parts, (rights,), _NOW)
            if len(parts) == 1:
                return self._sock.send(parts[0], _NOW)
            return self._sock.sendmsg(parts, (), _NOW)
        except BlockingIOError:
            return 0
        except OSError:
            # The worker is gone: its end, told elsewhere, fails whatever waits.
            return 0


def _close(fd: int | None) -> None:
    """Close a descriptor that was sent, or never will be."""
    if fd is not None:
        os.close(fd)
