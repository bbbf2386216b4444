"""Who reads what the host says: whoever has nothing to do, or one that stands in."""

from __future__ import annotations

import queue
import threading

import pytest

from rldlib.worker.reading import Reading

PATIENCE_S = 20


class Work:
    """What there is to do, and from whom it comes: thread names, in the order in which they read."""

    def __init__(self):
        self.said = queue.SimpleQueue()
        self.readers = queue.SimpleQueue()
        self.waits = self.ended = False
        self.roused = 0

    def take_in(self, _spin):
        word = self.said.get()
        self.readers.put(threading.current_thread().name)
        self.waits = word == "call"
        return word != "over"

    def next_reader(self):
        return self.readers.get(timeout=PATIENCE_S)


@pytest.fixture
def work():
    work = Work()
    yield work
    work.said.put("over")
    work.said.put("over")


def test_who_has_nothing_to_do_reads_until_there_is_something(work):
    reading = Reading(work.take_in, work)
    work.said.put("other")
    work.said.put("call")

    assert reading.read()
    assert [work.next_reader() for _ in range(2)] == [threading.current_thread().name] * 2


def test_while_a_call_lasts_another_thread_stands_in(work):
    reading = Reading(work.take_in, work)
    work.said.put("call")
    reading.read()
    work.next_reader()
    work.said.put("cancel")

    assert work.next_reader() == "rldlib-reader"
    assert not reading.free
    assert not reading.read()


def test_the_one_that_stands_in_goes_once_somebody_was_given_something_to_do(work):
    reading = Reading(work.take_in, work)
    work.said.put("call")
    reading.read()
    work.said.put("cancel")
    assert [work.next_reader() for _ in range(2)][1] == "rldlib-reader"
    # With the next thing that is said it goes; were it to take the turn again, so with the one after.
    work.said.put("call")
    while not reading.read():
        work.roused += 1
        work.said.put("call")

    assert reading.free


def test_who_waits_for_the_host_has_it_read_at_once(work):
    reading = Reading(work.take_in, work)
    work.said.put("segment")
    reading.hurry()

    assert work.next_reader() == "rldlib-reader"


def test_the_end_is_the_end_for_all(work):
    reading = Reading(work.take_in, work)
    work.said.put("over")

    assert reading.read()
    assert reading.over
    assert not reading.read()
    assert not reading.free
