"""How busy the responder is, told with every answer of the exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

from rldlib.values.calls import LOAD_HEADER
from rldlib.values.support import write

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from rldlib.values.support import Load


class LoadTold:
    """Adds the load, as compact JSON, to what is answered.

    Args:
        app: What answers.
        load: How busy this host is now.
    """

    def __init__(self, app: ASGIApp, load: Callable[[], Load]) -> None:
        self._app = app
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or not scope["path"].startswith("/rld/"):
            await self._app(scope, receive, send)
            return

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[LOAD_HEADER] = write(self._load()).decode()
            await send(message)

        await self._app(scope, receive, tell)
