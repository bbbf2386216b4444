"""A call beside the cheapest way there is, and beside the usual one; large arguments beside one copy."""

from __future__ import annotations

import importlib
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latency import measure_rounds
from measuring import Row, in_turns
from services import service

import rldlib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request

OURS, RAW, HTTP, COPY = "rldlib", "raw Unix socket", "requests to uvicorn", "one memcpy"
# What Python comes to that reads and writes the same JSON at both ends, and does nothing else.
JSON = "raw Unix socket, JSON at both ends"
_THREADS = 16
_SECONDS = 1.0
_MESSAGE = {
    "name": "Ada Lovelace",
    "amounts": [19, 5, 100, 7],
    "note": "a hundred bytes, more or less",
    "ok": True,
}
_MIB = 2**20
_PLACED = {"together": "on one processor, both", "apart": "on a processor each"}
_SMALL = ("echo-raw", "echo-http", "threads-16", *(f"echo-{placed}" for placed in _PLACED))
_ECHO_HOLDS = (
    "JSON in Python at both ends is most of the target already; the rest is Python that checks, routes and accounts, "
    "and finds the caches and the branch predictor cold after each switch where both share a processor"
)
_THREADS_HOLDS = (
    "each call wakes a thread that then needs its interpreter's lock, which sockets of their own with JSON at both ends "
    "pay as well: they come to about half of what raw ones do"
)
_ARRAY_HOLDS = "the call itself, which the copy leaves with cold caches; the copy is one memcpy, the receiver copies nothing"


def measure(folder: Path, url: str, rounds: int, calls: int, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """The rows about calls that are wanted."""
    if any(map(wanted, (*_SMALL, "array-64", "array-1"))):
        yield from _with_service(folder, url, rounds, calls, wanted)
    if wanted("table-http"):
        told = measure_rounds(rounds, calls // 4)
        sides = {OURS: "local", HTTP: "http"}
        yield Row(
            name="table-http",
            title="a whole operation (sales-tax table), p50, against the same code behind HTTP",
            unit="us",
            samples={who: [row[f"{side}_p50_us"] for row in told] for who, side in sides.items()},
            ours=OURS,
            against=HTTP,
            inverse=True,
        )


def _with_service(
    folder: Path, url: str, rounds: int, calls: int, wanted: Callable[[str], bool]
) -> Iterator[Row]:
    with ExitStack() as stack:
        daemon = stack.enter_context(rldlib.LocalDaemon(index_url=url, root=folder / "calls"))
        handle = daemon.acquire(service("numpy"))
        if any(map(wanted, _SMALL)):
            yield from _small(stack, handle, rounds, calls, wanted)
        for mebibytes, target in ((64, 1.5), (1, 3.0)):
            if wanted(f"array-{mebibytes}"):
                yield _array(handle, mebibytes, target, rounds)


def _small(
    stack: ExitStack, handle: rldlib.Handle, rounds: int, calls: int, wanted: Callable[[str], bool]
) -> Iterator[Row]:
    payload = json.dumps(_MESSAGE).encode()
    path, peer = stack.enter_context(_peer("raw"))
    json_path, json_peer = stack.enter_context(_peer("json"))
    raw = stack.enter_context(_connected(path))
    encoded = stack.enter_context(_connected(json_path))
    post = stack.enter_context(_http())
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: handle.call("echo", value=_MESSAGE),
        RAW: lambda: _ping(raw, payload),
        JSON: lambda: _ping_json(encoded),
    }
    for warm in (*sides.values(), post):
        _p50(warm, calls)
    timed = {who: partial(_p50, call, calls) for who, call in sides.items()}
    samples = in_turns({**timed, HTTP: lambda: _p50(post, max(calls // 5, 100))}, rounds)
    title = f"call, echo of {len(payload)} bytes, p50"
    if wanted("echo-raw"):
        yield Row(
            name="echo-raw", title=f"{title}, against a raw socket", unit="us", samples=samples,
            ours=OURS, against=RAW, target=1.5,
            holds=_ECHO_HOLDS,
        )  # fmt: skip
    if wanted("echo-http"):
        yield Row(
            name="echo-http", title=f"{title}, against requests to uvicorn", unit="us", samples=samples,
            ours=OURS, against=HTTP, target=8.0, more_is_better=True, inverse=True,
        )  # fmt: skip
    for placed, where in _PLACED.items():
        if wanted(f"echo-{placed}"):
            with _placed(placed, (handle.worker or {})["pid"], peer, json_peer):
                yield Row(
                    name=f"echo-{placed}", title=f"{title}, {where}, against a raw socket", unit="us",
                    samples=in_turns(timed, rounds),
                    ours=OURS, against=RAW, target=1.5, holds=_ECHO_HOLDS,
                )  # fmt: skip
    if wanted("threads-16"):
        sockets = [stack.enter_context(_connected(path)) for _ in range(_THREADS)]
        written = [stack.enter_context(_connected(json_path)) for _ in range(_THREADS)]
        yield Row(
            name="threads-16",
            title=f"{_THREADS} threads at once, calls a second, against as many raw sockets",
            unit="calls/s",
            samples=in_turns(
                {
                    OURS: lambda: _throughput([lambda: handle.call("echo", value=_MESSAGE)] * _THREADS),
                    RAW: lambda: _throughput([partial(_ping, sock, payload) for sock in sockets]),
                    JSON: lambda: _throughput([partial(_ping_json, sock) for sock in written]),
                },
                rounds,
            ),
            ours=OURS,
            against=RAW,
            target=0.6,
            more_is_better=True,
            holds=_THREADS_HOLDS,
        )


@contextmanager
def _placed(placed: str, *peers: int) -> Iterator[None]:
    """Hold this process to its first processor, and the others to the same one or to the next."""
    allowed = os.sched_getaffinity(0)
    first, *others = sorted(allowed)
    place = {"together": first, "apart": (others or [first])[0]}[placed]
    try:
        for process, processors in ((os.getpid(), {first}), *((peer, {place}) for peer in peers)):
            _hold(process, processors)
        yield
    finally:
        for process in (os.getpid(), *peers):
            _hold(process, allowed)


def _hold(process: int, processors: set[int]) -> None:
    for thread in Path(f"/proc/{process}/task").iterdir():
        os.sched_setaffinity(int(thread.name), processors)


def _array(handle: rldlib.Handle, mebibytes: int, target: float, rounds: int) -> Row:
    """The worker only looks at its length: whether it copied is told by its own memory."""
    numpy = importlib.import_module("numpy")
    array = numpy.ones(mebibytes * _MIB // 8)
    copy = array.copy()
    times = max(5, 100 // mebibytes)
    for _ in range(3):
        handle.call("length", array=array)
    before = handle.call("memory")["Anonymous"]
    samples = in_turns(
        {
            OURS: lambda: _p50(lambda: handle.call("length", array=array), times) / 1000,
            COPY: lambda: _p50(lambda: numpy.copyto(copy, array), times) / 1000,
        },
        rounds,
    )
    grown = (handle.call("memory")["Anonymous"] - before) / 1024
    return Row(
        name=f"array-{mebibytes}",
        title=f"an array of {mebibytes} MiB as argument, against one resident memcpy",
        unit="ms",
        samples=samples,
        ours=OURS,
        against=COPY,
        target=target,
        facts={"anonymous_memory_that_the_worker_grew_by_mib": round(grown, 2)},
        holds=_ARRAY_HOLDS,
    )


def _p50(call: Callable[[], Any], calls: int) -> float:
    """The median of so many calls, in microseconds."""
    taken = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken) / 1000


def _throughput(calls: list[Callable[[], Any]]) -> float:
    """Calls a second, each callable in a thread of its own."""
    begin, over = threading.Barrier(len(calls) + 1), threading.Event()
    counts = [0] * len(calls)

    def perform(number: int) -> None:
        begin.wait()
        while not over.is_set():
            calls[number]()
            counts[number] += 1

    threads = [threading.Thread(target=perform, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    begin.wait()
    began = time.perf_counter()
    time.sleep(_SECONDS)
    over.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


# --- peers -------------------------------------------------------------------------


@contextmanager
def _peer(kind: str) -> Iterator[Any]:
    """A server in a process of its own: the address of its socket, and its number."""
    family = socket.AF_INET if kind == "http" else socket.AF_UNIX
    with socket.socket(family) as listening:
        listening.bind(("127.0.0.1", 0) if kind == "http" else f"\0rldlib-bench-{kind}-{os.getpid()}")
        listening.listen(_THREADS * 2)
        address = listening.getsockname()
        command = [sys.executable, __file__, kind, str(listening.fileno())]
        server = subprocess.Popen(command, pass_fds=[listening.fileno()])
    try:
        yield address, server.pid
    finally:
        server.terminate()
        server.wait()


def _connected(address: Any) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(address)
    return sock


def _ping(sock: socket.socket, payload: bytes) -> None:
    sock.send(payload)
    if len(sock.recv(4096)) != len(payload):
        raise SystemExit("the raw socket answers differently")


def _ping_json(sock: socket.socket) -> None:
    sock.send(json.dumps(_MESSAGE).encode())
    if json.loads(sock.recv(4096)) != _MESSAGE:
        raise SystemExit("the socket with JSON answers differently")


@contextmanager
def _http() -> Iterator[Callable[[], Any]]:
    import requests

    with _peer("http") as (address, _), requests.Session() as session:
        session.trust_env = False
        url = f"http://127.0.0.1:{address[1]}/echo"
        yield lambda: session.post(url, json=_MESSAGE, timeout=30).json()


def _serve_raw(listening: socket.socket, *, encoded: bool = False) -> None:
    def serve(sock: socket.socket) -> None:
        while data := sock.recv(4096):
            sock.send(json.dumps(json.loads(data)).encode() if encoded else data)

    while True:
        threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()


def _serve_http(listening: socket.socket) -> None:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def echo(request: Request) -> JSONResponse:
        return JSONResponse(await request.json())

    application = Starlette(routes=[Route("/echo", echo, methods=["POST"])])
    uvicorn.Server(uvicorn.Config(application, log_level="error", access_log=False)).run(sockets=[listening])


if __name__ == "__main__":
    _inherited = socket.socket(fileno=int(sys.argv[2]))
    if sys.argv[1] == "http":
        _serve_http(_inherited)
    else:
        _serve_raw(_inherited, encoded=sys.argv[1] == "json")
