"""Servers on loopback: an index that counts, a bare one, and hosts that do as a function says."""

from __future__ import annotations

import contextlib
import html
import json
import re
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import uvicorn

from rldlib.server.index import create_index_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_PATIENCE_S = 10


class Counted:
    """An ASGI application that counts the bytes of bodies it sends, by path.

    Attributes:
        url: The index's root.
        sent: Bytes by path.
        asked: Requests by path.
    """

    def __init__(self, app, yanked: Mapping[str, str] | None = None) -> None:
        self._app = app
        self._yanked = yanked or {}
        self.url = ""
        self.sent: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    async def __call__(self, scope, receive, send) -> None:
        held = []

        async def counted(message) -> None:
            if self._yanked and scope["path"].startswith("/simple/"):
                held.append(message)
                if message["type"] != "http.response.body" or message.get("more_body"):
                    return
                start, message = self._with_yanked(held)
                await send(start)
            if message["type"] == "http.response.body":
                self.sent[scope["path"]] += len(message.get("body", b""))
            await send(message)

        self.asked[scope["path"]] += 1
        await self._app(scope, receive, counted)

    def _with_yanked(self, held):
        """A JSON page on which some files are withdrawn; `rld index` itself knows none such."""
        body = b"".join(message.get("body", b"") for message in held[1:])
        if body.startswith(b"{"):
            page = json.loads(body)
            for file in page.get("files", ()):
                if file["filename"] in self._yanked:
                    file["yanked"] = self._yanked[file["filename"]]
            body = json.dumps(page).encode()
        headers = [
            (name, value) for name, value in held[0]["headers"] if name not in {b"content-length", b"etag"}
        ]
        start = {**held[0], "headers": [*headers, (b"content-length", str(len(body)).encode())]}
        return start, {"type": "http.response.body", "body": body}

    @property
    def total(self) -> int:
        """Bytes of all bodies."""
        return sum(self.sent.values())


@contextlib.contextmanager
def index_of(directory: Path, yanked: Mapping[str, str] | None = None) -> Iterator[Counted]:
    """`rld index DIR` in a thread, counted."""
    directory.mkdir(parents=True, exist_ok=True)
    app = Counted(create_index_app(directory), yanked)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        app.url = f"http://127.0.0.1:{listening.getsockname()[1]}/simple/"
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield app
        finally:
            server.should_exit = server.force_exit = True
            thread.join(_PATIENCE_S)
            assert not thread.is_alive()


@contextlib.contextmanager
def bare_index_of(directory: Path, *, extra: str = "") -> Iterator[Counted]:  # noqa: C901 - it holds a handler of requests
    """An index as old as they come: HTML without hashes, files without ranges, HTTP/1.0."""
    told = Counted(None)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked[self.path] += 1
            parts = self.path.strip("/").split("/")
            if parts[0] == "simple" and len(parts) == 2:
                self._page(parts[1])
            elif parts[0] == "files" and (directory / parts[-1]).is_file():
                self._send((directory / parts[-1]).read_bytes(), "application/octet-stream")
            else:
                self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def _page(self, name: str) -> None:
            found = [path.name for path in sorted(directory.glob("*.whl")) if _project(path.name) == name]
            if not found:
                self.send_error(404)
                return
            links = "".join(f'<a href="../../files/{html.escape(one)}" {extra}>{one}</a>' for one in found)
            self._send(f"<html><body>{links}</body></html>".encode(), "text/html; charset=utf-8")

        def _send(self, body: bytes, media_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            with contextlib.suppress(ConnectionError):
                for start in range(0, len(body), 16384):
                    told.sent[self.path] += self.request.send(body[start : start + 16384])

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # Like a link: what the host has not yet seen leave is little.
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/simple/"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join(_PATIENCE_S)


def _project(filename: str) -> str:
    return re.sub(r"[-_.]+", "-", filename.partition("-")[0]).lower()


class Host:
    """A server that answers each request as a function says, byte by byte if it likes.

    Attributes:
        url: Its root, without a slash at the end.
        heads: The head of every request it got.
        connections: How many there were.
        sent: How many bytes it wrote.
        closing: Set once the test is over: what waits should wait on it.
    """

    def __init__(self, behave: Callable[[Host, socket.socket, str], None], context=None) -> None:
        self._behave = behave
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self.port = self._listening.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        self.heads: list[str] = []
        self.connections = 0
        self.sent = 0
        self.closing = threading.Event()

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE_S)
            assert not thread.is_alive()

    def send(self, connection: socket.socket, data: bytes) -> None:
        """Write all, and count."""
        connection.sendall(data)
        self.sent += len(data)

    def answer(self, connection: socket.socket, body: bytes, status: str = "200 OK", **headers: str) -> None:
        """A whole answer, with its length unless ``headers`` say another."""
        lines = {"Content_Length": str(len(body)), "Content_Type": "text/html", **headers}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        self.send(connection, f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)

    def _start(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            with connection, connection.makefile("rb") as reader:
                while head := _head(reader):
                    self.heads.append(head)
                    self._behave(self, connection, head)


def _head(reader) -> str:
    lines = []
    while (line := reader.readline()) not in {b"", b"\r\n"}:
        lines.append(line.decode("latin-1"))
    return "".join(lines)
