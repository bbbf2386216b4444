"""All that a daemon asks of the world, in one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rldlib.reporter import Reporter
from rldlib.values.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rldlib.ports import (
        Compiling,
        Environments,
        Holdings,
        HostProcess,
        Identity,
        Interpreters,
        Journal,
        Peer,
        Placing,
        Probe,
        Promises,
        Receipts,
        Remains,
        Resolver,
        Source,
        Store,
        Workers,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The ports of one daemon. `rldlib.defaults` fills it with the real adapters.

    Attributes:
        root: Where everything of this daemon lies.
        source: The one index or directory it asks; None where none was named.
        peers: The responders it asks before that, in their order.
        read_profile: Reads the profile out of a wheel on disk.
        The others: see `rldlib.ports`.
    """

    root: Path
    source: Source | None
    interpreters: Interpreters
    resolver: Resolver
    store: Store
    environments: Environments
    compiling: Compiling
    holdings: Holdings
    probe: Probe
    promises: Promises
    placing: Placing
    remains: Remains
    workers: Workers
    host_process: HostProcess
    journal: Journal
    identity: Identity
    receipts: Receipts
    read_profile: Callable[[Path], bytes | None]
    peers: Sequence[Peer] = ()
    policy: Policy = field(default_factory=Policy)
    reporter: Reporter = field(default_factory=Reporter)

    def close(self) -> None:
        """Let go of what is owned: the spawner with every worker, services in this process, connections."""
        self.workers.close()
        self.environments.close()
        self.host_process.close()
        for peer in self.peers:
            peer.close()
        if self.source is not None:
            self.source.close()
        # The last: it may take a while, and nobody need wait for the rest.
        self.compiling.close()

    @property
    def received_bytes(self) -> int:
        """What has come over a network so far, from all that it asks."""
        sources = [peer.source for peer in self.peers] + ([self.source] if self.source is not None else [])
        return sum(source.received_bytes for source in sources)

    def giver(self, identity: str) -> Source | None:
        """Where the bytes of a lock come from whose source is `identity`; None where it is not asked."""
        for peer in self.peers:
            if peer.identity == identity:
                return peer.source
        return self.source if self.source is not None and self.source.identity == identity else None

    def asks(self, identity: str) -> bool:
        """Whether what came from `identity` may be used: all may where nobody at all is asked."""
        return (not self.peers and self.source is None) or self.giver(identity) is not None
