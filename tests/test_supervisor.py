from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import pytest

from rldlib.errors import CallTimeoutError, ServiceFaultError, WorkerLostError, WorkerStartError
from rldlib.reporter import Reporter
from rldlib.rules.lifecycle import State
from rldlib.supervisor import Supervisor
from rldlib.values.profile import HostSettings

PATIENCE_S = 10.0


class Worker:
    """A worker in this process: it answers until it is lost."""

    placement = "local"

    def __init__(self, number=1):
        self.number = number
        self.operations = {"echo": {"kind": "call"}}
        self.worker = {"pid": number}
        self.lost = None
        self.told = []
        self.stopped = threading.Event()
        self.calls = []

    def call(self, operation, arguments, deadline_s):
        if self.lost is not None:
            raise WorkerLostError("echo", self.lost, executed=False)
        self.calls.append((operation, deadline_s))
        if operation == "lose":
            self.lose("killed by SIGKILL")
            raise WorkerLostError("echo", "killed by SIGKILL")
        return self.number

    def submit(self, operation, arguments, deadline_s):
        future = Future()
        future.set_result(self.call(operation, arguments, deadline_s))
        return future

    def stream(self, operation, arguments, deadline_s):
        return iter([self.call(operation, arguments, deadline_s)])

    def on_end(self, told):
        self.told.append(told)

    def lose(self, how):
        self.lost = how
        for told in self.told:
            told(how)

    def stop(self, wait_s):
        self.stopped.set()
        self.lose("exited with status 0")


class Starts:
    """Gives workers one after the other; a start may be held up, or fail."""

    def __init__(self):
        self.workers = []
        self.errors = {}
        self.gate = threading.Event()
        self.gate.set()
        self.under_way = threading.Event()

    def __call__(self):
        self.under_way.set()
        assert self.gate.wait(PATIENCE_S)
        number = len(self.workers) + 1
        worker = Worker(number)
        self.workers.append(worker)
        if number in self.errors:
            raise self.errors[number]
        return worker


class Notes(Reporter):
    def __init__(self):
        self.lines = []

    def noted(self, service, text):
        self.lines.append(text)


@pytest.fixture
def starts():
    return Starts()


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def supervisor(starts, notes):
    settings = HostSettings(restarts=2, restart_period_s=60, stop_s=1)
    supervisor = Supervisor(starts, service="echo", settings=settings, reporter=notes)
    yield supervisor
    starts.gate.set()
    supervisor.stop()
    # Threads that mend or wait end with it.
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("-echo")]


def test_calls_go_to_the_worker_that_runs(supervisor, starts):
    supervisor.start()

    assert supervisor.call("echo", {}, 3.0) == 1
    assert list(supervisor.stream("echo", {}, 3.0)) == [1]
    assert supervisor.submit("echo", {}, 3.0).result(PATIENCE_S) == 1
    assert starts.workers[0].calls == [("echo", 3.0)] * 3
    assert (supervisor.placement, supervisor.worker) == ("local", {"pid": 1})
    assert supervisor.operations == {"echo": {"kind": "call"}}


def test_the_errors_of_the_first_start_come_out_and_nothing_is_tried_again(supervisor, starts):
    starts.errors[1] = ServiceFaultError("echo", "start", "ValueError", "no rates")
    with pytest.raises(ServiceFaultError):
        supervisor.start()

    assert supervisor.state is State.FATAL
    assert len(starts.workers) == 1
    with pytest.raises(ServiceFaultError, match="no rates"):
        supervisor.call("echo", {}, None)


def test_a_lost_worker_is_replaced_and_the_call_it_held_is_not_repeated(supervisor, starts, notes):
    supervisor.start()
    with pytest.raises(WorkerLostError, match="killed by SIGKILL"):
        supervisor.call("lose", {}, None)

    assert supervisor.call("echo", {}, PATIENCE_S) == 2
    assert [worker.calls for worker in starts.workers] == [[("lose", None)], starts.workers[1].calls]
    assert [operation for operation, _ in starts.workers[1].calls] == ["echo"]
    assert notes.lines == ["its worker ended: killed by SIGKILL"]


def test_calls_wait_for_the_next_worker_within_their_deadlines(supervisor, starts):
    supervisor.start()
    starts.gate.clear()
    starts.workers[0].lose("killed by SIGKILL")
    with pytest.raises(CallTimeoutError):
        supervisor.call("echo", {}, 0.05)
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(supervisor.call, "echo", {}, PATIENCE_S) for _ in range(3)]
        assert supervisor.worker is None
        starts.gate.set()

        assert [call.result(PATIENCE_S) for call in waiting] == [2, 2, 2]
    # What is left of the deadline goes with the call.
    assert all(0 < left <= PATIENCE_S for _, left in starts.workers[1].calls)


def test_a_call_that_was_certainly_not_begun_goes_to_the_next_worker(supervisor, starts):
    """The worker's end is known to its channel a moment before it is told."""
    supervisor.start()
    first = starts.workers[0]
    first.lost = "killed by SIGKILL"
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(supervisor.call, "echo", {}, PATIENCE_S)
        first.lose("killed by SIGKILL")

        assert waiting.result(PATIENCE_S) == 2


def test_submitted_calls_wait_for_the_next_worker_in_one_thread(supervisor, starts):
    supervisor.start()
    starts.gate.clear()
    starts.workers[0].lose("killed by SIGKILL")
    before = threading.active_count()
    futures = [supervisor.submit("echo", {}, None) for _ in range(50)]
    late = supervisor.submit("echo", {}, 0.05)
    cancelled = supervisor.submit("echo", {}, None)

    assert threading.active_count() <= before + 1
    assert cancelled.cancel()
    assert isinstance(late.exception(PATIENCE_S), CallTimeoutError)
    starts.gate.set()
    assert [future.result(PATIENCE_S) for future in futures] == [2] * 50
    with pytest.raises(CancelledError):
        cancelled.result()


def test_it_is_given_up_with_the_last_error(supervisor, starts, notes):
    supervisor.start()
    starts.errors = {
        2: WorkerStartError("echo", "it was not ready within 5 s"),
        3: WorkerStartError("echo", "3rd"),
    }
    starts.workers[0].lose("exited with status 0")

    with pytest.raises(WorkerStartError, match="3rd") as first:
        supervisor.call("echo", {}, PATIENCE_S)
    with pytest.raises(WorkerStartError, match="3rd") as second:
        supervisor.submit("echo", {}, PATIENCE_S).result(PATIENCE_S)
    assert supervisor.state is State.FATAL
    assert first.value is not second.value
    assert notes.lines[-1].startswith("given up: it ended 3 times within 60 s")


def test_a_stop_asks_the_worker_and_refuses_calls(supervisor, starts):
    supervisor.start()
    supervisor.stop()
    supervisor.stop()

    assert starts.workers[0].stopped.is_set()
    assert supervisor.state is State.ENDED
    assert len(starts.workers) == 1
    with pytest.raises(WorkerLostError, match="stopped by its daemon") as caught:
        supervisor.call("echo", {}, None)
    assert caught.value.executed is False


def test_a_stop_during_a_restart_stops_what_comes_of_it(supervisor, starts):
    supervisor.start()
    starts.gate.clear()
    starts.under_way.clear()
    starts.workers[0].lose("killed by SIGKILL")
    assert starts.under_way.wait(PATIENCE_S)
    with ThreadPoolExecutor(1) as threads:
        stopping = threads.submit(supervisor.stop)
        starts.gate.set()
        stopping.result(PATIENCE_S)

    assert supervisor.state is State.ENDED
    assert [worker.stopped.is_set() for worker in starts.workers] == [False, True]


def test_a_stop_while_it_waits_to_retry_does_not_wait(starts, notes):
    supervisor = Supervisor(starts, service="echo", settings=HostSettings(restarts=20), reporter=notes)
    supervisor.start()
    starts.errors = {number: WorkerStartError("echo", "no") for number in range(2, 30)}
    starts.workers[0].lose("killed by SIGKILL")
    # Fails again and again, with ever longer waits between.
    with pytest.raises(CallTimeoutError):
        supervisor.call("echo", {}, 0.3)
    supervisor.stop()

    assert supervisor.state is State.ENDED


def test_a_worker_that_ends_after_it_was_stopped_is_no_loss(supervisor, starts, notes):
    supervisor.start()
    supervisor.stop()
    starts.workers[0].lose("exited with status 0")

    assert notes.lines == []
    assert len(starts.workers) == 1
