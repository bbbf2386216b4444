"""What the answers of a responder pinned: the only files that it gives away by hash.

It is known from the answers of this process, and from what its domain signed
before: who was answered yesterday fetches today.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rldlib.errors import IntegrityError, ServiceNotFoundError
from rldlib.values.document import parse_profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rldlib.outside import Outside
    from rldlib.ports import Authority, Source
    from rldlib.values.lock import Lock, LockedWheel
    from rldlib.values.profile import ResourceProfile

# Where signed locks say that their files are, on the responder itself.
BLOBS: Final = "/blobs/sha256/"
_PROFILES: Final = "profiles/"
_LOCKS: Final = "locks/"


class Pinned:
    """Wheels and data resources by hash, and whose they are. Safe for many threads.

    Args:
        outside: The ports of its daemon.
        authority: Knows what was signed before this process began, and by others of the same root.
    """

    def __init__(self, outside: Outside, authority: Authority) -> None:
        self._out = outside
        self._authority = authority
        self._guard = threading.Lock()
        self._wheels: dict[str, LockedWheel] = {}
        self._data: dict[str, int] = {}
        self._services: dict[str, set[str]] = defaultdict(set)
        # Signed targets that were read: the hash of each by its name.
        self._read: dict[str, str] = {}

    def add(self, profile: ResourceProfile, locks: Iterable[Lock]) -> None:
        """Keep what an answer pins."""
        with self._guard:
            self._add_profile(profile)
            for lock in locks:
                self._add_lock(lock)

    def services(self, sha256: str) -> frozenset[str]:
        """The services that a file was pinned for; none where it never was.

        Raises:
            StorageError: What was signed before cannot be read.
        """
        with self._guard:
            if sha256 not in self._services:
                self._add_signed()
            return frozenset(self._services.get(sha256, ()))

    def file(self, sha256: str) -> Path | None:
        """The verified file; None where it was never pinned.

        Raises:
            SourceUnavailableError: It must be fetched first, and cannot be had now.
            MismatchError: What the source has now is not what was pinned.
        """
        source = self._out.source
        if source is None or not self.services(sha256):
            return None
        with self._guard:
            wheel, size = self._wheels.get(sha256), self._data.get(sha256)
        if wheel is not None:
            return self._out.store.wheel(sha256) or self._out.store.add(_located(wheel, source), source)
        return self._out.store.blob(sha256, size, source) if size is not None else None

    def _add_profile(self, profile: ResourceProfile) -> None:
        for resource in profile.resources:
            if resource.sha256 is not None and resource.size is not None:
                self._data[resource.sha256] = resource.size
                self._services[resource.sha256].add(profile.service)

    def _add_lock(self, lock: Lock) -> None:
        for wheel in lock.wheels:
            self._services[wheel.sha256].add(lock.service)
            # One that a signed lock told lies here; only the source knows where it came from.
            if wheel.sha256 not in self._wheels or not wheel.locator.startswith(BLOBS):
                self._wheels[wheel.sha256] = wheel

    def _add_signed(self) -> None:
        """Read what was signed since it was last looked at."""
        signed: Mapping[str, str] = self._authority.published()
        for name, sha256 in signed.items():
            if self._read.get(name) == sha256:
                continue
            folder, _, base = name.rpartition("/")
            data = self._authority.target(f"{folder}/{sha256}.{base}")
            self._read[name] = sha256
            if data is None:
                continue
            try:
                if name.startswith(_PROFILES):
                    self._add_profile(parse_profile(data, source=name))
                elif name.startswith(_LOCKS):
                    self._add_lock(self._out.holdings.read(data.decode()))
            except (IntegrityError, UnicodeDecodeError):
                # A later rldlib signed it, or it is damaged: it pins nothing that this one could tell.
                continue


def _located(wheel: LockedWheel, source: Source) -> LockedWheel:
    """The wheel with the place that the source has it at, where only its signed lock is known."""
    if not wheel.locator.startswith(BLOBS):
        return wheel
    for file in source.project(wheel.name) or ():
        if file.filename == wheel.filename:
            return replace(wheel, locator=file.locator)
    raise ServiceNotFoundError(wheel.name, source.identity, f"{wheel.filename} was pinned, and is gone there")
