"""Whoever sends slowly, oddly, too much or at the wrong moment is ended, and holds nobody else up."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from tests.e2e.serving import serve
from tests.services import service_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ASKED = b'{"protocols": [1], "service": "echo", "wish": "auto"}'


@pytest.fixture(scope="module")
def offered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("offered")
    service_wheel(folder, files={"payload.bin": bytes(range(256)) * 400})
    return folder


@pytest.fixture(scope="module")
def there(tmp_path_factory, offered):
    with serve("--wheels", offered, "--root", tmp_path_factory.mktemp("root") / "there") as there:
        yield there


@pytest.fixture
def web():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def connected(there):
    parts = urlsplit(there.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def answered(there, sent):
    """All that comes back for some bytes, until the other side ends it."""
    with connected(there) as sock:
        sock.sendall(sent)
        told = b""
        try:
            while chunk := sock.recv(65536):
                told += chunk
        except ConnectionResetError:
            pass
        return told


def status_of(told):
    return int(told.split(b" ", 2)[1]) if told else None


def request(method, path, *headers, body=b""):
    head = [f"{method} ".encode() + path + b" HTTP/1.1", b"Host: here", b"Connection: close", *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def test_slow_heads_and_bodies_hold_nobody_up_and_are_ended(there, web):
    slow = [connected(there) for _ in range(100)]
    try:
        for number, sock in enumerate(slow):
            part = b"POST /rld/v1/support HTTP/1.1\r\nHost: here\r\n"
            sock.sendall(part if number % 2 else part + b"Content-Length: 100\r\n\r\n{")
        began = time.monotonic()
        assert web.get(f"{there.url}/healthz", timeout=30).status_code == 200
        assert time.monotonic() - began < 5
        ends = []
        for sock in slow:
            try:
                ends.append(sock.recv(65536))
            except ConnectionResetError:
                ends.append(b"")
        assert {status_of(told) for told in ends} == {None, 408}
        assert time.monotonic() - began < 50
    finally:
        for sock in slow:
            sock.close()


def test_too_many_connections_are_turned_away_and_it_goes_on(there, web):
    many = [connected(there) for _ in range(600)]
    try:
        assert web.get(f"{there.url}/healthz", timeout=30).status_code == 503
    finally:
        for sock in many:
            sock.close()
    deadline = time.monotonic() + 30
    while web.get(f"{there.url}/healthz", timeout=30).status_code != 200:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "CONNECT", "BREW"])
@pytest.mark.parametrize("path", [b"/", b"/rld/v1/support", b"/rld/v1/services", b"/metadata/timestamp.json"])
def test_other_methods_are_answered_and_do_nothing(there, method, path):
    told = answered(there, request(method, path))
    allowed = method == "HEAD" and path != b"/rld/v1/support"
    assert status_of(told) == (200 if allowed else 405)
    if method == "HEAD":
        assert told.partition(b"\r\n\r\n")[2] == b""


@pytest.mark.parametrize(
    "path",
    [
        b"/metadata/%2e%2e/keys",
        b"/metadata/targets/%2e%2e%2f%2e%2e%2fkeys",
        b"/metadata/targets/..%2f..%2fkeys/root",
        b"/blobs/sha256/%2e%2e",
        b"/files/%2e%2e%2fsecret.whl",
        b"/files/%00.whl",
        b"/metadata/%00",
        b"/metadata/%ff%fe.json",
        b"/simple/%ff/",
        b"/services/%00",
        b"/services/%ff",
        b"/rld/v1/call/%00/%ff",
        b"/" + b"a" * 8000,
    ],
)
def test_odd_paths_are_nothing_that_is_there(there, path):
    assert status_of(answered(there, request("GET", path))) in {301, 400, 404, 405}


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param([b"Content-Length: 3", b"Content-Length: 53"], ASKED, 400, id="two lengths"),
        pytest.param([b"Content-Length: -1"], ASKED, 400, id="a negative length"),
        pytest.param([b"Content-Length: 99999999999999999999"], b"{", 400, id="a length of 20 digits"),
        pytest.param([b"Content-Length: 999999999"], b"{", 413, id="too long, as it says"),
        pytest.param([b"Content-Length: 3"], ASKED, 400, id="longer than it says"),
        pytest.param([b"Transfer-Encoding: chunked"], b"zz\r\n", 400, id="no chunk"),
        pytest.param(
            [b"Transfer-Encoding: chunked"], b"10000\r\n" + b" " * 65536 + b"\r\n", 413, id="endless chunks"
        ),
        pytest.param([b"X: " + b"a" * 200_000], b"", 400, id="a huge head"),
    ],
)
def test_lengths_that_lie_and_bodies_without_end_are_refused(there, web, headers, body, status):
    body = body * 6 if status == 413 and len(body) > 1000 else body
    told = answered(there, request("POST", b"/rld/v1/support", *headers, body=body))
    assert status_of(told) in {status, *({413} if status == 400 else set())}
    assert web.get(f"{there.url}/healthz", timeout=30).status_code == 200


def _pinned(there, offered, web, root):
    from tests.peers import Responding

    from rldlib.values.support import PROTOCOLS, SupportRequest, host_kind, write

    asker = Responding(offered, root)
    kinds = tuple(host_kind(interpreter) for interpreter in asker.out.interpreters.all())
    asker.close()
    body = write(SupportRequest(service="echo", protocols=PROTOCOLS, interpreters=kinds))
    assert web.post(f"{there.url}/rld/v1/support", data=body, timeout=60).status_code == 200
    (wheel,) = offered.glob("*.whl")
    data = wheel.read_bytes()
    return f"{there.url}/blobs/sha256/{hashlib.sha256(data).hexdigest()}", data


def test_a_transfer_goes_on_where_it_broke(there, offered, web, tmp_path):
    url, data = _pinned(there, offered, web, tmp_path / "asker")
    whole = web.get(url, timeout=30)
    etag = whole.headers["etag"]
    half = len(data) // 2

    def ranged(told, **headers):
        return web.get(
            url, headers={"Range": told, **{k.replace("_", "-"): v for k, v in headers.items()}}, timeout=30
        )

    rest = ranged(f"bytes={half}-", If_Range=etag)
    assert (rest.status_code, rest.content) == (206, data[half:])
    assert rest.headers["content-range"] == f"bytes {half}-{len(data) - 1}/{len(data)}"
    changed = ranged(f"bytes={half}-", If_Range='"other"')
    assert (changed.status_code, changed.content) == (200, data)
    assert ranged("bytes=-10").content == data[-10:]
    assert ranged(f"bytes={len(data)}-").status_code == 416
    for odd in ("bytes=9-1", "bytes=x-", "lines=1-2", "bytes=" + "0-1," * 5000):
        assert ranged(odd).status_code in {200, 206, 400, 416, 431}


def test_it_ends_in_time_though_some_never_do_and_leaves_nothing(tmp_path, offered):
    with serve("--wheels", offered, "--root", tmp_path / "there") as there, connected(there) as sock:
        called = b'{"arguments": {"seconds": 600}}'
        sock.sendall(
            b"POST /rld/v1/call/echo/wait HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(called), called)
        )
        deadline = time.monotonic() + 60
        while (
            requests.get(f"{there.url}/healthz", timeout=30).headers.get("rld-load", "").find('"active":1')
            < 0
            and time.monotonic() < deadline
        ):
            pass
        children = _descendants(there.pid)
        began = time.monotonic()
        there.process.send_signal(signal.SIGTERM)
        there.process.wait(timeout=40)
        assert time.monotonic() - began < 30
        assert there.process.returncode in {0, -signal.SIGTERM, 130, 143}
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            assert time.monotonic() < deadline, "a process was left behind"


def _descendants(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_descendants(child)]
    return found


def test_two_on_one_root_are_one_domain(tmp_path, offered, web):
    root = tmp_path / "there"
    with (
        serve("--wheels", offered, "--root", root) as one,
        serve("--wheels", offered, "--root", root) as other,
    ):
        assert one.join.partition("#")[2].split("&")[0] == other.join.partition("#")[2].split("&")[0]
        url, data = _pinned(one, offered, web, tmp_path / "asker")
        # The other one gives what the first one pinned.
        assert web.get(url.replace(one.url, other.url), timeout=30).content == data
        first, second = (
            web.get(f"{each.url}/metadata/timestamp.json", timeout=30).content for each in (one, other)
        )
        assert first == second


def test_a_token_is_nowhere_but_in_its_file(tmp_path, offered, web):
    canary = "canary-5f0c7e91d2b84a36"
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{canary} echo\n")
    root = tmp_path / "there"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "rldlib", "serve", "--json", "--wheels", offered, "--root", root),
            *("--token-file", tokens),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = ""
    try:
        line = process.stdout.readline()
        url = json.loads(line)["url"]
        for path in ("/rld/v1/services", "/", "/nothing", "/simple/", f"/services/{'x' * 70}"):
            for authorization in (f"Bearer {canary}", f"Bearer {canary}x", f"Basic {canary}"):
                answer = web.get(url + path, headers={"Authorization": authorization}, timeout=30)
                told += answer.text + str(answer.headers)
        answer = web.post(
            f"{url}/rld/v1/call/echo/fail",
            json={"arguments": {"text": "x"}},
            headers={"Authorization": f"Bearer {canary}"},
            timeout=60,
        )
        told += answer.text
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=40)
    assert canary not in told + line + out + err
    for path in root.rglob("*"):
        if path.is_file():
            assert canary.encode() not in path.read_bytes(), path
    bad = tmp_path / "bad"
    bad.write_text(f"{canary}\n")
    refused = subprocess.run(
        [sys.executable, "-m", "rldlib", "serve", "--wheels", offered, "--root", root, "--token-file", bad],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2
    assert canary not in refused.stdout + refused.stderr
