"""Run as a process: what stands between a client and an index.

``relays.py front HOST:PORT CERTIFICATE`` ends TLS and passes the bytes on in the plain.
``relays.py proxy NAME:PORT=HOST:PORT LOG [USER:PASSWORD]`` opens tunnels to that one name, for whom it knows,
and writes a line for each request.

Both print the port they listen on.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from base64 import b64encode
from pathlib import Path

_CHUNK_BYTES = 65536


async def _pass(reader, writer) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()


async def _join(client, server) -> None:
    await asyncio.gather(_pass(client[0], server[1]), _pass(server[0], client[1]))


def _front(target: str):
    async def serve(reader, writer) -> None:
        host, _, port = target.rpartition(":")
        await _join((reader, writer), await asyncio.open_connection(host, int(port)))

    return serve


def _proxy(named: str, log: Path, user: str = ""):
    name, _, target = named.partition("=")
    known = f"Proxy-Authorization: Basic {b64encode(user.encode()).decode()}" if user else ""

    async def serve(reader, writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = "200 Connected"
        if not head.startswith(f"CONNECT {name} "):
            status = "403 Forbidden"
        elif known not in head:
            status = "407 Who are you\r\nProxy-Authenticate: Basic realm=x"
        with log.open("a") as told:
            told.write(f"{' '.join(head.split()[:2])} {status[:3]}\n")
        end = "\r\n\r\n" if status[0] == "2" else "\r\nContent-Length: 0\r\n\r\n"
        writer.write(f"HTTP/1.1 {status}{end}".encode())
        await writer.drain()
        if status[0] == "2":
            await _front(target)(reader, writer)
        else:
            writer.close()

    return serve


async def _main(kind: str, target: str, *more: str) -> None:
    context = None
    if kind == "front":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(more[0])
    serve = _front(target) if kind == "front" else _proxy(target, Path(more[0]), *more[1:])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
