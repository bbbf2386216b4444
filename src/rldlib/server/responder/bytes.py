"""What a responder gives away: files by their hash, and what its domain signs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from rldlib.server.responder.exchange import scope_of
from rldlib.server.responder.refusals import ForbiddenError
from rldlib.values.digest import is_sha256

if TYPE_CHECKING:
    from starlette.requests import Request

    from rldlib.responding import Responder
    from rldlib.server.access import Access


class Signed(Protocol):
    """What a domain signs, by the names that clients ask for; `rldlib.adapters.trust.Authority` is it."""

    def metadata(self, name: str) -> bytes | None:
        """A metadata file; None where there is none of that name."""
        ...

    def target(self, path: str) -> bytes | None:
        """A target by the path that clients ask for; None where there is none."""
        ...


class Bytes:
    """The files.

    Args:
        responder: Knows what its answers pinned.
        signed: What its domain signs; it is for everybody, since it is what others are believed by.
        access: Who may ask for the rest.
    """

    def __init__(self, responder: Responder, signed: Signed, access: Access) -> None:
        self._responder = responder
        self._signed = signed
        self._access = access

    def blob(self, request: Request) -> Response:
        """``GET /blobs/sha256/HEX``; ranges are served, and what has a hash for a name never changes."""
        scope = scope_of(request, self._access)
        sha256: str = request.path_params["sha256"]
        pinning = self._responder.pinning(sha256) if is_sha256(sha256) else frozenset()
        if pinning and not any(service in scope for service in pinning):
            raise ForbiddenError("this token is not for what that file belongs to", known=True)
        path = self._responder.file(sha256) if pinning else None
        if path is None:
            raise HTTPException(404, "no answer of this responder pinned such a file")
        headers = {"ETag": f'"{sha256}"', "Cache-Control": "public, max-age=31536000, immutable"}
        return FileResponse(path, media_type="application/octet-stream", headers=headers)

    def metadata(self, request: Request) -> Response:
        """``GET /metadata/NAME``."""
        return _found(self._signed.metadata(request.path_params["name"]), "application/json")

    def target(self, request: Request) -> Response:
        """``GET /metadata/targets/PATH``."""
        return _found(self._signed.target(request.path_params["path"]), "application/octet-stream")


def _found(data: bytes | None, media_type: str) -> Response:
    if data is None:
        raise HTTPException(404, "this domain signs nothing of that name")
    return Response(data, media_type=media_type)
