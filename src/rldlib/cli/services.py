"""The commands about services: demo, call, acquire, ps, why, logs, lock, release."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rldlib import defaults
from rldlib.cli.arguments import read_arguments
from rldlib.cli.outcome import Outcome, table
from rldlib.cli.progress import progress
from rldlib.errors import OperationNotFoundError, ServiceNotFoundError
from rldlib.values.plain import plain
from rldlib.values.policy import Policy
from rldlib.values.request import parse_request

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from rldlib.handle import Handle

_DEMO_ARGUMENTS = {"state": "WA", "amounts": ["19.99", "5.00", "100"]}


def configure_demo(parser: argparse.ArgumentParser) -> None:
    """`rld demo` has the common options only."""
    del parser


def run_demo(options: argparse.Namespace) -> Outcome:
    """Bring the service that ships with rldlib here, and call it."""
    with resources.as_file(resources.files("rldlib.cli") / "demo") as wheels:
        options.wheels, options.index_url = wheels, None
        options.service, options.operation = "sales-tax", "table"
        options.arguments, options.args, options.deadline = [], json.dumps(_DEMO_ARGUMENTS), None
        options.mode = "process"
        outcome = run_call(options)
    rows, document = outcome.document["result"], outcome.document
    columns = {"state": "state", "amount": "amount", "rate": "rate", "tax": "tax", "total": "total"}
    steps = "\n".join(f"  {step['name']:<12} {step['seconds'] * 1000:8.1f} ms" for step in document["steps"])
    told = (
        f"{document['service']} {document['version']} runs here, in process {document['worker']['pid']}, on Python "
        f"{document['worker']['python']}\n\n{table(rows, columns)}\n\nhow long each step took\n{steps}\n\n"
        f"next: rld why {document['service']}"
    )
    return Outcome(document=document, text=told)


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


def run_call(options: argparse.Namespace) -> Outcome:
    """Acquire a service, call one operation, print its result."""
    with _daemon(options) as daemon:
        handle = daemon.acquire(options.service, mode=options.mode)
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


def configure_acquire(parser: argparse.ArgumentParser) -> None:
    """Options of `rld acquire`."""
    parser.add_argument("service", metavar="SERVICE", help="NAME, NAME>=1.2 or NAME@DISTRIBUTION")


def run_acquire(options: argparse.Namespace) -> Outcome:
    """Prepare a service: its environment is ready, no worker is left."""
    with _daemon(options) as daemon:
        prepared = daemon.prepare(options.service)
    text = f"{prepared['service']} {prepared['version']} is ready in {prepared['environment']}"
    return Outcome(document=prepared, text=text)


def configure_ps(parser: argparse.ArgumentParser) -> None:
    """`rld ps` has the common options only."""
    del parser


def run_ps(options: argparse.Namespace) -> Outcome:
    """What every process of this host holds."""
    del options
    from rldlib.adapters.host_directory import host_directory
    from rldlib.adapters.promises import Promises

    rows = [promise.facts() for promise in Promises(host_directory()).living()]
    columns = {
        "service": "SERVICE",
        "version": "VERSION",
        "worker_pid": "WORKER",
        "host_pid": "HOST",
        "memory_bytes": "MEMORY",
        "since": "SINCE",
        "root": "ROOT",
    }
    return Outcome(document=rows, text=table(rows, columns) if rows else "nothing runs on this host")


def configure_why(parser: argparse.ArgumentParser) -> None:
    """Options of `rld why`."""
    parser.add_argument("service", metavar="SERVICE")


def run_why(options: argparse.Namespace) -> Outcome:
    """What was decided about a service, the newest decision in words."""
    with _daemon(options) as daemon:
        decisions = [dict(decision) for decision in daemon.why(options.service)]
    if not decisions:
        raise ServiceNotFoundError(
            options.service, str(defaults.root_directory(options.root)), "nothing was decided about it here"
        )
    return Outcome(document=decisions, text="\n\n".join(_told(decision) for decision in decisions[-3:]))


def _told(decision: dict[str, Any]) -> str:
    lines = [f"{decision.pop('at')} {decision.pop('kind')}"]
    for name, value in decision.items():
        lines.append(f"  {name}: {value if isinstance(value, str) else json.dumps(value)}")
    return "\n".join(lines)


def configure_logs(parser: argparse.ArgumentParser) -> None:
    """Options of `rld logs`."""
    parser.add_argument("service", metavar="SERVICE")


def run_logs(options: argparse.Namespace) -> Outcome:
    """The newest output of a service's workers."""
    service = parse_request(options.service).service
    root = defaults.root_directory(options.root)
    log = root / "logs" / f"{service}.log"
    # The newest half is written; the older one lies beside it.
    parts = [part for part in (log.with_name(log.name + ".1"), log) if part.exists()]
    if not parts and not (root / "services" / service).is_dir():
        raise ServiceNotFoundError(service, str(root), "it has no log: it was never started in this root")
    text = b"".join(part.read_bytes() for part in parts).decode(errors="replace")
    return Outcome(document={"service": service, "log": text}, text=text.rstrip("\n"))


def configure_lock(parser: argparse.ArgumentParser) -> None:
    """Options of `rld lock`."""
    parser.add_argument("service", metavar="SERVICE")


def run_lock(options: argparse.Namespace) -> Outcome:
    """The kept pylock.toml of a service, of its newest version."""
    request = parse_request(options.service)
    with _daemon(options) as daemon:
        lock = daemon.lock(options.service)
    document = {"service": request.service, "pylock": lock}
    return Outcome(document=document, text=lock.rstrip("\n"))


def configure_release(parser: argparse.ArgumentParser) -> None:
    """Options of `rld release`."""
    parser.add_argument("service", metavar="SERVICE")


def run_release(options: argparse.Namespace) -> Outcome:
    """Give a service back: pins, environment and wheels that only it used."""
    with _daemon(options) as daemon:
        released = daemon.release(options.service)
    text = f"{released['service']} released: {len(released['removed'])} things, {released['freed_bytes']:,} bytes freed"
    return Outcome(document=released, text=text)


@contextmanager
def _daemon(options: argparse.Namespace) -> Iterator[defaults.LocalDaemon]:
    reporter = progress()
    policy = Policy(prereleases=options.pre, gate_allow=frozenset(options.allow))
    root: Path | None = Path(options.root) if options.root else None
    try:
        with defaults.LocalDaemon(
            index_url=options.index_url, wheels=options.wheels, root=root, policy=policy, reporter=reporter
        ) as daemon:
            yield daemon
    finally:
        reporter.close()
