"""The only place where the daemon and its adapters meet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rldlib import daemon
from rldlib.errors import UsageError
from rldlib.outside import Outside
from rldlib.reporter import Reporter
from rldlib.values.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rldlib.ports import Peer, Source, Workers
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock
    from rldlib.values.promise import Promise
    from rldlib.values.wheel import WheelFile

# By then the worker runs, which is what somebody waits for.
_FLUSH_AFTER_S = 5.0


class LocalDaemon(daemon.LocalDaemon):
    """The run local daemon of one domain, with the real adapters.

    Use it in a ``with``: every worker it started is gone when it ends.

    Args:
        index_url: The package index to ask. One service, one index: there is
            no default, and never a second one.
        wheels: A directory of wheels to ask instead, without any network.
        root: Where everything of this daemon is kept; the default is
            ``RLDLIB_ROOT``, else the user's data directory.
        policy: The host's own limits and exceptions.
        reporter: Told what happens.

    Raises:
        UsageError: Both an index and a directory were named.
    """

    def __init__(
        self,
        *,
        index_url: str | None = None,
        wheels: str | os.PathLike[str] | None = None,
        root: str | os.PathLike[str] | None = None,
        policy: Policy | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        super().__init__(
            outside(
                source=source(index_url, wheels, reporter),
                root=root_directory(root),
                policy=policy or Policy(),
                reporter=reporter or Reporter(),
            )
        )


def root_directory(root: str | os.PathLike[str] | None = None) -> Path:
    """Where everything of a daemon is kept, as an absolute path."""
    named = root or os.environ.get("RLDLIB_ROOT")
    if named:
        return Path(named).absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("rldlib", appauthor=False)).absolute()


def source(
    index_url: str | None, wheels: str | os.PathLike[str] | None, reporter: Reporter | None = None
) -> Source | None:
    """The one source that was named; None where none was.

    Raises:
        UsageError: Two were named: which one a dependency came from would be chance.
    """
    if index_url and wheels:
        raise UsageError(
            "an index and a directory of wheels were named; name one: a service comes from one source"
        )
    if wheels:
        from rldlib.adapters.directory import Directory

        return Directory(Path(wheels).absolute())
    if index_url:
        from rldlib.adapters.http import Http
        from rldlib.adapters.index import Index

        return Index(index_url, Http(reporter))
    return None


def outside(
    *,
    source: Source | None,
    root: Path,
    policy: Policy,
    reporter: Reporter,
    workers: Workers | None = None,
    peers: Sequence[Peer] = (),
) -> Outside:
    """Every port of a daemon, filled with its real adapter; `workers` where they were made before."""
    from rldlib.adapters.compiling import Compiling
    from rldlib.adapters.environments import Environments
    from rldlib.adapters.holdings import Holdings
    from rldlib.adapters.host_directory import host_directory
    from rldlib.adapters.identity import Identity
    from rldlib.adapters.inprocess import InProcess
    from rldlib.adapters.interpreters import Interpreters
    from rldlib.adapters.journal import Journal
    from rldlib.adapters.placing import Placing
    from rldlib.adapters.probe import Probe
    from rldlib.adapters.promises import Promises
    from rldlib.adapters.receipts import Receipts
    from rldlib.adapters.scores import Scores
    from rldlib.adapters.spawner import WorkerHost
    from rldlib.adapters.store import Store

    host = host_directory()
    store = Store(root, reporter=reporter, allow=policy.gate_allow)
    return Outside(
        root=root,
        source=source,
        interpreters=Interpreters(host),
        resolver=_Resolver(policy, reporter),
        store=store,
        environments=Environments(root, host, flush_after_s=_FLUSH_AFTER_S),
        compiling=Compiling(store, wait_s=policy.bytecode_wait_s),
        holdings=Holdings(root, read=_read_lock, write=_write_lock),
        probe=Probe(host, policy, Scores(host)),
        promises=Promises(host),
        placing=Placing(),
        remains=_Remains(root),
        workers=workers or WorkerHost(host_dir=host if policy.fork_workers else None),
        host_process=InProcess(reporter),
        journal=Journal(root),
        identity=Identity(root),
        receipts=Receipts(root),
        peers=tuple(peers),
        read_profile=_read_profile,
        policy=policy,
        reporter=reporter,
    )


# --- what a start with everything there does not need, and does not import ------------


class _Resolver:
    """See `rldlib.ports.Resolver`; imported with the first lock that must be made."""

    def __init__(self, policy: Policy, reporter: Reporter) -> None:
        self._policy = policy
        self._reporter = reporter

    def lock(self, service: str, carrier: WheelFile, interpreter: Interpreter, source: Source) -> Lock:
        """See `rldlib.ports.Resolver.lock`."""
        from rldlib.adapters.resolving import Resolving

        return Resolving(self._policy, self._reporter).lock(service, carrier, interpreter, source)


class _Remains:
    """See `rldlib.ports.Remains`; imported with the first release."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def remove(
        self, locks: Sequence[Lock], others: Sequence[Lock], promises: Sequence[Promise]
    ) -> dict[str, Any]:
        """See `rldlib.ports.Remains.remove`."""
        from rldlib.adapters.collection import Remains

        return Remains(self._root).remove(locks, others, promises)


def _read_lock(text: str) -> Lock:
    from rldlib.adapters import pylock

    return pylock.read(text)


def _write_lock(lock: Lock) -> str:
    from rldlib.adapters import pylock

    return pylock.write(lock)


def _read_profile(wheel: Path) -> bytes | None:
    from rldlib.adapters.stamping import read_profile

    return read_profile(wheel)
