"""The one owner of requests: reads over HTTP within a deadline and a byte cap.

Every error comes out as `SourceUnavailableError`, mapped around the reading.
Neither credentials nor queries, which may hold some, reach a message.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import SplitResult, unquote, urlsplit

from rldlib.adapters import http_reading as reading
from rldlib.adapters.http_retrying import RETRIES, retried
from rldlib.errors import SourceUnavailableError, UsageError
from rldlib.reporter import Reporter
from rldlib.values.address import DEFAULT_PORTS, Origin, bare, is_loopback, origin_of, told_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    import requests

    from rldlib.adapters.http_sockets import Deadline, Sessions

_MIB = 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_MAX_REDIRECTS = 5
# A server that ignores ranges sends what the window holds before it sees us go.
_PEEK_WINDOW = (socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)


class Http:
    """Reads with bounds: connections are kept, threads may share it.

    A redirect is followed only within one origin: scheme, host and port equal.
    Plain HTTP goes to loopback alone. Proxies, CA bundle and netrc
    come from the environment; credentials in a URL are learnt by `login`.
    """

    def __init__(
        self, reporter: Reporter | None = None, *, insecure: bool = False, stall_s: float = 30
    ) -> None:
        """Nothing is opened yet.

        Args:
            reporter: Told how far a stream has come.
            insecure: Whether plain HTTP may leave this machine.
            stall_s: The longest silence of a server, in seconds.
        """
        self._reporter = reporter or Reporter()
        self._insecure = insecure
        self._stall_s = stall_s
        self._logins: dict[Origin, tuple[str, str]] = {}
        self._opened: Sessions | None = None
        self._opening = threading.Lock()

    @property
    def received_bytes(self) -> int:
        """What came in over all connections so far: heads and bodies, decrypted."""
        return self._opened.counter.value if self._opened is not None else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every kept connection."""
        with self._opening:
            if self._opened is not None:
                self._opened.close()

    def login(self, url: str) -> str:
        """Keep the credentials in ``url`` for its origin, and return it without them.

        Raises:
            UsageError: It is no http or https URL, or plain HTTP to another machine.
        """
        try:
            parts = urlsplit(url)
            origin = origin_of(parts)
        except ValueError as exc:
            raise UsageError(f"{told_url(url)} is no URL: {exc}") from exc
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise UsageError(f"{told_url(url)} is no http or https URL")
        if not self._is_allowed(parts):
            raise UsageError(
                f"{told_url(url)} is plain HTTP to another machine: use https, or say so by name (insecure)"
            )
        if parts.username is not None:
            self._logins[origin] = unquote(parts.username), unquote(parts.password or "")
        return bare(parts)

    def credentials(self, url: str) -> tuple[str, str] | None:
        """User and password that `login` learnt for the origin of ``url``."""
        return self._logins.get(origin_of(urlsplit(url)))

    def get(
        self,
        url: str,
        *,
        accept: str | None = None,
        max_bytes: int = _MIB,
        deadline_s: float = 30,
        headers: Mapping[str, str] | None = None,
        stay: bool = False,
    ) -> reading.Response:
        """The whole answer; one of more than ``max_bytes`` is an error.

        Any status below 500 is an answer; only what is read of it differs.
        With ``stay``, so is a redirect to another origin, where nobody goes.

        Raises:
            SourceUnavailableError: There was no answer within the bounds.
        """
        asked = {**({"Accept": accept} if accept else {}), **(headers or {})}
        return retried(url, lambda until: self._whole(url, asked, until, max_bytes, stay=stay), deadline_s)

    def post(
        self,
        url: str,
        body: bytes,
        *,
        content_type: str,
        max_bytes: int = _MIB,
        deadline_s: float = 30,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
    ) -> reading.Response:
        """The whole answer to ``body``, whatever its status; a redirect is not followed.

        Args:
            url: Where it is sent.
            body: What is sent.
            content_type: What that is.
            max_bytes: The most that is read of the answer.
            deadline_s: The longest that all of it may take.
            headers: Further headers.
            repeatable: Whether sending it twice is as good as once: then it is sent again where the
                connection broke before an answer came.

        Raises:
            SourceUnavailableError: There was no answer within the bounds.
        """
        asked = {"Content-Type": content_type, **(headers or {})}

        def attempt(until: float) -> reading.Response:
            response = self.send(self.sessions.bulk, "POST", url, asked, until, body)
            with contextlib.closing(response):
                return reading.whole(response, max_bytes, told_url(url))

        return retried(url, attempt, deadline_s, retries=RETRIES if repeatable else 0)

    def range(self, url: str, start: int, length: int, *, deadline_s: float = 30) -> reading.Response:
        """The bytes from ``start`` on where the server gives ranges: status 206.

        Where it does not, the status is 200 and the body is the *first*
        ``length`` bytes of the file: no more is read, and the connection is
        given up.

        Raises:
            SourceUnavailableError: There was no answer within the bounds.
        """
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        return retried(url, lambda until: self._piece(url, headers, until, length), deadline_s)

    def prefix(self, url: str, length: int, *, deadline_s: float = 30) -> reading.Response:
        """The first ``length`` bytes at most, and no more is read.

        Raises:
            SourceUnavailableError: There was no answer within the bounds.
        """
        return retried(url, lambda until: self._piece(url, {}, until, length), deadline_s)

    def head(self, url: str, *, deadline_s: float = 30) -> reading.Response:
        """Status and headers alone.

        Raises:
            SourceUnavailableError: There was no answer within the bounds.
        """
        return retried(
            url,
            lambda until: self._whole(url, {}, until, _CHUNK_BYTES, method="HEAD"),
            deadline_s,
        )

    def stream(
        self,
        url: str,
        into: BinaryIO,
        *,
        max_bytes: int,
        deadline_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> int | None:
        """Write the body to ``into`` from its position on; a broken connection is resumed.

        Returns:
            How many bytes were written; None where the server has no such file.

        Raises:
            SourceUnavailableError: It did not come whole within the bounds.
                What was written so far stays written.
        """
        from rldlib.adapters.http_download import Download

        def exchange(ranges: Mapping[str, str], until: float) -> AbstractContextManager[requests.Response]:
            return self._exchange(self.sessions.bulk, "GET", url, {**(headers or {}), **ranges}, until)

        download = Download(exchange, self._reporter, url, into, max_bytes)
        return retried(url, download.attempt, deadline_s)

    # --- one exchange --------------------------------------------------------

    @property
    def sessions(self) -> Sessions:
        """The connections, with the first request: requests takes longer to import than a warm start has."""
        with self._opening:
            if self._opened is None:
                from rldlib.adapters.http_sockets import Sessions

                self._opened = Sessions([_PEEK_WINDOW])
            return self._opened

    def _whole(
        self,
        url: str,
        headers: Mapping[str, str],
        until: float,
        max_bytes: int,
        method: str = "GET",
        *,
        stay: bool = False,
    ) -> reading.Response:
        with self._exchange(self.sessions.bulk, method, url, headers, until, stay=stay) as response:
            return reading.whole(response, max_bytes, told_url(url))

    def _piece(self, url: str, headers: Mapping[str, str], until: float, length: int) -> reading.Response:
        with self._exchange(self.sessions.peek, "GET", url, headers, until) as response:
            body = bytearray()
            for chunk in reading.body_chunks(response, length):
                body += chunk
                if len(body) >= length:
                    break
            return reading.answer_of(response, bytes(body[:length]))

    @contextlib.contextmanager
    def _exchange(
        self,
        session: requests.Session,
        method: str,
        url: str,
        headers: Mapping[str, str],
        until: float,
        *,
        stay: bool = False,
    ) -> Iterator[requests.Response]:
        """Send, follow redirects within the origin, and close whatever was not read to its end."""
        for _ in range(_MAX_REDIRECTS + 1):
            response = self.send(session, method, url, headers, until)
            try:
                target = reading.redirected(response, url)
                if target is None or (stay and target.leaves):
                    reading.check_answer(response, told_url(url))
                    yield response
                    return
                if target.leaves:
                    raise reading.elsewhere(told_url(url), target)
                url = target.url
            finally:
                response.close()
        raise SourceUnavailableError(told_url(url), f"more than {_MAX_REDIRECTS} redirects")

    def send(
        self,
        session: requests.Session,
        method: str,
        url: str,
        headers: Mapping[str, str],
        until: float,
        body: bytes | None = None,
        deadline: Deadline | None = None,
    ) -> requests.Response:
        """The head of an answer, whose body is to be read; what breaks comes out as it is."""
        from rldlib.adapters.http_sockets import Deadline, request_of

        parts = reading.split_url(url)
        if not self._is_allowed(parts):
            raise SourceUnavailableError(
                told_url(url), "plain HTTP to another machine is not read; use https"
            )
        # A credential in a page's link is that page's, not the user's: it is not sent.
        address = bare(parts)
        origin, asked = origin_of(parts), {"Accept-Encoding": "identity", **headers}
        netrc, settings = self.sessions.surroundings(origin, address)
        # Who shows a token is who it says; netrc has no say beside it.
        login = None if "Authorization" in asked else self._logins.get(origin) or netrc
        request = request_of(method, address, asked, login, body)
        prepared = session.prepare_request(request)
        if is_loopback(parts.hostname or ""):
            # A proxy would take the request off this machine.
            settings = {**settings, "proxies": {}}
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        wait = (min(left, self._stall_s), left if deadline is not None else min(left, self._stall_s))
        with deadline or Deadline(until, self._stall_s):
            return session.send(prepared, allow_redirects=False, timeout=wait, **settings)

    def _is_allowed(self, parts: SplitResult) -> bool:
        return parts.scheme == "https" or (
            parts.scheme == "http" and (self._insecure or is_loopback(parts.hostname or ""))
        )
