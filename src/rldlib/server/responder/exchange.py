"""Support, acknowledgement, directory: what is said between two daemons."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from rldlib.answers import Question
from rldlib.server.access import ALL
from rldlib.server.responder.refusals import ForbiddenError, TooLargeError
from rldlib.values.support import MAX_REQUEST_BYTES, Acknowledgement, SupportRequest, read, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from rldlib.responding import Responder
    from rldlib.server.access import Access, Scope

_MAX_RECEIPT_BYTES: Final = 1024 * 1024
_REMEMBERED: Final = 1_024
# A message is short: who takes longer for it holds a connection, and no more.
_BODY_S: Final = 20.0


class Exchange:
    """The pages of the exchange.

    Args:
        responder: Answers.
        access: Who may ask.
    """

    def __init__(self, responder: Responder, access: Access) -> None:
        self._responder = responder
        self._access = access
        # What was asked with the very same bytes before, by their hash: the same host asks again and again.
        self._questions: OrderedDict[bytes, Question] = OrderedDict()

    async def support(self, request: Request) -> Response:
        """``POST /rld/v1/support``. What is known is answered at once; a thread finds out the rest."""
        scope = scope_of(request, self._access)
        body = await body_of(request, MAX_REQUEST_BYTES)
        digest = hashlib.sha256(body).digest()
        question = self._questions.get(digest)
        if question is not None:
            check_scope(scope, question.service)
            told = self._responder.told(question)
            if told is not None:
                return Response(told, media_type="application/json")
        asked = read(SupportRequest, body, max_bytes=MAX_REQUEST_BYTES)
        check_scope(scope, asked.service)
        answer = await run_in_threadpool(self._responder.support, asked)
        self._remember(digest, Question.of(asked))
        return Response(write(answer), media_type="application/json")

    def _remember(self, digest: bytes, question: Question) -> None:
        self._questions[digest] = question
        self._questions.move_to_end(digest)
        while len(self._questions) > _REMEMBERED:
            self._questions.popitem(last=False)

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
        offered = self._responder.services()
        told = replace(offered, services=tuple(one for one in offered.services if one.service in scope))
        return Response(write(told), media_type="application/json")


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


def for_everything(access: Access, page: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """A page for who may ask for every service: it does not tell what belongs to which."""

    def guarded(request: Request) -> Response:
        if ALL not in scope_of(request, access).services:
            raise ForbiddenError("this token is for some services, and this page is for all", known=True)
        return page(request)

    return guarded


async def body_of(request: Request, max_bytes: int, within_s: float = _BODY_S) -> bytes:
    """The body, read no further than it may be long.

    Args:
        request: Whose body it is.
        max_bytes: How long it may be.
        within_s: How long its coming may take.

    Raises:
        TooLargeError: It is longer.
        HTTPException: It did not come in time.
    """
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError as exc:
        raise HTTPException(408, "the request did not arrive in time", {"Connection": "close"}) from exc
    return bytes(body)


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"a body of more than {max_bytes:,} bytes is not read")
