"""Values as plain JSON, the way the command line and HTTP show them."""

from __future__ import annotations

import base64
import datetime as dt
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

# The one key of the object that stands for bytes.
BASE64 = "$base64"


def plain(value: Any) -> Any:
    """The value as JSON has it: what `rld --json` prints.

    Raises:
        TypeError: JSON has nothing for it.
    """
    if value is None or type(value) in {bool, int, float, str}:
        return value
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return write(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        return plain(value.tolist())
    raise TypeError(f"JSON has nothing for a {type(value).__name__}")


def _bytes(value: Any) -> Any:
    if isinstance(value, memoryview) and (value.format != "B" or value.ndim != 1):
        return value.tolist()
    return {BASE64: base64.b64encode(value).decode("ascii")}


def _iso(value: dt.timedelta) -> str:
    sign, value = ("-", -value) if value < dt.timedelta() else ("", value)
    seconds = Decimal(value.seconds) + Decimal(value.microseconds) / 1_000_000
    return f"{sign}P{value.days}DT{seconds.normalize() if value.microseconds else value.seconds}S"


# The first that fits: an enumeration may be a str as well.
_WRITERS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: plain(value.value)),
    (dict, lambda value: {str(key): plain(item) for key, item in value.items()}),
    ((list, tuple), lambda value: [plain(item) for item in value]),
    ((Decimal, UUID), str),
    ((dt.date, dt.time), lambda value: value.isoformat()),
    (dt.timedelta, _iso),
    ((bytes, bytearray, memoryview), _bytes),
    (int, int),
    (float, float),
    (str, str.__str__),
)
