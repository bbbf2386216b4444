"""A worker that does what none should: its host stays right and responsive, and the worker is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
import tracemalloc

import pytest
from tests.adapters.working import PEER, Promised, open_descriptors, order
from tests.worker.spawning import alive, eventually

from rldlib.adapters.spawner import WorkerHost
from rldlib.errors import CallTimeoutError, WorkerLostError

pytestmark = pytest.mark.faults
PATIENCE_S = 10.0


@pytest.fixture
def workers():
    with WorkerHost(main=PEER) as workers:
        yield workers


@pytest.fixture
def promise(tmp_path):
    promise = Promised(tmp_path)
    yield promise
    promise.close()


@pytest.fixture
def good(workers, promise, tmp_path):
    """A worker of the same host that must notice nothing."""
    return workers.start(order(tmp_path, "good"), promise)


@pytest.fixture
def bad(workers, promise, tmp_path, good):
    return workers.start(order(tmp_path, "bad", heartbeat_s=0.1), promise)


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        pytest.param("huge_header", "claims 2,147,483,648 bytes", id="a huge frame header"),
        pytest.param("huge_head", "33,554,432 of them its head", id="a huge amount of JSON"),
        pytest.param("no_json", "no JSON", id="no JSON"),
        pytest.param("unknown_kind", "unknown kind: 'surprise'", id="an unknown kind"),
        pytest.param("unknown_id", "not under way", id="a reply nobody asked for"),
        pytest.param("item_of_no_stream", "which is no stream", id="an item of no stream"),
        pytest.param("ready_again", "a second ready", id="READY twice"),
        pytest.param("unknown_segment", "segment 7", id="shared memory it was not given"),
        pytest.param("frees_nothing", "segment 7", id="freeing what it does not hold"),
        pytest.param("reply_flood", "not under way", id="a flood of replies"),
    ],
)
def test_what_breaks_the_protocol_ends_that_worker_only(good, bad, operation, told):
    gone = threading.Event()
    bad.on_end(lambda how: gone.set())
    with pytest.raises(WorkerLostError, match="broke the protocol") as caught:
        bad.call(operation, {}, PATIENCE_S)

    assert told in caught.value.how
    assert gone.wait(PATIENCE_S)
    assert not alive(bad.pid)
    assert good.call("echo", {"value": 1}, PATIENCE_S) == 1


@pytest.mark.parametrize("operation", ["stream_beyond_credit", "stream_that_replies"])
def test_a_stream_that_breaks_the_protocol_ends_that_worker_only(good, bad, operation):
    with pytest.raises(WorkerLostError, match="broke the protocol"):
        list(bad.stream(operation, {}, PATIENCE_S))

    assert good.call("echo", {"value": 1}, PATIENCE_S) == 1


def test_a_second_reply_to_one_call_ends_the_worker(good, bad):
    assert bad.call("twice", {}, PATIENCE_S) == "once"
    gone = threading.Event()
    bad.on_end(lambda how: gone.set())

    assert gone.wait(PATIENCE_S)
    assert good.call("echo", {"value": 1}, PATIENCE_S) == 1


def test_half_a_frame_holds_a_call_no_longer_than_its_deadline(good, bad):
    with pytest.raises(CallTimeoutError):
        bad.call("half_a_frame", {}, 0.1)

    assert good.call("echo", {"value": 1}, PATIENCE_S) == 1


def test_a_huge_header_reserves_no_memory(bad):
    tracemalloc.start()
    try:
        with pytest.raises(WorkerLostError):
            bad.call("huge_header", {}, PATIENCE_S)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_descriptors_that_a_worker_passes_are_dropped(bad):
    before = open_descriptors()

    assert bad.call("passes_descriptors", {}, PATIENCE_S) == "with a descriptor"
    assert open_descriptors() == before


@pytest.mark.slow
def test_a_stopped_worker_is_hung_and_is_killed(good, bad):
    """Nothing comes from it and it does no work: three heartbeats, then one more look."""
    began = time.monotonic()
    with pytest.raises(WorkerLostError, match="nothing came from it"):
        bad.call("stopped", {}, PATIENCE_S)

    assert time.monotonic() - began < 3.0
    assert good.call("echo", {"value": 1}, PATIENCE_S) == 1


@pytest.mark.slow
def test_a_silent_worker_that_works_is_left_alone(bad):
    """Eight heartbeats do not come while a call holds the interpreter; after it, they come again."""
    assert bad.call("busy", {"seconds": 0.8}, PATIENCE_S) == "done"
    assert not threading.Event().wait(0.5)
    assert bad.call("echo", {"value": 1}, PATIENCE_S) == 1


def test_a_worker_that_ignores_stop_and_sigterm_is_killed(workers, promise, tmp_path):
    worker = workers.start(order(tmp_path, "ignores-stop"), promise)
    began = time.monotonic()
    worker.stop(0.2)

    assert 0.2 <= time.monotonic() - began < 1.5
    assert not alive(worker.pid)


def test_a_child_that_ignores_every_signal_goes_with_its_worker(bad):
    child = bad.call("forks", {}, PATIENCE_S)
    bad.stop(1.0)

    assert not alive(bad.pid)
    assert not alive(child)


def test_a_spawner_that_is_killed_takes_its_workers_and_the_next_start_has_a_new_one(
    workers, promise, tmp_path, good
):
    child = good.call("forks", {}, PATIENCE_S)
    os.kill(workers._spawner._process.pid, signal.SIGKILL)

    with pytest.raises(WorkerLostError, match=r"lost with its spawner \(killed by SIGKILL\)"):
        good.call("hang", {}, PATIENCE_S)
    again = workers.start(order(tmp_path, "again"), promise)
    assert again.call("echo", {"value": 1}, PATIENCE_S) == 1
    assert eventually(lambda: not alive(good.pid) and not alive(child), 1.0)


def test_a_spawner_that_is_stopped_does_not_keep_a_workeralive(workers, good, monkeypatch):
    """Asked to kill, it does nothing: then it is killed itself, and its workers with it."""
    monkeypatch.setattr("rldlib.adapters.worker.REAP_S", 0.2)
    os.kill(workers._spawner._process.pid, signal.SIGSTOP)
    ended = threading.Event()
    good.on_end(lambda how: ended.set())
    good.call("deaf", {}, PATIENCE_S)
    good.stop(0.1)

    assert ended.wait(PATIENCE_S)
    assert eventually(lambda: not alive(good.pid), 1.0)
