"""What a process has of a distribution before a service comes into it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One distribution that a process imports from already.

    Attributes:
        version: Its version, as text; empty where its metadata tells none.
        where: Where it lies, or which service brought it.
        sha256: The hash of the wheel it came from; None where nobody knows any more.
    """

    version: str
    where: str
    sha256: str | None = None
