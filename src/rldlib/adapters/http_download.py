"""One file on its way."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from rldlib.adapters import http_reading as reading
from rldlib.errors import SourceUnavailableError
from rldlib.values.address import told_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    import requests

    from rldlib.reporter import Reporter

    Exchange = Callable[[Mapping[str, str], float], AbstractContextManager[requests.Response]]

_CHUNK_BYTES = 64 * 1024


class Download:
    """One file on its way, over as many connections as it takes."""

    def __init__(
        self, exchange: Exchange, reporter: Reporter, url: str, into: BinaryIO, max_bytes: int
    ) -> None:
        self._exchange = exchange
        self._reporter = reporter
        self._url = url
        self._into = into
        self._max_bytes = max_bytes
        self._done = 0
        self._validator: str | None = None

    def attempt(self, until: float) -> int | None:
        """Go on from where the last attempt ended; the bytes written, None where there is no such file."""
        headers = {}
        if self._done and self._validator:
            headers = {"Range": f"bytes={self._done}-", "If-Range": self._validator}
        with self._exchange(headers, until) as response:
            if response.status_code in {404, 410}:
                return None
            if response.status_code not in {200, 206}:
                raise SourceUnavailableError(told_url(self._url), f"status {response.status_code}")
            if response.status_code == 200 or not reading.continues(response, self._done):
                self._restart(response)
            total = reading.length_of(response)
            for chunk in reading.body_chunks(response, _CHUNK_BYTES):
                self._done += len(chunk)
                if self._done > self._max_bytes:
                    raise reading.over(told_url(self._url), self._max_bytes)
                self._into.write(chunk)
                self._reporter.bytes_fetched(told_url(self._url), self._done, total)
        return self._done

    def _restart(self, response: requests.Response) -> None:
        if response.status_code == 206:
            raise SourceUnavailableError(
                told_url(self._url), f"it sent another part than from byte {self._done:,} on"
            )
        if self._done:
            self._into.seek(-self._done, io.SEEK_CUR)
            self._into.truncate()
            self._done = 0
        etag = response.headers.get("ETag", "")
        self._validator = None if etag.startswith("W/") else etag or response.headers.get("Last-Modified")
        length = reading.length_of(response)
        if length is not None and length > self._max_bytes:
            raise reading.over(told_url(self._url), self._max_bytes, length)
