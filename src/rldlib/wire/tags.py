"""Typed values that JSON lacks: how each is written in a tag, and read again.

The classes are found by name, so that nothing is imported for a type that
nobody uses: a value of it cannot exist before its module was imported.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime as dt
    import decimal
    import uuid
    from collections.abc import Callable
    from typing import Any

# The key that makes a dict a tag.
TAG = "$"
# How deep a message may nest as it is written, the message and its tags included.
MAX_DEPTH = 100


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"a text was due, and a {type(value).__name__} came")
    return value


def _decimal(text: Any) -> decimal.Decimal:
    from decimal import Decimal

    return Decimal(_text(text))


def _datetime(text: Any) -> dt.datetime:
    from datetime import datetime

    return datetime.fromisoformat(_text(text))


def _date(text: Any) -> dt.date:
    from datetime import date

    return date.fromisoformat(_text(text))


def _time(text: Any) -> dt.time:
    from datetime import time

    return time.fromisoformat(_text(text))


def _timedelta(days: Any, seconds: Any, microseconds: Any) -> dt.timedelta:
    from datetime import timedelta

    return timedelta(days, seconds, microseconds)


def _uuid(text: Any) -> uuid.UUID:
    from uuid import UUID

    return UUID(_text(text))


# Qualified name of the class -> the tag's content. Subclasses are written as these.
WRITERS: dict[str, Callable[[Any], list[Any]]] = {
    "decimal.Decimal": lambda value: ["decimal", str(value)],
    "datetime.datetime": lambda value: ["datetime", value.isoformat()],
    "datetime.date": lambda value: ["date", value.isoformat()],
    "datetime.time": lambda value: ["time", value.isoformat()],
    "datetime.timedelta": lambda value: ["timedelta", value.days, value.seconds, value.microseconds],
    "uuid.UUID": lambda value: ["uuid", value.hex],
}
# The tag's code -> its reader. A reader raises ValueError, TypeError or ArithmeticError on foul content.
READERS: dict[str, Callable[..., Any]] = {
    "decimal": _decimal,
    "datetime": _datetime,
    "date": _date,
    "time": _time,
    "timedelta": _timedelta,
    "uuid": _uuid,
}
