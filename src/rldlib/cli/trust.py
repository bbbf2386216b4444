"""The commands about trust: join, trust."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rldlib import defaults
from rldlib.adapters.trust.joined import Joined
from rldlib.adapters.trust.state import State
from rldlib.cli.outcome import Outcome, table
from rldlib.errors import UsageError
from rldlib.values.join import parse_join

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

    from rldlib.adapters.trust.authority import Authority
    from rldlib.values.join import JoinString

_COLUMNS = {"role": "ROLE", "version": "VERSION", "expires": "TRUE UNTIL", "note": ""}


def configure_join(parser: argparse.ArgumentParser) -> None:
    """Options of `rld join`."""
    parser.add_argument("join", metavar="STRING", nargs="?", help="rldlib://HOST:PORT#root-sha256=HEX&min=N")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--list", action="store_true", help="list who was joined, in the order of asking")
    how.add_argument("--remove", action="store_true", help="ask the responder of STRING no longer")


def run_join(options: argparse.Namespace) -> Outcome:
    """Remember a responder for this root, list those that are, or forget one."""
    joined = Joined(defaults.root_directory(options.root))
    if options.list == (options.join is not None):
        raise UsageError("name one join string, or --list ('rld join --help' tells how)")
    if options.list:
        rows = [_entry(one) for one in joined.all()]
        columns = {"address": "ADDRESS", "root_sha256": "DOMAIN", "minimum": "MIN"}
        return Outcome(document=rows, text=table(rows, columns) if rows else "nobody was joined in this root")
    join = parse_join(options.join)
    if options.remove:
        removed = joined.remove(join)
        told = "is asked no longer" if removed else "was not asked"
        return Outcome(document={**_entry(join), "removed": removed}, text=f"{_told(join)} {told}")
    new = joined.add(join)
    told = "is asked from now on" if new else "was joined already"
    return Outcome(document={**_entry(join), "new": new}, text=f"{_told(join)} {told}")


def configure_trust(parser: argparse.ArgumentParser) -> None:
    """Options of `rld trust`."""
    parser.add_argument("action", choices=("status", "rotate"), help="tell, or replace this root's own keys")


def run_trust(options: argparse.Namespace) -> Outcome:
    """What this root signs and what it verified of others; or new keys for its own."""
    root = defaults.root_directory(options.root)
    return _status(root) if options.action == "status" else _rotate(root)


def _status(root: Path) -> Outcome:
    now = datetime.now(UTC)
    own = _authority(root).status() if (root / "trust" / "own").is_dir() else None
    joined = [
        {**_entry(one), **State(root / "trust" / one.root_sha256).status(one.root_sha256, now)}
        for one in Joined(root).all()
    ]
    own_text = _own(own) if own else "this root signs nothing"
    return Outcome(
        document={"own": own, "joined": joined},
        text="\n\n".join([own_text, *map(_domain, joined)] if joined else [own_text, "nobody was joined"]),
    )


def _rotate(root: Path) -> Outcome:
    if not (root / "trust" / "own").is_dir():
        raise UsageError(f"{root} signs nothing, so it has no keys to replace; what serves others makes them")
    rotated = _authority(root).rotate()
    rows = [{"role": role, "key": told} for role, told in rotated.items()]
    text = f"{table(rows, {'role': 'ROLE', 'key': 'KEY'})}\nclients follow by themselves; join strings stay valid"
    return Outcome(document=rotated, text=text)


def _authority(root: Path) -> Authority:
    from rldlib.adapters.trust.authority import Authority

    return Authority(root / "trust" / "own", lambda: datetime.now(UTC))


def _entry(join: JoinString) -> dict[str, Any]:
    return {
        "address": join.address,
        "root_sha256": join.root_sha256,
        "minimum": join.minimum,
        "join": str(join),
    }


def _told(join: JoinString) -> str:
    return f"{join.address} (domain {join.root_sha256[:12]})"


def _own(own: dict[str, Any]) -> str:
    counted = f"{own['targets']} targets, {own['locks']} locks"
    notes = {True: "", False: "its key is elsewhere"}
    roles = _roles((role, notes[role["key_here"]]) for role in own["roles"])
    return f"this root signs {counted} as domain {own['root_sha256']}\n{roles}"


def _domain(domain: dict[str, Any]) -> str:
    if not domain["verified_at"]:
        return f"{domain['address']}, domain {domain['root_sha256']}, was not asked yet"
    roles = _roles((role, "") for role in domain["roles"])
    return f"{domain['address']}, domain {domain['root_sha256']}, verified last at {domain['verified_at']}\n{roles}"


def _roles(roles: Iterable[tuple[dict[str, Any], str]]) -> str:
    rows = []
    for role, note in roles:
        expired = "expired: what runs keeps running, nothing new starts" if role["expired"] else ""
        rows.append({**role, "note": ", ".join(filter(None, (expired, note)))})
    return table(rows, _COLUMNS)
