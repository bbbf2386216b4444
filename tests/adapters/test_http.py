from __future__ import annotations

import base64
import io
import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme
from tests.sources.hosts import Host

from rldlib.adapters.http import Http
from rldlib.errors import SourceUnavailableError, UsageError

_SOON_S = 5


@pytest.fixture
def http():
    with Http() as made:
        yield made


def _serve(body: bytes = b"hello", **headers: str):
    def behave(host, connection, head):
        host.answer(connection, body, **headers)

    return behave


def _asked_within(seconds: float, ask) -> str:
    began = time.monotonic()
    with pytest.raises(SourceUnavailableError) as caught:
        ask()
    assert time.monotonic() - began < seconds
    return str(caught.value)


def test_one_connection_serves_many_answers(http):
    with Host(_serve()) as host:
        answers = [http.get(f"{host.url}/{n}").body for n in range(3)]

        assert answers == [b"hello"] * 3
        assert host.connections == 1
        http.close()


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the kernel cannot be asked to acknowledge at once"
)
def test_a_server_that_sends_head_and_body_apart_is_not_kept_waiting(http):
    """Its body goes out when its head was acknowledged, which a kernel puts off by 40 ms."""

    def apart(_host, connection, _head):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        connection.sendall(b"hello")

    taken = []
    with Host(apart) as host:
        for number in range(30):
            began = time.monotonic()
            assert http.get(f"{host.url}/{number}").body == b"hello"
            taken.append(time.monotonic() - began)
        http.close()

    # The first ones are acknowledged at once whatever is asked for; a busy machine delays some of the others.
    assert min(taken[20:]) < 0.03


def test_the_environment_is_read_once_for_each_origin(http, monkeypatch):
    """requests goes through all of it several times for each request."""
    asked = []
    monkeypatch.setattr("requests.utils.get_netrc_auth", asked.append)
    with Host(_serve()) as one, Host(_serve()) as other:
        for host in (one, other, one, other):
            http.get(f"{host.url}/page")
        http.close()

    assert len(asked) == 2


def test_many_threads_share_it(http):
    with Host(_serve(b"x" * 1000)) as host, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: http.get(f"{host.url}/{n}").body, range(64)))
        http.close()

    assert {len(answer) for answer in answers} == {1000}
    assert http.received_bytes > 64_000


def test_an_endless_body_ends_at_the_cap(http):
    def endless(host, connection, head):
        host.send(connection, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        while not host.closing.is_set():
            host.send(connection, b"x" * 4096)

    with Host(endless) as host:
        told = _asked_within(_SOON_S, lambda: http.get(host.url, max_bytes=100_000))

    assert "more where at most 100,000 bytes are read" in told
    assert http.received_bytes < 400_000


def test_a_length_beyond_the_cap_is_refused_before_it_is_read(http):
    with Host(_serve(b"x", Content_Length="99999999999")) as host:
        told = _asked_within(_SOON_S, lambda: http.get(host.url))

    assert "99,999,999,999 bytes where at most 1,048,576 bytes are read" in told


def test_a_body_shorter_than_its_length_is_asked_for_again_and_then_refused(http):
    def short(host, connection, head):
        host.answer(connection, b"half", Content_Length="100")
        connection.shutdown(socket.SHUT_RDWR)

    with Host(short) as host:
        told = _asked_within(_SOON_S, lambda: http.get(host.url))

        assert len(host.heads) == 3
    assert "broke off" in told


@pytest.mark.slow
@pytest.mark.parametrize("slow", ["head", "body", "chunks", "storm"])
def test_a_slow_answer_ends_at_the_deadline(http, slow):
    """
    A byte now and then keeps every socket's own time-out from passing.
    """
    beginnings = {
        "head": b"HTTP/1.1 200 OK\r\nX: ",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n",
        "storm": b"",
    }
    drop = b"HTTP/1.1 100 Continue\r\n\r\n" if slow == "storm" else b"x"

    def drip(host, connection, head):
        host.send(connection, beginnings[slow])
        while not host.closing.wait(0.02):
            host.send(connection, drop)

    with Host(drip) as host:
        told = _asked_within(2, lambda: http.get(host.url, deadline_s=0.4))

    assert told.endswith("no complete answer within 0.4 s")


@pytest.mark.slow
def test_silence_ends_at_its_own_limit():
    def silent(host, connection, head):
        host.closing.wait(_SOON_S)

    with Http(stall_s=0.3) as http, Host(silent) as host:
        told = _asked_within(2, lambda: http.get(host.url, deadline_s=60))

    assert "it took too long" in told


@pytest.mark.parametrize(
    "target",
    [
        "https://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://127.0.0.1:{other}/x",
        "file:///etc/hostname",
        "http://169.254.169.254/latest/",
    ],
)
def test_a_redirect_leaves_no_origin(http, target):
    with Host(_serve(b"secret")) as other:

        def elsewhere(host, connection, head):
            host.answer(
                connection, b"", "302 Found", Location=target.format(port=host.port, other=other.port)
            )

        with Host(elsewhere) as host:
            told = _asked_within(_SOON_S, lambda: http.get(host.url))

        assert "redirects to another origin" in told
        assert other.heads == []


def test_a_redirect_within_the_origin_is_followed_and_a_circle_is_not(http):
    def behave(host, connection, head):
        if head.startswith("GET /here"):
            host.answer(connection, b"there")
        elif head.startswith("GET /round"):
            host.answer(connection, b"", "302 Found", Location="/round")
        else:
            host.answer(connection, b"", "301 Moved", Location="/here")

    with Host(behave) as host:
        answer = http.get(f"{host.url}/start")
        assert (answer.body, answer.url) == (b"there", f"{host.url}/here")

        assert "more than 5 redirects" in _asked_within(_SOON_S, lambda: http.get(f"{host.url}/round"))


def test_compressed_bytes_are_refused(http):
    with Host(_serve(b"\x1f\x8b", Content_Encoding="gzip")) as host:
        assert "only plain bytes were asked for" in _asked_within(_SOON_S, lambda: http.get(host.url))

        assert "Accept-Encoding: identity" in host.heads[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "http://10.0.0.1/simple",
        "ftp://127.0.0.1/",
        "127.0.0.1",
        "http://127.0.0.1:port/",
    ],
)
def test_only_https_or_loopback_is_taken(http, url):
    with pytest.raises(UsageError):
        http.login(url)
    with pytest.raises(SourceUnavailableError):
        http.get(url)


def test_plain_http_elsewhere_is_taken_when_said_by_name():
    with Http(insecure=True) as http:
        assert http.login("http://example.org/simple") == "http://example.org/simple"


def test_credentials_go_to_their_own_origin_and_into_no_message(http):
    def behave(host, connection, head):
        host.answer(connection, b"", "401 Unauthorized")

    with Host(behave) as host, Host(behave) as other:
        url = http.login(f"http://user:se%2Fcret@127.0.0.1:{host.port}/simple/")
        assert url == f"http://127.0.0.1:{host.port}/simple/"
        told = _asked_within(_SOON_S, lambda: http.get(f"{url}?token=hidden"))
        told += _asked_within(
            _SOON_S, lambda: http.get(f"http://a:hidden@127.0.0.1:{other.port}/simple/?token=hidden")
        )

        expected = base64.b64encode(b"user:se/cret").decode()
        assert f"Authorization: Basic {expected}" in host.heads[0]
        assert "Authorization" not in other.heads[0]
    assert "secret" not in told
    assert "hidden" not in told
    assert "netrc" in told


def test_credentials_come_from_netrc(http, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Host(_serve()) as host:
        http.get(host.url)

        assert f"Basic {base64.b64encode(b'me:mine').decode()}" in host.heads[0]


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_refused_credentials_are_told_from_missing_ones(http, status):
    with Host(lambda host, connection, head: host.answer(connection, b"", status)) as host:
        missing = _asked_within(_SOON_S, lambda: http.get(host.url))
        http.login(host.url.replace("://", "://me:hidden@"))
        refused = _asked_within(_SOON_S, lambda: http.get(host.url))

    assert f"status {status[:3]}: put credentials into netrc" in missing
    assert f"status {status[:3]}: it refused the credentials" in refused
    assert "hidden" not in refused


@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "403 No"])
def test_an_outage_is_told_by_its_status(http, status):
    with Host(lambda host, connection, head: host.answer(connection, b"", status)) as host:
        assert f"status {status[:3]}" in _asked_within(_SOON_S, lambda: http.get(host.url))


def test_nobody_there_is_told_in_words(http):
    with Host(_serve()) as host:
        url = host.url

    assert "connection refused" in _asked_within(_SOON_S, lambda: http.get(f"{url}/?token=hidden"))


def test_a_range_is_read_where_there_are_ranges(http):
    def behave(host, connection, head):
        host.answer(connection, b"cd", "206 Partial Content", Content_Range="bytes 2-3/10")

    with Host(behave) as host:
        answer = http.range(f"{host.url}/file", 2, 2)

        assert (answer.status, answer.body) == (206, b"cd")
        assert "Range: bytes=2-3" in host.heads[0]


def test_a_whole_file_instead_of_a_range_stops_the_read(http):
    def behave(host, connection, head):
        host.send(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while host.sent < 100_000_000 and not host.closing.is_set():
            host.send(connection, b"abcd" * 1024)

    with Host(behave) as host:
        answer = http.range(f"{host.url}/file", 1000, 4096)

    assert (answer.status, len(answer.body), answer.body[:4]) == (200, 4096, b"abcd")
    assert http.received_bytes < 100_000


def _breaking(content: bytes, *, ranges: bool, etag: bool):
    def behave(host, connection, head):
        start = 0
        headers = {"ETag": '"v1"'} if etag else {}
        status = "200 OK"
        if ranges and "Range: bytes=" in head:
            start = int(head.partition("Range: bytes=")[2].partition("-")[0])
            status = "206 Partial Content"
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        rest = content[start:]
        part = rest[: len(rest) // 2] if len(host.heads) < 3 else rest
        host.answer(connection, part, status, Content_Length=str(len(rest)), **headers)
        connection.shutdown(socket.SHUT_RDWR)

    return behave


@pytest.mark.parametrize(("ranges", "etag"), [(True, True), (False, True), (False, False)])
def test_a_broken_stream_is_taken_up_again(http, ranges, etag):
    content = bytes(range(256)) * 2000
    into = io.BytesIO(b"before")
    into.seek(0, io.SEEK_END)
    with Host(_breaking(content, ranges=ranges, etag=etag)) as host:
        written = http.stream(f"{host.url}/file", into, max_bytes=len(content), deadline_s=_SOON_S)

        assert len(host.heads) == 3
        assert ("If-Range" in host.heads[1]) == etag
    assert written == len(content)
    assert into.getvalue() == b"before" + content


def test_a_stream_ends_at_its_cap_and_at_what_is_not_there(http):
    with Host(lambda host, connection, head: host.answer(connection, b"", "404 No")) as host:
        assert http.stream(f"{host.url}/file", io.BytesIO(), max_bytes=10, deadline_s=_SOON_S) is None
    with Host(_serve(b"x" * 11)) as host:
        into = io.BytesIO()
        _asked_within(_SOON_S, lambda: http.stream(f"{host.url}/f", into, max_bytes=10, deadline_s=_SOON_S))
        assert into.getvalue() == b""


def test_loopback_is_reached_without_the_proxy(http, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    with Host(_serve()) as host:
        assert http.get(host.url).body == b"hello"


@pytest.mark.slow
def test_tls_is_verified_by_the_environments_bundle(http, tmp_path, monkeypatch):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "bundle.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with Host(_serve(), context) as host:
        assert "certificate" in _asked_within(_SOON_S, lambda: http.get(host.url))

        authority.cert_pem.write_to_path(str(bundle))
        with Http() as fresh:
            assert fresh.get(host.url).body == b"hello"
            assert fresh.received_bytes > 0
