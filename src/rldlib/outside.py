"""All that a daemon asks of the world, in one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rldlib.reporter import Reporter
from rldlib.values.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rldlib.ports import (
        Environments,
        Holdings,
        HostProcess,
        Interpreters,
        Journal,
        Placing,
        Probe,
        Promises,
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
        read_profile: Reads the profile out of a wheel on disk.
        The others: see `rldlib.ports`.
    """

    root: Path
    source: Source | None
    interpreters: Interpreters
    resolver: Resolver
    store: Store
    environments: Environments
    holdings: Holdings
    probe: Probe
    promises: Promises
    placing: Placing
    remains: Remains
    workers: Workers
    host_process: HostProcess
    journal: Journal
    read_profile: Callable[[Path], bytes | None]
    policy: Policy = field(default_factory=Policy)
    reporter: Reporter = field(default_factory=Reporter)

    def close(self) -> None:
        """Let go of what is owned: the spawner with every worker, services in this process, connections."""
        self.workers.close()
        self.environments.close()
        self.host_process.close()
        if self.source is not None:
            self.source.close()
