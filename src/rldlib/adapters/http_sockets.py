"""Connections of requests, read under one deadline and counted."""

from __future__ import annotations

import contextlib
import http.client
import http.cookiejar
import io
import os
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import requests
import urllib3.connection
import urllib3.connectionpool
from requests.adapters import HTTPAdapter

from rldlib.errors import SourceUnavailableError
from rldlib.values.address import told_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rldlib.values.address import Origin

_CONNECTIONS = 16
# The first that is set holds, as pip has it: what resolves and what fetches trust the same.
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
# A server that writes head and body apart sends the body when the head was acknowledged, which the kernel
# puts off by 40 ms: each answer of many an index. Linux forgets the wish with each acknowledgement.
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class Counter:
    """A number that many threads add to."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add(self, amount: int) -> None:
        """Count ``amount`` more."""
        with self._lock:
            self.value += amount


class Deadline:
    """The deadline of the exchange that this thread begins; its response keeps it."""

    now = threading.local()

    def __init__(self, until: float, stall_s: float) -> None:
        self.until = until
        self.stall_s = stall_s
        self.broken_off = False
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None

    def __enter__(self) -> None:
        self.now.one = self

    def __exit__(self, *_: object) -> None:
        del self.now.one

    def left(self) -> float:
        """How long the next read may take, in seconds; a TimeoutError where no time is left."""
        left = min(self.until - time.monotonic(), self.stall_s)
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def holds_for(self, sock: socket.socket | None) -> None:
        """From now on it is read there; None once all was read, and the connection may be another's."""
        with self._guard:
            self._socket = sock
            if self.broken_off:
                self._shut_down()

    def break_off(self) -> None:
        """Nobody waits any more: end the exchange now, from any thread."""
        with self._guard:
            self.broken_off, self.until = True, 0.0
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                self._socket.shutdown(socket.SHUT_RDWR)


class _TimedRaw(io.RawIOBase):
    """A socket's bytes under one deadline for all of them.

    A time-out of the socket is one per read: a byte now and then would renew
    it for ever, in the head as in the body.
    """

    def __init__(self, raw: Any, sock: socket.socket, deadline: Deadline, counter: Counter) -> None:
        super().__init__()
        self._raw = raw
        self._socket = sock
        self._deadline = deadline
        deadline.holds_for(sock)
        self._counter = counter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._deadline.left())
        if _QUICK_ACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        count: int | None = self._raw.readinto(buffer)
        self._counter.add(count or 0)
        return count

    def close(self) -> None:
        self._deadline.holds_for(None)
        self._raw.close()
        super().close()


class TimedAdapter(HTTPAdapter):
    """Connections whose responses are read under a deadline, and counted."""

    def __init__(self, counter: Counter, options: list[tuple[int, int, int]] | None = None) -> None:
        nodelay = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._options = [nodelay, *(options or [])]

        class Answer(http.client.HTTPResponse):
            def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
                super().__init__(sock, *args, **kwargs)
                raw = self.fp.detach()
                self.fp = io.BufferedReader(_TimedRaw(raw, sock, Deadline.now.one, counter))

        class Plain(urllib3.connection.HTTPConnection):
            response_class = Answer

        class Secure(urllib3.connection.HTTPSConnection):
            response_class = Answer

        class PlainPool(urllib3.connectionpool.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
            ConnectionCls = Secure

        self._pools = {"http": PlainPool, "https": SecurePool}
        super().__init__(pool_connections=_CONNECTIONS, pool_maxsize=_CONNECTIONS, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Called by requests, once."""
        super().init_poolmanager(*args, **kwargs, socket_options=self._options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        """Called by requests, once for each proxy."""
        manager: Any = super().proxy_manager_for(proxy, **kwargs, socket_options=self._options)
        manager.pool_classes_by_scheme = self._pools
        return manager


class Sessions:
    """The connections of one client: for bodies that are read whole, and for first bytes.

    Args:
        peek: Options of the sockets that first bytes come from.

    Attributes:
        counter: What came in over all of them.
        bulk: For whole bodies.
        peek: For first bytes.
    """

    def __init__(self, peek: list[tuple[int, int, int]]) -> None:
        self.counter = Counter()
        self.bulk = _session_of(TimedAdapter(self.counter))
        self.peek = _session_of(TimedAdapter(self.counter, peek))
        self._surroundings: dict[Origin, tuple[tuple[str, str] | None, Mapping[str, Any]]] = {}

    def surroundings(self, origin: Origin, url: str) -> tuple[tuple[str, str] | None, Mapping[str, Any]]:
        """What the environment says of an origin: credentials (netrc); proxies and CA bundle.

        Asked once. requests would go through the whole environment several
        times for each request, which takes longer than the request.

        Raises:
            SourceUnavailableError: The bundle that it names is none.
        """
        known = self._surroundings.get(origin)
        if known is None:
            # requests knows but two of the names that hosts have for it.
            verify = _trusted_bundle(told_url(url)) if origin[0] == "https" else None
            with requests.Session() as session:
                settings: Any = session.merge_environment_settings(url, {}, True, verify, None)  # noqa: FBT003 - requests' order
            known = self._surroundings[origin] = requests.utils.get_netrc_auth(url), settings
        return known

    def close(self) -> None:
        """Close every kept connection."""
        self.bulk.close()
        self.peek.close()


def _trusted_bundle(told: str) -> str | None:
    """The bundle of authorities that this host names, if it does.

    Raises:
        SourceUnavailableError: What it names is none.
    """
    name = next((name for name in BUNDLES if os.environ.get(name)), None)
    if name is None:
        return None
    path = os.environ[name]
    try:
        if not Path(path).is_dir():
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise SourceUnavailableError(
            told, f"{name} names {path}, from where no certificates can be read ({reason}); correct it"
        ) from exc
    return path


def request_of(
    method: str,
    url: str,
    headers: Mapping[str, str],
    auth: tuple[str, str] | None,
    body: bytes | None = None,
) -> requests.Request:
    """A request; it belongs to no session yet."""
    return requests.Request(method, url, headers=dict(headers), auth=auth, data=body)


def _session_of(adapter: HTTPAdapter) -> requests.Session:
    """A session on these connections."""
    session = requests.Session()
    # See `Sessions.surroundings`.
    session.trust_env = False
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    # No cookies: one answer must not change the next request.
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return session
