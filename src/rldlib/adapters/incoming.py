"""What comes from a worker: bytes, within a time, and never a descriptor."""

from __future__ import annotations

import socket
import struct
import time

from rldlib.wire.patience import SPIN_S, Patience

_TIMEVAL = struct.Struct("ll")
_MICRO = 1_000_000
_READ_BYTES = 64 * 1024


class Incoming:
    """Reads a blocking socket. For one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timeout = 0
        self._patience = Patience()
        # Made once: to make so large an object for every read costs more than the read.
        self._buffer = memoryview(bytearray(_READ_BYTES))

    def receive(self, seconds: float | None, *, spin: bool = False) -> bytes | None:
        """What came, waiting at most so long; None where nothing did, empty at the end.

        With `spin`, what comes next may come at once, and nobody else needs the processor.

        A worker that passes descriptors passes them to nobody: without room for
        them, the kernel drops them.
        """
        if spin and (seconds is None or seconds > SPIN_S):
            return self._soon(seconds)
        self._set_timeout(seconds or 0.0)
        return self._receive(0)

    def _soon(self, seconds: float | None) -> bytes | None:
        began = time.monotonic()
        if self._patience.left > 0:
            until = began + SPIN_S
            while time.monotonic() < until:
                came = self._receive(socket.MSG_DONTWAIT)
                if came is not None:
                    self._patience.spun(time.monotonic() - began)
                    return came
        self._set_timeout(seconds or 0.0)
        came = self._receive(0)
        self._patience.slept(time.monotonic() - began)
        return came

    def receive_now(self) -> bytes | None:
        """What has come already; as `receive`."""
        return self._receive(socket.MSG_DONTWAIT)

    def _receive(self, flags: int) -> bytes | None:
        try:
            return bytes(self._buffer[: self._sock.recv_into(self._buffer, 0, flags)])
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _set_timeout(self, seconds: float) -> None:
        # In steps of a millisecond, so that calls with the same deadline mostly find it set.
        micro = -int(-seconds * 1000 // 1) * 1000
        if micro != self._timeout:
            self._timeout = micro
            value = _TIMEVAL.pack(*divmod(micro, _MICRO))
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
