"""Calls over a real socket, to a real process that follows a script."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait

import pytest
from tests.adapters.working import PEER, Promised, order

from rldlib.adapters.calls import STREAM_CREDIT
from rldlib.adapters.outgoing import MAX_BUFFERED_BYTES
from rldlib.adapters.spawner import WorkerHost
from rldlib.errors import ArgumentsError, CallTimeoutError, ServiceFaultError, WorkerLostError
from rldlib.reporter import Reporter

PATIENCE_S = 10.0


class Notes(Reporter):
    def __init__(self):
        self.lines = []

    def noted(self, service, text):
        self.lines.append((service, text))


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def start(tmp_path, notes):
    promise = Promised(tmp_path)
    with WorkerHost(notes, main=PEER) as workers:
        yield lambda **settings: workers.start(order(tmp_path, **settings), promise)
    promise.close()


@pytest.fixture
def worker(start):
    return start()


# --- the ends of a call ------------------------------------------------------


def test_a_call_gives_its_reply(worker):
    assert worker.call("echo", {"value": {"a": [1, None]}}, None) == {"a": [1, None]}


def test_what_the_service_raised_arrives_as_text(worker):
    with pytest.raises(ServiceFaultError) as caught:
        worker.call("fault", {}, None)

    assert caught.value.facts() == {
        "service": "well-behaved",
        "operation": "fault",
        "fault_type": "ValueError",
        "fault_message": "that is wrong",
        "traceback": "Traceback: here",
    }


def test_arguments_that_the_worker_refuses_were_not_executed(worker):
    with pytest.raises(ArgumentsError, match="text: is missing"):
        worker.call("refuse", {}, None)


def test_a_value_that_does_not_travel_is_told_by_its_path_and_nothing_is_sent(worker):
    with pytest.raises(ArgumentsError, match=r"value\[1\]"):
        worker.call("echo", {"value": [1, object()]}, None)

    assert worker.call("echo", {"value": 1}, None) == 1


def test_a_thousand_calls_from_sixteen_threads_are_all_right(worker):
    def one(number):
        return worker.call("echo", {"value": [number, "x" * (number % 300)]}, PATIENCE_S)

    with ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(one, range(1000)))

    assert replies == [[number, "x" * (number % 300)] for number in range(1000)]


def test_calls_and_futures_and_streams_share_a_worker(worker):
    def mixed(number):
        if number % 3 == 0:
            return worker.submit("echo", {"value": number}, PATIENCE_S).result(PATIENCE_S)
        if number % 3 == 1:
            return worker.call("echo", {"value": number}, PATIENCE_S)
        return len(list(worker.stream("stream_that_is_short", {"count": number}, PATIENCE_S)))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(mixed, range(240))) == list(range(240))


def test_what_nobody_waits_for_is_heard_after_calls_in_a_row(worker):
    """While calls follow each other, the loop does not read; it begins again by itself."""
    for number in range(200):
        worker.call("echo", {"value": number}, PATIENCE_S)
    heard = [worker.submit("echo", {"value": number}, PATIENCE_S) for number in range(3)]
    assert [future.result(PATIENCE_S) for future in heard] == [0, 1, 2]

    for number in range(200):
        worker.call("echo", {"value": number}, PATIENCE_S)
    ended = threading.Event()
    worker.on_end(lambda _: ended.set())
    os.kill(worker.pid, signal.SIGKILL)
    assert ended.wait(PATIENCE_S)


# --- deadlines and cancellation ------------------------------------------------


def test_a_deadline_ends_the_wait_at_once_and_cancels_the_call(worker):
    began = time.monotonic()
    with pytest.raises(CallTimeoutError) as caught:
        worker.call("hang", {}, 0.05)

    assert 0.05 <= time.monotonic() - began < 1.0
    assert caught.value.deadline_s == 0.05
    assert len(worker.call("cancelled", {}, PATIENCE_S)) == 1


def test_a_deadline_that_is_over_sends_nothing(worker):
    with pytest.raises(CallTimeoutError):
        worker.call("exit", {"status": 3}, 0)

    assert worker.call("echo", {"value": 1}, None) == 1


def test_a_reply_after_the_deadline_is_dropped(worker):
    with pytest.raises(CallTimeoutError):
        worker.call("reply_when_cancelled", {}, 0.05)

    assert worker.call("echo", {"value": "next"}, PATIENCE_S) == "next"


def test_the_deadline_of_a_future_holds_though_nobody_waits(worker):
    future = worker.submit("hang", {}, 0.05)

    with pytest.raises(CallTimeoutError):
        future.result(PATIENCE_S)
    assert len(worker.call("cancelled", {}, PATIENCE_S)) == 1


def test_a_thread_that_only_follows_keeps_its_own_deadline(worker):
    """One thread reads, for a call without an end; the other is late all the same."""
    with ThreadPoolExecutor(1) as threads:
        leader = threads.submit(worker.call, "hang", {}, None)
        with pytest.raises(CallTimeoutError):
            worker.call("hang", {}, 0.1)
        assert worker.call("echo", {"value": 1}, PATIENCE_S) == 1
        worker.stop(PATIENCE_S)

        assert isinstance(leader.exception(PATIENCE_S), WorkerLostError)


def test_the_lead_is_handed_on_when_the_leader_is_late(worker):
    """A thread that waits without a deadline must be woken to read when the one that read has left."""
    with ThreadPoolExecutor(5) as threads:
        first = threads.submit(worker.call, "hang", {}, 0.2)
        waiting = [threads.submit(worker.call, "reply_when_cancelled", {}, 0.4) for _ in range(2)]
        replies = list(threads.map(lambda n: worker.call("echo", {"value": n}, None), range(40)))

        assert replies == list(range(40))
        for late in (first, *waiting):
            assert isinstance(late.exception(PATIENCE_S), CallTimeoutError)


def test_cancelling_a_future_cancels_the_call(worker):
    future = worker.submit("hang", {}, None)

    assert future.cancel()
    assert future.cancelled()
    assert wait([future], PATIENCE_S).done == {future}
    with pytest.raises(CancelledError):
        future.result()
    assert len(worker.call("cancelled", {}, PATIENCE_S)) == 1


def test_a_future_that_has_ended_cannot_be_cancelled(worker):
    future = worker.submit("echo", {"value": 1}, None)
    assert future.result(PATIENCE_S) == 1

    assert not future.cancel()


def test_a_worker_whose_threads_are_all_held_by_late_calls_is_ended(start):
    worker = start(stop_s=0.2)
    ended = threading.Event()
    worker.on_end(lambda how: ended.set())
    with pytest.raises(CallTimeoutError):
        worker.call("stick", {}, 0.05)

    assert ended.wait(PATIENCE_S)
    with pytest.raises(WorkerLostError, match=r"1 calls that were cancelled held its 1 threads"):
        worker.call("echo", {"value": 1}, None)


# --- streams -----------------------------------------------------------------


def test_the_items_of_a_stream_come_in_order(worker):
    assert list(worker.stream("stream_that_is_short", {"count": 500}, None)) == list(range(500))


def test_leaving_a_stream_cancels_it(worker):
    with worker.stream("stream_that_is_short", {"count": 10**9}, None) as items:
        assert next(items) == 0

    assert worker.call("echo", {"value": 1}, PATIENCE_S) == 1
    assert list(items) == []


def test_a_stream_that_nobody_holds_is_cancelled_with_the_next_message(worker):
    items = worker.stream("stream_that_is_short", {"count": 10**9}, None)
    next(items)
    del items
    gc.collect()

    assert worker.call("echo", {"value": 1}, PATIENCE_S) == 1


def test_a_stream_that_fails_gives_what_came_before(worker):
    items = worker.stream("stream_then_fault", {}, None)

    assert next(items) == "one"
    with pytest.raises(ServiceFaultError, match="no more"):
        next(items)
    with pytest.raises(StopIteration):
        next(items)


def test_a_stream_that_stalls_is_late(worker):
    items = worker.stream("stream_stalls", {}, 0.2)

    assert next(items) == "one"
    with pytest.raises(CallTimeoutError):
        next(items)


def test_a_worker_sends_no_more_than_its_credit(worker):
    """What nobody takes stays in the worker: the host holds so many items, and no more."""
    items = worker.stream("stream_that_is_short", {"count": 10_000}, None)
    next(items)

    assert items._call._received <= 2 * STREAM_CREDIT
    assert sum(1 for _ in items) == 9_999


# --- what is told beside ---------------------------------------------------------


def test_progress_and_log_records_are_passed_on(worker, notes, caplog):
    future = worker.submit("progress", {}, None)

    assert future.result(PATIENCE_S) is None
    assert future.progress == (1, 2, "half of it")
    assert notes.lines == [("well-behaved", "progress: 1 of 2 half of it")]
    assert [(r.name, r.getMessage()) for r in caplog.records] == [
        ("rldlib.services.well-behaved", "the.service: a warning")
    ]


def test_what_a_worker_tells_can_be_written_to_any_file(worker, notes, caplog):
    """Half a character in it would make a handler drop the record."""
    worker.call("halves", {}, PATIENCE_S)

    told = [record.getMessage() for record in caplog.records] + [text for _, text in notes.lines]
    assert told == ["the.\\ud800: a \\udfff", "halves: 1 of 2 \\ud800"]


def test_a_flood_of_log_records_is_capped(worker, caplog):
    caplog.set_level("INFO")
    worker.call("logs", {"count": 3000}, PATIENCE_S)

    assert len(caplog.records) <= 2000


# --- a worker that is lost -------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "arguments", "told"),
    [
        pytest.param("exit", {"status": 0}, "exited with status 0", id="quits quietly"),
        pytest.param("exit", {"status": 3}, "exited with status 3", id="quits with an error"),
        pytest.param("killed", {}, "killed by SIGKILL", id="killed"),
    ],
)
def test_a_worker_lost_mid_call_fails_every_call_it_held(worker, operation, arguments, told):
    held = worker.submit("hang", {}, None)
    with pytest.raises(WorkerLostError) as caught:
        worker.call(operation, arguments, None)

    assert (caught.value.how, caught.value.executed) == (told, None)
    assert held.exception(PATIENCE_S).how == told
    with pytest.raises(WorkerLostError) as after:
        worker.call("echo", {"value": "to a worker already gone"}, None)
    assert (after.value.how, after.value.executed) == (told, False)


def test_a_reply_sent_before_the_end_still_counts(worker):
    assert worker.call("reply_and_exit", {"status": 0}, None) == "the last word"


def test_a_follower_s_call_fails_with_the_worker_too(worker):
    with ThreadPoolExecutor(8) as threads:
        held = [threads.submit(worker.call, "hang", {}, None) for _ in range(7)]
        with pytest.raises(WorkerLostError):
            worker.call("exit", {"status": 0}, None)

        for call in held:
            assert isinstance(call.exception(PATIENCE_S), WorkerLostError)


def test_a_child_that_keeps_the_socket_does_not_keep_the_calls(worker):
    """The worker ends with status 0 while its child holds the channel and ignores every signal."""
    child = worker.call("forks", {}, PATIENCE_S)
    began = time.monotonic()
    with pytest.raises(WorkerLostError, match="exited with status 0"):
        worker.call("exit", {"status": 0}, PATIENCE_S)

    assert time.monotonic() - began < 1.0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_call_that_was_never_sent_is_known_not_to_be_executed(worker):
    """The worker reads no more: what waits behind a full socket was certainly not begun."""
    worker.call("deaf", {}, PATIENCE_S)
    block = "x" * 1_000_000
    held = [worker.submit("echo", {"value": block}, None) for _ in range(3)]
    worker.kill("killed, since the test says so")

    lost = [future.exception(PATIENCE_S) for future in held]
    assert [error.executed for error in lost] == [False, False, False]
    assert {error.how for error in lost} == {"killed, since the test says so"}


def test_a_worker_that_does_not_read_holds_a_call_no_longer_than_its_deadline(worker):
    worker.call("deaf", {}, PATIENCE_S)
    block = "x" * 1_000_000
    for _ in range(MAX_BUFFERED_BYTES // len(block) + 1):
        worker.submit("echo", {"value": block}, None)
    began = time.monotonic()

    with pytest.raises(CallTimeoutError):
        worker.call("echo", {"value": "no room for this one"}, 0.1)
    with pytest.raises(CallTimeoutError):
        worker.submit("echo", {"value": "nor for this"}, 0.1)
    assert time.monotonic() - began < 1.0


def test_a_call_that_waits_for_room_fails_with_its_worker(worker):
    worker.call("deaf", {}, PATIENCE_S)
    block = "x" * 1_000_000
    for _ in range(MAX_BUFFERED_BYTES // len(block) + 1):
        worker.submit("echo", {"value": block}, None)
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(worker.call, "echo", {"value": 1}, None)
        worker.kill("killed, since the test says so")

        error = held.exception(PATIENCE_S)
    assert isinstance(error, WorkerLostError)
    assert error.executed is False


def test_large_inline_values_go_and_come_while_others_call(worker):
    """Both directions at once, each message far beyond what the socket holds."""
    block = "x" * 5_000_000

    def one(number):
        value = block if number % 5 == 0 else number
        return worker.call("echo", {"value": value}, 60) == value

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(40)))


# --- who reads -----------------------------------------------------------------


def test_a_callback_may_call_again_while_nobody_else_reads(worker):
    """It runs in the thread that reads, which then must read for it too."""
    done = threading.Event()
    replies = []

    def again(_future):
        replies.append(worker.call("echo", {"value": "from the callback"}, PATIENCE_S))
        done.set()

    worker.submit("echo", {"value": 1}, None).add_done_callback(again)
    assert done.wait(PATIENCE_S)

    def while_another_waits(_future):
        replies.append(worker.call("echo", {"value": "while another waits"}, PATIENCE_S))

    worker.submit("echo", {"value": 2}, None).add_done_callback(while_another_waits)
    with pytest.raises(CallTimeoutError):
        worker.call("hang", {}, 0.1)
    assert worker.call("echo", {"value": 3}, PATIENCE_S) == 3
    assert replies == ["from the callback", "while another waits"]


def test_an_interrupted_call_is_cancelled_and_the_others_go_on(worker):
    """The interrupted thread was the one that read."""

    class InterruptError(Exception):
        pass

    def interrupt(_number, _frame):
        raise InterruptError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with ThreadPoolExecutor(1) as threads:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(InterruptError):
                worker.call("hang", {}, None)
            other = threads.submit(worker.call, "echo", {"value": "other"}, PATIENCE_S)
            assert other.result(PATIENCE_S) == "other"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(worker.call("cancelled", {}, PATIENCE_S)) == 1
