"""Shared memory between the host and one worker: made by the host alone, kept and reused."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import mmap
import os
from typing import TYPE_CHECKING

from rldlib.wire import messages
from rldlib.wire.segments import Segments, segment_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# What all segments of one worker may take together.
MAX_SHARED_BYTES = 1024 * 1024 * 1024
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class SharedMemory:
    """The segments of one worker, seen from the host.

    Args:
        announce: Sends a message, with a descriptor or without; it takes the
            descriptor over.
        max_bytes: What all segments may take together.
    """

    def __init__(
        self, announce: Callable[[list[Any], int | None], None], max_bytes: int = MAX_SHARED_BYTES
    ) -> None:
        self._announce = announce
        self._max_bytes = max_bytes
        self._ids = itertools.count(1)
        self.segments = Segments(more=self._for_host)

    def needed(self, size: int) -> None:
        """The worker wants to fill a segment: give it one, or say that there is none."""
        if not 0 < size <= self._max_bytes or not self._make(size, messages.WORKER):
            self._announce([messages.SEGMENT, next(self._ids), 0, messages.WORKER], None)

    def _for_host(self, length: int) -> bool:
        return self._make(length, messages.HOST)

    def _make(self, length: int, filler: str) -> bool:
        """Make a segment and tell the worker; False where it would be too much, or the kernel refuses."""
        size = segment_size(length)
        if self.segments.total_bytes() + size > self._max_bytes:
            return False
        try:
            fd, mapping = _sealed(size)
        except OSError:
            return False  # the buffer then goes inline, or its sender is told that it cannot
        segment_id = next(self._ids)
        told = [messages.SEGMENT, segment_id, size, filler]
        if filler == messages.HOST:
            # Announced first: another thread may fill and name it as soon as it is there.
            self._announce(told, fd)
            self.segments.add_own(segment_id, mapping)
        else:
            # The worker may name it as soon as it is announced.
            self.segments.add_foreign(segment_id, mapping)
            self._announce(told, fd)
        return True


def _sealed(size: int) -> tuple[int, mmap.mmap]:
    """Memory that neither side can resize: a peer that shrank it would kill us with SIGBUS."""
    fd = os.memfd_create("rldlib", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, fd)
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        mapping = mmap.mmap(fd, size)
        undo.pop_all()
    return fd, mapping
