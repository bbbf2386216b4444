"""The wheels of one directory as an index tells them: hashes, sizes, METADATA, profiles."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rldlib.adapters.directory import Directory
from rldlib.errors import RldlibError
from rldlib.values.metadata import MalformedMetadataError, parse_metadata

if TYPE_CHECKING:
    from pathlib import Path

    from rldlib.values.wheel import WheelFile

# Of so many files METADATA and profile are kept at hand.
_KEPT_FILES = 20_000

_Mark = tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelvedWheel:
    """One file as its page tells it.

    Attributes:
        filename: Its name.
        version: Its version, as text.
        sha256: The hash of its bytes.
        size: How many they are.
        requires_python: From its METADATA; empty is any.
        metadata_sha256: The hash of its METADATA; None where that cannot be read.
        profile_sha256: Likewise for its resource profile.
    """

    filename: str
    version: str
    sha256: str
    size: int
    requires_python: str = ""
    metadata_sha256: str | None = None
    profile_sha256: str | None = None


class Shelf:
    """What is told of a directory. A file is read once for as long as it does not change."""

    def __init__(self, path: Path) -> None:
        self.directory = Directory(path)
        self.path = path
        self._told: OrderedDict[_Mark, ShelvedWheel] = OrderedDict()
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """The normalised names of all distributions, sorted."""
        return sorted(self.directory.names())

    def wheels(self, name: str) -> list[ShelvedWheel] | None:
        """The wheels of a distribution; None where there is none."""
        found = self.directory.project(name)
        if not found:
            return None
        told = (self._tell(wheel) for wheel in found)
        return [wheel for wheel in told if wheel is not None]

    def sibling(self, filename: str, suffix: str) -> bytes | None:
        """METADATA or profile of a file; None where it has none that can be read."""
        wheel = self._find(filename)
        if wheel is None:
            return None
        return self._metadata(wheel) if suffix == ".metadata" else self._profile(wheel)

    def has(self, filename: str) -> bool:
        """Whether there is such a wheel."""
        return self._find(filename) is not None

    def _find(self, filename: str) -> WheelFile | None:
        name = filename.partition("-")[0]
        return next(
            (wheel for wheel in self.directory.project(name) or () if wheel.filename == filename), None
        )

    def _tell(self, wheel: WheelFile) -> ShelvedWheel | None:
        try:
            found = os.stat(wheel.locator)  # noqa: PTH116 - asked of every wheel of a page
            mark = wheel.filename, found.st_size, found.st_mtime_ns
            with self._lock:
                told = self._told.get(mark)
            if told is None:
                told = self._read(wheel)
                with self._lock:
                    self._told[mark] = told
                    while len(self._told) > _KEPT_FILES:
                        self._told.popitem(last=False)
        except (OSError, RldlibError):
            # Gone, or not to be read: it is not on the page.
            return None
        return told

    def _read(self, wheel: WheelFile) -> ShelvedWheel:
        pinned = self.directory.pin(wheel)
        metadata, profile = self._metadata(wheel), self._profile(wheel)
        return ShelvedWheel(
            filename=wheel.filename,
            version=str(wheel.version),
            sha256=pinned.sha256 or "",
            size=pinned.size or 0,
            requires_python=_requires_python(metadata),
            metadata_sha256=None if metadata is None else hashlib.sha256(metadata).hexdigest(),
            profile_sha256=None if profile is None else hashlib.sha256(profile).hexdigest(),
        )

    def _metadata(self, wheel: WheelFile) -> bytes | None:
        try:
            return self.directory.metadata(wheel)
        except RldlibError:
            return None

    def _profile(self, wheel: WheelFile) -> bytes | None:
        try:
            return self.directory.profile(wheel)
        except RldlibError:
            return None


def _requires_python(metadata: bytes | None) -> str:
    try:
        return str(parse_metadata(metadata).requires_python) if metadata is not None else ""
    except MalformedMetadataError:
        return ""
