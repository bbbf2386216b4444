"""What the host has left, what is lacking, and what would fit instead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_KIB = 1024
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What this host could still give a new service, headroom and promises taken off.

    Attributes:
        memory_bytes: Memory, in bytes.
        disk_bytes: Space where environments are kept, in bytes.
        cpu_idle_rcu: Processor capacity, as a rate in RCU.
        threads: Hardware threads that may be used.
        open_files: Descriptors a worker may open.
        score_rcu: What one hardware thread scores, in RCU.
        hardware: Names of hardware functions it has, for example ``avx2``.
        devices: Names of device classes it has, for example ``usb``.
        gpu_memory_bytes: Memory of the largest usable GPU; None where there is none.
        notes: How the figures came about, a line each, for `why`.
        failed: By field of this class, why a figure could not be read; it is then 0 or empty.
    """

    memory_bytes: int
    disk_bytes: int
    cpu_idle_rcu: int
    threads: int
    open_files: int
    score_rcu: int
    hardware: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    gpu_memory_bytes: int | None = None
    notes: tuple[str, ...] = field(default=())
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One resource of which the host has less than the profile asks.

    Attributes:
        resource: The field of the profile's demand, for example ``memory_peak_bytes``.
        needed: What the profile asks: a figure, or a name for hardware and devices.
        available: What the host has: a figure, the names it has, or why it is unknown.
    """

    resource: str
    needed: int | str
    available: int | str

    def __str__(self) -> str:
        if isinstance(self.needed, int) and isinstance(self.available, int):
            short = told(self.resource, self.needed - self.available)
            return (
                f"{self.resource} needs {told(self.resource, self.needed)}, "
                f"this host has {told(self.resource, self.available)}: {short} short"
            )
        needed = told(self.resource, self.needed) if isinstance(self.needed, int) else self.needed
        return f"{self.resource} needs {needed}, this host has {self.available or 'none'}"

    def facts(self) -> dict[str, Any]:
        """The shortfall as plain data."""
        return {"resource": self.resource, "needed": self.needed, "available": self.available}


@dataclass(frozen=True, slots=True)
class Alternative:
    """The nearest thing that would fit where the wish does not.

    Attributes:
        kind: ``version``, ``interpreter`` or ``remote``.
        what: Which one, for example ``1.1.0``.
        command: What to run or write to have it, as text.
    """

    kind: str
    what: str
    command: str

    def __str__(self) -> str:
        return f"{self.kind} {self.what} would fit: {self.command}"

    def facts(self) -> dict[str, Any]:
        """The alternative as plain data."""
        return {"kind": self.kind, "what": self.what, "command": self.command}


def told(resource: str, amount: int) -> str:
    """An amount with its unit, for people: ``1.5 GiB (1,610,612,736 bytes)``."""
    if not resource.endswith("_bytes"):
        unit = " RCU" if resource.endswith("_rcu") else ""
        return f"{amount:,}{unit}"
    scaled, unit = float(amount), _UNITS[0]
    for unit in _UNITS:
        if abs(scaled) < _KIB or unit == _UNITS[-1]:
            break
        scaled /= _KIB
    return f"{amount:,} bytes" if unit == "bytes" else f"{scaled:.1f} {unit} ({amount:,} bytes)"
