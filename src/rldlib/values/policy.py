"""What this host's owner decided, whatever a profile says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rldlib.values.profile import AfterUse

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The host's own limits and exceptions.

    Attributes:
        memory_headroom_bytes: Memory that is never promised.
        disk_headroom_bytes: Disk that is never promised.
        cpu_headroom_rcu: Processor capacity that is never promised.
        memory_limit_bytes: What all promises together may come to; None is what the machine has.
        disk_limit_bytes: Likewise for the disk.
        cpu_limit_rcu: Likewise for processor capacity.
        after_use: What becomes of services here; the stricter of this and the profile's wins.
        gate_allow: Exceptions from the wheel gate, each ``sha256:KIND``: one exact file, one fault.
        prereleases: Whether versions marked as previews are taken.
        resolver: ``auto`` resolves in process and asks pip for the rest; ``pip`` always asks pip.
        fork_workers: Whether workers of this process's own interpreter are forked from one that has been
            started, which is faster; otherwise each is executed, and shares with no other its seed of hashes
            and its layout of memory.
        downloads: How many files are fetched at once.
        bytecode_wait_s: How long a daemon that is closed waits for bytecode that it makes for later starts.
    """

    memory_headroom_bytes: int = 256 * _MIB
    disk_headroom_bytes: int = 256 * _MIB
    cpu_headroom_rcu: int = 0
    memory_limit_bytes: int | None = None
    disk_limit_bytes: int | None = None
    cpu_limit_rcu: int | None = None
    after_use: AfterUse | None = None
    gate_allow: frozenset[str] = frozenset()
    prereleases: bool = False
    resolver: str = "auto"
    fork_workers: bool = True
    downloads: int = 8
    bytecode_wait_s: float = 2.0
