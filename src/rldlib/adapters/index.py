"""A package index as a source of wheels. It lists and gives; it never picks."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urljoin, urlsplit

from packaging.utils import canonicalize_name

from rldlib.adapters.http_reading import REDIRECTS
from rldlib.errors import ServiceNotFoundError, SourceUnavailableError
from rldlib.values.address import origin_of, told_url
from rldlib.values.digest import is_sha256
from rldlib.values.index_page import parse_names
from rldlib.values.project_page import (
    ACCEPT,
    MAX_PAGE_BYTES,
    MalformedPageError,
    ProjectPage,
    parse_page,
)
from rldlib.values.wheel import wheel_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldlib.adapters.http import Http
    from rldlib.adapters.index_files import IndexFiles
    from rldlib.values.request import ServiceRequest
    from rldlib.values.wheel import WheelFile

# For so long a page is taken as it is; then the index is asked whether it still holds.
_PAGE_FRESH_S = 60


@dataclass(slots=True)
class _Kept:
    """One project as last seen. `elsewhere` is the other server that the index sent us to, if it did."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    page: ProjectPage | None = None
    etag: str | None = None
    elsewhere: str | None = None
    until: float = 0


class Index:
    """See `rldlib.ports.Source`. One index, and never a second.

    A page of more than 32 MiB is refused. Pages are kept for as long as the
    object lives, and asked for again, by ETag, once a minute has passed or
    after `refresh`.
    """

    def __init__(self, url: str, http: Http, *, deadline_s: float = 30) -> None:
        """Nothing is asked yet.

        Args:
            url: The index's root, for example ``https://host/simple/``; it may hold credentials.
            http: How it is read.
            deadline_s: For every answer but a file.

        Raises:
            UsageError: ``url`` is no http or https URL, or plain HTTP to another machine.
        """
        self._url = http.login(url).rstrip("/") + "/"
        self._http = http
        self._deadline_s = deadline_s
        self._pages: defaultdict[str, _Kept] = defaultdict(_Kept)
        self._read_files: IndexFiles | None = None
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """See `Source.identity`."""
        return told_url(self._url)

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password that the URL held; for whoever asks the same index by other means."""
        return self._http.credentials(self._url)

    @property
    def received_bytes(self) -> int:
        """What asking cost so far, in bytes."""
        return self._http.received_bytes

    def refresh(self) -> None:
        """Ask for every page again, by ETag, when it is next needed."""
        with self._lock:
            for kept in self._pages.values():
                kept.until = 0

    def close(self) -> None:
        """Drop what was fetched for its metadata, and the connections."""
        if self._read_files is not None:
            self._read_files.close()
        self._http.close()

    def names(self) -> Sequence[str]:
        """See `Source.names`. The index is asked each time."""
        answer = self._http.get(
            self._url, accept=ACCEPT, max_bytes=MAX_PAGE_BYTES, deadline_s=self._deadline_s
        )
        if answer.status != 200:
            raise SourceUnavailableError(self.identity, f"its list of projects has status {answer.status}")
        try:
            return parse_names(answer.headers.get("content-type", ""), answer.body)
        except MalformedPageError as exc:
            raise SourceUnavailableError(self.identity, str(exc)) from exc

    def offers(self, request: ServiceRequest) -> Sequence[WheelFile]:
        """See `Source.offers`: the distribution NAME, else ``rld-NAME``."""
        names = (
            [request.distribution] if request.distribution else [request.service, f"rld-{request.service}"]
        )
        for name in names:
            page = self._page(name)
            if page is None:
                continue
            if page.is_quarantined:
                reason = f"the index has {name} in quarantine" + (f": {page.reason}" if page.reason else "")
                raise ServiceNotFoundError(request.service, self.identity, reason)
            if not page.wheels:
                raise ServiceNotFoundError(request.service, self.identity, f"{name} has no wheels there")
            return page.wheels
        sought = " nor ".join(names)
        sent = next((kept.elsewhere for kept in map(self._pages.get, names) if kept and kept.elsewhere), None)
        # Some indexes send whoever asks for what they lack to a public one: that is how confusion begins.
        hint = f"; it redirects to {sent}, which is another server and not asked" if sent else ""
        raise ServiceNotFoundError(
            request.service,
            self.identity,
            f"it has no distribution {sought}{hint}; name another with {request.service}@DISTRIBUTION",
        )

    def project(self, name: str) -> Sequence[WheelFile] | None:
        """See `Source.project`. What is in quarantine has no wheels."""
        page = self._page(canonicalize_name(name))
        if page is None:
            return None
        return () if page.is_quarantined else page.wheels

    def profile(self, wheel: WheelFile) -> bytes | None:
        """See `Source.profile`."""
        return self._files.profile(wheel)

    def metadata(self, wheel: WheelFile) -> bytes:
        """See `Source.metadata`."""
        return self._files.metadata(wheel)

    def pin(self, wheel: WheelFile) -> WheelFile:
        """See `Source.pin`."""
        return self._files.pin(wheel)

    def fetch(self, locator: str, into: BinaryIO, *, max_bytes: int) -> None:
        """See `Source.fetch`: a file of the index's own origin, or one that its pages name."""
        if not self._is_offered(locator):
            raise SourceUnavailableError(self.identity, f"it does not offer {told_url(locator)}")
        self._files.fetch(locator, into, max_bytes)

    def blob(self, sha256: str, into: BinaryIO, *, max_bytes: int) -> bool:
        """See `Source.blob`: ``/blobs/sha256/HEX`` beside the index's root, as `rld index` has it."""
        if not is_sha256(sha256):
            return False
        return (
            self._files.stream(urljoin(self._url, f"../blobs/sha256/{sha256}"), into, max_bytes) is not None
        )

    def _is_offered(self, locator: str) -> bool:
        try:
            parts = urlsplit(locator)
            if origin_of(parts) == origin_of(urlsplit(self._url)):
                return True
            name = wheel_file(unquote(parts.path.rpartition("/")[2]), locator).name
        except ValueError:
            return False
        page = self._page(name)
        return page is not None and any(wheel.locator == locator for wheel in page.wheels)

    @property
    def _files(self) -> IndexFiles:
        """What reads files, imported with the first one."""
        with self._lock:
            if self._read_files is None:
                from rldlib.adapters.index_files import IndexFiles

                self._read_files = IndexFiles(self._http, self._deadline_s)
            return self._read_files

    # --- pages -----------------------------------------------------------------

    def _page(self, name: str) -> ProjectPage | None:
        with self._lock:
            kept = self._pages[name]
        # One thread asks for a page; those who want it too wait for its answer.
        with kept.lock:
            if time.monotonic() >= kept.until:
                self._ask(name, kept)
                kept.until = time.monotonic() + _PAGE_FRESH_S
            return kept.page

    def _ask(self, name: str, kept: _Kept) -> None:
        url = f"{self._url}{name}/"
        headers = {"If-None-Match": kept.etag} if kept.page is not None and kept.etag else {}
        answer = self._http.get(
            url,
            accept=ACCEPT,
            max_bytes=MAX_PAGE_BYTES,
            deadline_s=self._deadline_s,
            headers=headers,
            stay=True,
        )
        if answer.status == 304 and kept.page is not None:
            return
        kept.elsewhere = None
        if answer.status in REDIRECTS and "location" in answer.headers:
            # It names another server for what it has not: one index is asked, and never a second.
            kept.elsewhere = told_url(urljoin(url, answer.headers["location"]))
        if kept.elsewhere or answer.status in {404, 410}:
            kept.page = kept.etag = None
            return
        if answer.status != 200:
            raise SourceUnavailableError(told_url(url), f"status {answer.status}")
        try:
            kept.page = parse_page(name, answer.url, answer.headers.get("content-type", ""), answer.body)
        except MalformedPageError as exc:
            raise SourceUnavailableError(told_url(url), str(exc)) from exc
        kept.etag = answer.headers.get("etag")
