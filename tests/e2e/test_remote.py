"""Services that a responder performs for a requestor: the same answers, the same errors."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager
from decimal import Decimal
from importlib import resources

import pytest

import rldlib
from rldlib.adapters.http import Http
from rldlib.adapters.peer.remote import RemoteTarget
from rldlib.wire.codec import encode
from tests.e2e.serving import serve
from tests.services import rld, rld_json, service_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    wheels = folder / "wheels"
    wheels.mkdir()
    service_wheel(wheels)
    with serve("--wheels", wheels, "--root", folder / "root") as responder:
        responder.wheels = wheels
        yield responder


@pytest.fixture
def daemon(served, tmp_path):
    with rldlib.LocalDaemon(responders=[served.join], root=tmp_path / "root") as daemon:
        yield daemon


def test_remote_is_performed_there_and_nothing_comes_here(daemon, served, tmp_path):
    with daemon.acquire("echo", placement="remote") as handle:
        assert (handle.placement, handle.worker) == ("remote", None)
        assert handle.double(amount=Decimal("1.50")) == Decimal("3.00")
        assert handle.submit("echo", value=b"raw").result(PATIENCE_S) == b"raw"
        assert list(handle.count(to=3)) == [0, 1, 2]
        assert daemon.acquire("echo").placement == "remote"
    (decision,) = daemon.why("echo")
    assert decision["placement"] == {"asked": "remote", "chosen": "remote", "reason": "it was asked for"}
    assert decision["load"]["slots"] >= 1
    assert not (tmp_path / "root" / "store").exists()
    del served


def test_remote_overrides_what_runs_here_already_and_both_are_used_side_by_side(daemon):
    here = daemon.acquire("echo")
    there = daemon.acquire("echo", placement="remote")
    assert (here.placement, there.placement) == ("local", "remote")
    assert daemon.acquire("echo").placement == "local"
    assert here.echo(value=1) == there.echo(value=1) == 1
    here.retarget(there._target)
    assert (here.placement, here.echo(value=2)) == ("remote", 2)


def test_auto_goes_there_where_this_host_has_no_room(tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    service_wheel(wheels, demand={"memory_peak_bytes": 2**20})
    with (
        serve("--wheels", wheels, "--root", tmp_path / "there") as responder,
        rldlib.LocalDaemon(
            responders=[responder.join],
            root=tmp_path / "here",
            policy=rldlib.Policy(memory_headroom_bytes=2**59),
        ) as daemon,
    ):
        with pytest.raises(rldlib.CapacityError):
            daemon.acquire("echo", placement="local")
        handle = daemon.acquire("echo")
        assert (handle.placement, handle.echo(value=1)) == ("remote", 1)
        told = daemon.why("echo")[-1]
    assert told["placement"]["asked"] == "auto"
    assert "no room" in told["placement"]["reason"]


def test_auto_tells_why_it_is_not_here_where_nobody_performs_it(tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    service_wheel(wheels, demand={"memory_peak_bytes": 2**59})
    with (
        serve("--wheels", wheels, "--root", tmp_path / "there") as responder,
        rldlib.LocalDaemon(responders=[responder.join], root=tmp_path / "here") as daemon,
        pytest.raises(rldlib.CapacityError),
    ):
        daemon.acquire("echo")


def test_without_a_responder_remote_is_a_wish_that_cannot_be_had(served, tmp_path):
    with (
        rldlib.LocalDaemon(wheels=served.wheels, root=tmp_path) as daemon,
        pytest.raises(rldlib.UsageError, match="rld join"),
    ):
        daemon.acquire("echo", placement="remote")
    with rldlib.LocalDaemon(root=tmp_path) as daemon, pytest.raises(rldlib.UsageError, match="no placement"):
        daemon.acquire("echo", placement="elsewhere")


def test_the_command_calls_there_and_says_so(served, tmp_path):
    asked = ("--root", tmp_path / "root", "--responder", served.join)
    called = rld_json("call", "echo", "double", "amount=1.5", "--placement", "remote", *asked)
    assert (called["result"], called["placement"], called["worker"]) == ("3.0", "remote", None)
    assert [step["name"] for step in called["steps"]] == ["ask", "call"]
    failed = rld("call", "echo", "fail", "text=no", "--placement", "remote", *asked)
    assert failed.returncode == 6
    assert not (tmp_path / "root" / "store").exists()


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        pytest.param("table", ["state=WA", 'amounts=["19.99","5.00","100"]'], id="table"),
        pytest.param("table", ["state=ZZ", 'amounts=["1"]'], id="a fault"),
        pytest.param("table", ["state=5", "amounts=x"], id="refused arguments"),
    ],
)
def test_remote_and_local_are_the_same_to_the_byte(tmp_path_factory, operation, arguments, request):
    with resources.as_file(resources.files("rldlib.cli") / "demo") as wheels:
        folder = tmp_path_factory.mktemp(request.node.name[:20].strip("["))
        with serve("--wheels", wheels, "--root", folder / "there") as responder:
            printed = [
                rld(
                    *("call", "sales-tax", operation, *arguments, "--placement", placement),
                    *("--root", folder / "here", "--responder", responder.join),
                )
                for placement in ("local", "remote")
            ]
    here, there = printed
    assert (here.returncode, here.stdout) == (there.returncode, there.stdout)
    if here.returncode:
        assert here.stderr.splitlines()[-1] == there.stderr.splitlines()[-1]


def test_errors_are_those_of_a_local_call(daemon):
    here, there = (daemon.acquire("echo", placement=placement) for placement in ("local", "remote"))
    for operation, arguments in (
        ("fail", {"text": "no rate"}),
        ("fail", {"text": 5}),
        ("echo", {"value": object()}),
        ("unknown", {}),
        ("leave", {"status": 3}),
    ):
        told = []
        for handle in (here, there):
            with pytest.raises(rldlib.RldlibError) as caught:
                handle.call(operation, **arguments)
            told.append(caught.value)
        assert type(told[0]) is type(told[1])
        here_told, there_told = (error.facts() for error in told)
        # The files of the service lie elsewhere there.
        lines = [facts.pop("traceback", "").splitlines() for facts in (here_told, there_told)]
        assert here_told == there_told
        assert lines[0][-2:] == lines[1][-2:]
    with pytest.raises(rldlib.CallTimeoutError) as late:
        there.call("wait", seconds=1.0, deadline=0.1)
    assert late.value.deadline_s == 0.1
    assert there.echo(value=1) == 1


def test_a_stream_that_is_closed_or_a_future_cancelled_in_its_queue_ends_there(daemon):
    handle = daemon.acquire("echo", placement="remote")
    stream = handle.count(to=1_000_000)
    assert next(stream) == 0
    stream.close()
    running, waiting = (handle.submit("wait", seconds=1.0) for _ in range(2))
    assert waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.result(0)
    assert running.result(PATIENCE_S) is None
    # One worker with one thread: it is free again.
    assert handle.call("echo", value=1, deadline=PATIENCE_S) == 1


def test_a_responder_that_dies_during_a_call_is_told_as_a_lost_worker_and_the_call_not_repeated(tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    service_wheel(wheels)
    with (
        serve("--wheels", wheels, "--root", tmp_path / "there") as responder,
        rldlib.LocalDaemon(responders=[responder.join], root=tmp_path / "here") as daemon,
    ):
        handle = daemon.acquire("echo", placement="remote")
        future = handle.submit("wait", seconds=60.0)
        _busy(responder.url)
        os.kill(responder.pid, signal.SIGKILL)
        with pytest.raises(rldlib.WorkerLostError) as during:
            future.result(PATIENCE_S)
        assert during.value.executed is None
        # The first may still meet a connection that was kept, and cannot know; then there is none.
        for known in ((None, False), (False,)):
            with pytest.raises(rldlib.WorkerLostError) as after:
                handle.echo(value=1)
            assert after.value.executed in known


def _busy(url):
    import requests

    until = time.monotonic() + PATIENCE_S
    while True:
        load = json.loads(requests.get(f"{url}/rld/v1/services", timeout=30).headers["rld-load"])
        if load["active"]:
            return
        assert time.monotonic() < until


# --- a responder that is none -------------------------------------------------------------

OPERATION = {
    "arguments": {"type": "object", "properties": {"value": {}}},
    "result": {},
    "idempotent": False,
    "cache_for_s": None,
    "media_type": None,
    "kind": "call",
}
OPERATIONS = {
    "once": OPERATION,
    "often": {**OPERATION, "idempotent": True},
    "items": {**OPERATION, "kind": "stream"},
}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.rldlib.call\r\n"


def _question(connection):
    """All of it: to close with some of it unread would reset the connection, and take the answer along."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    wanted = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    while len(body) < wanted:
        body += connection.recv(65536)
    return head


@contextmanager
def answering(*answers, endless=b""):
    """A server that gives each connection the next answer, and counts the questions."""
    asked = []
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)

        def serve_all():
            while not done.is_set():
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(5)
                    asked.append(_question(connection))
                    answer = answers[min(len(asked), len(answers)) - 1]
                    try:
                        connection.sendall(answer)
                        while endless and not done.is_set():
                            connection.sendall(endless)
                        while answer == HEAD and connection.recv(65536):
                            pass  # silent until the other side goes
                    except OSError:
                        continue

        thread = threading.Thread(target=serve_all)
        thread.start()
        http = Http()
        target = RemoteTarget(
            service="echo",
            version="1.0",
            operations=OPERATIONS,
            identity="rldlib:" + "0" * 64,
            urls=[f"http://127.0.0.1:{listening.getsockname()[1]}"],
            http=http,
            headers={},
        )
        try:
            yield target, asked
        finally:
            done.set()
            thread.join(PATIENCE_S)
            target.close()
            http.close()


def whole(body, head=HEAD):
    return head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


REPLY = b"".join(encode(["reply", 0, 5]))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(whole(b"\xff" * 64), "no answer", id="garbage"),
        pytest.param(whole(REPLY[:-1]), "broke off", id="half a frame"),
        pytest.param(whole(REPLY * 2), "more than one", id="two replies"),
        pytest.param(whole(b""), "no reply", id="nothing"),
        pytest.param(whole(b"".join(encode(["stop", 1]))), "unknown kind", id="another message"),
        pytest.param(
            whole(b'{"result": 5}', HEAD.replace(b"vnd.rldlib.call", b"json")), "application/json", id="json"
        ),
        pytest.param(HEAD + b"Content-Length: 99\r\n\r\n" + REPLY, "broke off", id="less than it said"),
        pytest.param(b"\x00" * 100, "responder", id="no HTTP"),
        pytest.param(b"", "responder", id="no answer"),
    ],
)
def test_an_answer_that_is_none_is_told_and_the_call_not_repeated(answer, told):
    with answering(answer) as (target, asked):
        with pytest.raises(rldlib.WorkerLostError, match=told) as lost:
            target.call("once", {"value": 1}, 10.0)
        assert lost.value.executed is None
        assert len(asked) == 1


def test_what_is_idempotent_is_asked_again_where_the_connection_broke():
    with answering(b"", whole(REPLY)) as (target, asked):
        assert target.call("often", {"value": 1}, 10.0) == 5
        assert len(asked) == 2


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        pytest.param(b"[]", 500, rldlib.WorkerLostError, id="no object"),
        pytest.param(
            b'{"error": {"type": "ServiceFaultError", "fault_type": 5}}',
            500,
            rldlib.ServiceFaultError,
            id="odd facts",
        ),
        pytest.param(
            b'{"error": {"type": "OverloadedError", "retry_after_s": -1}}',
            503,
            rldlib.OverloadedError,
            id="odd wait",
        ),
        pytest.param(b"<html>", 404, rldlib.WorkerLostError, id="a page"),
        pytest.param(b"{" * 2_000_000, 500, rldlib.WorkerLostError, id="endless error"),
    ],
)
def test_an_error_of_any_content_becomes_one_of_ours(body, status, error):
    head = HEAD.replace(b"200 OK", b"%d No" % status)
    with answering(whole(body, head)) as (target, _), pytest.raises(error) as told:
        target.call("once", {}, 10.0)
    if status == 404:
        assert told.value.executed is False


def test_a_body_without_an_end_is_cut_off_within_the_deadline():
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    item = b"".join(encode(["beat"]))
    chunk = b"%x\r\n%s\r\n" % (len(item), item)
    began = time.monotonic()
    with answering(head, endless=chunk) as (target, _), pytest.raises(rldlib.WorkerError):
        target.call("once", {}, 1.0)
    assert time.monotonic() - began < PATIENCE_S


def test_silence_ends_with_the_deadline():
    with answering(HEAD) as (target, _):
        with pytest.raises(rldlib.CallTimeoutError):
            target.call("once", {}, 0.2)
        with pytest.raises(rldlib.CallTimeoutError):
            target.submit("once", {}, 0.2).result(PATIENCE_S)


def test_a_stream_that_breaks_off_gives_what_came_before():
    body = b"".join(encode(["item", 0, 1]))
    with answering(whole(body)) as (target, _):
        items = target.stream("items", {}, 10.0)
        assert next(items) == 1
        with pytest.raises(rldlib.WorkerLostError, match="broke off"):
            next(items)
        assert list(items) == []


def test_a_call_that_cannot_have_arrived_goes_over_the_next_pathway():
    with answering(whole(REPLY)) as (target, asked):
        target._urls = ("http://127.0.0.1:9/rld/v1/call/echo", *target._urls)
        assert target.call("once", {}, 10.0) == 5
        assert len(asked) == 1
