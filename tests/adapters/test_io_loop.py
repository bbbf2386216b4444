from __future__ import annotations

import logging
import os
import threading

import pytest

from rldlib.adapters.io_loop import READABLE, IoLoop

PATIENCE_S = 10.0


@pytest.fixture
def loop():
    loop = IoLoop("the-loop")
    yield loop
    loop.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "the-loop"]


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_timers_come_in_the_order_of_their_times(loop):
    came, done = [], threading.Event()
    loop.later(0.03, lambda: (came.append("later"), done.set()))
    loop.later(0.01, lambda: came.append("sooner"))
    loop.soon(lambda: came.append("soon"))

    assert done.wait(PATIENCE_S)
    assert came == ["soon", "sooner", "later"]


def test_a_cancelled_timer_does_not_come(loop):
    came, done = [], threading.Event()
    loop.later(0.01, lambda: came.append("cancelled")).cancel()
    loop.later(0.02, done.set)

    assert done.wait(PATIENCE_S)
    assert came == []


def test_cancelled_timers_do_not_pile_up(loop):
    """A deadline per call, nearly all of them cancelled."""
    for _ in range(5000):
        loop.later(3600, lambda: None).cancel()

    assert len(loop._timers) < 600


def test_a_descriptor_is_watched_until_it_is_forgotten(loop, pipe):
    read, write = pipe
    came = threading.Semaphore(0)

    def ready(events):
        assert events & READABLE
        os.read(read, 1)
        came.release()

    loop.watch(read, ready)
    os.write(write, b"1")
    assert came.acquire(timeout=PATIENCE_S)
    loop.forget(read)
    loop.forget(read)
    os.write(write, b"2")
    told = threading.Event()
    loop.soon(told.set)

    assert told.wait(PATIENCE_S)
    assert not came.acquire(blocking=False)


def test_a_callback_that_fails_is_logged_and_leaves_the_others_served(loop, caplog):
    done = threading.Event()
    loop.soon(lambda: 1 / 0)
    loop.soon(done.set)

    assert done.wait(PATIENCE_S)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "ZeroDivisionError" in caplog.text


def test_a_loop_that_was_never_used_closes():
    loop = IoLoop("unused")
    loop.close()
    loop.close()
