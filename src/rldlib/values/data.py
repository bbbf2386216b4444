"""The bytes of a file as decisions see them: of any length, read where they are looked at."""

from __future__ import annotations

from typing import Protocol


class Data(Protocol):
    """As `bytes`, of which it asks for the length and for parts."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, part: slice, /) -> bytes:
        """Some of them; what lies beyond the end is left out."""
        ...
