"""Operations performed by a responder for whoever speaks HTTP."""

from __future__ import annotations

import json
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from decimal import Decimal

import pytest
import requests

from rldlib.wire.codec import decode, encode
from rldlib.wire.frames import FrameReader
from tests.e2e.serving import serve
from tests.services import rld_json, service_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
WIRE = "application/vnd.rldlib.call"

DOCUMENTS = """
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
import time

from rldlib.plugin import Service, cancelled, operation


class Documents(Service):
    @operation(media_type="text/csv; charset=utf-8")
    def as_csv(self) -> str:
        return "name,price\\r\\nKäse,1.20\\r\\n"

    @operation(media_type="application/json")
    def as_json(self) -> str:
        return '[{"name": "Käse"}]'

    @operation(media_type="image/png")
    def picture(self) -> bytes:
        return b"\\x89PNG"

    @operation
    def wait_for(self, path: str) -> str:
        Path(path + ".began").touch()
        while not Path(path).exists() and not cancelled():
            time.sleep(0.005)
        Path(path + ".ended").touch()
        return "cancelled" if cancelled() else "done"

    @operation
    def numbers(self, to: int, fail_at: int = -1) -> Iterator[int]:
        for number in range(to):
            if number == fail_at:
                raise LookupError(f"no {number}")
            yield number
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    wheels, tokens = folder / "wheels", folder / "tokens"
    wheels.mkdir()
    service_wheel(wheels)
    service_wheel(wheels, "documents", code=DOCUMENTS, object_name="Documents")
    tokens.write_text("for-everything-0123456789 *\nfor-others-0123456789 other\n")
    with serve("--wheels", wheels, "--root", folder / "root", "--token-file", tokens) as responder:
        responder.wheels = wheels
        yield responder


@pytest.fixture
def call(served):
    def call(path, arguments=None, *, token="for-everything-0123456789", **more):
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        more.setdefault("json", {"arguments": arguments or {}})
        if more["json"] is None:
            del more["json"]
        url = f"{served.url}/rld/v1/call/{path}"
        return requests.post(url, headers=headers, timeout=60, **more)

    return call


def test_json_in_and_out_is_what_the_command_prints(served, call, tmp_path):
    answer = call("echo/double", {"amount": "19.990"})
    printed = rld_json(
        "call", "echo", "double", "amount=19.990", "--wheels", served.wheels, "--root", tmp_path / "root"
    )

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"result": "39.980"} == {"result": printed["result"]}
    load = json.loads(answer.headers["rld-load"])
    assert load["slots"] >= 1
    assert load["queued"] == 0


def test_a_document_is_answered_as_itself(call):
    answer = call("documents/as_csv", headers={"Accept": "text/csv"})
    assert answer.content == "name,price\r\nKäse,1.20\r\n".encode()
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    picture = call("documents/picture")
    assert (picture.content, picture.headers["content-type"]) == (b"\x89PNG", "image/png")
    # Who asks for JSON gets JSON that holds it.
    told = call("documents/picture", headers={"Accept": "application/json"})
    assert told.json() == {"result": {"$base64": "iVBORw=="}}
    assert call("documents/as_csv", headers={"Accept": "text/html"}).status_code == 406


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/html, text/*;q=0.5, */*;q=0.1", "text/csv; charset=utf-8"),
        ("application/json;q=0.1, image/png", "image/png"),
    ],
)
def test_without_an_operation_the_document_that_is_accepted_is_given(call, accept, media_type):
    assert call("documents", headers={"Accept": accept}).headers["content-type"] == media_type


def test_no_document_is_given_where_none_is_accepted(call):
    answer = call("documents", headers={"Accept": "text/html"})
    assert answer.status_code == 406
    assert "text/csv" in answer.json()["error"]["message"]
    assert call("echo").status_code == 406


def test_the_wire_speaks_typed_values_and_streams(call):
    def frames(operation, **arguments):
        body = b"".join(encode(["call", 0, operation, arguments, None]))
        answer = call(f"documents/{operation}", data=body, json=None, headers={"Content-Type": WIRE})
        if answer.status_code != 200:
            return answer.status_code, answer.json()["error"]["type"]
        reader, told = FrameReader(), []
        reader.feed(answer.content)
        while (frame := reader.next()) is not None:
            told.append(decode(frame))
        return told

    body = b"".join(encode(["call", 0, "echo", {"value": [Decimal("1.0"), b"raw"]}, None]))
    answer = call("echo/echo", data=body, json=None, headers={"Content-Type": WIRE})
    reader = FrameReader()
    reader.feed(answer.content)
    assert decode(reader.next()) == ["reply", 0, [Decimal("1.0"), b"raw"]]
    assert frames("numbers", to=2) == [["item", 0, 0], ["item", 0, 1], ["end", 0]]
    *items, (kind, error) = frames("numbers", to=9, fail_at=1)
    assert (items, kind, error["type"]) == ([["item", 0, 0]], "failed", "ServiceFaultError")
    assert frames("numbers", to=9, fail_at=0) == (500, "ServiceFaultError")
    assert frames("numbers", to=0) == [["end", 0]]
    assert frames("numbers", wrong=1) == (422, "ArgumentsError")


def test_a_stream_in_json_is_a_list(call):
    assert call("documents/numbers", {"to": 3}).json() == {"result": [0, 1, 2]}
    assert call("documents/numbers", {"to": 3, "fail_at": 2}).status_code == 500


def test_every_fault_has_its_status_and_its_type(call):
    def told(*given, **more):
        answer = call(*given, **more)
        assert "rld-load" in answer.headers
        return answer.status_code, answer.json()["error"]

    status, error = told("echo/double", {"amount": "x", "other": 1})
    assert (status, error["type"], len(error["issues"])) == (422, "ArgumentsError", 1)
    status, error = told("echo/fail", {"text": "no rate"})
    assert (status, error["fault_type"], error["fault_message"]) == (500, "ValueError", "no rate")
    assert "raise ValueError(text)" in error["traceback"]
    status, error = told("echo/leave", {"status": 3})
    assert (status, error["type"], error["executed"]) == (502, "WorkerLostError", None)
    status, error = told("echo/wait", {"seconds": 30}, headers={"Rld-Deadline-Ms": "50"})
    assert (status, error["type"]) == (504, "CallTimeoutError")
    assert told("echo/unknown")[1]["type"] == "OperationNotFoundError"
    assert told("unknown/echo")[0] == told("UPPER/echo")[0] == 404
    assert told("echo/echo", {"value": 1}, headers={"Rld-Version": "9.9"})[0] == 404
    assert told("echo/echo", {"value": 1}, headers={"Rld-Deadline-Ms": "soon"})[0] == 400
    assert told("echo/echo", {"value": 1, "deadline": 5})[0] == 422


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        pytest.param(b"value=1", "application/x-www-form-urlencoded", 415, id="what a form sends"),
        pytest.param(b"{", "application/json", 400, id="half a document"),
        pytest.param(b"[]", "application/json", 400, id="no object"),
        pytest.param(b'{"value": 1}', "application/json", 400, id="no arguments"),
        pytest.param(b'{"arguments":' + b"[" * 100_000, "application/json", 400, id="too deep"),
        pytest.param(b" " * (16 * 2**20 + 1), "application/json", 413, id="too long"),
        pytest.param(b"\xff" * 64, WIRE, 400, id="garbage"),
        pytest.param(b"", WIRE, 400, id="no frame"),
        pytest.param(b"".join(encode(["stop", 1])), WIRE, 400, id="another message"),
        pytest.param(b"".join(encode(["call", 0, "fail", {}, None])), WIRE, 400, id="another operation"),
    ],
)
def test_what_is_no_call_is_refused(call, body, kind, status):
    answer = call("echo/echo", data=body, json=None, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.json()["error"]


def test_tokens_hold_for_calls(call):
    assert call("echo/echo", {"value": 1}, token="for-others-0123456789").status_code == 403
    assert call("echo/echo", {"value": 1}, token="unknown-0123456789").status_code == 401


def test_more_calls_than_places_are_turned_away_and_the_others_answered(served, call, tmp_path):
    load = json.loads(call("echo/echo", {"value": 1}).headers["rld-load"])
    places = load["slots"] + load["queue_slots"]
    go = tmp_path / "go"
    with ThreadPoolExecutor(places + 4) as pool:
        asked = [pool.submit(call, "documents/wait_for", {"path": str(go)}) for _ in range(places + 4)]
        # Those beyond the places are told at once; the others only after it goes.
        done = set()
        while len(done) < 4:
            done |= wait(set(asked) - done, timeout=60, return_when=FIRST_COMPLETED).done
        go.touch()
        answers = [future.result(60) for future in asked]
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * places + [503] * 4
    shed = next(answer for answer in answers if answer.status_code == 503)
    assert shed.json()["error"]["type"] == "OverloadedError"
    assert int(shed.headers["retry-after"]) >= 1
    assert json.loads(call("echo/echo", {"value": 1}).headers["rld-load"])["active"] <= 1


def test_who_goes_away_ends_the_call(served, tmp_path):
    body = json.dumps({"arguments": {"path": str(tmp_path / "never")}})
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(
            f"{served.url}/rld/v1/call/documents/wait_for",
            data=body,
            headers={
                "Authorization": "Bearer for-everything-0123456789",
                "Content-Type": "application/json",
            },
            timeout=(5, 1.5),
        )
    _until((tmp_path / "never.ended").exists)


def test_support_tells_what_is_performed(served, call):
    headers = {"Authorization": "Bearer for-everything-0123456789"}
    asked = {"protocols": [1], "service": "documents", "wish": "remote"}
    first, answer = (
        requests.post(f"{served.url}/rld/v1/support", json=asked, headers=headers, timeout=60)
        for _ in range(2)
    )
    told = answer.json()
    assert first.json() | {"load": None} == told | {"load": None}
    assert (told["remote"], told["locks"]) == (True, [])
    assert told["operations"]["picture"]["media_type"] == "image/png"
    assert json.loads(answer.headers["rld-load"])["slots"] == told["load"]["slots"]


def _until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
