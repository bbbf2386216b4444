"""What a handle owes its user, whatever performs the service: the same in every mode."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from concurrent.futures import CancelledError, wait
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from tests.e2e.serving import serve
from tests.services import service_wheel

import rldlib

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
MODES = ("process", "inprocess")
# What a connection does not carry, or what another host keeps for all who use it there.
ONLY_HERE = {
    "test_operations_are_described_alike",
    "test_progress_is_kept_by_the_future",
    "test_many_threads_get_their_own_answers",
    "test_a_stream_that_is_not_read_stops_for_its_reader",
    "test_release_calls_the_stop_hook_and_the_service_can_come_back",
    "test_a_call_under_way_may_finish_when_the_daemon_is_closed_and_one_that_waits_is_not_begun",
    "test_a_service_runs_in_one_mode_at_a_time",
    "test_why_tells_the_acquisition",
}
PATIENCE_S = 20.0
RATES = b'{"WA": "6.5"}'

CODE = '''
"""A service that does whatever can be done to a caller."""

import asyncio
import enum
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from rldlib.plugin import Service, cancelled, operation, progress


class Kind(enum.Enum):
    FULL = "full"
    HALF = "half"


@dataclass
class Row:
    state: str
    amount: Decimal
    kind: Kind = Kind.FULL
    tags: tuple[str, ...] = ()


class Contract(Service):
    def start(self, resources):
        self.names, self.rates = list(resources.names), resources.json("rates")
        self.began, self.kept, self.thread = [], None, threading.get_ident()

    def stop(self):
        if getattr(self, "farewell", None):
            Path(self.farewell).write_text("stopped")

    @operation
    def echo(self, value):
        return value

    @operation(idempotent=True)
    def rows(self, rows: list[Row]) -> list[Row]:
        assert all(type(row) is Row and type(row.kind) is Kind for row in rows)
        return [Row(row.state, row.amount * 2, row.kind, (*row.tags, "seen")) for row in rows]

    @operation
    def pair(self, pair: tuple[int, str]) -> tuple[int, str]:
        assert type(pair) is tuple
        return pair

    @operation
    def half(self, kind: Kind = Kind.HALF) -> Kind:
        return kind

    @operation
    def resources(self) -> list:
        return [self.names, self.rates]

    @operation
    def fail(self, text: str) -> None:
        self.inner(text)

    def inner(self, text):
        raise LookupError(text)

    @operation
    def leave(self) -> None:
        raise SystemExit(3)

    @operation
    def unfit(self) -> object:
        return {"rows": [object()]}

    @operation
    def wait_for(self, path: str, name: str = "") -> list[str]:
        self.began.append(name)
        Path(path + ".began").touch()
        while not Path(path).exists() and not cancelled():
            time.sleep(0.005)
        return self.began

    @operation
    def begun(self) -> list[str]:
        return self.began

    @operation
    def keep(self, value: list) -> list:
        self.kept = value
        return self.kept

    @operation
    def append(self, item: int) -> list:
        self.kept.append(item)
        return self.kept

    @operation
    def fill(self, buffer, number: int):
        buffer[:] = bytes([number]) * len(buffer)
        self.kept = buffer
        return buffer

    @operation
    def kept_byte(self) -> int:
        return self.kept[0]

    @operation
    def same_thread(self) -> bool:
        return threading.get_ident() == self.thread

    @operation
    def count(self, to: int, fail_at: int = -1) -> Iterator[int]:
        for number in range(to):
            if number == fail_at:
                raise LookupError(f"no {number}")
            self.kept = number
            yield number

    @operation
    def last(self) -> int:
        return self.kept

    @operation
    async def later(self, value: int) -> int:
        await asyncio.sleep(0)
        return value + 1

    @operation
    async def ticks(self, to: int):
        for number in range(to):
            await asyncio.sleep(0)
            yield number

    @operation
    def told(self) -> None:
        progress(1, 2, "half way")

    @operation
    def say_farewell(self, path: str) -> None:
        self.farewell = path
'''


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contract")
    rates = {
        "name": "rates",
        "kind": "data",
        "sha256": hashlib.sha256(RATES).hexdigest(),
        "size": len(RATES),
    }
    service_wheel(
        folder,
        "contract",
        code=CODE,
        object_name="Contract",
        files={"contract_rates.json": RATES},
        resources=[rates],
        life={"after_use": "terminate"},
        host={"stop_s": 3},
    )
    return folder


@pytest.fixture(scope="module", params=[*MODES, "remote"])
def mode(request):
    return request.param


@pytest.fixture(autouse=True)
def _meant_for_this_mode(request, mode, daemon):
    if mode != "remote":
        yield
        return
    if request.node.originalname in ONLY_HERE:
        pytest.skip("not what a responder can do")
    yield
    daemon.hang_up()


class _Elsewhere:
    """A daemon whose services a responder performs."""

    def __init__(self, daemon):
        self._daemon = daemon

    def acquire(self, service, *, mode):
        assert mode == "remote"
        return self._daemon.acquire(service, placement=mode)

    def hang_up(self):
        """Connections are kept for the next call: here they would be taken for left behind."""
        for peer in self._daemon._out.peers:
            peer.close()


@pytest.fixture(scope="module")
def daemon(wheels, mode, tmp_path_factory):
    if mode == "remote":
        with (
            serve("--wheels", wheels, "--root", tmp_path_factory.mktemp("there")) as responder,
            rldlib.LocalDaemon(responders=[responder.join], root=tmp_path_factory.mktemp("root")) as daemon,
        ):
            yield _Elsewhere(daemon)
        return
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path_factory.mktemp("root")) as daemon:
        # What the first service starts for all that follow is no test's own.
        daemon.acquire("contract", mode=mode).release()
        yield daemon


@pytest.fixture
def contract(daemon, mode):
    with daemon.acquire("contract", mode=mode) as handle:
        yield handle


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- values --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -(2**70),
        0.1,
        float("inf"),
        "täxt\n\x00",
        b"raw",
        Decimal("19.990"),
        datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
        datetime(2024, 2, 29, 12, 30, 0, 5),  # noqa: DTZ001 - one without a zone stays without
        date(2024, 2, 29),
        timedelta(days=-1, microseconds=7),
        uuid.UUID(int=5),
        {"$": ["decimal", "1"], "nested": [{"a": [Decimal(1), None]}]},
        [],
        {},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back_as_it_was(contract, value):
    told = contract.echo(value=value)

    assert told == value
    assert type(told) is type(value)


@pytest.mark.parametrize(
    ("given", "back"),
    [
        pytest.param((1, (2, 3)), [1, [2, 3]], id="tuples are lists"),
        pytest.param(bytearray(b"raw"), b"raw", id="bytearrays are bytes"),
        pytest.param({"key": (1,)}, {"key": [1]}, id="inside of dicts too"),
    ],
)
def test_what_has_no_form_of_its_own_comes_back_as_plain_data(contract, given, back):
    assert contract.echo(value=given) == back


def test_rows_are_dataclasses_for_the_service_and_dicts_for_its_caller(contract):
    rows = contract.rows(rows=[{"state": "WA", "amount": Decimal("1.50"), "kind": "half", "tags": ["a"]}])

    assert rows == [{"state": "WA", "amount": Decimal("3.00"), "kind": "half", "tags": ["a", "seen"]}]
    assert [type(value) for value in rows[0].values()] == [str, Decimal, str, list]


def test_a_tuple_and_an_enumeration_are_what_the_annotation_says(contract):
    assert contract.pair(pair=[1, "a"]) == [1, "a"]
    assert contract.half(kind="full") == "full"
    assert contract.half() == "half"


def test_caller_and_service_share_no_object(contract):
    mine = [1]

    told = contract.keep(value=mine)
    mine.append(2)
    told.append(3)

    assert contract.append(item=4) == [1, 4]


@pytest.mark.parametrize("size", [16, 1024 * 1024], ids=["small", "large"])
def test_a_buffer_is_the_services_own_and_its_answer_the_callers(contract, size):
    mine = bytearray(size)

    told = contract.fill(buffer=memoryview(mine), number=7)

    assert bytes(told) == bytes([7]) * size
    assert not any(mine)
    told[:1] = b"\x09"
    assert contract.kept_byte() == 7


def test_a_value_that_does_not_travel_is_refused_with_its_path(contract):
    with pytest.raises(rldlib.ArgumentsError, match=r"value\[1\]\.who is a builtins\.object"):
        contract.echo(value=[1, {"who": object()}])


def test_a_result_that_does_not_travel_is_a_fault_with_its_path(contract):
    with pytest.raises(
        rldlib.ServiceFaultError, match=r"unfit gave: rows\[0\] is a builtins\.object"
    ) as told:
        contract.unfit()

    assert told.value.fault_type == "EncodingError"


def test_resources_are_there_in_their_order(contract):
    assert contract.resources() == [["rates"], {"WA": "6.5"}]


# --- operations and arguments ---------------------------------------------------------


def test_operations_are_described_alike(daemon, mode, wheels, tmp_path):
    with (
        daemon.acquire("contract", mode=mode) as handle,
        rldlib.LocalDaemon(wheels=wheels, root=tmp_path) as other,
    ):
        assert handle.operations == other.acquire("contract").operations
        assert handle.operations["rows"]["idempotent"] is True
        assert handle.placement == "local"
        assert (handle.worker["pid"] == os.getpid()) is (mode == "inprocess")


@pytest.mark.parametrize(
    ("operation", "arguments", "issue"),
    [
        pytest.param("fail", {"text": 5}, "text", id="another type"),
        pytest.param("fail", {}, "text", id="missing"),
        pytest.param("fail", {"text": "a", "more": 1}, "more", id="unknown"),
        pytest.param("rows", {"rows": [{"state": "WA"}]}, "amount", id="a row without a field"),
        pytest.param("half", {"kind": "other"}, "kind", id="no member"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(contract, operation, arguments, issue):
    with pytest.raises(rldlib.ArgumentsError, match=issue):
        contract.call(operation, **arguments)


def test_an_unknown_operation_is_told_with_those_there_are(contract):
    with pytest.raises(rldlib.OperationNotFoundError, match="echo") as told:
        contract.call("no_such")

    assert "echo" in told.value.known


# --- faults ---------------------------------------------------------------------------


def test_what_the_service_raises_is_told_as_text(contract):
    with pytest.raises(rldlib.ServiceFaultError) as told:
        contract.fail(text="no rate for ZZ")

    fault = told.value
    assert (fault.fault_type, fault.fault_message) == ("LookupError", "no rate for ZZ")
    assert (fault.service, fault.operation) == ("contract", "fail")
    assert "in inner" in fault.traceback
    assert "adapters" not in fault.traceback
    assert "worker" not in fault.traceback


def test_system_exit_is_a_fault_and_ends_nothing(contract):
    with pytest.raises(rldlib.ServiceFaultError, match="SystemExit: 3"):
        contract.leave()

    assert contract.echo(value=1) == 1


# --- time -----------------------------------------------------------------------------


def test_a_passed_deadline_ends_the_wait(contract, tmp_path):
    try:
        with pytest.raises(rldlib.CallTimeoutError, match=r"within 0\.05 s") as told:
            contract.call("wait_for", path=str(tmp_path / "go"), deadline=0.05)

        assert (told.value.operation, told.value.deadline_s) == ("wait_for", pytest.approx(0.05))
        with pytest.raises(rldlib.CallTimeoutError):
            contract.submit("wait_for", path=str(tmp_path / "go"), deadline=timedelta(seconds=0.05)).result(
                PATIENCE_S
            )
    finally:
        (tmp_path / "go").touch()


def test_a_call_that_waits_behind_another_is_never_begun_after_its_deadline(contract, tmp_path):
    first = contract.submit("wait_for", path=str(tmp_path / "go"), name="first")
    until((tmp_path / "go.began").exists)
    with pytest.raises(rldlib.CallTimeoutError):
        contract.call("wait_for", path=str(tmp_path / "go"), name="late", deadline=0.05)
    (tmp_path / "go").touch()

    assert "first" in first.result(PATIENCE_S)
    assert "late" not in contract.begun()


@pytest.mark.parametrize("deadline", [0, -1, float("nan")])
def test_a_deadline_that_is_over_before_it_begins_is_refused(contract, deadline):
    with pytest.raises(rldlib.UsageError, match="deadline"):
        contract.call("echo", value=1, deadline=deadline)


# --- futures --------------------------------------------------------------------------


def test_a_future_ends_as_the_call_would(contract):
    assert contract.submit("echo", value=5).result(PATIENCE_S) == 5
    with pytest.raises(rldlib.ServiceFaultError, match="LookupError: no"):
        contract.submit("fail", text="no").result(PATIENCE_S)
    with pytest.raises(rldlib.ArgumentsError):
        contract.submit("fail", text=5)


def test_a_callback_may_call_the_service_again(contract):
    done = threading.Event()
    told = []

    def again(future):
        told.append(future.result())
        if len(told) < 3:
            contract.submit("echo", value=len(told)).add_done_callback(again)
        else:
            done.set()

    contract.submit("echo", value=0).add_done_callback(again)

    assert done.wait(PATIENCE_S)
    assert told == [0, 1, 2]


def test_a_call_cancelled_before_it_began_is_never_begun(contract, tmp_path):
    first = contract.submit("wait_for", path=str(tmp_path / "go"), name="holds the thread")
    until((tmp_path / "go.began").exists)
    second = contract.submit("wait_for", path=str(tmp_path / "go"), name="cancelled")

    assert second.cancel()
    (tmp_path / "go").touch()

    first.result(PATIENCE_S)
    assert "cancelled" not in contract.begun()
    with pytest.raises(CancelledError):
        second.result(PATIENCE_S)
    assert wait([second], PATIENCE_S).done == {second}


def test_a_running_call_is_told_that_it_was_cancelled(contract, tmp_path):
    running = contract.submit("wait_for", path=str(tmp_path / "never"))

    assert running.cancel()

    assert contract.call("echo", value="free again", deadline=PATIENCE_S) == "free again"


def test_progress_is_kept_by_the_future(contract):
    future = contract.submit("told")
    future.result(PATIENCE_S)

    assert future.progress == (1, 2, "half way")


def test_many_threads_get_their_own_answers(contract):
    futures = {number: contract.submit("echo", value=number) for number in range(200)}

    assert {number: future.result(PATIENCE_S) for number, future in futures.items()} == {
        number: number for number in range(200)
    }


def test_with_one_thread_hooks_and_calls_share_it(contract):
    assert contract.same_thread() is True


def test_coroutines_are_called_like_functions(contract):
    assert contract.later(value=1) == 2
    assert list(contract.ticks(to=3)) == [0, 1, 2]


# --- streams --------------------------------------------------------------------------


def test_a_stream_gives_its_items_in_order(contract):
    assert list(contract.count(to=100)) == list(range(100))


def test_a_stream_that_fails_gives_what_came_before(contract):
    stream = contract.count(to=5, fail_at=2)

    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(rldlib.ServiceFaultError, match="no 2"):
        next(stream)
    assert list(stream) == []


def test_a_stream_that_is_not_read_stops_for_its_reader(contract):
    stream = contract.count(to=10_000)
    next(stream)
    until(lambda: contract.last() > 0)

    assert contract.last() < 1000
    stream.close()
    assert list(stream) == []


def test_a_dropped_stream_is_cancelled(contract):
    stream = contract.count(to=10_000)
    next(stream)
    del stream

    assert contract.echo(value=1) == 1


def test_a_stream_is_no_call(contract):
    with pytest.raises(rldlib.UsageError, match="use stream"):
        contract.call("count", to=1)
    with pytest.raises(rldlib.UsageError, match="use call"):
        contract.stream("echo", value=1)


# --- the end --------------------------------------------------------------------------


def test_release_calls_the_stop_hook_and_the_service_can_come_back(daemon, mode, tmp_path):
    handle = daemon.acquire("contract", mode=mode)
    handle.say_farewell(path=str(tmp_path / "farewell"))
    handle.keep(value=[1])
    handle.release()
    handle.release()

    assert (tmp_path / "farewell").read_text() == "stopped"
    with pytest.raises(rldlib.UsageError, match="released"):
        handle.call("echo", value=1)
    with daemon.acquire("contract", mode=mode) as again:
        assert again.echo(value=1) == 1
        assert again.begun() == []


def test_two_handles_share_the_service_until_the_last_is_released(daemon, mode):
    one, other = (daemon.acquire("contract", mode=mode) for _ in range(2))
    one.keep(value=[1])
    one.release()

    assert other.append(item=2) == [1, 2]
    other.release()


def test_a_call_under_way_may_finish_when_the_daemon_is_closed_and_one_that_waits_is_not_begun(
    wheels, mode, tmp_path
):
    with rldlib.LocalDaemon(wheels=wheels, root=tmp_path / "root") as daemon:
        handle = daemon.acquire("contract", mode=mode)
        running = handle.submit("wait_for", path=str(tmp_path / "never"), name="running")
        waiting = handle.submit("wait_for", path=str(tmp_path / "never"), name="waiting")
        until((tmp_path / "never.began").exists)

    assert running.result(0) == ["running"]
    assert isinstance(waiting.exception(0), rldlib.WorkerLostError)
    with pytest.raises(rldlib.WorkerLostError) as told:
        handle.call("echo", value=1)
    assert told.value.executed is False


def test_a_service_runs_in_one_mode_at_a_time(daemon, mode, contract):
    (other,) = set(MODES) - {mode}

    with pytest.raises(rldlib.UsageError, match=f"in the mode {mode}"):
        daemon.acquire("contract", mode=other)

    assert contract.echo(value=1) == 1


def test_why_tells_the_acquisition(daemon, mode, contract):
    decision = daemon.why("contract")[-1]

    assert decision["kind"] == "acquired"
    assert decision.get("mode", "process") == mode
