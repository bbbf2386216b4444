"""What the loop is told, with a loop that only writes it down."""

from __future__ import annotations

import threading

import pytest

from rldlib.adapters.io_loop import READABLE, WRITABLE
from rldlib.adapters.watch import Watch

FD = 7


class Loop:
    """Told what to wait for; timers are done when the test says so."""

    def __init__(self):
        self.told = []
        self.due = []

    def watch(self, fd, on_ready, events=READABLE):
        self.told.append(events)

    def change(self, fd, events):
        self.told.append(events)

    def forget(self, fd):
        self.told.append(None)

    def later(self, delay_s, do):
        self.due.append(do)

    def turn(self):
        due, self.due = self.due, []
        for do in due:
            do()


class Line:
    def __init__(self):
        self.loop = Loop()
        self.read = True
        self.now = 100.0
        self.watch = Watch(self.loop, FD, lambda _: None, threading.Lock(), self.arm)

    def arm(self):
        self.watch.adjust(read=self.read, write=False)

    def call(self, after_s):
        """A thread reads, and has what it waited for so long after the last one."""
        self.read = False
        self.arm()
        self.now += after_s
        self.read = True
        self.watch.rest(self.now)
        self.arm()


@pytest.fixture
def line():
    return Line()


def test_the_loop_reads_before_and_after_a_single_call(line):
    line.call(after_s=1)

    assert line.loop.told == [READABLE, 0, READABLE]


def test_calls_in_a_row_tell_the_loop_nothing(line):
    for _ in range(1000):
        line.call(after_s=0.0001)

    assert line.loop.told == [READABLE, 0, READABLE, 0]
    assert len(line.loop.due) == 1


def test_the_loop_reads_again_once_no_call_follows(line):
    for _ in range(3):
        line.call(after_s=0.0001)
    line.loop.turn()
    assert line.loop.told[-1] == 0
    line.call(after_s=0.0001)
    line.loop.turn()
    assert line.loop.told[-1] == 0

    line.loop.turn()

    assert line.loop.told[-1] == READABLE
    assert line.loop.due == []


def test_what_no_thread_waits_for_is_read_at_once(line):
    for _ in range(3):
        line.call(after_s=0.0001)

    line.watch.attend()
    line.arm()

    assert line.loop.told[-1] == READABLE


def test_a_second_row_before_the_loop_has_looked_makes_no_second_look(line):
    for _ in range(3):
        line.call(after_s=0.0001)
        line.watch.attend()
        line.call(after_s=0.0001)

    assert len(line.loop.due) == 1


def test_what_cannot_be_sent_yet_is_waited_for_in_a_row_of_calls_too(line):
    for _ in range(3):
        line.call(after_s=0.0001)

    line.watch.adjust(read=True, write=True)

    assert line.loop.told[-1] == WRITABLE


def test_after_its_end_nothing_is_waited_for(line):
    line.watch.close()
    line.call(after_s=0.0001)
    line.call(after_s=0.0001)

    assert line.loop.told == [READABLE, None]
    assert line.loop.due == []
