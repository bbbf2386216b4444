"""Removes from a root what no living promise names, while others build there.

Whoever builds holds the lock of what it builds, and shares the lock of all
that builds; whoever runs holds a promise that names what it uses. The first is
skipped, the second spared. Call
it within the admission of promises, so that none is made between the reading
of the promises and the removal.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rldlib.adapters.files import REAL, HostLock, erase, remove_tree, storage_errors, sweep
from rldlib.values.places import ENVIRONMENT_MARKER, KINDS, Places, built_thing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from rldlib.adapters.files import FileSystem
    from rldlib.values.lock import Lock
    from rldlib.values.places import Kind
    from rldlib.values.promise import Promise

_BLOCK_BYTES: Final = 512


@dataclass(slots=True)
class Collected:
    """What was removed.

    Attributes:
        removed: Every path, in the order of removal.
        freed_bytes: What it took on the disk.
    """

    removed: list[Path] = field(default_factory=list)
    freed_bytes: int = 0


def collect(root: Path, promises: Sequence[Promise], *, files: FileSystem = REAL) -> Collected:
    """Remove every environment, image with its bytecode, wheel and blob that no promise of this root names.

    What killed processes left half-built is removed as well.

    Raises:
        StorageError: Something could not be removed; what was is gone whole.
    """
    used = _Used(root, promises)
    collection = _Collection(Places(root), files)
    collection.remove_environments(used.spares)
    collection.remove_parts(KINDS[1:], used.spares)
    collection.clear_aside()
    collection.clear_pins()
    return collection.collected


class Remains:
    """See `rldlib.ports.Remains`."""

    def __init__(self, root: Path, *, files: FileSystem = REAL) -> None:
        self._root = root
        self._files = files

    def remove(
        self, locks: Sequence[Lock], others: Sequence[Lock], promises: Sequence[Promise]
    ) -> dict[str, Any]:
        """See `Remains.remove`."""
        used = _Used(self._root, promises)
        pinned = {lock.digest for lock in others}
        needed = {wheel.sha256 for lock in others for wheel in lock.wheels}
        mine = {wheel.sha256 for lock in locks for wheel in lock.wheels} - needed
        digests = {lock.digest for lock in locks} - pinned
        places = Places(self._root)
        environments = {
            key
            for key in _names(places.folder("environment"))
            if _lock_of(places.place("environment", key)) in digests
        }
        collection = _Collection(places, self._files)
        mentioned = environments | mine

        def spares(kind: Kind, key: str) -> bool:
            return key not in mentioned or used.spares(kind, key)

        collection.remove_environments(spares)
        collection.remove_parts(("image", "wheel", "bytecode"), spares)
        return {
            "removed": [str(path) for path in collection.collected.removed],
            "freed_bytes": collection.collected.freed_bytes,
        }


class _Used:
    """What the living promises of one root name."""

    def __init__(self, root: Path, promises: Sequence[Promise]) -> None:
        real = os.path.realpath(root)
        own = [promise for promise in promises if os.path.realpath(promise.root) == real]
        self._environments = {promise.environment for promise in own}
        self._wheels = {sha256 for promise in own for sha256 in promise.wheels}
        self._any = bool(own)
        # A damaged promise still holds its room; what else it holds, nobody knows.
        self._unknown = any(not promise.is_readable for promise in promises)

    def spares(self, kind: Kind, key: str) -> bool:
        """Whether a thing is in use, or may be."""
        if self._unknown:
            return True
        match kind:
            case "environment":
                return key in self._environments
            case "image" | "wheel" | "bytecode":
                return key in self._wheels
            case "blob":
                # A promise does not name its data, so that any promise may use any of it.
                return self._any


class _Collection:
    """Removes, and counts what it removed."""

    def __init__(self, places: Places, files: FileSystem) -> None:
        self._places = places
        self._files = files
        self.collected = Collected()

    def remove_environments(self, spares: Callable[[Kind, str], bool]) -> None:
        """Remove those that are not spared."""
        self._remove_unless("environment", spares)

    def remove_parts(self, kinds: Sequence[Kind], spares: Callable[[Kind, str], bool]) -> None:
        """Remove what environments are made of, unless one is being made right now."""
        alone = HostLock(self._places.building, files=self._files)
        if self._places.root.exists() and alone.attempt():
            try:
                for kind in kinds:
                    self._remove_unless(kind, spares)
            finally:
                alone.release()

    def _remove_unless(self, kind: Kind, spares: Callable[[Kind, str], bool]) -> None:
        for key in _names(self._places.folder(kind)):
            if not spares(kind, key):
                self._remove(kind, key, self._places.place(kind, key))

    def clear_aside(self) -> None:
        """What a killed process left: half-built, or half-removed."""
        for name in _names(self._places.aside):
            path = self._places.aside / name
            thing = built_thing(name)
            if thing is not None:
                self._remove(*thing, path)
            else:
                self._count(path, erase)

    def clear_pins(self) -> None:
        """What a process left that was killed while it pinned a lock."""
        for version in self._places.root.glob("services/*/*"):
            self.collected.removed += map(Path, sweep(version, files=self._files))

    def _remove(self, kind: Kind, key: str, path: Path) -> None:
        lock = HostLock(self._places.lock(kind, key), files=self._files)
        if lock.attempt():  # else somebody builds or repairs it right now
            try:
                self._count(path, lambda path: remove_tree(path, self._places.aside, files=self._files))
            finally:
                lock.release()

    def _count(self, path: Path, remove: Callable[[Path], None]) -> None:
        size = _size(path)
        remove(path)
        self.collected.removed.append(path)
        self.collected.freed_bytes += size


def _names(folder: Path) -> list[str]:
    with storage_errors(folder):
        try:
            return sorted(entry.name for entry in os.scandir(folder))
        except FileNotFoundError:
            return []


def _lock_of(environment: Path) -> str | None:
    try:
        return str(json.loads((environment / ENVIRONMENT_MARKER).read_bytes())["lock"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not complete, or damaged: nobody's


def _size(path: Path) -> int:
    """What a file or folder takes on the disk; what goes meanwhile counts nothing."""
    total = 0
    for each in _below(path):
        try:
            total += each.lstat().st_blocks * _BLOCK_BYTES
        except FileNotFoundError:
            continue
    return total


def _below(path: Path) -> Iterator[Path]:
    yield path
    for place, folders, names in os.walk(path):
        yield from (Path(place) / name for name in (*folders, *names))
