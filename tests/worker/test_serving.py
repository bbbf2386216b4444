"""What a worker does with messages, told apart from its process: here it runs in a thread."""

from __future__ import annotations

import os
from decimal import Decimal

import pytest

from rldlib.wire import messages

CALLS = """
import threading
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from rldlib.plugin import Service, operation, cancelled, progress

gate = threading.Event()
begun = threading.Event()
log = []


class Colour(Enum):
    RED = "red"


@dataclass
class Row:
    name: str
    price: Decimal
    colour: Colour = Colour.RED


class Calls(Service):
    @operation(idempotent=True, cache_for=60, media_type="text/plain")
    def echo(self, value):
        return value

    @operation
    def row(self, row: Row) -> Row:
        assert isinstance(row, Row), row
        return Row(row.name, row.price * 2, row.colour)

    @operation
    def fail(self, text: str):
        raise KeyError(text)

    @operation
    def leave(self):
        raise SystemExit(3)

    @operation
    def unsendable(self):
        return {"rows": [object()]}

    @operation
    def wait(self):
        begun.set()
        gate.wait(20)
        log.append("waited")
        return cancelled()

    @operation
    def until_cancelled(self):
        begun.set()
        while not cancelled():
            gate.wait(0.001)
        return "stopped"

    @operation
    def work(self, to: int):
        for done in range(to):
            progress(Decimal(done + 1), to, "working")
        return threading.get_ident()

    @operation
    def count(self, to: int):
        try:
            for number in range(to):
                yield number
        finally:
            log.append("closed")

    @operation
    def stumble(self):
        yield 1
        raise ValueError("fell")

    @operation
    def foul(self):
        yield object()

    @operation
    def log(self):
        return list(log)

    @operation
    def speechless(self):
        class Odd(Exception):
            def __str__(self):
                raise ValueError("no words")

        raise Odd

    @operation
    def ail(self, how):
        log.append(how)

    def check(self):
        if log[-1:] == ["ill"]:
            raise ValueError("unwell")
        return object() if log else {"queue": 0}

    def stop(self):
        log.append("stopped")


service = Calls
"""


@pytest.fixture
def calls(serve):
    return serve(CALLS)


def _module(worker):
    import sys

    return sys.modules[f"{worker.service.replace('-', '_')}_service"]


def test_ready_tells_what_there_is_to_call(calls):
    ready = calls.host.start(service=calls.service, threads=2)

    assert (ready["service"], ready["version"], ready["pid"]) == (calls.service, "1.0", os.getpid())
    assert ready["operations"]["echo"] == {
        "arguments": {
            "type": "object",
            "properties": {"value": {}},
            "required": ["value"],
            "additionalProperties": False,
        },
        "result": {},
        "idempotent": True,
        "cache_for_s": 60,
        "media_type": "text/plain",
        "kind": "call",
    }
    assert ready["operations"]["count"]["kind"] == "stream"
    assert "check" not in ready["operations"]


def test_dataclasses_are_built_from_dicts_and_come_back_as_dicts(calls):
    calls.host.start(service=calls.service)

    answer = calls.host.ask("row", row={"name": "a", "price": Decimal("1.10"), "colour": "red"})
    assert answer == {"name": "a", "price": Decimal("2.20"), "colour": "red"}


@pytest.mark.parametrize(
    ("operation", "arguments", "issues"),
    [
        ("echo", {}, ["value is missing"]),
        ("echo", {"value": 1, "more": 2}, ["more is no argument of it"]),
        ("row", {"row": 5}, ["row is a int; Row is built from a dict"]),
        ("row", {"row": {"name": "a", "price": 1, "size": 2}}, ["row.size is no field of Row"]),
        ("row", {"row": {"name": "a"}}, None),
        ("row", {"row": {"name": "a", "price": 1, "colour": "blue"}}, None),
        ("nothing", {}, ["there is no operation nothing"]),
    ],
)
def test_arguments_that_do_not_fit_are_refused_and_nothing_is_called(operation, arguments, issues, calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, operation, **arguments)

    kind, call_id, told = calls.host.receive()
    assert (kind, call_id) == ("refused", 1)
    assert told == issues or (issues is None and len(told) == 1 and told[0].startswith("row"))


def test_what_the_service_raises_comes_as_text_from_its_own_first_frame_on(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "fail", text="no luck")

    kind, _, name, message, traceback = calls.host.receive()
    assert (kind, name, message) == ("fault", "KeyError", "'no luck'")
    assert "raise KeyError(text)" in traceback
    assert "calls.py" not in traceback


def test_system_exit_is_a_fault_of_its_call_alone(calls):
    calls.host.start(service=calls.service)

    with pytest.raises(RuntimeError, match="SystemExit"):
        calls.host.ask("leave")
    assert calls.host.ask("echo", value=1) == 1


def test_a_result_that_does_not_travel_is_a_fault_that_says_where(calls):
    calls.host.start(service=calls.service)

    with pytest.raises(RuntimeError, match=r"rows\[0\] is a builtins.object"):
        calls.host.ask("unsendable")


def test_as_many_calls_run_at_once_as_there_are_threads(calls):
    calls.host.start(service=calls.service, threads=2)
    calls.host.call(1, "wait")
    assert _module(calls).begun.wait(20)

    assert calls.host.ask("echo", value=2) == 2
    _module(calls).gate.set()
    assert calls.host.receive() == ["reply", 1, False]


def test_a_call_cancelled_before_it_began_is_not_begun(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "until_cancelled")
    assert _module(calls).begun.wait(20)
    calls.host.call(2, "wait")
    calls.host.send(messages.CANCEL, 2)
    calls.host.send(messages.CANCEL, 1)

    assert calls.host.receive() == ["reply", 1, "stopped"]
    assert calls.host.receive()[:3] == ["fault", 2, messages.CANCELLED]
    assert _module(calls).log == []


def test_a_call_past_its_deadline_is_not_begun(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "until_cancelled")
    assert _module(calls).begun.wait(20)
    calls.host.call(2, "wait", 0.0)
    calls.host.send(messages.CANCEL, 1)

    assert calls.host.receive()[0] == "reply"
    assert calls.host.receive()[:3] == ["fault", 2, messages.OVERDUE]
    assert _module(calls).log == []


def test_cancelling_what_is_over_does_nothing(calls):
    calls.host.start(service=calls.service)
    calls.host.send(messages.CANCEL, 77)
    calls.host.send(messages.CREDIT, 77, 1)

    assert calls.host.ask("echo", value=1) == 1
    calls.host.send(messages.CREDIT, 1_000_000, 5)
    assert calls.host.ask("echo", value=2) == 2


def test_progress_is_told_while_the_call_runs(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "work", to=2)

    assert calls.host.receive() == ["progress", 1, 1, 2, "working"]
    assert calls.host.receive() == ["progress", 1, 2, 2, "working"]
    assert calls.host.receive()[0] == "reply"


def test_a_check_is_answered_while_all_threads_are_busy(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "wait")
    assert _module(calls).begun.wait(20)
    calls.host.send(messages.CHECK, 2)

    assert calls.host.receive() == ["reply", 2, {"queue": 0}]
    _module(calls).gate.set()
    assert calls.host.receive()[:2] == ["reply", 1]


@pytest.mark.parametrize(
    ("how", "told"), [("ill", ["fault", 2, "ValueError", "unwell"]), ("strange", ["reply", 2, None])]
)
def test_a_check_tells_what_the_hook_raised_and_passes_over_what_does_not_travel(how, told, calls):
    calls.host.start(service=calls.service)
    calls.host.ask("ail", how=how)
    calls.host.send(messages.CHECK, 2)

    assert calls.host.receive()[:4] == told


def test_an_exception_whose_own_code_raises_is_told_all_the_same(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "speechless")

    kind, _, name, message, _ = calls.host.receive()
    assert (kind, message) == ("fault", "(the message could not be written: ValueError)")
    assert name.endswith("Odd")


# --- streams -----------------------------------------------------------------------


def test_a_stream_hands_out_no_more_than_its_credit(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "count", to=3)
    calls.host.send(messages.CREDIT, 1, 2)

    assert [calls.host.receive() for _ in range(2)] == [["item", 1, 0], ["item", 1, 1]]
    # The one thread is free for others meanwhile.
    assert calls.host.ask("echo", value="between") == "between"
    calls.host.send(messages.CREDIT, 1, 2)
    assert [calls.host.receive() for _ in range(2)] == [["item", 1, 2], ["end", 1]]


@pytest.mark.parametrize("credit", [0, 1], ids=["before its first item", "set aside"])
def test_a_cancelled_stream_is_closed(credit, calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "count", to=3)
    if credit:
        calls.host.send(messages.CREDIT, 1, credit)
        calls.host.receive(messages.ITEM)
    calls.host.send(messages.CANCEL, 1)

    assert calls.host.receive()[:3] == ["fault", 1, messages.CANCELLED]
    assert _module(calls).log == (["closed"] if credit else [])


def test_a_stream_that_raises_ends_with_the_fault(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "stumble")
    calls.host.send(messages.CREDIT, 1, 9)

    assert calls.host.receive() == ["item", 1, 1]
    assert calls.host.receive()[:4] == ["fault", 1, "ValueError", "fell"]


def test_an_item_that_does_not_travel_ends_the_stream(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "foul")
    calls.host.send(messages.CREDIT, 1, 9)

    assert calls.host.receive()[:3] == ["fault", 1, "EncodingError"]


def test_the_arguments_of_a_stream_are_refused_as_those_of_a_call(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "count")

    assert calls.host.receive() == ["refused", 1, ["to is missing"]]


# --- async ---------------------------------------------------------------------------

ASYNC = """
import asyncio
from rldlib.plugin import Service, operation, cancelled, progress

log = []


class Later(Service):
    async def start(self):
        self.loop = asyncio.get_running_loop()

    @operation
    async def echo(self, value):
        await asyncio.sleep(0)
        assert asyncio.get_running_loop() is self.loop
        progress(1)
        return value

    @operation
    async def fail(self):
        raise ValueError("late")

    @operation
    async def wait(self):
        log.append("begun")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append(("cancelled", cancelled()))
            raise

    @operation
    async def count(self, to: int):
        try:
            for number in range(to):
                yield number
        finally:
            log.append("closed")

    @operation
    async def foul(self):
        yield object()

    @operation
    async def cancels_itself(self):
        raise asyncio.CancelledError

    @operation
    async def log(self):
        return [str(entry) for entry in log]

    async def check(self):
        return "well"

    async def stop(self):
        log.append("stopped")


service = Later
"""


@pytest.fixture
def later(serve):
    worker = serve(ASYNC)
    worker.host.start(service=worker.service)
    return worker


def test_async_operations_and_hooks_run_on_one_loop(later):
    later.host.call(1, "echo", value=1)

    assert later.host.receive() == ["progress", 1, 1, None, ""]
    assert later.host.receive() == ["reply", 1, 1]
    later.host.send(messages.CHECK, 2)
    assert later.host.receive() == ["reply", 2, "well"]


def test_what_a_coroutine_raises_is_a_fault(later):
    with pytest.raises(RuntimeError, match="late"):
        later.host.ask("fail")
    with pytest.raises(RuntimeError, match="CancelledError"):
        later.host.ask("cancels_itself")
    with pytest.raises(RuntimeError, match="missing"):
        later.host.ask("echo")


def test_cancelling_a_coroutine_cancels_it_as_asyncio_does(later):
    later.host.call(1, "wait")
    assert later.host.ask("log") == ["begun"]
    later.host.send(messages.CANCEL, 1)

    assert later.host.receive()[:3] == ["fault", 1, messages.CANCELLED]
    assert _module(later).log == ["begun", ("cancelled", True)]


def test_an_async_stream_hands_out_no_more_than_its_credit(later):
    later.host.call(1, "count", to=3)
    later.host.send(messages.CREDIT, 1, 2)
    assert [later.host.receive() for _ in range(2)] == [["item", 1, 0], ["item", 1, 1]]
    assert later.host.ask("echo", value=2) == 2
    later.host.send(messages.CREDIT, 1, 5)

    assert [later.host.receive() for _ in range(2)] == [["item", 1, 2], ["end", 1]]


def test_a_cancelled_async_stream_is_closed(later):
    later.host.call(1, "count", to=3)
    later.host.send(messages.CREDIT, 1, 1)
    later.host.receive(messages.ITEM)
    later.host.send(messages.CANCEL, 1)

    assert later.host.receive()[:3] == ["fault", 1, messages.CANCELLED]
    assert _module(later).log == ["closed"]


def test_an_async_item_that_does_not_travel_ends_the_stream(later):
    later.host.call(1, "foul")
    later.host.send(messages.CREDIT, 1, 9)

    assert later.host.receive()[:3] == ["fault", 1, "EncodingError"]


def test_stop_cancels_what_runs_on_the_loop_and_awaits_the_hook(later):
    later.host.call(1, "wait")
    assert later.host.ask("log") == ["begun"]
    later.host.send(messages.STOP, 10)

    assert later.host.receive()[:3] == ["fault", 1, messages.CANCELLED]
    assert later.ended() == 0
    assert _module(later).log[-1] == "stopped"


# --- its end -----------------------------------------------------------------------------


def test_stop_gives_up_what_waits_lets_run_what_runs_and_calls_the_hook(calls):
    calls.host.start(service=calls.service, threads=2)
    for call_id in (1, 2, 3):
        calls.host.call(call_id, "until_cancelled" if call_id < 3 else "wait")
    calls.host.send(messages.STOP, 20)
    ends = sorted([calls.host.receive() for _ in range(3)], key=lambda end: end[1])

    assert calls.ended() == 0
    assert ends[2][:3] == ["fault", 3, messages.CANCELLED]
    assert _module(calls).log == ["stopped"]
    assert calls.left == []


def test_calls_after_stop_are_not_begun(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "wait")
    assert _module(calls).begun.wait(20)
    calls.host.send(messages.STOP, 20)
    calls.host.call(2, "wait")
    calls.host.send(messages.CHECK, 3)

    assert calls.host.receive()[:3] == ["fault", 2, messages.CANCELLED]
    assert calls.host.receive()[:2] == ["reply", 3]
    _module(calls).gate.set()
    assert calls.host.receive()[:2] == ["reply", 1]
    assert calls.ended() == 0


def test_a_worker_that_does_not_stop_in_time_is_left(calls):
    calls.host.start(service=calls.service)
    calls.host.call(1, "wait")
    assert _module(calls).begun.wait(20)
    calls.host.send(messages.STOP, 0.05)

    assert calls.has_left.wait(20)
    assert calls.left == [1]
    _module(calls).gate.set()


def test_a_host_that_is_gone_ends_the_worker(calls):
    calls.host.start(service=calls.service)
    calls.host.socket.close()

    assert calls.ended() == 0
    assert _module(calls).log == ["stopped"]


def test_a_stop_hook_that_raises_does_not_hold_the_worker(serve, capsys):
    worker = serve(
        "from rldlib.plugin import Service, operation\n"
        "class service(Service):\n"
        "    @operation\n    def echo(self): ...\n"
        "    def stop(self): raise ValueError('cannot stop')\n"
    )
    worker.host.start(service=worker.service)
    worker.host.send(messages.STOP, 10)

    assert worker.ended() == 0
    assert "cannot stop" in capsys.readouterr().err


@pytest.mark.parametrize(
    "message",
    [["shout"], ["call", 1, "echo", {}], ["start", {}], ["segment", 1, 4096, "host"], ["free", 3]],
    ids=lambda message: message[0],
)
def test_a_host_that_breaks_the_protocol_is_left(message, calls, capsys):
    calls.host.start(service=calls.service)
    calls.host.send(*message)

    assert calls.ended() == 0
    assert "broke the protocol" in capsys.readouterr().err
    assert _module(calls).log == ["stopped"]


def test_two_calls_with_one_id_break_the_protocol(calls, capsys):
    calls.host.start(service=calls.service)
    calls.host.call(1, "until_cancelled")
    calls.host.call(1, "until_cancelled")

    assert calls.ended() == 0
    assert "two calls" in capsys.readouterr().err


@pytest.mark.parametrize("first", [["stop", 1], ["start", {}]], ids=["no start", "an empty start"])
def test_a_conversation_begins_with_start(first, calls, capsys):
    calls.host.send(*first)

    assert calls.ended() == 1
    assert "broke the protocol" in capsys.readouterr().err


def test_a_host_that_leaves_before_start_ends_it(calls):
    calls.host.socket.close()

    assert calls.ended() == 0


# --- beats and records -----------------------------------------------------------------


def test_it_beats_while_a_call_runs(calls):
    calls.host.start(service=calls.service, heartbeat_s=0.01)
    calls.host.call(1, "wait")
    assert _module(calls).begun.wait(20)

    assert calls.host.receive(messages.BEAT) == ["beat"]
    assert calls.host.receive(messages.BEAT) == ["beat"]
    _module(calls).gate.set()
    assert calls.host.receive(messages.REPLY)[1] == 1


def test_what_the_service_logs_comes_as_messages(serve):
    import logging

    before = list(logging.getLogger().handlers)
    worker = serve(
        "import logging\n"
        "from rldlib.plugin import Service, operation\n"
        "class service(Service):\n"
        "    def start(self): logging.getLogger('tax').error('in start')\n"
        "    @operation\n    def talk(self): logging.getLogger('tax').warning('rate %d', 5)\n"
    )
    try:
        worker.host.send(messages.START, _order(worker))
        assert worker.host.receive() == ["log", logging.ERROR, "tax", "in start"]
        worker.host.receive(messages.READY)
        worker.host.call(1, "talk")
        assert worker.host.receive() == ["log", logging.WARNING, "tax", "rate 5"]
        assert worker.host.receive() == ["reply", 1, None]
    finally:
        logging.getLogger().handlers[:] = before


def _order(worker):
    from tests.worker.hosting import PLUGGY

    return {
        "service": worker.service,
        "version": "1.0",
        "distribution": f"rld-{worker.service}",
        "resources": [],
        "threads": 1,
        "heartbeat_s": 60,
        "protocol": messages.PROTOCOL,
        "pluggy": PLUGGY,
    }


# --- memory ---------------------------------------------------------------------------------

MEMORY = """
import gc
from rldlib.plugin import Service, operation

kept = []


class Memory(Service):
    @operation
    def size(self, values):
        return len(values)

    @operation
    def make(self, size: int):
        return memoryview(b"x" * size)

    @operation
    def keep(self, values):
        kept.append(values)

    @operation
    def let_go(self):
        kept.clear()
        gc.collect()


service = Memory
"""
_LARGE = 300_000


@pytest.fixture
def memory(serve):
    worker = serve(MEMORY)
    worker.host.start(service=worker.service)
    return worker


def test_a_large_argument_lies_in_shared_memory_and_is_free_with_the_reply(memory):
    memory.host.give_segment(_LARGE, messages.HOST)
    memory.host.call(1, "size", values=memoryview(bytes(_LARGE)))
    assert memory.host.segments.free_bytes() == 0

    assert {memory.host.receive()[0] for _ in range(2)} == {"free", "reply"}
    assert memory.host.segments.free_bytes() >= _LARGE


def test_an_argument_that_the_service_keeps_is_not_freed(memory):
    memory.host.give_segment(_LARGE, messages.HOST)
    memory.host.ask("keep", values=memoryview(bytes(_LARGE)))
    assert memory.host.segments.free_bytes() == 0

    memory.host.ask("let_go")
    assert memory.host.segments.free_bytes() >= _LARGE


def test_a_large_result_asks_for_memory_once_and_uses_it_again(memory):
    for _ in range(3):
        result = memory.host.ask("make", size=_LARGE)
        assert bytes(result) == b"x" * _LARGE
        del result
        memory.host.free_dropped()

    assert memory.host.needs == [_LARGE]


def test_a_large_result_goes_inline_where_the_host_has_no_memory(memory):
    memory.host.generous = False

    assert bytes(memory.host.ask("make", size=_LARGE)) == b"x" * _LARGE
    assert memory.host.needs == [_LARGE]


def test_a_result_that_no_frame_holds_is_a_fault_without_shared_memory(memory):
    memory.host.generous = False

    with pytest.raises(RuntimeError, match="shared memory"):
        memory.host.ask("make", size=65 * 1024 * 1024)


def test_many_threads_ask_for_memory_at_once(serve):
    worker = serve(MEMORY)
    worker.host.start(service=worker.service, threads=4)
    for call_id in range(8):
        worker.host.call(call_id, "make", size=_LARGE + call_id)
    results = {}
    while len(results) < 8:
        _, call_id, value = worker.host.receive(messages.REPLY)
        results[call_id] = len(value)
        del value
        worker.host.free_dropped()

    assert results == {call_id: _LARGE + call_id for call_id in range(8)}
