"""What an asker takes: the ``Accept`` header (RFC 9110, 12.5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_RANGES: Final = 64


def quality(accept: str | None, media_type: str) -> float:
    """How welcome a media type is, 0 to 1; 0 where it is not taken. Its parameters do not matter."""
    if accept is None or not accept.strip():
        return 1.0
    wanted = media_type.partition(";")[0].strip().lower()
    kinds: Sequence[str] = ("*/*", f"{wanted.partition('/')[0]}/*", wanted)
    best = (-1, 0.0)
    for part in accept.split(",", _MOST_RANGES)[:_MOST_RANGES]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name in kinds:
            # The most exact range that fits decides.
            best = max(best, (kinds.index(name), _weight(parameters)))
    return best[1]


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0
