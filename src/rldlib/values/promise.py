"""Room set aside for one worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What one worker was promised, as every process of the host reads it.

    Attributes:
        id: Unique on this host.
        service: The service it was promised to.
        version: Its version.
        root: Absolute path of the daemon's root.
        host_pid: The process that asked; told to people, never used to judge life.
        memory_bytes: Memory set aside.
        disk_bytes: Disk set aside, below `root`.
        cpu_idle_rcu: Processor capacity set aside.
        environment: Digest of the environment in use; collection spares it.
        wheels: Hashes of the wheels in use; collection spares them.
        worker_pid: The worker's process, once there is one; its use is taken
            off the promise.
        since: When it was made, an RFC 3339 instant.
    """

    id: str
    service: str
    version: str
    root: str
    host_pid: int
    memory_bytes: int
    disk_bytes: int
    cpu_idle_rcu: int
    environment: str = ""
    wheels: tuple[str, ...] = ()
    worker_pid: int | None = None
    since: str = ""

    @property
    def is_readable(self) -> bool:
        """Whether anything but the figures is known; if not, collection must spare everything."""
        return bool(self.root)

    def facts(self) -> dict[str, Any]:
        """The promise as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
