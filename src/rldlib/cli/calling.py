"""The commands that call a service: call, demo.

What somebody waits for is a process from its start to its end. So this module
imports next to nothing before the spawner is on its way.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from rldlib.errors import OperationNotFoundError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from rldlib.cli.outcome import Outcome
    from rldlib.handle import Handle
    from rldlib.ports import Workers

_DEMO_ARGUMENTS = {"state": "WA", "amounts": ["19.99", "5.00", "100"]}


def configure_demo(parser: argparse.ArgumentParser) -> None:
    """`rld demo` has the common options only."""
    del parser


def run_demo(options: argparse.Namespace) -> Outcome:
    """Bring the service that ships with rldlib here, and call it."""
    from importlib import resources

    from rldlib.cli.outcome import Outcome, table

    with resources.as_file(resources.files("rldlib.cli") / "demo") as wheels:
        options.wheels, options.index_url = wheels, None
        options.service, options.operation = "sales-tax", "table"
        options.arguments, options.args, options.deadline = [], json.dumps(_DEMO_ARGUMENTS), None
        options.mode, options.placement = "process", "local"
        outcome = run_call(options)
    rows, document = outcome.document["result"], outcome.document
    columns = {"state": "state", "amount": "amount", "rate": "rate", "tax": "tax", "total": "total"}
    steps = "\n".join(f"  {step['name']:<12} {step['seconds'] * 1000:8.1f} ms" for step in document["steps"])
    told = (
        f"{document['service']} {document['version']} runs here, in process {document['worker']['pid']}, on Python "
        f"{document['worker']['python']}\n\n{table(rows, columns)}\n\nhow long each step took\n{steps}\n\n"
        f"next: rld why {document['service']}"
    )
    return Outcome(document=document, text=told, closing=outcome.closing)


def configure_call(parser: argparse.ArgumentParser) -> None:
    """Options of `rld call`."""
    parser.add_argument("service", metavar="SERVICE", help="NAME, NAME>=1.2 or NAME@DISTRIBUTION")
    parser.add_argument("operation", metavar="OPERATION")
    parser.add_argument("arguments", metavar="NAME=VALUE", nargs="*")
    parser.add_argument("--args", metavar="JSON", help="arguments as one JSON object")
    parser.add_argument("--deadline", metavar="SECONDS", type=float, help="the longest wait for the reply")
    parser.add_argument(
        "--mode",
        choices=("process", "inprocess"),
        default="process",
        help="perform it in a worker, or in this very process",
    )
    parser.add_argument(
        "--placement",
        choices=("auto", "local", "remote"),
        default="auto",
        help="perform it here, at a responder, or there only where it does not fit here (auto)",
    )


def run_call(options: argparse.Namespace) -> Outcome:
    """Acquire a service, call one operation, print its result."""
    with ExitStack() as closing:
        outcome = _call(options, closing)
        outcome.closing.enter_context(closing.pop_all())
    return outcome


@contextmanager
def _workers_ahead(options: argparse.Namespace) -> Iterator[Workers | None]:
    """What starts workers is a process that must be started itself: while it starts, the rest is imported."""
    if options.mode != "process" or options.placement == "remote":
        yield None
        return
    from rldlib.adapters.host_directory import host_directory
    from rldlib.adapters.spawner import WorkerHost

    with WorkerHost(host_dir=host_directory()) as workers:
        workers.warm_up()
        yield workers


def _call(options: argparse.Namespace, closing: ExitStack) -> Outcome:
    workers = closing.enter_context(_workers_ahead(options))
    from rldlib.cli.arguments import read_arguments
    from rldlib.cli.hosting import local_daemon
    from rldlib.cli.outcome import Outcome
    from rldlib.values.plain import plain

    daemon = closing.enter_context(local_daemon(options, workers))
    handle = daemon.acquire(options.service, mode=options.mode, placement=options.placement)
    operation = handle.operations.get(options.operation)
    if operation is None:
        raise OperationNotFoundError(handle.service, options.operation, sorted(handle.operations))
    arguments = read_arguments(
        handle.service, options.operation, operation["arguments"], options.arguments, options.args
    )
    began = time.monotonic()
    result = _perform(handle, options.operation, operation, arguments, options.deadline)
    called = {"name": "call", "seconds": round(time.monotonic() - began, 6)}
    document = {
        "service": handle.service,
        "version": handle.version,
        "operation": options.operation,
        "result": plain(result),
        "placement": handle.placement,
        "worker": handle.worker,
        "steps": [*daemon.steps(handle.service), called],
    }
    return Outcome(document=document, text=_readable(result, document["result"]))


def _perform(
    handle: Handle, name: str, operation: Mapping[str, Any], arguments: dict[str, Any], deadline: float | None
) -> Any:
    if operation.get("kind") == "stream":
        return list(handle.stream(name, deadline=deadline, **arguments))
    return handle.call(name, deadline=deadline, **arguments)


def _readable(result: Any, shown: Any) -> str | bytes:
    """Documents and what is written as text as they are, everything else as JSON."""
    if isinstance(result, bytes):
        return result
    if isinstance(shown, str):
        return shown
    return json.dumps(shown, indent=2, ensure_ascii=False)
