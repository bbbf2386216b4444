"""What a responder takes to answer, beside a plain route of the same framework that gives the same bytes."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from calls import _p50
from measuring import Row, in_turns
from services import service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OURS, PLAIN = "rldlib", "a plain Starlette route"


def measure(
    folder: Path, wheels: Path, rounds: int, calls: int, wanted: Callable[[str], bool]
) -> Iterator[Row]:
    """The rows about the network that are wanted."""
    if not wanted("support-known"):
        return
    from rldlib.defaults import outside
    from rldlib.reporter import Reporter
    from rldlib.values.policy import Policy
    from rldlib.values.support import PROTOCOLS, SupportRequest, host_kind, write

    asker = outside(source=None, root=folder / "asker", policy=Policy(), reporter=Reporter())
    kinds = tuple(host_kind(interpreter) for interpreter in asker.interpreters.all())
    asker.close()
    body = write(SupportRequest(service=service("small"), protocols=PROTOCOLS, interpreters=kinds))
    serve = ["-m", "rldlib", "serve", "--json", "--wheels", str(wheels), "--root", str(folder / "responder")]
    with _server(serve) as (asked, _):
        answer = _posted(asked, "/rld/v1/support", body)
        with _server([__file__, answer.decode()]) as (plain, _):
            times = max(calls // 4, 100)
            contestants: dict[str, Callable[[], float]] = {
                OURS: lambda: _p50(lambda: _posted(asked, "/rld/v1/support", body), times),
                PLAIN: lambda: _p50(lambda: _posted(plain, "/support", body), times),
            }
            for warm in contestants.values():
                warm()
            yield Row(
                name="support-known",
                title="support answer for a known kind of host, p50, against a plain Starlette route",
                unit="us",
                samples=in_turns(contestants, rounds),
                ours=OURS,
                against=PLAIN,
                target=1.5,
                facts={"request_bytes": len(body), "answer_bytes": len(answer)},
                holds="an answer that is no longer fresh is worked out again, once in two seconds",
            )


def _posted(connection: http.client.HTTPConnection, path: str, body: bytes) -> bytes:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    told = response.read()
    if response.status != 200:
        raise SystemExit(f"{path} answers {response.status}: {told[:200]!r}")
    return told


@contextmanager
def _server(arguments: list[str]) -> Iterator[tuple[http.client.HTTPConnection, int]]:
    """A server in a process of its own, which says its URL on its first line; and a connection to it."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url: str = json.loads(process.stdout.readline())["url"]
        host, _, port = url.partition("//")[2].partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        yield connection, process.pid
        connection.close()
    finally:
        process.terminate()
        process.wait()


def _serve_plain(answer: bytes) -> None:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    from rldlib.server.running import serve

    async def support(request: Any) -> Response:
        await request.body()
        return Response(answer, media_type="application/json")

    app = Starlette(routes=[Route("/support", support, methods=["POST"])])
    serve(app, on_ready=lambda url, _: print(json.dumps({"url": url}), flush=True))


if __name__ == "__main__":
    _serve_plain(sys.argv[1].encode())
