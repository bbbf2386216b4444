"""Many senders on one socket: no frame is cut, and nobody waits for itself."""

from __future__ import annotations

import socket
import threading

import pytest

from rldlib.wire import messages
from rldlib.wire.codec import decode, encode
from rldlib.wire.frames import FrameReader
from rldlib.worker.connection import Connection


@pytest.fixture
def ends():
    host, worker = socket.socketpair()
    host.settimeout(20)
    connection = Connection(worker)
    yield host, connection
    connection.close()
    host.close()


def _receive(host, count):
    reader, found = FrameReader(), []
    while len(found) < count:
        reader.feed(host.recv(1 << 16))
        while (frame := reader.next()) is not None:
            found.append(decode(frame))
    return found


def test_messages_of_many_threads_come_whole_and_each_threads_in_its_order(ends):
    host, connection = ends

    def talk(number):
        for turn in range(200):
            connection.send([messages.LOG, number, str(turn), "x" * (turn * 10)])

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    found = _receive(host, 800)
    for thread in threads:
        thread.join()

    for number in range(4):
        assert [message[2] for message in found if message[1] == number] == [str(turn) for turn in range(200)]


def test_who_comes_while_another_sends_does_not_wait(ends):
    """A finalizer that logs may run in the very thread that is sending."""
    host, connection = ends
    with connection._sending:
        connection.send(["reply", 1, b"x" * 100])
        connection.send_droppable([messages.BEAT])
    connection.send(["end", 2])

    assert [message[0] for message in _receive(host, 3)] == ["reply", "beat", "end"]
    assert connection._waiting_bytes == 0


def test_what_may_be_lost_is_lost_when_too_much_waits(ends):
    host, connection = ends
    with connection._sending:
        for _ in range(10):
            connection.send_droppable([messages.LOG, 1, "x", "y" * 1024 * 1024])
    host.close()

    assert 7 <= len(connection._waiting) <= 9


def test_a_large_message_passes_a_small_buffer(ends):
    host, connection = ends
    connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sender = threading.Thread(target=connection.send, args=(["reply", 1, ["a" * 3_000_000, b"b" * 10]],))
    sender.start()
    (message,) = _receive(host, 1)
    sender.join()

    assert message[2] == ["a" * 3_000_000, b"b" * 10]


def test_a_host_that_is_gone_is_noticed_and_sending_is_no_error(ends):
    host, connection = ends
    host.close()
    connection.send(["end", 1])
    connection.send(["end", 2])

    assert connection.lost
    assert connection.receive() is None


def test_a_descriptor_that_came_and_was_not_used_is_closed(ends, tmp_path):
    host, connection = ends
    with (tmp_path / "file").open("wb") as file:
        socket.send_fds(host, [b"".join(map(bytes, encode(["cancel", 1])))], [file.fileno()])
    assert connection.receive() == ["cancel", 1]

    connection.close()
    assert not connection._descriptors


@pytest.mark.parametrize("size", [1 << 40, -4096], ids=["larger than it is", "negative"])
def test_a_segment_that_cannot_be_mapped_breaks_the_protocol(size, ends, tmp_path):
    from rldlib.wire.frames import ProtocolError

    host, connection = ends
    with (tmp_path / "file").open("wb+") as file:
        file.write(b"x")
        frame = b"".join(map(bytes, encode(["segment", 1, size, "host"])))
        socket.send_fds(host, [frame], [file.fileno()])

    with pytest.raises(ProtocolError, match="cannot be mapped"):
        connection.receive()
