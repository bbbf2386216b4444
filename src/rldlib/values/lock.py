"""The exact wheels of one service for one kind of interpreter."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedWheel:
    """One wheel, pinned.

    Attributes:
        name: Normalised distribution name.
        version: Its version, as text.
        filename: The wheel's file name.
        locator: URL or absolute path where it was found.
        sha256: The hash of the whole file, in hex.
        size: Its size in bytes.
    """

    name: str
    version: str
    filename: str
    locator: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What an environment consists of: nothing but this is installed.

    Attributes:
        service: The service.
        version: Its version, as text.
        distribution: The distribution that carries it; one of the wheels.
        source: The index or directory it was resolved from.
        interpreter: The label of the interpreters it holds for.
        wheels: Every wheel, sorted by name.
    """

    service: str
    version: str
    distribution: str
    source: str
    interpreter: str
    wheels: tuple[LockedWheel, ...]

    @property
    def digest(self) -> str:
        """Hex sha256 over what is installed and for whom; where it came from does not count."""
        content = [self.service, self.version, self.interpreter]
        content += [f"{wheel.filename} {wheel.sha256}" for wheel in self.wheels]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @property
    def download_bytes(self) -> int:
        """What fetching every wheel costs, in bytes."""
        return sum(wheel.size for wheel in self.wheels)

    @property
    def carrier(self) -> LockedWheel:
        """The wheel that carries the service itself."""
        return next(wheel for wheel in self.wheels if wheel.name == self.distribution)
