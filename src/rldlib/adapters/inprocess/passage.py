"""The border between a service and its caller, where both are in one process.

What crosses is written and read as on the wire, so that it is the same in
both modes, and the two share no object: dataclasses become dicts, tuples
become lists, and what one changes later does not change for the other. Only
large buffers are left out of it; they are copied once, by whoever reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rldlib.wire.codec import decode, encode
from rldlib.wire.frames import HEADER, Frame

if TYPE_CHECKING:
    from rldlib.wire.segments import Outside


def carried(message: list[Any]) -> list[Any]:
    """The message as it arrives on the other side.

    Raises:
        EncodingError: A value in it does not travel.
    """
    beside: Outside = _Beside()
    first, *buffers = encode(message, beside)
    body = memoryview(first)[HEADER.size :]
    head = HEADER.unpack_from(first)[1]
    tail = b"".join((body[head:], *buffers)) if buffers else body[head:]
    return decode(Frame(bytes(body[:head]), memoryview(tail)), beside)


class _Beside:
    """Large buffers of one message. See `rldlib.wire.segments.Outside`.

    Reading follows writing at once, in the same thread: nothing needs to be kept by copying.
    """

    def __init__(self) -> None:
        self._buffers: list[memoryview] = []

    def put(self, data: memoryview) -> tuple[int, int]:
        """See `Outside.put`."""
        self._buffers.append(data)
        return len(self._buffers) - 1, len(data)

    def take_back(self, segment_id: int) -> None:
        """See `Outside.take_back`: nothing was taken."""

    def get(self, segment_id: int, length: int) -> memoryview:
        """See `Outside.get`. A view: its reader copies it into what is its own."""
        del length
        return self._buffers[segment_id]
