"""The commands about services: acquire, ps, why, logs, lock, release."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rldlib import defaults
from rldlib.cli.hosting import local_daemon
from rldlib.cli.outcome import Outcome, table
from rldlib.errors import ServiceNotFoundError
from rldlib.values.request import parse_request

if TYPE_CHECKING:
    import argparse


def configure_acquire(parser: argparse.ArgumentParser) -> None:
    """Options of `rld acquire`."""
    parser.add_argument("service", metavar="SERVICE", help="NAME, NAME>=1.2 or NAME@DISTRIBUTION")


def run_acquire(options: argparse.Namespace) -> Outcome:
    """Prepare a service: its environment is ready, no worker is left."""
    with local_daemon(options) as daemon:
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
    with local_daemon(options) as daemon:
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
    with local_daemon(options) as daemon:
        lock = daemon.lock(options.service)
    document = {"service": request.service, "pylock": lock}
    return Outcome(document=document, text=lock.rstrip("\n"))


def configure_release(parser: argparse.ArgumentParser) -> None:
    """Options of `rld release`."""
    parser.add_argument("service", metavar="SERVICE")


def run_release(options: argparse.Namespace) -> Outcome:
    """Give a service back: pins, environment and wheels that only it used."""
    with local_daemon(options) as daemon:
        released = daemon.release(options.service)
    text = f"{released['service']} released: {len(released['removed'])} things, {released['freed_bytes']:,} bytes freed"
    return Outcome(document=released, text=text)
