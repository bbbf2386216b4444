"""Frames: how one message is set off from the next on a stream of bytes.

A frame is a header of eight bytes, two little-endian 32-bit numbers (the
bytes of its body, and how many of those are its JSON head), then the body:
the head, and after it the buffers that travel inline (its tail).
"""

from __future__ import annotations

from struct import Struct

HEADER = Struct("<II")
# The eight bytes in front of a body, of its size and the size of its head.
header = HEADER.pack
_HEADER_BYTES = HEADER.size
_read_header = HEADER.unpack_from
MAX_FRAME_BYTES = 64 * 1024 * 1024
# Read, JSON becomes larger: a text up to four times, other values as `rldlib.wire.marks` bounds them.
MAX_HEAD_BYTES = 16 * 1024 * 1024
_NOTHING = memoryview(b"")


class ProtocolError(Exception):
    """The peer sent what this protocol does not allow; the connection is of no more use."""


class Frame:
    """One message as it came: its JSON head and its inline buffers, end to end.

    Attributes:
        head: The JSON text, UTF-8.
        tail: The inline buffers, one after the other.
    """

    __slots__ = ("head", "tail")

    def __init__(self, head: bytes, tail: memoryview = _NOTHING) -> None:
        self.head = head
        self.tail = tail


class FrameReader:
    """Cuts a stream of bytes into frames.

    What it holds is bounded by what was really received: a header's claim
    reserves nothing, and a claim above `max_bytes` is refused at once, as is
    one of more than `max_head_bytes` of JSON.

    Attributes:
        pending_bytes: How many bytes wait: for the rest of their frame, or for `next`.
    """

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES, max_head_bytes: int = MAX_HEAD_BYTES) -> None:
        self._max_bytes = max_bytes
        self._max_head_bytes = max_head_bytes
        self._buffer: bytes | bytearray = b""
        self._at = 0
        self.pending_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take bytes as they came from the peer."""
        pending, self.pending_bytes = self.pending_bytes, self.pending_bytes + len(data)
        if not pending:
            # Mostly one read is one frame: it is then read where it lies.
            self._buffer, self._at = data, 0
            return
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer)
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    def next(self) -> Frame | None:
        """The next whole frame; None until more bytes are fed.

        Raises:
            ProtocolError: The header claims more than is allowed, or more
                head than body.
        """
        buffer, at = self._buffer, self._at
        start = at + _HEADER_BYTES
        if len(buffer) < start:
            return None
        size, head_size = _read_header(buffer, at)
        if not head_size <= size <= self._max_bytes or head_size > self._max_head_bytes:
            raise ProtocolError(
                f"a frame claims {size:,} bytes, {head_size:,} of them its head; "
                f"at most {self._max_bytes:,} are allowed, {self._max_head_bytes:,} of them its head"
            )
        end = start + size
        if len(buffer) < end:
            return None
        self._at = end
        self.pending_bytes = len(buffer) - end
        if head_size == size:
            return Frame(bytes(buffer[start:end]), _NOTHING)
        with memoryview(buffer) as whole:
            head = bytes(whole[start : start + head_size])
            # Copied where the buffer will still change: a view would pin it.
            tail = bytes(whole[start + head_size : end])
        return Frame(head, memoryview(tail))
