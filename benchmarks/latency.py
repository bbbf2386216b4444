"""What a local call saves: the same operation by rldlib, and by requests from uvicorn on loopback.

Both run the same code of the sales-tax service, in a process of its own, on the same machine, in one run, in
turns. Loopback is the kindest network there is: what a real one adds comes on top of the HTTP side. By itself
it prints one JSON document; the other benchmarks take its rounds for a row of theirs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rldlib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request

_PLUGIN = Path(__file__).parent.parent / "plugins" / "rld-sales-tax" / "src"
_STATE = "WA"
_AMOUNTS = ("19.99", "5.00", "100")
_READY_S = 30
_WARM_UP = 50


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often the two sides take turns")
    parser.add_argument("--calls", type=int, default=500, help="calls of each side in one round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the document there too")
    parser.add_argument("--serve", type=int, metavar="FD", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        _serve(options.serve)
        return
    document = json.dumps(measure(options.rounds, options.calls), indent=2)
    if options.json:
        options.json.write_text(document + "\n", encoding="utf-8")
    print(document)


def measure(rounds: int, calls: int) -> dict[str, Any]:
    """Median over the rounds of each side's p50 and p99, and of their ratios."""
    rows = measure_rounds(rounds, calls)
    return {
        "operation": "sales-tax table, 3 amounts",
        "rounds": rounds,
        "calls_per_round": calls,
        **{name: _spread([row[name] for row in rows]) for name in rows[0]},
    }


def measure_rounds(rounds: int, calls: int) -> list[dict[str, float]]:
    """Each round's p50 and p99 of both sides, and their ratios."""
    with _local() as local, _remote() as remote:
        _check_same(local(), remote())
        for _ in range(_WARM_UP):
            local()
            remote()
        return [_round(local, remote, calls, turn) for turn in range(rounds)]


def _round(local: Callable[[], Any], remote: Callable[[], Any], calls: int, turn: int) -> dict[str, float]:
    """One turn each; who begins alternates, so that neither always finds the machine warm."""
    order = [("local", local), ("http", remote)]
    taken = {name: _latencies(call, calls) for name, call in (order if turn % 2 else reversed(order))}
    row = {}
    for name, latencies in taken.items():
        cuts = statistics.quantiles(latencies, n=100)
        row[f"{name}_p50_us"], row[f"{name}_p99_us"] = cuts[49] / 1000, cuts[98] / 1000
    row["http_over_local_p50"] = row["http_p50_us"] / row["local_p50_us"]
    row["http_over_local_p99"] = row["http_p99_us"] / row["local_p99_us"]
    return dict(sorted(row.items()))


def _latencies(call: Callable[[], Any], calls: int) -> list[int]:
    latencies = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        call()
        latencies.append(time.perf_counter_ns() - began)
    return latencies


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "least": round(min(values), 2),
        "most": round(max(values), 2),
    }


def _check_same(local: list[dict[str, Any]], remote: list[dict[str, Any]]) -> None:
    if [row["total"] for row in local] != [Decimal(row["total"]) for row in remote]:
        raise SystemExit(f"the two sides answer differently: {local} and {remote}")


@contextmanager
def _local() -> Iterator[Callable[[], Any]]:
    amounts = [Decimal(amount) for amount in _AMOUNTS]
    with (
        resources.as_file(resources.files("rldlib.cli") / "demo") as wheels,
        rldlib.LocalDaemon(wheels=wheels) as daemon,
    ):
        handle = daemon.acquire("sales-tax")
        yield lambda: handle.call("table", state=_STATE, amounts=amounts)


@contextmanager
def _remote() -> Iterator[Callable[[], Any]]:
    import requests

    # The socket listens before the server is there: connecting needs no guess when it is ready.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        command = [sys.executable, __file__, "--serve", str(listening.fileno())]
        server = subprocess.Popen(command, pass_fds=[listening.fileno()])
    try:
        with requests.Session() as session:
            session.trust_env = False

            def call() -> Any:
                asked = {"state": _STATE, "amounts": _AMOUNTS}
                answer = session.post(f"http://127.0.0.1:{port}/table", json=asked, timeout=_READY_S)
                answer.raise_for_status()
                return answer.json()

            yield call
    finally:
        server.terminate()
        server.wait()


def _serve(descriptor: int) -> None:
    """The same service behind HTTP, as one would write it."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    sys.path.insert(0, str(_PLUGIN))
    service = importlib.import_module("rld_sales_tax").SalesTax()
    service.start(_Shipped())

    async def table(request: Request) -> JSONResponse:
        asked = await request.json()
        rows = service.table(asked["state"], [Decimal(amount) for amount in asked["amounts"]])
        return JSONResponse(
            [{"state": row.state, "tax": str(row.tax), "total": str(row.total)} for row in rows]
        )

    application = Starlette(routes=[Route("/table", table, methods=["POST"])])
    # The socket as what it is: by its descriptor alone, uvicorn would leave TCP_NODELAY off.
    listening = socket.socket(fileno=descriptor)
    configuration = uvicorn.Config(application, log_level="error", access_log=False)
    uvicorn.Server(configuration).run(sockets=[listening])


class _Shipped:
    """The service's data, read from beside its code."""

    def json(self, name: str) -> Any:
        return json.loads((_PLUGIN / "rld_sales_tax" / f"{name}.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
