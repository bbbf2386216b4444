"""One question that is put once: its answer is read as it comes, and can be broken off by another thread."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Self

from rldlib.adapters.http_faults import BROKEN, reason_of, was_sent
from rldlib.adapters.http_reading import body_chunks
from rldlib.adapters.http_sockets import Deadline
from rldlib.errors import SourceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests

    from rldlib.adapters.http import Http

_CHUNK_BYTES = 64 * 1024


class BrokenExchangeError(Exception):
    """It did not come to its end.

    Attributes:
        reason: What happened, in words without secrets.
        sent: Whether the question may have arrived.
        late: Whether its deadline had passed.
    """

    def __init__(self, reason: str, *, sent: bool, late: bool) -> None:
        super().__init__(reason, sent, late)
        self.reason = reason
        self.sent = sent
        self.late = late


class Exchange:
    """A POST, sent with `open`. Never repeated here: only who asks knows whether it may be.

    Args:
        http: How it is asked.
        url: Where.
        body: What is sent.
        headers: With it.
        until: The instant, by the monotonic clock, by which all of it must be over.
    """

    def __init__(self, http: Http, url: str, body: bytes, headers: Mapping[str, str], until: float) -> None:
        self._http = http
        self._url = url
        self._body = body
        self._headers = headers
        self._until = until
        self._deadline = Deadline(until, math.inf)
        self._response: requests.Response | None = None

    def open(self) -> Self:
        """Send it, and wait for the head of its answer.

        Raises:
            BrokenExchangeError: There is none.
        """
        bulk = self._http.sessions.bulk
        try:
            self._response = self._http.send(
                bulk, "POST", self._url, self._headers, self._until, self._body, self._deadline
            )
        except SourceUnavailableError as exc:
            raise BrokenExchangeError(exc.reason, sent=False, late=False) from exc
        except BROKEN as exc:
            raise self._broken(exc, sent=was_sent(exc)) from exc
        return self

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self._opened.status_code

    @property
    def media_type(self) -> str:
        """What the answer says that it is, without parameters."""
        return self._opened.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def chunks(self, max_bytes: int | None = None) -> Iterator[bytes]:
        """The body as it comes.

        Raises:
            BrokenExchangeError: It broke off, or is longer than `max_bytes`.
        """
        count = 0
        try:
            for chunk in body_chunks(self._opened, _CHUNK_BYTES):
                count += len(chunk)
                if max_bytes is not None and count > max_bytes:
                    self.break_off()
                    reason = f"it answers with more than the {max_bytes:,} bytes that are read"
                    raise BrokenExchangeError(reason, sent=True, late=False)
                yield chunk
        except BROKEN as exc:
            raise self._broken(exc, sent=True) from exc

    def break_off(self) -> None:
        """End it now, from any thread."""
        self._deadline.break_off()

    def close(self) -> None:
        """Let go of it; where the answer was read to its end, its connection is kept."""
        if self._response is not None:
            self._response.close()

    @property
    def _opened(self) -> requests.Response:
        if self._response is None:
            raise RuntimeError("the exchange was not opened; this is a bug in rldlib")
        return self._response

    def _broken(self, exc: BaseException, *, sent: bool) -> BrokenExchangeError:
        late = not self._deadline.broken_off and time.monotonic() >= self._until
        return BrokenExchangeError(reason_of(exc), sent=sent, late=late)
