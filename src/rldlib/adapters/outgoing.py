"""What is on its way to a worker that reads slowly, or not at all."""

from __future__ import annotations

import os
import socket
from collections import deque
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rldlib.adapters.calls import WaitingCall

# Beyond this, calls wait for room instead of being buffered. One message fits always.
MAX_BUFFERED_BYTES = 8 * 1024 * 1024
_FD = Struct("i")


class Outgoing:
    """Sends without ever blocking; what the kernel does not take now waits here.

    Not safe for several threads: the channel's lock is held around every method.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # Bytes, the descriptor that travels with their first byte, the call that they are.
        self._waiting: deque[tuple[memoryview, int | None, WaitingCall | None]] = deque()
        self._bytes = 0

    @property
    def empty(self) -> bool:
        """Whether all was sent."""
        return not self._waiting

    @property
    def full(self) -> bool:
        """Whether calls should wait before they add more."""
        return self._bytes >= MAX_BUFFERED_BYTES

    def send(
        self, parts: list[bytes | memoryview], call: WaitingCall | None = None, fd: int | None = None
    ) -> None:
        """Send a message, or keep what cannot be sent now. Takes the descriptor over."""
        if call is not None and fd is None and len(parts) == 1 and not self._waiting:
            # Nearly all calls: one part, and room for it.
            sent = self._try(parts, None)
            if sent == len(parts[0]):
                call.sent = True
                return
            if sent:
                parts = [memoryview(parts[0])[sent:]]
        sent = 0
        if not self._waiting:
            sent = self._try(parts, fd)
            total = sum(map(len, parts))
            if sent == total:
                _sent(call, fd)
                return
            if sent:
                _close(fd)
                fd = None
        # A copy: the caller may change its buffers as soon as it is told that the call is on its way.
        rest = memoryview(b"".join(parts))[sent:]
        self._waiting.append((rest, fd, call))
        self._bytes += len(rest)

    def flush(self) -> None:
        """Send what the kernel takes now."""
        while self._waiting:
            data, fd, call = self._waiting.popleft()
            sent = self._try([data], fd)
            self._bytes -= sent
            if sent < len(data):
                if sent:
                    _close(fd)
                    fd = None
                self._waiting.appendleft((data[sent:], fd, call))
                return
            _sent(call, fd)

    def drop(self, call: WaitingCall) -> bool:
        """Take a call back of which nothing was sent; False where something was."""
        for index, (data, fd, waiting) in enumerate(self._waiting):
            # The first may be sent in part already.
            if waiting is call and index > 0:
                del self._waiting[index]
                self._bytes -= len(data)
                _close(fd)
                return True
        return False

    def close(self) -> None:
        """Drop everything."""
        while self._waiting:
            _close(self._waiting.popleft()[1])
        self._bytes = 0

    def _try(self, parts: list[bytes | memoryview], fd: int | None) -> int:
        try:
            if fd is not None:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, _FD.pack(fd))
                return self._sock.sendmsg(parts, (rights,), socket.MSG_DONTWAIT)
            if len(parts) == 1:
                return self._sock.send(parts[0], socket.MSG_DONTWAIT)
            return self._sock.sendmsg(parts, (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            # The worker is gone: its end, told elsewhere, fails whatever waits.
            return 0


def _sent(call: WaitingCall | None, fd: int | None) -> None:
    _close(fd)
    if call is not None:
        call.sent = True


def _close(fd: int | None) -> None:
    """Close a descriptor that was sent, or never will be."""
    if fd is not None:
        os.close(fd)
