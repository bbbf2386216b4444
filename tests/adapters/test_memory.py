from __future__ import annotations

import fcntl
import mmap
import os

import pytest

from rldlib.adapters.memory import SharedMemory
from rldlib.wire import messages

MIB = 1024 * 1024


class Peer:
    """Maps what is announced, as a worker does."""

    def __init__(self):
        self.told = []
        self.mapped = {}

    def __call__(self, message, fd):
        self.told.append(message)
        if fd is not None:
            self.seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
            with pytest.raises(PermissionError):
                os.ftruncate(fd, 0)
            self.mapped[message[1]] = mmap.mmap(fd, message[2])
            os.close(fd)


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    for mapping in peer.mapped.values():
        mapping.close()


def test_what_one_side_puts_the_other_sees_without_a_copy(peer):
    memory = SharedMemory(peer)
    segment_id, length = memory.segments.put(memoryview(b"x" * MIB))

    assert peer.told == [[messages.SEGMENT, segment_id, len(peer.mapped[segment_id]), messages.HOST]]
    assert peer.mapped[segment_id][:length] == b"x" * MIB


def test_a_segment_cannot_be_resized_by_anyone(peer):
    SharedMemory(peer).segments.put(memoryview(b"x" * MIB))

    assert peer.seals == fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def test_a_freed_segment_is_used_again(peer):
    memory = SharedMemory(peer)
    first, _ = memory.segments.put(memoryview(b"x" * MIB))
    second, _ = memory.segments.put(memoryview(b"y" * MIB))
    memory.segments.freed(first)

    assert memory.segments.put(memoryview(b"z" * MIB)) == (first, MIB)
    assert first != second
    assert len(peer.told) == 2


def test_a_worker_that_needs_a_segment_gets_one_to_fill(peer):
    memory = SharedMemory(peer)
    memory.needed(MIB)
    ((_, segment_id, size, filler),) = peer.told
    peer.mapped[segment_id][:5] = b"there"

    assert (size >= MIB, filler) == (True, messages.WORKER)
    assert bytes(memory.segments.get(segment_id, 5)) == b"there"


@pytest.mark.parametrize("size", [0, -1, 2**60, 5 * MIB])
def test_what_would_be_too_much_is_declined(peer, size):
    memory = SharedMemory(peer, max_bytes=4 * MIB)
    memory.needed(size)

    assert [(message[2], message[3]) for message in peer.told] == [(0, messages.WORKER)]
    assert memory.segments.total_bytes() == 0


def test_beyond_the_cap_a_buffer_goes_inline(peer):
    memory = SharedMemory(peer, max_bytes=2 * MIB)

    assert memory.segments.put(memoryview(b"x" * MIB)) is not None
    assert memory.segments.put(memoryview(b"x" * MIB)) is not None
    assert memory.segments.put(memoryview(b"x" * MIB)) is None


def test_where_the_kernel_refuses_a_buffer_goes_inline(peer, monkeypatch):
    def refuse(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)

    assert SharedMemory(peer).segments.put(memoryview(b"x" * MIB)) is None
    assert peer.told == []
