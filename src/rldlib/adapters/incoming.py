"""What comes from a worker: bytes, within a time, and never a descriptor."""

from __future__ import annotations

import math
import socket
import struct
from time import monotonic

from rldlib.wire.patience import SPIN_S, Patience

_TIMEVAL = struct.Struct("ll")
_MILLI = 1_000
_READ_BYTES = 64 * 1024
_NOW = int(socket.MSG_DONTWAIT)


class Incoming:
    """Reads a blocking socket. For one thread at a time.

    Attributes:
        heard: When something came last, by the monotonic clock.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.heard = monotonic()
        self._sock = sock
        self._timeout_ms = 0
        self._patience = Patience()

    def receive(self, until: float | None, *, spin: bool = False) -> bytes | None:
        """What came, waiting at most until then; None where nothing did, empty at the end.

        With `spin`, what comes next may come at once, and nobody else needs the processor.

        A worker that passes descriptors passes them to nobody: without room for
        them, the kernel drops them.
        """
        began = monotonic()
        seconds = 0.0
        if until is not None:
            seconds = until - began
            if seconds <= 0:
                return None
            spin = spin and seconds > SPIN_S
        if spin and self._patience.left > 0:
            came = self._soon(began)
            if came is not None:
                return came
        # In steps of a millisecond, so that calls with the same deadline mostly find it set.
        timeout_ms = math.ceil(seconds * _MILLI)
        if timeout_ms != self._timeout_ms:
            self._set_timeout(timeout_ms)
        came = self._receive(0)
        now = monotonic()
        if came:
            self.heard = now
        if spin:
            self._patience.slept(now - began)
        return came

    def receive_now(self) -> bytes | None:
        """What has come already; as `receive`."""
        came = self._receive(_NOW)
        if came:
            self.heard = monotonic()
        return came

    def _soon(self, began: float) -> bytes | None:
        now, until = began, began + SPIN_S
        while now < until:
            came = self._receive(_NOW)
            now = monotonic()
            if came is not None:
                self._patience.spun(now - began)
                if came:
                    self.heard = now
                return came
        return None

    def _receive(self, flags: int) -> bytes | None:
        try:
            return self._sock.recv(_READ_BYTES, flags)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _set_timeout(self, milliseconds: int) -> None:
        self._timeout_ms = milliseconds
        seconds, left = divmod(milliseconds, _MILLI)
        value = _TIMEVAL.pack(seconds, left * _MILLI)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
