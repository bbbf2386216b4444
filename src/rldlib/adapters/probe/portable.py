"""The same figures by psutil, for systems without the kernel files that Linux has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rldlib.values.measurement import MemoryLevel

if TYPE_CHECKING:
    import psutil


def memory_levels() -> list[MemoryLevel]:
    """The machine's memory."""
    import psutil

    memory = psutil.virtual_memory()
    return [MemoryLevel(name="machine", limit_bytes=memory.total, used_bytes=memory.total - memory.available)]


def memory_used(pid: int) -> int:
    """Resident memory of a process and its descendants, in bytes; 0 for one that is gone."""
    import psutil

    try:
        leader = psutil.Process(pid)
        family = [leader, *leader.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(map(_resident, family))


def _resident(process: psutil.Process) -> int:
    import psutil

    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
