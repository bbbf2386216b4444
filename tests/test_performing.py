"""Who may call, and who waits: the places of a performer, without a network and without workers."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future

import pytest

import rldlib
from rldlib.performing import Performer
from rldlib.values.support import Load


class Handle:
    """Futures that the test ends."""

    def __init__(self, service="echo"):
        self.service, self.operations = service, {"echo": {}}
        self.submitted = []

    def submit(self, operation, /, *, deadline, **arguments):
        future = Future()
        self.submitted.append((operation, deadline, arguments, future))
        return future


class Daemon:
    def __init__(self, made):
        self.acquired = []
        self.closed = False
        made.append(self)

    def acquire(self, request):
        self.acquired.append(request)
        return Handle(request.partition("==")[0])

    def close(self):
        self.closed = True


def performer(made=None, **more):
    settings = {"slots": 1, "queue_slots": 1} | more
    return Performer(lambda: Daemon(made if made is not None else []), lambda: Load(slots=4), **settings)


def test_a_service_is_acquired_once_and_a_second_version_beside_it():
    made = []
    here = performer(made)
    first = here.hold("echo", "1.0")

    assert here.hold("echo", "1.0") is first
    assert here.hold("other", "3") is not first
    here.hold("echo", "2.0")

    assert [daemon.acquired for daemon in made] == [["echo==1.0", "other==3"], ["echo==2.0"]]
    assert here.operations("echo", "1.0") == {"echo": {}}
    assert here.operations("echo", "9") == {}
    here.close()
    assert all(daemon.closed for daemon in made)


def test_one_is_performed_one_waits_and_the_third_is_turned_away():
    here = performer()
    with here.admit("echo"):
        with here.admit("echo"):
            with pytest.raises(rldlib.OverloadedError) as told:
                here.admit("echo")
            load = here.load()
        assert (load.active, load.queued, load.slots, load.queue_slots) == (1, 1, 1, 1)
        assert here.load().queued == 0
    assert here.load().active == 0
    assert told.value.retry_after_s >= 1


def test_the_next_begins_when_one_leaves_within_its_deadline_that_ran_from_its_arrival():
    here, handle = performer(), Handle()
    first, second = here.admit("echo"), here.admit("echo")
    done = []
    thread = threading.Thread(target=lambda: done.append(second.perform(handle, "echo", {"value": 1}, 20.0)))
    thread.start()
    assert handle.submitted == []
    first.leave()
    first.leave()
    thread_sees = threading.Event()
    while not handle.submitted:
        assert not thread_sees.wait(0.005)
        assert thread.is_alive()
    ((operation, deadline, arguments, future),) = handle.submitted
    future.set_result(5)
    thread.join(20)

    assert (operation, arguments, done) == ("echo", {"value": 1}, [5])
    assert 0 < deadline < 20.0


def test_a_deadline_that_passes_in_the_queue_sends_nothing():
    here, handle = performer(), Handle()
    with here.admit("echo"), here.admit("echo") as second, pytest.raises(rldlib.CallTimeoutError) as told:
        second.perform(handle, "echo", {}, 0.02)
    assert told.value.deadline_s == 0.02
    assert handle.submitted == []


def test_a_call_that_nobody_waits_for_is_never_begun():
    here, handle = performer(), Handle()
    with here.admit("echo"), here.admit("echo") as second:
        second.cancel()
        with pytest.raises(CancelledError):
            second.perform(handle, "echo", {}, 20.0)
    assert handle.submitted == []


def test_leaving_cancels_what_still_runs():
    here, handle = performer(), Handle()
    with here.admit("echo") as turn:
        thread = threading.Thread(target=lambda: _ends(turn, handle))
        thread.start()
        while not handle.submitted:
            assert thread.is_alive()
    thread.join(20)
    assert handle.submitted[0][3].cancelled()


def _ends(turn, handle):
    with pytest.raises(CancelledError):
        turn.perform(handle, "echo", {}, 20.0)


def test_no_deadline_is_the_longest_that_a_call_may_take():
    here, handle = performer(longest_s=0.02), Handle()
    with here.admit("echo"), here.admit("echo") as second, pytest.raises(rldlib.CallTimeoutError):
        second.perform(handle, "echo", {}, None)
    with here.admit("echo"), here.admit("echo") as second, pytest.raises(rldlib.CallTimeoutError):
        second.perform(handle, "echo", {}, 3600.0)


def test_an_argument_named_like_the_calls_own_deadline_is_refused():
    here, handle = performer(), Handle()
    with here.admit("echo") as turn, pytest.raises(rldlib.ArgumentsError, match="deadline"):
        turn.perform(handle, "echo", {"deadline": 1}, None)
    assert handle.submitted == []
