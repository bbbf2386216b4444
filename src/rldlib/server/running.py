"""An ASGI application on uvicorn, until it is interrupted."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn

from rldlib.server.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.applications import Starlette

_BACKLOG = 128
# Beyond it connections are answered with 503; half of the descriptors that a process commonly has.
_MAX_CONNECTIONS = 512
# What is under way when it is told to end gets this long.
_GRACE_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What a server shows, and whom it lets in.

    Attributes:
        certificate: Its certificate, and those above it, in PEM.
        key: The certificate's private key, in PEM.
        clients: Authorities whose certificates a client must show one of, in PEM; None asks for none.
    """

    certificate: Path
    key: Path
    clients: Path | None = None

    def settings(self) -> dict[str, Any]:
        """As uvicorn takes it."""
        asked: dict[str, Any] = {}
        if self.clients is not None:
            asked = {"ssl_ca_certs": str(self.clients), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        return {"ssl_certfile": str(self.certificate), "ssl_keyfile": str(self.key), **asked}


def serve(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: Tls | None = None,
    on_ready: Callable[[str, int], None] | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        app: The application.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        tls: Makes it https.
        on_ready: Told the server's root URL, without a slash at the end, and this process's id once
            connections are taken.

    Raises:
        OSError: The address cannot be listened on, or a certificate cannot be read.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=_BACKLOG) as listening:
        # Taken over by each connection; asyncio does it only for sockets that name their protocol. Without
        # it, the body of a reply waits for the other side to have acknowledged its head: 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        taken = listening.getsockname()[1]
        scheme = "http" if tls is None else "https"
        url = f"{scheme}://[{host}]:{taken}" if ":" in host else f"{scheme}://{host}:{taken}"

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if on_ready is not None:
                    on_ready(url, os.getpid())

        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_GRACE_S,
            http=Connection,
            ws="none",
            limit_concurrency=_MAX_CONNECTIONS,
            server_header=False,
            **(tls.settings() if tls is not None else {}),
        )
        Server(config).run(sockets=[listening])
