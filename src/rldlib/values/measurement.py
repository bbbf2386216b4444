"""What was read off a host, before anything is taken off it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rldlib.values.room import Room
    from rldlib.values.score import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLevel:
    """One limit that the memory of this process counts against.

    Attributes:
        name: ``machine``, or the control group that sets the limit.
        limit_bytes: The limit.
        used_bytes: What counts against it now and cannot be reclaimed.
    """

    name: str
    limit_bytes: int
    used_bytes: int

    def facts(self) -> dict[str, Any]:
        """The level as plain data."""
        return {"name": self.name, "limit_bytes": self.limit_bytes, "used_bytes": self.used_bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The figures that room is computed from.

    Attributes:
        memory: Every memory limit that holds here, the machine's first.
        worker_memory_bytes: By promise id, what its worker and the worker's
            descendants use of what `memory` counts as used.
        disk_free_bytes: What this user may still write where environments are kept.
        disk_elsewhere: Ids of promises whose root lies on another file system.
        threads: Hardware threads that may be used; a fraction under a quota.
        open_files: Descriptors a process may open.
        hardware: Names of hardware functions.
        devices: Names of device classes.
        gpu_memory_bytes: Free memory of the largest GPU; None where there is none.
        failed: By field of `Room`, why it could not be read; its figure is then 0 or empty.
        notes: How the figures were read, a line each, where that is not as usual.
    """

    memory: tuple[MemoryLevel, ...] = ()
    worker_memory_bytes: Mapping[str, int] = field(default_factory=dict)
    disk_free_bytes: int = 0
    disk_elsewhere: frozenset[str] = frozenset()
    threads: float = 0
    open_files: int = 0
    hardware: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    gpu_memory_bytes: int | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What this host is and has, for people and for a responder.

    Attributes:
        system: The operating system, for example ``Linux``.
        machine: Its architecture, for example ``x86_64``.
        processor: The processor, as the system names it.
        interpreter: The interpreter that `score` and `room` hold for.
        score: Its score.
        measurement: The figures as read.
        room: What is left for a new service.
    """

    system: str
    machine: str
    processor: str
    interpreter: str
    score: Score
    measurement: Measurement
    room: Room

    def facts(self) -> dict[str, Any]:
        """The host as plain data; never its name, its users or its secrets."""
        room = self.room
        return {
            "system": self.system,
            "machine": self.machine,
            "processor": self.processor,
            "interpreter": self.interpreter,
            "score": self.score.facts(),
            "memory": [level.facts() for level in self.measurement.memory],
            "threads": self.measurement.threads,
            "room": {
                "memory_bytes": room.memory_bytes,
                "disk_bytes": room.disk_bytes,
                "cpu_idle_rcu": room.cpu_idle_rcu,
                "threads": room.threads,
                "open_files": room.open_files,
                "score_rcu": room.score_rcu,
                "gpu_memory_bytes": room.gpu_memory_bytes,
            },
            "hardware": sorted(room.hardware),
            "devices": sorted(room.devices),
            "failed": dict(room.failed),
            "notes": list(room.notes),
        }
