"""Sending without blocking, over a real socket."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress

import pytest

from rldlib.adapters.calls import WaitingCall
from rldlib.adapters.outgoing import MAX_BUFFERED_BYTES, Outgoing

PATIENCE_S = 10.0


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    theirs.settimeout(PATIENCE_S)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def outgoing(pair):
    return Outgoing(pair[0])


def _call(number=1):
    return WaitingCall(number, "x")


def _read(sock, size):
    found = b""
    while len(found) < size:
        found += sock.recv(65536)
    return found


def _fill(outgoing):
    """Send until the kernel takes no more; how many bytes that was."""
    sent = 0
    while not outgoing.blocked:
        outgoing.send([b"x" * 100_000])
        sent += 100_000
    return sent


def test_what_was_sent_is_known_to_be(outgoing, pair):
    call = _call()
    outgoing.send([b"one", memoryview(b"two")], call)

    assert call.sent
    assert pair[1].recv(100) == b"onetwo"


def test_what_the_kernel_does_not_take_is_sent_later_in_order(outgoing, pair):
    size, call = _fill(outgoing), _call()
    outgoing.send([b"a call"], call)
    outgoing.send([b", and more"])
    assert not call.sent

    found = b""
    while outgoing.blocked:
        found += pair[1].recv(65536)
        outgoing.flush(again=True)
    found += _read(pair[1], size + 16 - len(found))

    assert found == b"x" * size + b"a call, and more"
    assert call.sent


def test_a_call_of_which_nothing_was_sent_can_be_taken_back(outgoing, pair):
    size, first, second = _fill(outgoing), _call(1), _call(2)
    outgoing.send([b"first"], first)
    outgoing.send([b"second"], second)

    assert outgoing.drop(first)
    assert not outgoing.drop(first)
    found = b""
    while outgoing.blocked:
        found += pair[1].recv(65536)
        outgoing.flush(again=True)
    assert (found + _read(pair[1], size + 6 - len(found))).endswith(b"xsecond")
    assert not outgoing.drop(second)


def test_what_comes_while_another_sends_goes_with_it(outgoing, pair):
    """Nobody waits for who is sending."""
    call = _call()
    with outgoing._sending:  # the very moment is meant
        thread = threading.Thread(target=outgoing.send, args=([b"queued"], call))
        thread.start()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        assert not call.sent

    outgoing.send([b", and sent"])

    assert pair[1].recv(100) == b"queued, and sent"
    assert call.sent


def test_messages_from_many_threads_stay_whole(outgoing, pair):
    def send(number):
        for _ in range(200):
            outgoing.send([bytes([number]) * 7])

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    pair[1].setblocking(False)
    found, until = b"", time.monotonic() + PATIENCE_S
    while len(found) < 8 * 200 * 7 and time.monotonic() < until:
        # As the loop does, which is told when there is room again.
        outgoing.flush(again=outgoing.blocked)
        with suppress(BlockingIOError):
            found += pair[1].recv(65536)
    for thread in threads:
        thread.join()

    assert len(found) == 8 * 200 * 7
    assert all(len(set(found[at : at + 7])) == 1 for at in range(0, len(found), 7))


def test_a_descriptor_goes_with_its_own_message_and_is_closed(outgoing, pair):
    mine, other = os.pipe()
    with outgoing._sending:  # so that all three wait
        outgoing.send([b"before "])
        outgoing.send([b"with it "], fd=mine)
        outgoing.send([b"after"])
    outgoing.flush()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(mine)
    data, fds, _, _ = socket.recv_fds(pair[1], 100, 4)
    while len(data) < 20:
        more, more_fds, _, _ = socket.recv_fds(pair[1], 100, 4)
        data, fds = data + more, fds + more_fds
    assert data == b"before with it after"
    assert len(fds) == 1
    for fd in (*fds, other):
        os.close(fd)


def test_beyond_its_bound_it_is_full_until_it_is_read(outgoing, pair):
    _fill(outgoing)
    assert not outgoing.full
    outgoing.send([bytes(MAX_BUFFERED_BYTES)])

    assert outgoing.full


def test_once_closed_it_sends_nothing_and_closes_descriptors(outgoing, pair):
    mine, other = os.pipe()
    outgoing.close()
    call = _call()
    outgoing.send([b"late"], call)
    outgoing.send([b"late"], fd=mine)

    assert not call.sent
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pair[1].recv(100)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(mine)
    os.close(other)


def test_what_comes_while_a_call_is_taken_back_is_sent(outgoing, pair):
    taken, late = _call(1), _call(2)
    with outgoing._sending:
        outgoing.send([b"first"])
        outgoing.send([b"taken"], taken)
        outgoing.send([b" late"], late)

    assert outgoing.drop(taken)
    assert pair[1].recv(100) == b"first late"
    assert late.sent
