"""One reason why the gate refuses a wheel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a wheel, and where.

    Attributes:
        kind: A short stable name, for example ``path-traversal``; exceptions name it.
        detail: What was found and where, for people.
    """

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"
