"""Shapes of foreign plain data: one table reads a document and describes it.

A shape knows how to read a plain value with every fault named by its path,
how to write it back, and how to say itself in JSON Schema. The dataclasses of
`rldlib.values.profile` carry a shape per field; nothing else lists the bounds.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Protocol

from packaging.version import InvalidVersion, Version

# One line for people: no control characters, no line or direction marks, no lone surrogates.
LINE = "[^\\x00-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]*"
SURROGATE = re.compile("[\ud800-\udfff]")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")
_SHOWN_LENGTH = 60

# Nobody compares shapes or prints them, and making a dataclass that can takes twice as long.


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something JSON text can hold and a profile cannot, for example NaN."""

    text: str


class Shape(Protocol):
    """One kind of plain value."""

    def read(self, value: object, path: str, faults: list[str]) -> Any:
        """The value as Python holds it; what is wrong is added to ``faults``."""
        ...

    def plain(self, value: Any) -> Any:
        """The value as plain data; undoes `read`."""
        ...

    def schema(self) -> dict[str, Any]:
        """The shape as JSON Schema 2020-12."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Plain:
    """A shape whose values are plain data already."""

    def plain(self, value: object) -> object:
        """See `Shape.plain`."""
        return value


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Whole(Plain):
    """A whole number between two bounds, both allowed; a boolean is none."""

    low: int
    high: int

    def read(self, value: object, path: str, faults: list[str]) -> object:
        """See `Shape.read`."""
        if type(value) is not int:
            faults.append(f"{path}: {shown(value)} is no whole number")
        else:
            _bounded(value, self.low, self.high, path, faults)
        return value

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Number(Plain):
    """A finite number between two bounds, both allowed; a boolean is none."""

    low: float
    high: float

    def read(self, value: object, path: str, faults: list[str]) -> object:
        """See `Shape.read`."""
        if not (type(value) is int or (type(value) is float and math.isfinite(value))):
            faults.append(f"{path}: {shown(value)} is no number")
        else:
            _bounded(value, self.low, self.high, path, faults)
        return value

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"type": "number", "minimum": self.low, "maximum": self.high}


def _bounded(value: float, low: float, high: float, path: str, faults: list[str]) -> None:
    if value < low:
        faults.append(f"{path}: {value} is below {low}")
    elif value > high:
        faults.append(f"{path}: {value} is above {high}")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Text(Plain):
    """Text of bounded length; ``what`` tells people what the pattern stands for."""

    length: int
    pattern: str = LINE
    what: str = "one line of text without control characters"
    least: int = 0

    def read(self, value: object, path: str, faults: list[str]) -> object:
        """See `Shape.read`."""
        if not isinstance(value, str):
            faults.append(f"{path}: {shown(value)} is no text")
        elif len(value) > self.length:
            faults.append(f"{path}: {len(value)} characters; at most {self.length}")
        elif len(value) < self.least:
            faults.append(f"{path}: is empty")
        elif re.fullmatch(self.pattern, value) is None:
            faults.append(f"{path}: {shown(value)} is not {self.what}")
        return value

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {
            "type": "string",
            "minLength": self.least,
            "maxLength": self.length,
            "pattern": f"^(?:{self.pattern})$",
        }


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Published(Plain):
    """A version (PEP 440) of bounded length, read into its normal form."""

    length: int

    def read(self, value: object, path: str, faults: list[str]) -> object:
        """See `Shape.read`."""
        before = len(faults)
        Text(self.length).read(value, path, faults)
        if len(faults) == before:
            try:
                return str(Version(str(value)))
            except InvalidVersion:
                faults.append(f"{path}: {shown(value)} is no version: write it like 1.2.0 (PEP 440)")
        return value

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"type": "string", "maxLength": self.length, "pattern": r"^\s*v?[0-9][A-Za-z0-9.!+_-]*\s*$"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Flag(Plain):
    """True or false, and nothing that merely counts as either."""

    def read(self, value: object, path: str, faults: list[str]) -> object:
        """See `Shape.read`."""
        if not isinstance(value, bool):
            faults.append(f"{path}: {shown(value)} is neither true nor false")
        return value

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Choice(Plain):
    """One of a few values."""

    options: tuple[str | int, ...]

    def read(self, value: object, path: str, faults: list[str]) -> object:
        """See `Shape.read`."""
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value not in self.options:
            faults.append(f"{path}: {shown(value)} is none of {', '.join(map(str, self.options))}")
        return value

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"enum": list(self.options)}


def within(path: str, name: object) -> str:
    """The path of a name in an object; a name that is no word is quoted."""
    if not (isinstance(name, str) and _WORD.match(name)):
        return f"{path}[{shown(name)}]"
    return f"{path}.{name}" if path else name


def shown(value: object) -> str:
    """A foreign value for a message: one short line of printable ASCII."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, Oddity):
        text = value.text
    elif value is None or isinstance(value, (str, bool, int, float)):
        text = json.dumps(value)
    else:
        text = ascii(str(value))
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
