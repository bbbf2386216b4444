"""The only place where the daemon and its adapters meet."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from rldlib import daemon
from rldlib.errors import UsageError
from rldlib.outside import Outside
from rldlib.reporter import Reporter
from rldlib.values.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from rldlib.ports import Peer, RemoteTarget, Source, Workers
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.join import JoinString
    from rldlib.values.lock import Lock
    from rldlib.values.promise import Promise
    from rldlib.values.support import Acknowledgement, Support, SupportRequest
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
        responders: Join strings of the daemons to ask before that, in their order; those that were
            joined for this root come after them.
        root: Where everything of this daemon is kept; the default is
            ``RLDLIB_ROOT``, else the user's data directory.
        policy: The host's own limits and exceptions.
        reporter: Told what happens.

    Raises:
        UsageError: Both an index and a directory were named, or a join string is none.
    """

    def __init__(
        self,
        *,
        index_url: str | None = None,
        wheels: str | os.PathLike[str] | None = None,
        responders: Sequence[str] = (),
        root: str | os.PathLike[str] | None = None,
        policy: Policy | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        kept = root_directory(root)
        super().__init__(
            outside(
                source=source(index_url, wheels, reporter),
                root=kept,
                policy=policy or Policy(),
                reporter=reporter or Reporter(),
                peers=peers(kept, responders, reporter),
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


def peers(root: Path, responders: Sequence[str] = (), reporter: Reporter | None = None) -> tuple[Peer, ...]:
    """The responders of a root, in the order in which they are asked.

    Args:
        root: Its folder.
        responders: Join strings, asked before those that were joined for the root.
        reporter: Told how far a transfer has come.

    Raises:
        UsageError: One is no join string.
        StorageError: The list of who was joined cannot be read.
    """
    joined = root / "trust" / "joined.json"
    if not responders and not joined.exists():
        return ()
    from rldlib.adapters.trust.joined import Joined
    from rldlib.values.join import parse_join

    ways: dict[str, dict[str, JoinString]] = {}
    for join in (*map(parse_join, responders), *Joined(root).all()):
        # One domain may be reached over several pathways: it is who signs, whatever the address.
        ways.setdefault(join.root_sha256, {}).setdefault(join.address, join)
    return tuple(_Peer(root, tuple(each.values()), reporter) for each in ways.values())


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


class _Peer:
    """See `rldlib.ports.Peer`; what asks it is imported when it is first asked."""

    def __init__(self, root: Path, joins: Sequence[JoinString], reporter: Reporter | None) -> None:
        self.identity = f"rldlib:{joins[0].root_sha256}"
        self._root = root
        self._joins = joins
        self._reporter = reporter
        self._guard = threading.Lock()
        self._opened: Peer | None = None

    @property
    def source(self) -> Source:
        """See `rldlib.ports.Peer.source`."""
        return self._peer().source

    def support(self, asked: SupportRequest) -> Support:
        """See `rldlib.ports.Peer.support`."""
        return self._peer().support(asked)

    def perform(
        self, service: str, version: str, operations: Mapping[str, Mapping[str, Any]]
    ) -> RemoteTarget:
        """See `rldlib.ports.Peer.perform`."""
        return self._peer().perform(service, version, operations)

    def acknowledge(self, said: Acknowledgement) -> None:
        """See `rldlib.ports.Peer.acknowledge`."""
        self._peer().acknowledge(said)

    def close(self) -> None:
        """See `rldlib.ports.Peer.close`."""
        with self._guard:
            if self._opened is not None:
                self._opened.close()

    def _peer(self) -> Peer:
        with self._guard:
            if self._opened is None:
                from rldlib.adapters.http import Http
                from rldlib.adapters.peer import Peer, Way
                from rldlib.adapters.trust.trusted import Trusted

                http = Http(self._reporter)
                # To other machines it is https; on this one it is what answers.
                urls = [
                    (join, join.url(scheme))
                    for join in self._joins
                    for scheme in (("http", "https") if join.is_loopback else ("https",))
                ]
                ways = [Way(url, Trusted.of(self._root, join, http, url)) for join, url in urls]
                self._opened = Peer(ways, http, read_lock=_read_lock)
            return self._opened


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
