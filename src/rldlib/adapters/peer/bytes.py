"""The bytes that a responder's answers pin: asked for by hash, over whichever pathway answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO, Final, NoReturn

from rldlib.errors import SourceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rldlib.adapters.http import Http
    from rldlib.values.request import ServiceRequest
    from rldlib.values.wheel import WheelFile

_DEADLINE_S: Final = 1_800.0
_LOCATOR: Final = re.compile(r"/blobs/sha256/([0-9a-f]{64})\Z")


class PeerSource:
    """See `rldlib.ports.Source`: it gives by hash alone, and lists nothing.

    Args:
        identity: Of the responder.
        urls: Its addresses, the preferred one first.
        http: How it is asked.
        headers: Sent with every request.
    """

    def __init__(self, identity: str, urls: Sequence[str], http: Http, headers: Mapping[str, str]) -> None:
        self.identity = identity
        self._urls = tuple(urls)
        self._http = http
        self._headers = dict(headers)

    @property
    def received_bytes(self) -> int:
        """See `Source.received_bytes`."""
        return self._http.received_bytes

    def close(self) -> None:
        """See `Source.close`."""
        self._http.close()

    def fetch(self, locator: str, into: BinaryIO, *, max_bytes: int) -> None:
        """See `Source.fetch`. A broken transfer goes on where it broke, anew over another pathway."""
        match = _LOCATOR.match(locator)
        if match is None:
            raise SourceUnavailableError(self.identity, f"{locator} is nothing that it gives")
        if not self.blob(match[1], into, max_bytes=max_bytes):
            raise SourceUnavailableError(
                self.identity, f"it no longer gives {locator}, which it signed; ask it for the service again"
            )

    def blob(self, sha256: str, into: BinaryIO, *, max_bytes: int) -> bool:
        """See `Source.blob`."""
        silent: SourceUnavailableError | None = None
        for url in self._urls:
            try:
                written = self._http.stream(
                    f"{url}/blobs/sha256/{sha256}",
                    into,
                    max_bytes=max_bytes,
                    deadline_s=_DEADLINE_S,
                    headers=self._headers,
                )
            except SourceUnavailableError as exc:
                silent = silent or exc
                into.seek(0)
                into.truncate()
                continue
            return written is not None
        raise silent or SourceUnavailableError(self.identity, "no pathway to it is known")

    # --- what only an index is asked --------------------------------------------------

    def names(self) -> Sequence[str]:
        """It lists nothing."""
        self._lists_nothing("a list")

    def offers(self, request: ServiceRequest) -> Sequence[WheelFile]:
        """It lists nothing: `rldlib.ports.Peer.support` is asked."""
        self._lists_nothing(str(request))

    def project(self, name: str) -> Sequence[WheelFile] | None:
        """It lists nothing."""
        self._lists_nothing(name)

    def profile(self, wheel: WheelFile) -> bytes | None:
        """It lists nothing."""
        self._lists_nothing(wheel.filename)

    def metadata(self, wheel: WheelFile) -> bytes:
        """It lists nothing."""
        self._lists_nothing(wheel.filename)

    def pin(self, wheel: WheelFile) -> WheelFile:
        """It lists nothing."""
        self._lists_nothing(wheel.filename)

    def _lists_nothing(self, what: str) -> NoReturn:
        raise SourceUnavailableError(
            self.identity, f"a responder lists nothing, {what} was asked for as of an index"
        )
