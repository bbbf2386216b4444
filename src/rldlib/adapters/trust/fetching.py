"""How signed files come here: through our own HTTP, within one deadline for all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from rldlib.errors import OversizeError, ResponderSilentError, SourceUnavailableError, TrustError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldlib.values.trust import Pathway

# What metadata may claim to be long at most, whoever signed the claim.
_MAX_BYTES: Final = 64 * 1024 * 1024
_GONE: Final = frozenset({404, 410})


class Answer(Protocol):
    """What is read of an answer."""

    @property
    def status(self) -> int:
        """Its status."""
        ...

    @property
    def body(self) -> bytes:
        """Its body, whole."""
        ...


class Web(Protocol):
    """What is needed of HTTP; `rldlib.adapters.http.Http` is it."""

    def get(self, url: str, *, max_bytes: int, deadline_s: float) -> Answer:
        """The whole answer; `SourceUnavailableError` where there is none within the bounds."""
        ...


class Fetcher(FetcherInterface):
    """Gives the TUF library what it asks for.

    Attributes:
        role: The metadata or target that is read just now, for errors.
        last: What came last, for the same.
    """

    def __init__(self, web: Web, pathway: Pathway, deadline_s: float) -> None:
        super().__init__()
        self._web = web
        self._pathway = pathway
        self._deadline_s = deadline_s
        self._until = 0.0
        self.role = "root"
        self.last = b""
        self.begin()

    def begin(self) -> None:
        """All that is fetched from now on has one deadline."""
        self._until = time.monotonic() + self._deadline_s

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """The file at a URL.

        Raises:
            DownloadHTTPError: It is not there, which TUF gives a meaning.
            ResponderSilentError: There is no answer, or one that is none.
            TrustError: It is longer than it may be.
        """
        max_bytes = min(max_length, _MAX_BYTES)
        left = self._until - time.monotonic()
        if left <= 0:
            raise self.silent(f"not all of it came within {self._deadline_s:g} s")
        try:
            answer = self._web.get(url, max_bytes=max_bytes, deadline_s=left)
        except OversizeError as exc:
            pathway = self._pathway
            raise TrustError(pathway.source, pathway.root_sha256, "length", self.role, exc.reason) from exc
        except SourceUnavailableError as exc:
            raise self.silent(exc.reason) from exc
        if answer.status in _GONE:
            raise DownloadHTTPError(f"status {answer.status}", 404)
        if answer.status != 200:
            raise self.silent(f"status {answer.status} where {self.role} was asked for")
        self.last = answer.body
        return answer.body

    def silent(self, reason: str) -> ResponderSilentError:
        """The error of an answer that is none."""
        return ResponderSilentError(self._pathway.source, reason, self._pathway.root_sha256)

    def _fetch(self, url: str) -> Iterator[bytes]:
        """The library asks through `download_bytes` alone."""
        yield self.download_bytes(url, _MAX_BYTES)
