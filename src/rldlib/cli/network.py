"""The commands between hosts: serve, ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rldlib import defaults
from rldlib.cli.outcome import Outcome, table
from rldlib.errors import UsageError
from rldlib.values.address import is_loopback
from rldlib.values.policy import Policy

if TYPE_CHECKING:
    import argparse

    from rldlib.server.running import Tls

_MISSING_SERVER = "'rld serve' needs the server extra: pip install 'rldlib[server]'"


def configure_serve(parser: argparse.ArgumentParser) -> None:
    """Options of `rld serve`."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on; 0 takes a free one (0)")
    parser.add_argument("--cert", metavar="FILE", type=Path, help="a certificate: makes it https")
    parser.add_argument("--key", metavar="FILE", type=Path, help="the private key of the certificate")
    parser.add_argument(
        "--client-ca",
        metavar="FILE",
        type=Path,
        help="let in only who shows a certificate of these authorities",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="let in only these tokens: 'TOKEN SERVICE[,...]' a line",
    )
    parser.add_argument(
        "--announce",
        metavar="FILE",
        type=Path,
        help="write its url, join string and process id there when ready",
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="serve plain HTTP to other machines, where everybody can read it",
    )


def run_serve(options: argparse.Namespace) -> Outcome:
    """Answer until interrupted; says where on the first line."""
    try:
        from rldlib.server import create_app, own_authority
        from rldlib.server.running import serve
    except ImportError as exc:
        raise UsageError(_MISSING_SERVER) from exc
    tls = _tls(options)
    if tls is None and not is_loopback(options.host) and not options.insecure:
        raise UsageError(
            f"{options.host} is another machine's to reach, and plain HTTP everybody's to read: give --cert and "
            "--key, or say --insecure"
        )
    if not options.wheels and not options.index_url:
        raise UsageError("nothing to offer was named: give --wheels DIR or --index-url URL")
    root = defaults.root_directory(options.root)
    app = create_app(
        index_url=options.index_url,
        wheels=options.wheels,
        root=root,
        policy=Policy(prereleases=options.pre, gate_allow=frozenset(options.allow)),
        token_file=options.token_file,
    )
    authority = own_authority(root)
    # Before anybody asks: founding a domain takes a moment.
    authority.renew()

    def ready(url: str, pid: int) -> None:
        document = {"url": url, "join": str(authority.join(url)), "pid": pid}
        if options.announce is not None:
            from rldlib.adapters.files import replace_atomically

            replace_atomically(options.announce.absolute(), json.dumps(document).encode() + b"\n")
        text = f"serving at {url}; others join it by\n  rld join '{document['join']}'"
        Outcome(document=document, text=text).write(as_json=options.json)

    try:
        serve(app, host=options.host, port=options.port, tls=tls, on_ready=ready)
    except OSError as exc:
        raise UsageError(f"{options.host} port {options.port} cannot be served: {exc}") from exc
    return Outcome(document=b"", text="")


def _tls(options: argparse.Namespace) -> Tls | None:
    from rldlib.server.running import Tls

    if (options.cert is None) != (options.key is None):
        raise UsageError("a certificate and its key belong together: give --cert and --key, or neither")
    if options.cert is None:
        if options.client_ca is not None:
            raise UsageError(
                "--client-ca asks others for certificates, which takes https: give --cert and --key"
            )
        return None
    for path in filter(None, (options.cert, options.key, options.client_ca)):
        if not path.is_file():
            raise UsageError(f"there is no file {path}")
    return Tls(certificate=options.cert, key=options.key, clients=options.client_ca)


def configure_ledger(parser: argparse.ArgumentParser) -> None:
    """`rld ledger` has the common options only."""
    del parser


def run_ledger(options: argparse.Namespace) -> Outcome:
    """A row for each domain, service and version."""
    from rldlib.adapters.ledger import Ledger

    rows: list[dict[str, Any]] = list(Ledger(defaults.root_directory(options.root)).rows())
    columns = {
        "domain": "DOMAIN",
        "service": "SERVICE",
        "version": "VERSION",
        "acknowledged_at": "SINCE",
        "released_at": "UNTIL",
    }
    shown = [row | {"domain": row["domain"][:12]} for row in rows]
    return Outcome(
        document=rows, text=table(shown, columns) if rows else "nobody holds anything of this root"
    )
