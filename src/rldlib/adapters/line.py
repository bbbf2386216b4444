"""One worker's socket: sends without blocking, is read by whoever waits, ends once."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

from rldlib.adapters.io_loop import HANGUP, READABLE, WRITABLE
from rldlib.adapters.outgoing import Outgoing
from rldlib.wire.codec import encode
from rldlib.wire.frames import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldlib.adapters.calls import WaitingCall
    from rldlib.adapters.io_loop import IoLoop

_TIMEVAL = struct.Struct("ll")
_MICRO = 1_000_000
# Below the size from which the allocator maps fresh pages for every read.
_READ_BYTES = 64 * 1024
# How a worker whose connection is of no more use ended, where nobody knows better.
_INTERRUPTED = "killed, since the thread that read from it was interrupted"


class Line:
    """Leader and followers: one thread at a time reads, for all.

    A thread that waits for its reply leads where nobody does, and hands the
    lead on when it has what it waited for: a call then costs no hand-over
    between threads. Where nobody waits, the loop's thread leads.

    Args:
        sock: A blocking socket; the line owns it.
        loop: Reads where nobody waits, and sends what was left over.
        take_in: Given what was read, in order; raises `ProtocolError`.
        on_broken: Told once that the worker must be killed if it lives.
        on_lost: Told once how it ended.

    Attributes:
        lost: How the worker ended; None while it lives.
        last_heard: When something came from it last, by the monotonic clock.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: IoLoop,
        *,
        take_in: Callable[[bytes], None],
        on_broken: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.lost: str | None = None
        self.last_heard = time.monotonic()
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = loop
        self._take_in = take_in
        self._on_broken = on_broken
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._outgoing = Outgoing(sock)
        self._followers: dict[int, WaitingCall] = {}
        self._led = False
        self._eof = False
        self._ending: str | None = None
        self._timeout = 0
        # What the loop waits for; None where it does not at all.
        self._events: int | None = READABLE
        loop.watch(self._fd, self._on_ready)

    # --- sending -----------------------------------------------------------------

    def post(self, parts: list[bytes | memoryview], call: WaitingCall, until: float | None) -> bool:
        """Put a call on its way; False where there was no room for it in time, or the worker is lost."""
        with self._lock:
            while self._outgoing.full and self.lost is None:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._room.wait(left)
            if self.lost is not None:
                return False
            self._outgoing.send(parts, call)
            if not self._outgoing.empty:
                self._arm()
        return True

    def send(self, message: list[Any], fd: int | None = None) -> None:
        """Send what nobody waits for; takes the descriptor over. Does nothing where the worker is lost."""
        parts = encode(message)
        with self._lock:
            if self.lost is None:
                self._outgoing.send(parts, fd=fd)
                if not self._outgoing.empty:
                    self._arm()
            elif fd is not None:
                os.close(fd)

    def take_back(self, call: WaitingCall) -> bool:
        """Whether nothing of a call was sent yet; then nothing will be."""
        with self._lock:
            return self._outgoing.drop(call)

    # --- reading -----------------------------------------------------------------

    def wait(self, call: WaitingCall, until: float | None) -> bool:
        """Wait until a call is ready; False where it is not in time."""
        followed = False
        try:
            while not call.ready:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return False
                if self._lead():
                    try:
                        self._read_for(call, until)
                    finally:
                        self._hand_on()
                else:
                    followed = True
                    self._follow(call, left)
            return True
        finally:
            if followed:
                with self._lock:
                    # Perhaps it was woken to lead, and leaves instead.
                    self._followers.pop(call.id, None)
                    self._appoint()

    def _lead(self) -> bool:
        with self._lock:
            if self._led or self._eof or self.lost is not None:
                return False
            self._led = True
            self._arm()
            return True

    def _yield_to_leader(self, events: int) -> None:
        """An end of the peer stays to be told: where somebody reads, let only them see it."""
        with self._lock:
            if self._led and events & HANGUP:
                self._loop.forget(self._fd)
                self._events = None

    def _follow(self, call: WaitingCall, left: float | None) -> None:
        with self._lock:
            if not self._led and not self._eof and self.lost is None:
                return  # the lead became free meanwhile
            self._followers[call.id] = call
        if not call.ready:
            call.sleep(left)

    def _hand_on(self) -> None:
        with self._lock:
            self._led = False
            if self.lost is not None:
                self._sock.close()
            self._appoint()

    def _appoint(self) -> None:
        """Wake one who waits to take the lead; where nobody does, the loop reads."""
        if self._led or self.lost is not None:
            return
        for call in self._followers.values():
            if not call.ready:
                call.wake()
                return
        self._arm()

    def _read_for(self, call: WaitingCall, until: float | None) -> None:
        while not call.ready:
            left = 0.0 if until is None else until - time.monotonic()
            if until is not None and left <= 0:
                return
            self._set_timeout(left)
            if not self._read(0):
                return

    def _set_timeout(self, seconds: float) -> None:
        # In steps of a millisecond, so that calls with the same deadline mostly find it set.
        micro = -int(-seconds * 1000 // 1) * 1000
        if micro != self._timeout:
            self._timeout = micro
            value = _TIMEVAL.pack(*divmod(micro, _MICRO))
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)

    def _read(self, flags: int) -> bool:
        """Read once, and take in what came; False where nothing more will come."""
        try:
            # No room for descriptors: what a worker passes is dropped by the kernel.
            data = self._sock.recv(_READ_BYTES, flags)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self._at_end()
            return False
        self.last_heard = time.monotonic()
        try:
            self._take_in(data)
        except ProtocolError as exc:
            self._break(f"killed, since it broke the protocol with {exc}")
            return False
        except BaseException:
            # What was read and not taken in is lost: others would wait for it for ever.
            self._break(_INTERRUPTED)
            raise
        return True

    def _on_ready(self, events: int) -> None:
        """In the loop's thread."""
        with self._lock:
            if events & WRITABLE:
                self._outgoing.flush()
                if not self._outgoing.full:
                    self._room.notify_all()
            if events & ~WRITABLE == 0:
                self._arm()
                return
        if self._lead():
            try:
                self._read(socket.MSG_DONTWAIT)
            finally:
                self._hand_on()
        else:
            self._yield_to_leader(events)

    def read_now(self) -> None:
        """Take in what lies in the socket, where nobody reads; in the loop's thread only."""
        self._on_ready(READABLE)

    def _arm(self) -> None:
        """Have the loop wait for what nobody else does."""
        if self._eof or self.lost is not None:
            return
        reading = 0 if self._led else READABLE
        events = reading if self._outgoing.empty else reading | WRITABLE
        if self._events is None and not self._led:
            self._loop.watch(self._fd, self._on_ready, events)
            self._events = events
        elif self._events not in {None, events}:
            self._loop.change(self._fd, events)
            self._events = events

    # --- the end -----------------------------------------------------------------

    def ended(self, how: str) -> None:
        """The worker is gone. What it had sent is still read; then the line is lost."""
        with self._lock:
            self._ending = how
            eof = self._eof
            # Wakes whoever reads, also where somebody else holds the other end.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        if eof:
            self.finish(how)

    def finish(self, how: str) -> None:
        """Let go of the socket, whatever may still come."""
        with self._lock:
            if self.lost is not None:
                return
            self.lost = how
            self._outgoing.close()
            self._room.notify_all()
            self._loop.forget(self._fd)
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            if not self._led:
                self._sock.close()
        self._on_lost(how)

    def abandon(self, how: str) -> None:
        """In a forked child: the line is its parent's."""
        self._lock = threading.Lock()
        self.lost = how
        self._sock.close()

    def _at_end(self) -> None:
        with self._lock:
            self._eof = True
            ending = self._ending
            # The other end stays readable: the loop would never sleep again.
            self._loop.forget(self._fd)
        if ending is not None:
            self.finish(ending)
        elif self.lost is None:
            # Not gone as far as we know, and of no more use. How it ended is told by the spawner.
            self._on_broken()

    def _break(self, how: str) -> None:
        self.finish(how)
        self._on_broken()
