"""Values and the JSON Schemas of operations: checked, read from plain JSON, and made plain.

The subset is what workers make of annotations. A schema comes from a worker:
what it says beyond the subset, or wrongly, is passed over, never trusted.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
import sys
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rldlib.values.plain import BASE64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_EXACT: dict[type, dict[str, str]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
}
_MAX_ISSUES = 20
_DURATION = re.compile(
    r"(?P<sign>[+-]?)P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?\Z"
)
# Format -> what a value of it is in Python, and what to write in its place.
_TYPED: dict[str, tuple[tuple[type, ...], str]] = {
    "decimal": ((Decimal, int), "a Decimal"),
    "date-time": ((dt.datetime,), "a datetime"),
    "date": ((dt.date,), "a date"),
    "time": ((dt.time,), "a time"),
    "duration": ((dt.timedelta,), "a timedelta"),
    "uuid": ((UUID,), "a UUID"),
}
_BYTES = (bytes, bytearray, memoryview)
_NAMES = {
    "string": "a str",
    "integer": "an int",
    "number": "a number",
    "boolean": "a bool",
    "null": "None",
    "array": "a list",
    "object": "a dict",
}


def fits(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Whether arguments certainly fit; False where only `check` can say.

    For what most calls are: no argument but known ones, of any value or of a plain type.
    """
    properties, required = schema.get("properties"), schema.get("required", ())
    if type(properties) is not dict or type(required) not in {list, tuple}:
        return False
    for name, value in arguments.items():
        wanted = properties.get(name)
        if wanted is None or (wanted != {} and wanted != _EXACT.get(type(value))):
            return False
    for name in required:  # noqa: SIM110 - a generator would cost more than what it looks at
        if name not in arguments:
            return False
    return True


def check(schema: Mapping[str, Any], value: Any, path: str = "") -> tuple[str, ...]:
    """Every issue of a typed value, with its path; an empty tuple where it fits.

    Values are those of Python: a Decimal, not its text, fits the format ``decimal``.
    """
    found = []
    for issue in _issues(schema, value, path):
        found.append(issue)
        if len(found) == _MAX_ISSUES:
            break
    return tuple(found)


def _issues(schema: Any, value: Any, path: str) -> Iterator[str]:
    if not schema or not isinstance(schema, dict):
        return
    if isinstance(value, Enum):
        value = value.value
    if "anyOf" in schema:
        yield from _any_of(schema["anyOf"], value, path)
    elif "enum" in schema:
        if not any(
            value == one and isinstance(value, bool) == isinstance(one, bool) for one in _list(schema["enum"])
        ):
            yield f"{_at(path)} is {_short(value)}; it is one of {', '.join(map(repr, _list(schema['enum'])))}"
    elif not _is(schema, value):
        yield f"{_at(path)} is {_short(value)} of type {type(value).__name__}; it takes {_wanted(schema)}"
    elif schema.get("type") == "object":
        yield from _object(schema, value, path)
    elif schema.get("type") == "array" and "x-numpy" not in schema:
        yield from _array(schema, value, path)


def _is(schema: Mapping[str, Any], value: Any) -> bool:
    kind = schema.get("type")
    if kind == "string":
        if "contentEncoding" in schema:
            return isinstance(value, _BYTES)
        known = _TYPED.get(str(schema.get("format")))
        if known is None:
            return isinstance(value, str)
        # A bool is an int, and a datetime is a date: neither is meant.
        exact = type(value) in known[0]
        return exact or (isinstance(value, known[0]) and not isinstance(value, (bool, dt.datetime)))
    test = _TESTS.get(str(kind))
    return test is None or test(schema, value)


_TESTS: dict[str, Callable[[Mapping[str, Any], Any], bool]] = {
    "integer": lambda _, value: isinstance(value, Integral) and not isinstance(value, bool),
    "number": lambda _, value: isinstance(value, Real) and not isinstance(value, bool),
    "boolean": lambda _, value: isinstance(value, bool),
    "null": lambda _, value: value is None,
    "array": lambda schema, value: (
        isinstance(value, (list, tuple)) or ("x-numpy" in schema and _is_array(value))
    ),
    "object": lambda _, value: isinstance(value, dict) or _is_instance(value),
}


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return isinstance(value, memoryview) or (numpy is not None and isinstance(value, numpy.ndarray))


def _is_instance(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _any_of(options: Any, value: Any, path: str) -> Iterator[str]:
    told = [check(option, value, path) for option in _list(options)]
    if told and all(told):
        # The option that came furthest says most: an issue deeper down beats one here.
        yield from max(told, key=lambda issues: max(issue.count(".") + issue.count("[") for issue in issues))


def _object(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    properties = _dict(schema.get("properties"))
    for name in _list(schema.get("required")):
        if isinstance(name, str) and name not in value:
            yield f"{_join(path, name)} is missing"
    additional = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            yield from _issues(properties[name], item, _join(path, name))
        elif additional is False:
            yield f"{_join(path, name)} is unknown; there is {', '.join(properties) or 'nothing'}"
        elif isinstance(additional, dict):
            yield from _issues(additional, item, _join(path, name))


def _array(schema: Mapping[str, Any], value: list[Any] | tuple[Any, ...], path: str) -> Iterator[str]:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if isinstance(least, int) and isinstance(most, int) and not least <= len(value) <= most:
        yield f"{_at(path)} has {len(value)} items; it takes {least if least == most else f'{least} to {most}'}"
        return
    prefix, rest = _list(schema.get("prefixItems")), schema.get("items")
    for index, item in enumerate(value):
        yield from _issues(prefix[index] if index < len(prefix) else rest, item, f"{path}[{index}]")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _at(path: str) -> str:
    return path or "the value"


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wanted(schema: Mapping[str, Any]) -> str:
    if "contentEncoding" in schema:
        return "bytes"
    if "x-numpy" in schema:
        return "a numpy array or a list"
    known = _TYPED.get(str(schema.get("format")))
    return known[1] if known else _NAMES.get(str(schema.get("type")), "something else")


# --- plain JSON ----------------------------------------------------------------


def convert(schema: Any, plain: Any, path: str = "") -> Any:
    """Read plain JSON as the typed value the schema means; it is not checked further.

    Decimals, instants, durations and UUIDs are read from text, bytes from
    ``{"$base64": "..."}``.

    Raises:
        ValueError: Something cannot be read; the text names its path.
    """
    if isinstance(plain, dict) and plain.keys() == {BASE64}:
        return _from_base64(plain[BASE64], path)
    if not isinstance(schema, dict):
        return plain
    if "anyOf" in schema:
        return _first(_list(schema["anyOf"]), plain, path)
    if isinstance(plain, dict):
        properties, additional = _dict(schema.get("properties")), schema.get("additionalProperties")
        return {
            name: convert(properties.get(name, additional), item, _join(path, name))
            for name, item in plain.items()
        }
    if isinstance(plain, list):
        prefix: list[Any] = _list(schema.get("prefixItems"))
        rest: Any = schema.get("items")
        return [
            convert(prefix[index] if index < len(prefix) else rest, item, f"{path}[{index}]")
            for index, item in enumerate(plain)
        ]
    return _read(schema, plain, path)


def _read(schema: Mapping[str, Any], plain: Any, path: str) -> Any:
    read = _READERS.get(str(schema.get("format")))
    is_text = isinstance(plain, str)
    if read is None or not (is_text or (schema["format"] == "decimal" and type(plain) in {int, float})):
        return plain
    try:
        return read(plain if is_text else repr(plain))
    except (ValueError, ArithmeticError):
        raise ValueError(f"{_at(path)} is {_short(plain)}; it takes {_wanted(schema)}") from None


def _first(options: list[Any], plain: Any, path: str) -> Any:
    for option in options:
        try:
            value = convert(option, plain, path)
        except ValueError:
            continue
        if not check(option, value):
            return value
    return plain


def _from_base64(text: Any, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError(f"{_at(path)} is no base64 text") from None


def _duration(text: str) -> dt.timedelta:
    match = _DURATION.match(text)
    if match is None or text[-1] in "PT":
        raise ValueError(text)
    parts = {name: float(amount or 0) for name, amount in match.groupdict().items() if name != "sign"}
    whole = dt.timedelta(**parts)
    return -whole if match["sign"] == "-" else whole


_READERS: dict[str, Callable[[str], Any]] = {
    "decimal": Decimal,
    "date-time": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "duration": _duration,
    "uuid": UUID,
}
