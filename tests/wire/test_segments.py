from __future__ import annotations

import gc
import mmap

import pytest

from rldlib.wire.codec import decode, encode
from rldlib.wire.frames import FrameReader, ProtocolError
from rldlib.wire.segments import MIN_SEGMENT_BYTES, Segments, segment_size

_SIZE = 256 * 1024


@pytest.fixture
def pair():
    """Two sides with one segment, number 7, that the first fills."""
    memory = mmap.mmap(-1, _SIZE)
    sender, reader = Segments(), Segments()
    sender.add_own(7, memory)
    reader.add_foreign(7, memory)
    return sender, reader


def _send(sender, reader, value):
    frames = FrameReader()
    frames.feed(b"".join(map(bytes, encode([value], sender))))
    return decode(frames.next(), reader)[0]


def test_an_array_is_read_where_it_lies(pair):
    np = pytest.importorskip("numpy")
    sender, reader = pair
    received = _send(sender, reader, np.arange(20_000))

    assert np.array_equal(received, np.arange(20_000))
    received[0] = 99
    assert sender._mappings[7][:1] == b"c"


def test_the_last_reference_frees_the_segment(pair):
    np = pytest.importorskip("numpy")
    sender, reader = pair
    received = _send(sender, reader, np.arange(20_000))
    part = received[5:7]
    del received
    gc.collect()

    assert reader.dropped() == []
    del part
    gc.collect()
    assert reader.dropped() == [7]
    assert reader.dropped() == []


def test_a_segment_is_used_again_once_it_is_free(pair):
    sender, reader = pair
    first = _send(sender, reader, memoryview(bytes(100_000)))
    assert sender.put(memoryview(bytes(100_000))) is None

    del first
    gc.collect()
    for segment_id in reader.dropped():
        sender.freed(segment_id)
    assert sender.free_bytes() == _SIZE
    assert bytes(_send(sender, reader, memoryview(b"x" * 100_000))) == b"x" * 100_000


def test_bytes_are_copied_and_their_segment_is_free_at_once(pair):
    """A caller who gets bytes keeps them for as long as it likes."""
    sender, reader = pair

    assert _send(sender, reader, b"x" * 100_000) == b"x" * 100_000
    gc.collect()
    assert reader.dropped() == [7]


def test_the_smallest_segment_that_fits_is_taken():
    segments = Segments()
    for segment_id, size in ((1, 4 * _SIZE), (2, _SIZE), (3, 2 * _SIZE)):
        segments.add_own(segment_id, mmap.mmap(-1, size))

    assert segments.put(memoryview(bytes(_SIZE + 1))) == (3, _SIZE + 1)
    assert segments.put(memoryview(bytes(_SIZE))) == (2, _SIZE)
    assert segments.total_bytes() == 7 * _SIZE


def test_more_is_asked_for_when_nothing_fits():
    asked = []

    def more(size):
        asked.append(size)
        if len(asked) == 1:
            segments.add_own(1, mmap.mmap(-1, _SIZE))
            return True
        return False

    segments = Segments(more)

    assert segments.put(memoryview(bytes(70_000))) == (1, 70_000)
    assert segments.put(memoryview(bytes(70_000))) is None
    assert asked == [70_000, 70_000]


@pytest.mark.parametrize(
    ("segment_id", "length"),
    [(8, 10), (7, 0), (7, -1), (7, _SIZE + 1)],
    ids=["unknown", "empty", "negative", "longer than it is"],
)
def test_what_is_not_there_cannot_be_read(pair, segment_id, length):
    _, reader = pair
    with pytest.raises(ProtocolError):
        reader.get(segment_id, length)

    assert bytes(reader.get(7, 4)) == bytes(4)


def test_a_segment_in_use_cannot_be_referred_to_again(pair):
    _, reader = pair
    held = reader.get(7, 4)
    with pytest.raises(ProtocolError):
        reader.get(7, 4)
    assert len(held) == 4


def test_what_this_side_fills_cannot_be_referred_to_by_the_peer(pair):
    sender, _ = pair
    with pytest.raises(ProtocolError):
        sender.get(7, 4)


@pytest.mark.parametrize("segment_id", [7, 8], ids=["empty", "unknown"])
def test_a_segment_with_nothing_in_it_cannot_be_freed(pair, segment_id):
    sender, _ = pair
    with pytest.raises(ProtocolError):
        sender.freed(segment_id)


def test_a_segment_is_announced_once(pair):
    sender, _ = pair
    with pytest.raises(ProtocolError):
        sender.add_own(7, mmap.mmap(-1, _SIZE))


@pytest.mark.parametrize("length", [1, MIN_SEGMENT_BYTES, MIN_SEGMENT_BYTES + 1, 3_000_000, 2**26, 2**26 + 1])
def test_segments_are_large_enough_and_at_most_half_empty(length):
    size = segment_size(length)

    assert size >= length
    assert size == MIN_SEGMENT_BYTES or size <= 1.5 * length
    assert size % mmap.PAGESIZE == 0
