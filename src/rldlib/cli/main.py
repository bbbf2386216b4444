"""``rld``: reads the command, runs it, and turns every error into one clear end.

Exit statuses are those of `rldlib.errors`; 1 is a bug, 130 an interruption.
"""

from __future__ import annotations

import argparse
import atexit
import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from rldlib.errors import RldlibError, UsageError, as_mapping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldlib.cli.outcome import Outcome

_BUG = 1
_INTERRUPTED = 130

# Command: the module that holds it, and what it does. Only the module of the
# command that was given is imported.
COMMANDS = {
    "demo": ("calling", "bring the sales-tax service here and call it, without any network"),
    "call": ("calling", "call an operation of a service"),
    "acquire": ("services", "prepare a service, so that its next start is fast"),
    "ps": ("services", "list what runs on this host"),
    "why": ("services", "tell what was decided about a service, with the numbers"),
    "logs": ("services", "print a service's output"),
    "lock": ("services", "print the lock of a service"),
    "release": ("services", "give a service back, and remove what only it used"),
    "gc": ("host", "remove what no worker and no promise uses"),
    "calibrate": ("host", "score this host's processors"),
    "room": ("host", "tell what this host could still hold"),
    "profile": ("wheels", "print the resource profile of a wheel or a service"),
    "stamp": ("wheels", "put a resource profile into a wheel"),
    "build": ("wheels", "build a project into a wheel that carries its profile"),
    "check": ("wheels", "run the gate on wheels"),
    "index": ("wheels", "serve a directory of wheels as a package index"),
    "serve": ("network", "answer others who ask for support"),
    "ledger": ("network", "list who holds what of this root's services"),
    "join": ("trust", "remember a responder, and whom it must prove to be"),
    "trust": ("trust", "tell what is signed and verified here, or replace the keys"),
}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours, so that ``--json`` holds for them too."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ('{self.prog} --help' tells how)")


class _Version(argparse.Action):
    """Looks the version up only where it is asked for: that takes as long as all the rest."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(_version())
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status and never raises.

    Without arguments it is the process's own command, and the process ends with it.
    """
    status = _end_of(list(sys.argv[1:] if argv is None else argv))
    if argv is None:
        _leave(status)
    return status


def _leave(status: int) -> None:
    """End the process without taking the interpreter apart, which takes longer than a call does.

    By now every process, file and thread was let go by whoever owned it. What
    is to be done at the end is done first; where the output cannot be written,
    the interpreter ends as it always does, and says so.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - the only way to them but the interpreter's own end
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        return  # AttributeError: the process was started without them
    os._exit(status)


def _end_of(arguments: list[str]) -> int:
    # Known before anything can fail, so that every end can be told as asked.
    as_json = "--json" in arguments
    try:
        outcome = _run(arguments)
        with outcome.closing:
            outcome.write(as_json=as_json)
            as_json = False  # one document is all; what closing tells goes beside it
    except RldlibError as exc:
        _tell(exc, as_json=as_json)
        return exc.exit_status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left; Python must not complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as exc:  # noqa: BLE001 - the one place where a bug ends: told as such, never as a refusal
        _tell_bug(exc, as_json=as_json)
        return _BUG
    return outcome.status


def _run(arguments: list[str]) -> Outcome:
    given = _top_parser().parse_args(arguments)
    if given.command not in COMMANDS:
        raise UsageError(f"no command {given.command!r}; there are {', '.join(COMMANDS)}")
    module = importlib.import_module(f"rldlib.cli.{COMMANDS[given.command][0]}")
    parser = _Parser(prog=f"rld {given.command}", description=COMMANDS[given.command][1], parents=[_common()])
    getattr(module, f"configure_{given.command}")(parser)
    # Intermixed: options may stand between the NAME=VALUE of a call.
    options = parser.parse_intermixed_args(given.rest, argparse.Namespace(**_carried(given)))
    outcome: Outcome = getattr(module, f"run_{given.command}")(options)
    return outcome


def _top_parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items())
    parser = _Parser(
        prog="rld",
        description="Bring a service here, and call it.",
        epilog=f"commands:\n{listed}\n\n'rld COMMAND --help' tells a command's own options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_common()],
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and end")
    parser.add_argument("command", metavar="COMMAND")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _common() -> argparse.ArgumentParser:
    """The options of every command; they may stand before the command too."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--root", metavar="DIR", help="where everything is kept (also RLDLIB_ROOT)")
    common.add_argument("--index-url", metavar="URL", help="the package index to ask")
    common.add_argument("--wheels", metavar="DIR", help="a directory of wheels to ask instead of an index")
    common.add_argument(
        "--responder", metavar="JOIN", action="append", help="a responder to ask before that; several times"
    )
    common.add_argument("--pre", action="store_true", help="take preview versions too")
    common.add_argument(
        "--allow",
        metavar="SHA256:KIND",
        action="append",
        help="let one exact wheel pass one fault of the gate",
    )
    common.add_argument("--json", action="store_true", help="print exactly one JSON document")
    return common


def _carried(given: argparse.Namespace) -> dict[str, object]:
    """The common options with their defaults: the command's own parser starts from them."""
    defaults: dict[str, object] = {
        "root": None,
        "index_url": None,
        "wheels": None,
        "responder": [],
        "pre": False,
        "allow": [],
        "json": False,
    }
    return {name: getattr(given, name, default) for name, default in defaults.items()}


def _version() -> str:
    from importlib.metadata import version

    return f"rldlib {version('rldlib')}"


def _tell(error: RldlibError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(as_mapping(error)))
        return
    traceback = getattr(error, "traceback", "")
    print(f"{traceback}rld: {error}", file=sys.stderr)


def _tell_bug(error: Exception, *, as_json: bool) -> None:
    import traceback

    if as_json:
        print(json.dumps(as_mapping(error)))
    traceback.print_exception(error)
    print("rld: this is a bug in rldlib; please report it with the lines above", file=sys.stderr)
