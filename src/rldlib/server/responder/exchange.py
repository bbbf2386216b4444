"""Support, acknowledgement, directory: what is said between two daemons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from rldlib.server.responder.refusals import ForbiddenError, TooLargeError
from rldlib.values.support import MAX_REQUEST_BYTES, Acknowledgement, SupportRequest, read, write

if TYPE_CHECKING:
    from starlette.requests import Request

    from rldlib.responding import Responder
    from rldlib.server.access import Access, Scope

_MAX_RECEIPT_BYTES = 1024 * 1024


class Exchange:
    """The pages of the exchange.

    Args:
        responder: Answers.
        access: Who may ask.
    """

    def __init__(self, responder: Responder, access: Access) -> None:
        self._responder = responder
        self._access = access

    async def support(self, request: Request) -> Response:
        """``POST /rld/v1/support``."""
        scope = scope_of(request, self._access)
        asked = read(SupportRequest, await body_of(request, MAX_REQUEST_BYTES), max_bytes=MAX_REQUEST_BYTES)
        check_scope(scope, asked.service)
        answer = await run_in_threadpool(self._responder.support, asked)
        return Response(write(answer), media_type="application/json")

    async def acknowledge(self, request: Request) -> Response:
        """``POST /rld/v1/ack``."""
        scope = scope_of(request, self._access)
        said = read(Acknowledgement, await body_of(request, _MAX_RECEIPT_BYTES))
        check_scope(scope, said.service)
        await run_in_threadpool(self._responder.acknowledge, said)
        return Response(status_code=204)

    def services(self, request: Request) -> Response:
        """``GET /rld/v1/services``: what is offered to who asks."""
        scope = scope_of(request, self._access)
        offered = [each for each in self._responder.services() if each["service"] in scope]
        return JSONResponse({"services": offered})


def scope_of(request: Request, access: Access) -> Scope:
    """What the asker's token is for.

    Raises:
        ForbiddenError: It shows none that is known.
    """
    scope = access.scope(request.headers.get("authorization"))
    if scope is None:
        raise ForbiddenError("this responder answers who shows a token of its operator", known=False)
    return scope


def check_scope(scope: Scope, service: str) -> None:
    """Refuse a service that a token is not for.

    Raises:
        ForbiddenError: It is for others.
    """
    if service not in scope:
        raise ForbiddenError(f"this token is not for {service}", known=True)


async def body_of(request: Request, max_bytes: int) -> bytes:
    """The body, read no further than it may be long.

    Raises:
        TooLargeError: It is longer.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise TooLargeError(f"a body of more than {max_bytes:,} bytes is not read")
    return bytes(body)
