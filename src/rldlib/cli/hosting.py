"""The daemon of one command."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rldlib import daemon, defaults
from rldlib.cli.progress import progress
from rldlib.values.policy import Policy

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from rldlib.ports import Workers


@contextmanager
def local_daemon(options: argparse.Namespace, workers: Workers | None = None) -> Iterator[daemon.LocalDaemon]:
    """The daemon that the common options name.

    Args:
        options: They.
        workers: What starts its workers, where that was made before; the daemon owns it.
    """
    reporter = progress()
    root = Path(options.root) if options.root else None
    try:
        kept = defaults.root_directory(root)
        outside = defaults.outside(
            source=defaults.source(options.index_url, options.wheels, reporter),
            root=kept,
            peers=defaults.peers(kept, options.responder, reporter),
            policy=Policy(prereleases=options.pre, gate_allow=frozenset(options.allow)),
            reporter=reporter,
            workers=workers,
        )
        with daemon.LocalDaemon(outside) as local:
            yield local
    finally:
        reporter.close()
