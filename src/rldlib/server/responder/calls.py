"""Operations that are performed here for others: ``POST /rld/v1/call/SERVICE/OPERATION``."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from rldlib.errors import (
    InterpreterNotFoundError,
    OperationNotFoundError,
    RldlibError,
    ServiceNotFoundError,
    UnsatisfiableError,
    UsageError,
)
from rldlib.server.responder.acceptance import quality
from rldlib.server.responder.exchange import body_of, check_scope, scope_of
from rldlib.server.responder.languages import JSON_TYPE, Json, Wire, is_stream
from rldlib.server.responder.refusals import document_of
from rldlib.values.calls import CALL_TYPE, DEADLINE_HEADER, VERSION_HEADER
from rldlib.values.request import is_service_name
from rldlib.values.support import PROTOCOLS, SupportRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import TypeVar

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from rldlib.handle import Handle
    from rldlib.performing import Performer, Turn
    from rldlib.ports import Items
    from rldlib.responding import Responder
    from rldlib.server.access import Access

    T = TypeVar("T")

_CANCELLED_STATUS: Final = 499  # nobody reads it: who asked is gone
# A document of a service is no page of this responder.
_DOCUMENT_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
_END: Final = object()


@dataclass(frozen=True, slots=True)
class _Call:
    """What was asked for, once it was seen to be there."""

    handle: Handle
    name: str
    operation: Mapping[str, Any]
    language: Json | Wire
    arguments: dict[str, Any]
    deadline_s: float | None


class Calls:
    """The pages.

    Args:
        responder: Knows what is offered, and in which version.
        performer: Performs it.
        access: Who may ask.
    """

    def __init__(self, responder: Responder, performer: Performer, access: Access) -> None:
        self._responder = responder
        self._performer = performer
        self._access = access
        # A thread for each place: one that was admitted never waits for a thread, nor does anybody else.
        self._places = performer.slots + performer.queue_slots
        self._limiter: CapacityLimiter | None = None

    async def call(self, request: Request) -> Response:
        """``POST /rld/v1/call/SERVICE/OPERATION``; without an operation, the document that is accepted."""
        scope = scope_of(request, self._access)
        service: str = request.path_params["service"]
        if not is_service_name(service):
            raise ServiceNotFoundError(service[:64], "this responder")
        check_scope(scope, service)
        language, deadline_s = _language(request), _deadline_s(request)
        admitted = self._performer.admit(service)
        turn: Turn | None = admitted
        gone: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(self._performer.longest_s):
                body = await body_of(request, language.max_bytes, self._performer.longest_s)
            gone = asyncio.create_task(_watch(request, admitted))
            call = await self._in_thread(lambda: self._found(request, language, body, deadline_s))
            if is_stream(call.operation) and isinstance(call.language, Wire):
                answer = await self._streamed(call, admitted, call.language, gone)
                turn, gone = None, None  # they are the stream's now
                return answer
            return await self._in_thread(lambda: _performed(call, admitted))
        except TimeoutError as exc:
            raise HTTPException(408, "the call did not arrive in time") from exc
        except CancelledError:
            return Response(status_code=_CANCELLED_STATUS)
        finally:
            if gone is not None:
                gone.cancel()
            if turn is not None:
                turn.leave()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._places)
        return await run_sync(work, limiter=self._limiter)

    def _found(self, request: Request, language: Json | Wire, body: bytes, deadline_s: float | None) -> _Call:
        service: str = request.path_params["service"]
        version = request.headers.get(VERSION_HEADER, "")[:64]
        wanted = SupportRequest(
            protocols=PROTOCOLS,
            service=service,
            specifier=f"=={version}" if version else "",
            wish="remote",
        )
        try:
            answer = self._responder.support(wanted)
        except (UnsatisfiableError, InterpreterNotFoundError) as exc:
            raise ServiceNotFoundError(service, "this responder", str(exc)) from exc
        handle = self._performer.hold(service, answer.version)
        accept = request.headers.get("accept")
        name = request.path_params.get("operation") or _document(handle, accept)
        operation = handle.operations.get(name)
        if operation is None:
            raise OperationNotFoundError(service, name[:64], sorted(handle.operations))
        if isinstance(language, Json):
            language = _result_language(operation, accept)
        arguments = language.arguments(body, service, name, operation)
        return _Call(handle, name, operation, language, arguments, deadline_s)

    async def _streamed(self, call: _Call, turn: Turn, wire: Wire, gone: asyncio.Task[None]) -> Response:
        """Frames as the items come. What fails before the first item is an error like any other."""
        service = call.handle.service
        items = await self._in_thread(
            lambda: turn.stream(call.handle, call.name, call.arguments, call.deadline_s)
        )

        def frame() -> bytes | object:
            item = next(items, _END)
            return item if item is _END else wire.item(item, service, call.name)

        first = await self._in_thread(frame)

        async def frames() -> AsyncIterator[bytes]:
            try:
                told = first
                while isinstance(told, bytes):
                    yield told
                    told = await self._in_thread(frame)
                yield wire.end()
            except RldlibError as exc:
                yield wire.end(document_of(exc))

        return _Stream(frames(), turn, gone)


class _Stream(StreamingResponse):
    """Items as they come; it holds its place until it was sent, or nobody reads it any more."""

    def __init__(self, frames: AsyncIterator[bytes], turn: Turn, gone: asyncio.Task[None]) -> None:
        super().__init__(frames, media_type=CALL_TYPE)
        self._turn = turn
        self._gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._gone.cancel()
            self._turn.leave()


def _performed(call: _Call, turn: Turn) -> Response:
    """The whole answer; in a thread of its own."""
    service, language = call.handle.service, call.language
    if isinstance(language, Json) and is_stream(call.operation):
        items: Items = turn.stream(call.handle, call.name, call.arguments, call.deadline_s)
        said = language.items(items, service, call.name)
    else:
        result = turn.perform(call.handle, call.name, call.arguments, call.deadline_s)
        said = language.result(result, service, call.name)
    headers = _DOCUMENT_HEADERS if said.media_type not in {JSON_TYPE, CALL_TYPE} else None
    # Not by `media_type`: that would add a charset, and the service said its own.
    return Response(said.body, headers={**(headers or {}), "Content-Type": said.media_type})


async def _watch(request: Request, turn: Turn) -> None:
    """Cancel the call once nobody waits for its answer."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    # It waits for a lock of the worker's channel, for a moment.
    await asyncio.to_thread(turn.cancel)


def _language(request: Request) -> Json | Wire:
    """What a call is written in. Others than these two are no call.

    Strict, since a page of another site can make a browser send what a form sends, and no more.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == CALL_TYPE:
        return Wire()
    if kind == JSON_TYPE:
        return Json()
    raise HTTPException(415, f"a call is {JSON_TYPE} or {CALL_TYPE}; with curl, say --json")


def _deadline_s(request: Request) -> float | None:
    text = request.headers.get(DEADLINE_HEADER)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) > 0):
        raise UsageError(f"{DEADLINE_HEADER} is a number of milliseconds, more than 0")
    return int(text) / 1000


def _document(handle: Handle, accept: str | None) -> str:
    """The operation that gives the document that is accepted; JSON where that is all the same."""
    offered = {
        name: operation["media_type"]
        for name, operation in handle.operations.items()
        if operation["media_type"] is not None
    }
    ranked = sorted(
        offered,
        key=lambda name: (-quality(accept, offered[name]), not offered[name].startswith(JSON_TYPE), name),
    )
    if not ranked or not quality(accept, offered[ranked[0]]):
        raise _unacceptable(sorted(set(offered.values())))
    return ranked[0]


def _result_language(operation: Mapping[str, Any], accept: str | None) -> Json:
    """How the result is written: its own document, or JSON that holds it."""
    document = operation["media_type"]
    if document is not None and quality(accept, document):
        return Json(document)
    if not quality(accept, JSON_TYPE):
        raise _unacceptable([JSON_TYPE, *([document] if document else [])])
    return Json()


def _unacceptable(offered: list[str]) -> HTTPException:
    return HTTPException(406, f"the result comes as {' or '.join(offered) or 'nothing of that kind'}")
