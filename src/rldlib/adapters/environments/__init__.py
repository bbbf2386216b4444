"""Virtualenvs, each for one lock on one interpreter, immutable once complete.

An environment is keyed by what goes in it, built beside its place under a lock
that dies with its holder, and renamed into place when everything is in it, its
marker last. What has the name is complete, unless the power was cut before it
was on the disk: then its marker tells.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rldlib.adapters.environments.flushing import Flushing, boot, marker
from rldlib.adapters.files import (
    REAL,
    HostLock,
    erase,
    flush_tree,
    make_apart,
    publish,
    remove_tree,
    storage_errors,
    write_file,
)
from rldlib.values.places import ENVIRONMENT_MARKER, Places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldlib.adapters.files import FileSystem
    from rldlib.ports import Store
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock

# How long another process may build the same environment before we say so.
_BUILD_DEADLINE_S: Final = 600
# What changes when environments are built in another way.
_FORMAT: Final = 1


class Environments:
    """See `rldlib.ports.Environments`."""

    def __init__(
        self, root: Path, host_dir: Path, *, files: FileSystem = REAL, flush_after_s: float | None = None
    ) -> None:
        """Name the folders; nothing is made before something is built.

        Args:
            root: The daemon's root.
            host_dir: Where one skeleton per interpreter is kept for all roots.
            files: The file system.
            flush_after_s: How long after a build it is flushed, in a thread of its own; None is never.
        """
        self._places = Places(root)
        self._host_dir = host_dir
        self._files = files
        self._folder = str(self._places.folder("environment"))
        self._flushing = Flushing(self._places, files=files, later_s=flush_after_s)

    def close(self) -> None:
        """End what goes on in the background."""
        self._flushing.close()

    def digest(self, lock: Lock, interpreter: Interpreter) -> str:
        """See `Environments.digest`."""
        executable = os.path.realpath(interpreter.executable)
        content = [_FORMAT, lock.digest, executable, str(interpreter.version), interpreter.label]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def find(self, digest: str) -> Path | None:
        """See `Environments.find`."""
        place = f"{self._folder}/{digest}"
        return Path(place) if self._flushing.is_complete(place, digest) else None

    def build(self, lock: Lock, interpreter: Interpreter, store: Store) -> Path:
        """See `Environments.build`."""
        digest = self.digest(lock, interpreter)
        lock_path = self._places.lock("environment", digest)
        with HostLock(lock_path, deadline_s=_BUILD_DEADLINE_S, files=self._files):
            found = self.find(digest)
            if found is not None:
                return found
            # Nobody collects the images from under us.
            with HostLock(
                self._places.building, deadline_s=_BUILD_DEADLINE_S, shared=True, files=self._files
            ):
                built = self._build(digest, lock, interpreter, store)
        self._flushing.later(digest)
        return built

    def verify(self, environment: Path) -> Sequence[str]:
        """See `Environments.verify`."""
        from rldlib.adapters.environments.verification import damaged_files

        return damaged_files(environment)

    def renew(self, lock: Lock, interpreter: Interpreter, store: Store) -> Sequence[str]:
        """See `Environments.renew`."""
        digest = self.digest(lock, interpreter)
        lock_path = self._places.lock("environment", digest)
        with HostLock(lock_path, deadline_s=_BUILD_DEADLINE_S, files=self._files):
            place = self.find(digest)
            # Another process may have renewed it, or removed it, meanwhile.
            damaged = [ENVIRONMENT_MARKER] if place is None else self.verify(place)
            if damaged:
                with HostLock(
                    self._places.building, deadline_s=_BUILD_DEADLINE_S, shared=True, files=self._files
                ):
                    self._build(digest, lock, interpreter, store)
        if damaged:
            self._flushing.later(digest)
        return damaged

    def _build(self, digest: str, lock: Lock, interpreter: Interpreter, store: Store) -> Path:
        from rldlib.adapters.environments.installation import Installation
        from rldlib.adapters.environments.precompiled import lay_bytecode
        from rldlib.adapters.environments.skeletons import Skeletons

        place = self._places.place("environment", digest)
        beside = self._places.beside("environment", digest)
        images = [store.image(wheel) for wheel in lock.wheels]
        erase(beside)  # what a killed process left
        try:
            with storage_errors(beside):
                skeleton = Skeletons(self._host_dir, files=self._files).of(interpreter)
                self._places.aside.mkdir(parents=True, exist_ok=True)
                make_apart(beside, files=self._files)
                skeleton.lay_out(str(beside), files=self._files)
                installation = Installation(beside, place, skeleton, files=self._files)
                for wheel, image in zip(lock.wheels, images, strict=True):
                    installation.install(wheel, image, store)
                kept = [store.bytecode(wheel, interpreter.label) for wheel in lock.wheels]
                listed = lay_bytecode(str(beside), skeleton.site, filter(None, kept), files=self._files)
                told = _marker(lock, interpreter, bytecode=listed)
                write_file(str(beside / ENVIRONMENT_MARKER), told, files=self._files)
                if boot() is None:
                    flush_tree(str(beside), files=self._files)
            # Not before: whoever runs in a damaged one keeps what is left of it until then.
            remove_tree(place, self._places.aside, files=self._files)
            publish(beside, place, files=self._files)
        finally:
            erase(beside)
        return place


def _marker(lock: Lock, interpreter: Interpreter, *, bytecode: str | None) -> bytes:
    facts = {
        "service": lock.service,
        "version": lock.version,
        "lock": lock.digest,
        "interpreter": str(interpreter),
        "wheels": {wheel.filename: wheel.sha256 for wheel in lock.wheels},
        "bytecode": bytecode,
    }
    return marker(facts)
