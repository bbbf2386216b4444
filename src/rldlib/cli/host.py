"""The commands about this host: calibrate, room, gc."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rldlib import defaults
from rldlib.adapters.host_directory import host_directory
from rldlib.cli.outcome import Outcome, table
from rldlib.errors import InterpreterNotFoundError
from rldlib.values.policy import Policy
from rldlib.values.room import told

if TYPE_CHECKING:
    import argparse

    from rldlib.values.interpreter import Interpreter


def configure_calibrate(parser: argparse.ArgumentParser) -> None:
    """Options of `rld calibrate`."""
    parser.add_argument(
        "--all", action="store_true", help="score every interpreter of this host, not its own only"
    )


def run_calibrate(options: argparse.Namespace) -> Outcome:
    """Score this host's processors, one interpreter at a time."""
    from rldlib.adapters.scores import Scores

    scores = Scores(host_directory())
    rows = []
    for interpreter in _interpreters() if options.all else _interpreters()[:1]:
        print(f"scoring {interpreter}", file=sys.stderr)
        rows.append({"interpreter": str(interpreter), **scores.measure(interpreter).facts()})
    columns = {"rcu": "RCU", "spread": "SPREAD", "load": "LOAD", "interpreter": "INTERPRETER"}
    return Outcome(document=rows, text=table(rows, columns))


def configure_room(parser: argparse.ArgumentParser) -> None:
    """`rld room` has the common options only."""
    del parser


def run_room(options: argparse.Namespace) -> Outcome:
    """What this host could still give a new service."""
    from rldlib.adapters.probe import Probe
    from rldlib.adapters.promises import Promises
    from rldlib.adapters.scores import Scores

    host = host_directory()
    probe = Probe(host, Policy(), Scores(host))
    root = defaults.root_directory(options.root)
    document = probe.host_facts(_interpreters()[0], root, Promises(host).living()).facts()
    figures = [
        f"  {name:<18} {told(name, value)}" for name, value in document["room"].items() if value is not None
    ]
    names = [f"  {name:<18} {', '.join(document[name]) or 'none'}" for name in ("hardware", "devices")]
    notes = [f"  {note}" for note in document["notes"]]
    said = [
        f"room for a service on {document['interpreter']}",
        *figures,
        *names,
        "how the figures came about",
        *notes,
    ]
    return Outcome(document=document, text="\n".join(said))


def configure_gc(parser: argparse.ArgumentParser) -> None:
    """`rld gc` has the common options only."""
    del parser


def run_gc(options: argparse.Namespace) -> Outcome:
    """Remove what no worker and no promise uses."""
    from rldlib.adapters.collection import collect
    from rldlib.adapters.promises import Promises

    root = defaults.root_directory(options.root)
    # Within the admission, so that nobody is promised what is being removed.
    with Promises(host_directory()).admission() as living:
        collected = collect(root, living)
    removed = [str(path) for path in collected.removed]
    document = {"removed": removed, "freed_bytes": collected.freed_bytes}
    text = f"{len(removed)} things removed, {collected.freed_bytes:,} bytes freed"
    return Outcome(document=document, text=text)


def _interpreters() -> list[Interpreter]:
    from rldlib.adapters.interpreters import Interpreters

    found = list(Interpreters(host_directory()).all())
    if not found:
        raise InterpreterNotFoundError("this host", "CPython 3.10 or newer", [])
    return found
