"""Segments: the bookkeeping of shared memory on one side of a channel.

One segment holds one buffer at a time. Who fills a segment copies into it
once; who reads it maps it and copies nothing. The reader's last reference to
the buffer gives the segment back, in whatever thread it dies: that moment
only appends to a deque, and whoever sends next tells the peer.
"""

from __future__ import annotations

from _thread import allocate_lock
from _weakref import ref
from collections import deque
from contextlib import suppress

from rldlib.wire.frames import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable
    from typing import Any, Protocol

    class Outside(Protocol):
        """Where `encode` puts large buffers, and `decode` gets them from."""

        def put(self, data: memoryview) -> tuple[int, int] | None:
            """Copy a buffer out of band: segment and length; None to send it inline."""
            ...

        def take_back(self, segment_id: int) -> None:
            """Undo a `put` whose message is not sent after all."""
            ...

        def get(self, segment_id: int, length: int) -> Any:
            """The buffer the peer put there; its end of life frees the segment.

            Raises:
                ProtocolError: There is no such segment, it is shorter, or it was lent already.
            """
            ...


# Below this, copying through the socket is as fast and needs no peer.
LARGE_BYTES = 64 * 1024
# Sizes of segments grow in steps of a power of two, so that they are reused.
MIN_SEGMENT_BYTES = 256 * 1024


def segment_size(length: int) -> int:
    """How large a segment to make for a buffer of `length` bytes: a power of two, or one and a half."""
    size = MIN_SEGMENT_BYTES
    while size < length:
        if size + size // 2 >= length:
            return size + size // 2
        size *= 2
    return size


class Segments:
    """The segments of one channel, seen from one side. Safe for many threads.

    It satisfies `Outside`. `more` is asked for a segment when none that is
    free holds a buffer: it returns whether asking again is worth while.

    Attributes:
        let_go: Not empty where `dropped` has something to tell.
    """

    def __init__(self, more: Callable[[int], bool] | None = None) -> None:
        self._more = more
        self._lock = allocate_lock()
        self._mappings: dict[int, mmap.mmap] = {}
        # Mine to fill: free ones by id with their size. The peer's: what is lent to readers here.
        self._own: set[int] = set()
        self._free: dict[int, int] = {}
        self._lent: set[int] = set()
        # What was let go of here, and the peer was not told of.
        self.let_go: deque[int] = deque()
        self._loans: dict[int, ref[Any]] = {}

    def add_own(self, segment_id: int, mapping: mmap.mmap) -> None:
        """Add a segment that this side fills."""
        with self._lock:
            self._claim(segment_id, mapping)
            self._own.add(segment_id)
            self._free[segment_id] = len(mapping)

    def add_foreign(self, segment_id: int, mapping: mmap.mmap) -> None:
        """Add a segment that the peer fills."""
        with self._lock:
            self._claim(segment_id, mapping)

    def put(self, data: memoryview) -> tuple[int, int] | None:
        """See `Outside.put`."""
        length = len(data)
        while True:
            segment_id = self._take(length)
            if segment_id is not None:
                break
            if self._more is None or not self._more(length):
                return None
        self._mappings[segment_id][:length] = data
        return segment_id, length

    def take_back(self, segment_id: int) -> None:
        """See `Outside.take_back`."""
        self.freed(segment_id)

    def freed(self, segment_id: int) -> None:
        """The peer has let go of what this side had put there.

        Raises:
            ProtocolError: This side had put nothing there.
        """
        with self._lock:
            if segment_id not in self._own or segment_id in self._free:
                raise ProtocolError(f"segment {segment_id} was freed, and nothing was in it")
            self._free[segment_id] = len(self._mappings[segment_id])

    def get(self, segment_id: int, length: int) -> Any:
        """See `Outside.get`."""
        with self._lock:
            mapping = self._mappings.get(segment_id)
            if mapping is None or segment_id in self._own or segment_id in self._lent:
                raise ProtocolError(f"segment {segment_id} was referred to, and is not there to be read")
            if not 0 < length <= len(mapping):
                held = len(mapping)
                raise ProtocolError(f"{length:,} bytes were referred to in segment {segment_id} of {held:,}")
            self._lent.add(segment_id)
        lent = _lend(mapping, length)
        # Kept until the next one: a reference that is gone itself tells nothing.
        dropped = self.let_go.append
        self._loans[segment_id] = ref(lent, lambda _: dropped(segment_id))
        return lent

    def dropped(self) -> list[int]:
        """The segments let go of here since the last time: the peer is to be told, each once."""
        told = []
        with self._lock:
            while self.let_go:
                told.append(self.let_go.popleft())
            self._lent.difference_update(told)
        return told

    def free_bytes(self) -> int:
        """The largest buffer that `put` could take now without more."""
        with self._lock:
            return max(self._free.values(), default=0)

    def total_bytes(self) -> int:
        """The size of all segments together."""
        with self._lock:
            return sum(map(len, self._mappings.values()))

    def close(self) -> None:
        """Unmap everything; what is still lent stays mapped until its reader lets go."""
        with self._lock:
            mappings = list(self._mappings.values())
            for kept in (self._mappings, self._own, self._free, self._lent):
                kept.clear()
        for mapping in mappings:
            with suppress(BufferError):  # lent: the last reference to the buffer is the last to this, too
                mapping.close()

    def _claim(self, segment_id: int, mapping: mmap.mmap) -> None:
        if segment_id in self._mappings:
            raise ProtocolError(f"segment {segment_id} was announced twice")
        self._mappings[segment_id] = mapping

    def _take(self, length: int) -> int | None:
        with self._lock:
            fitting = [(size, segment_id) for segment_id, size in self._free.items() if size >= length]
            if not fitting:
                return None
            # The smallest that fits; of equals the one announced first, whose pages are warm.
            segment_id = min(fitting)[1]
            del self._free[segment_id]
            return segment_id


def _lend(mapping: mmap.mmap, length: int) -> Any:
    # Imported here, not by every worker: most never see a large buffer.
    import ctypes

    # A new object over the same pages each time: views and arrays keep it alive, and its end is theirs.
    return (ctypes.c_ubyte * length).from_buffer(mapping)
