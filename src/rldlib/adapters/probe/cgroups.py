"""Limits that control groups set, of version 1 and 2, along the whole hierarchy.

Every ancestor counts: the tightest limit is often not on the group that the
process is in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rldlib.values.measurement import MemoryLevel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldlib.adapters.probe.tree import Tree

# Version 1 says "no limit" as the largest multiple of a page.
_UNLIMITED = 2**60


class _Mount(NamedTuple):
    """One line of mountinfo that is a hierarchy of groups."""

    controllers: frozenset[str]
    root: str
    point: str
    unified: bool


class Cgroups:
    """The groups that this process is in."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._mounts: tuple[_Mount, ...] | None = None

    def memory_levels(self) -> list[MemoryLevel]:
        """One level for each group that limits memory.

        Raises:
            OSError: A group's file is there and cannot be read.
            ValueError: It does not say what it should.
        """
        levels = []
        for folder, unified in self._folders("memory"):
            limit = self._memory_limit(folder, unified=unified)
            if limit is not None:
                used = self._memory_used(folder, unified=unified)
                levels.append(MemoryLevel(name=f"cgroup /{folder}", limit_bytes=limit, used_bytes=used))
        return levels

    def quota_threads(self) -> float | None:
        """How many hardware threads' time the groups allow; None where they set no quota.

        Raises:
            OSError: As `memory_levels`.
            ValueError: As `memory_levels`.
        """
        quotas = []
        for folder, unified in self._folders("cpu"):
            if unified:
                quota, _, period = (self._tree.find(f"{folder}/cpu.max") or "max 0").strip().partition(" ")
            else:
                quota = (self._tree.find(f"{folder}/cpu.cfs_quota_us") or "-1").strip()
                period = (self._tree.find(f"{folder}/cpu.cfs_period_us") or "0").strip()
            if quota not in {"max", "-1"}:
                if int(period) < 1 or int(quota) < 0:
                    raise ValueError(f"/{folder} sets a quota of {quota} us in a period of {period} us")
                quotas.append(int(quota) / int(period))
        return min(quotas, default=None)

    def _memory_limit(self, folder: str, *, unified: bool) -> int | None:
        # Above memory.high a group is slowed until it stands still: a limit all the same.
        names = ("memory.max", "memory.high") if unified else ("memory.limit_in_bytes",)
        found = [text.strip() for name in names if (text := self._tree.find(f"{folder}/{name}")) is not None]
        limits = [int(text) for text in found if text != "max"]
        return min((limit for limit in limits if limit < _UNLIMITED), default=None)

    def _memory_used(self, folder: str, *, unified: bool) -> int:
        used = int(self._tree.read(f"{folder}/" + ("memory.current" if unified else "memory.usage_in_bytes")))
        # File pages not in use are given back before anything is refused.
        key = "inactive_file" if unified else "total_inactive_file"
        for line in (self._tree.find(f"{folder}/memory.stat") or "").splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return max(0, used - int(value))
        return used

    def _folders(self, controller: str) -> Iterator[tuple[str, bool]]:
        """Folders of this process's groups that may limit `controller`, up to the mount's root."""
        if self._mounts is None:
            self._mounts = tuple(_mounts(self._tree.find("proc/self/mountinfo") or ""))
        groups = [line.split(":", 2) for line in (self._tree.find("proc/self/cgroup") or "").splitlines()]
        for mount in self._mounts:
            if not mount.unified and controller not in mount.controllers:
                continue
            for _, named, path in (group for group in groups if len(group) == 3):
                if (not named) if mount.unified else (controller in named.split(",")):
                    for folder in _upwards(mount, path):
                        yield folder, mount.unified


def _mounts(mountinfo: str) -> Iterator[_Mount]:
    """See proc_pid_mountinfo(5): the optional fields end with a lone hyphen."""
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if separator and len(fields) > 4 and len(kind) > 2 and kind[0] in {"cgroup", "cgroup2"}:
            yield _Mount(
                controllers=frozenset(kind[2].split(",")),
                root=fields[3].strip("/"),
                point=fields[4].strip("/"),
                unified=kind[0] == "cgroup2",
            )


def _upwards(mount: _Mount, path: str) -> Iterator[str]:
    """The group's folder and those above it.

    A container often sees its own group mounted as the root, and its path as
    the host does; a group outside the mount (``/..``) is seen as the root.
    """
    parts = path.strip("/").split("/")
    root = mount.root.split("/") if mount.root else []
    if root and parts[: len(root)] == root:
        parts = parts[len(root) :]
    elif root or ".." in parts:
        parts = []
    while parts and parts != [""]:
        yield "/".join((mount.point, *parts))
        parts = parts[:-1]
    yield mount.point
