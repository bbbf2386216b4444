"""Whether this host can hold a service; if not, what is lacking and what would fit.

Admission is decided by what is promised, never by momentary load: a service
that is idle now was still promised its peak.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rldlib.values.room import Alternative, Shortfall

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rldlib.values.profile import Demand, ResourceProfile
    from rldlib.values.room import Room

# The same version on this host is nearer than another version of it here,
# and that is nearer than the same version elsewhere.
_NEAREST_FIRST = ("interpreter", "version", "remote")
# What `Demand` and `Room` call one thing differently.
_ROOM_FIELDS = {"memory_peak_bytes": "memory_bytes", "gpu.memory_bytes": "gpu_memory_bytes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something that may fit where the wish does not.

    Attributes:
        alternative: How it is proposed.
        demand: What it asks of this host; None where it asks nothing here (remote).
        room: The room it would have, where that is another than the wish's:
            a faster interpreter scores higher.
        download_bytes: What fetching it costs, where that is known exactly.
    """

    alternative: Alternative
    demand: Demand | None = None
    room: Room | None = None
    download_bytes: int | None = None


def shortfalls(
    demand: Demand, room: Room, *, download_bytes: int | None = None, disk_bytes: int | None = None
) -> tuple[Shortfall, ...]:
    """Name every resource that falls short; an empty tuple admits the service.

    All of them, not the first: whoever frees memory should not learn only
    afterwards that the disk is full too. What could not be measured is
    refused where it is demanded, and only there. `Demand.threads` is no
    amount of the host's: calls beyond its hardware threads take turns.

    Args:
        demand: What the profile asks.
        room: What the host has left.
        download_bytes: What is really to be fetched, once the lock says so;
            None takes the profile's figure.
        disk_bytes: Likewise for what is to be installed.
    """
    download = demand.download_bytes if download_bytes is None else download_bytes
    installed = demand.disk_bytes if disk_bytes is None else disk_bytes
    gpu_memory = demand.gpu.memory_bytes if demand.gpu is not None else 0
    compared = (
        ("memory_peak_bytes", max(demand.memory_start_bytes, demand.memory_peak_bytes), room.memory_bytes),
        # Wheels are kept beside the environment that is made of them.
        ("disk_bytes", installed + download, room.disk_bytes),
        ("cpu_idle_rcu", demand.cpu_idle_rcu, room.cpu_idle_rcu),
        ("open_files", demand.open_files, room.open_files),
        ("gpu.memory_bytes", gpu_memory, room.gpu_memory_bytes or 0),
    )
    # Exactly enough is enough: headroom was taken off when the room was made.
    amounts = tuple(
        Shortfall(resource, needed, _available(room, resource, has))
        for resource, needed, has in compared
        if needed > has
    )
    return amounts + tuple(_names_missing(demand, room))


def _names_missing(demand: Demand, room: Room) -> Iterator[Shortfall]:
    for name in dict.fromkeys(demand.hardware):
        if name.lower() not in room.hardware:
            yield Shortfall("hardware", name, _available(room, "hardware", ", ".join(sorted(room.hardware))))
    devices = list(dict.fromkeys(demand.devices))
    if demand.gpu is not None and room.gpu_memory_bytes is None and "gpu" not in devices:
        devices.append("gpu")
    for name in devices:
        if name.lower() not in room.devices:
            yield Shortfall("devices", name, _available(room, "devices", ", ".join(sorted(room.devices))))


def _available(room: Room, resource: str, has: int | str) -> int | str:
    reason = room.failed.get(_ROOM_FIELDS.get(resource, resource))
    return has if reason is None else f"an unknown amount ({reason})"


def alternative(
    service: str,
    versions: Sequence[ResourceProfile],
    room: Room,
    *,
    others: Sequence[Candidate] = (),
) -> Alternative | None:
    """The nearest thing that would fit; None where nothing offered does.

    Args:
        service: The service that was refused.
        versions: Profiles of its other versions, the nearest first.
        room: The room that the wish was measured against.
        others: Further candidates: other interpreters, a responder. Within
            one kind the nearest comes first.
    """
    offered = [
        Candidate(
            alternative=Alternative("version", profile.version, f"ask for '{service}=={profile.version}'"),
            demand=profile.demand,
        )
        for profile in versions
    ]
    fitting = [candidate.alternative for candidate in (*offered, *others) if _fits(candidate, room)]
    # `min` keeps the first of equals, and so the order within a kind.
    return min(fitting, key=lambda one: _NEAREST_FIRST.index(one.kind), default=None)


def _fits(candidate: Candidate, room: Room) -> bool:
    if candidate.demand is None:
        return True
    return not shortfalls(candidate.demand, candidate.room or room, download_bytes=candidate.download_bytes)
