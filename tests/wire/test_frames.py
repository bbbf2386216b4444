from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldlib.wire.frames import (
    HEADER,
    MAX_FRAME_BYTES,
    MAX_HEAD_BYTES,
    Frame,
    FrameReader,
    ProtocolError,
    header,
)


def _frame(head, tail=b""):
    return header(len(head) + len(tail), len(head)) + head + tail


@given(st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=50))), st.integers(1, 40))
def test_frames_come_out_as_they_went_in_however_the_bytes_are_cut(frames, step):
    stream = b"".join(_frame(head, tail) for head, tail in frames)
    reader, found = FrameReader(), []

    for start in range(0, len(stream), step):
        reader.feed(stream[start : start + step])
        while (frame := reader.next()) is not None:
            found.append((frame.head, bytes(frame.tail)))

    assert found == frames
    assert reader.pending_bytes == 0


def test_half_a_frame_is_waited_for():
    reader = FrameReader()
    reader.feed(_frame(b"[1]")[:-1])

    assert reader.next() is None
    assert reader.pending_bytes == HEADER.size + 2


@pytest.mark.parametrize(
    ("size", "head_size"),
    [
        (MAX_FRAME_BYTES + 1, 1),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (3, 4),
        (MAX_FRAME_BYTES, MAX_HEAD_BYTES + 1),
    ],
    ids=["over the cap", "all ones", "more head than body", "too much of it JSON"],
)
def test_a_header_that_claims_too_much_is_refused_at_once(size, head_size):
    reader = FrameReader()
    reader.feed(struct.pack("<II", size, head_size))

    with pytest.raises(ProtocolError, match="claims"):
        reader.next()


def test_a_claim_reserves_no_memory():
    """Otherwise eight bytes from a worker cost the host 64 MiB."""
    reader = FrameReader()
    tracemalloc.start()
    try:
        reader.feed(struct.pack("<II", MAX_FRAME_BYTES, 100) + b"x" * 1000)
        assert reader.next() is None
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_frame_stays_as_it_was_when_more_comes():
    reader = FrameReader()
    reader.feed(_frame(b"[1]", b"tail")[:9])
    reader.feed(_frame(b"[1]", b"tail")[9:])
    frame = reader.next()
    reader.feed(_frame(b"[2]", b"else") * 100)

    assert (frame.head, bytes(frame.tail)) == (b"[1]", b"tail")
    assert isinstance(frame, Frame)
