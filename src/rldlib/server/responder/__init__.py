"""A responder on the network: the role of `rldlib.responding`, as an ASGI application."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route

from rldlib.server.access import Access
from rldlib.server.index import Index
from rldlib.server.responder.bytes import Bytes
from rldlib.server.responder.calls import Calls
from rldlib.server.responder.exchange import Exchange, for_everything
from rldlib.server.responder.load import LoadTold
from rldlib.server.responder.openapi import openapi
from rldlib.server.responder.people import People
from rldlib.server.responder.refusals import HANDLERS

if TYPE_CHECKING:
    from pathlib import Path

    from rldlib.performing import Performer
    from rldlib.responding import Responder
    from rldlib.server.responder.bytes import Signed


def create_responder_app(
    responder: Responder,
    signed: Signed,
    access: Access | None = None,
    wheels: Path | None = None,
    performer: Performer | None = None,
) -> Starlette:
    """The responder as an ASGI application.

    Args:
        responder: The role itself.
        signed: What its domain signs, by the names that clients ask for.
        access: Who may ask; without it everybody may.
        wheels: The directory that it offers, to be an index of too; None is none.
        performer: Performs what is offered for others; without it nothing is.
    """
    may = access or Access()
    exchange, given = Exchange(responder, may), Bytes(responder, signed, may)
    calls = Calls(responder, performer, may) if performer is not None else None
    return Starlette(
        routes=[
            *(
                Route(f"/rld/v1/call/{path}", calls.call, methods=["POST"])
                for path in ("{service}", "{service}/{operation}")
                if calls is not None
            ),
            Route("/rld/v1/support", exchange.support, methods=["POST"]),
            Route("/rld/v1/ack", exchange.acknowledge, methods=["POST"]),
            Route("/rld/v1/services", exchange.services),
            Route("/blobs/sha256/{sha256}", given.blob),
            Route("/metadata/targets/{path:path}", given.target),
            Route("/metadata/{name}", given.metadata),
            Route("/openapi.json", openapi),
            *People(responder, may, performer).routes(),
            *(Index(wheels).routes(partial(for_everything, may)) if wheels is not None else ()),
            Route("/healthz", lambda _: Response("ok\n", media_type="text/plain")),
        ],
        exception_handlers=HANDLERS,
        middleware=[Middleware(LoadTold, load=responder.load)],
    )
