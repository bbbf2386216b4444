"""This trust layer behind the command line of the TUF conformance suite.

```
python -m rldlib.testing.tuf_client OPTIONS COMMAND
--metadata-dir D init ROOT
--metadata-url U --metadata-dir D refresh
--metadata-url U --metadata-dir D --target-name N --target-base-url B --target-dir T download
```

It exits with 0 where all of it was done, and with 1 where any of it was refused or failed.
What the suite measures is what a daemon runs: nothing here verifies anything.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rldlib.adapters.files import replace_atomically, storage_errors
from rldlib.adapters.http import Http
from rldlib.adapters.trust.trusted import Trusted
from rldlib.errors import RldlibError, UsageError
from rldlib.values.trust import Pathway

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where `Trusted` keeps the root that it began with.
_ANCHOR = "anchor"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of the protocol; returns its exit status."""
    options = _parser().parse_args(argv)
    try:
        with Http() as http:
            options.perform(options, http)
    except RldlibError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - a command line of its own
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tuf_client", description=__doc__)
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url", default="")
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-base-url", default="")
    parser.add_argument("--target-dir", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    init = commands.add_parser("init")
    init.add_argument("root", type=Path)
    init.set_defaults(perform=_init)
    commands.add_parser("refresh").set_defaults(perform=_refresh)
    commands.add_parser("download").set_defaults(perform=_download)
    return parser


def _init(options: argparse.Namespace, http: Http) -> None:
    trusted = _trusted(options, options.root, http)
    trusted.adopt(options.root.read_bytes())


def _refresh(options: argparse.Namespace, http: Http) -> None:
    _trusted(options, options.metadata_dir / _ANCHOR, http).refresh()


def _download(options: argparse.Namespace, http: Http) -> None:
    trusted = _trusted(options, options.metadata_dir / _ANCHOR, http)
    trusted.refresh()
    for name in options.target_name:
        content = trusted.target(name)
        if content is None:
            raise UsageError(f"{name} is signed by nobody")
        path = options.target_dir / quote(name, safe="")
        if not (path.is_file() and path.read_bytes() == content):
            replace_atomically(path, content)


def _trusted(options: argparse.Namespace, anchor: Path, http: Http) -> Trusted:
    """The domain that the given root names, kept in the folder that the suite looks into."""
    with storage_errors(anchor):
        digest = hashlib.sha256(anchor.read_bytes()).hexdigest()
    pathway = Pathway(
        source=options.metadata_url or "the given root",
        root_sha256=digest,
        metadata_url=f"{options.metadata_url.rstrip('/')}/",
        targets_url=f"{options.target_base_url.rstrip('/')}/",
    )
    return Trusted(options.metadata_dir, pathway, http)


if __name__ == "__main__":
    sys.exit(main())
