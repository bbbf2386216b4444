"""Shapes made of shapes: lists, objects, and the dataclasses that describe themselves."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from rldlib.values.shapes import SURROGATE, Plain, Shape, Text, shown, within

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Deeper than any sensible JSON Schema, far below the interpreter's recursion limit.
MAX_DEPTH = 32
# Guessing what was meant costs time: for the first faults, and for names of sensible length.
_GUESSES = 20
_GUESSED_LENGTH = 64


class Pairs(dict[str, Any]):
    """An object as read, with the names that were given more than once."""

    twice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Maybe:
    """A value of another shape, or null."""

    shape: Shape

    def read(self, value: object, path: str, faults: list[str]) -> object:
        """See `Shape.read`."""
        return None if value is None else self.shape.read(value, path, faults)

    def plain(self, value: object) -> object:
        """See `Shape.plain`."""
        return None if value is None else self.shape.plain(value)

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"anyOf": [self.shape.schema(), {"type": "null"}]}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Many:
    """A list of bounded length."""

    shape: Shape
    count: int
    unique: bool = False

    def read(self, value: object, path: str, faults: list[str]) -> tuple[Any, ...]:
        """See `Shape.read`."""
        if not isinstance(value, list):
            faults.append(f"{path}: {shown(value)} is no list")
            return ()
        if len(value) > self.count:
            faults.append(f"{path}: {len(value)} entries; at most {self.count}")
            return ()
        if self.unique:
            texts = [item for item in value if isinstance(item, str)]
            faults.extend(
                f"{path}: {shown(text)} is listed twice"
                for text in sorted({text for text in texts if texts.count(text) > 1})
            )
        return tuple(self.shape.read(item, f"{path}[{at}]", faults) for at, item in enumerate(value))

    def plain(self, value: tuple[Any, ...]) -> list[Any]:
        """See `Shape.plain`."""
        return [self.shape.plain(item) for item in value]

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        unique = {"uniqueItems": True} if self.unique else {}
        return {"type": "array", "items": self.shape.schema(), "maxItems": self.count, **unique}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Named:
    """An object whose names are free and whose values share a shape."""

    name: Text
    shape: Shape
    count: int

    def read(self, value: object, path: str, faults: list[str]) -> dict[str, Any]:
        """See `Shape.read`."""
        if not _is_object(value, path, faults):
            return {}
        if len(value) > self.count:
            faults.append(f"{path}: {len(value)} entries; at most {self.count}")
            return {}
        for name in value:
            self.name.read(name, within(path, name), faults)
        return {name: self.shape.read(item, within(path, name), faults) for name, item in value.items()}

    def plain(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """See `Shape.plain`."""
        return {name: self.shape.plain(item) for name, item in value.items()}

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {
            "type": "object",
            "propertyNames": self.name.schema(),
            "additionalProperties": self.shape.schema(),
            "maxProperties": self.count,
        }


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Free(Plain):
    """An object of any JSON, for example a JSON Schema; bounded in depth."""

    def read(self, value: object, path: str, faults: list[str]) -> dict[str, Any]:
        """See `Shape.read`."""
        if not _is_object(value, path, faults):
            return {}
        return {name: _free(item, within(path, name), 1, faults) for name, item in value.items()}

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"type": "object"}


def _free(value: object, path: str, depth: int, faults: list[str]) -> object:
    if depth > MAX_DEPTH:
        faults.append(f"{path}: nested deeper than {MAX_DEPTH}")
    elif isinstance(value, dict):
        if _is_object(value, path, faults):
            return {key: _free(item, within(path, key), depth + 1, faults) for key, item in value.items()}
    elif isinstance(value, list):
        return [_free(item, f"{path}[{at}]", depth + 1, faults) for at, item in enumerate(value)]
    elif isinstance(value, str):
        if SURROGATE.search(value):
            faults.append(f"{path}: {shown(value)} holds half a character")
    elif not (
        value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value))
    ):
        faults.append(f"{path}: {shown(value)} is no JSON")
    return value


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Record:
    """An object that becomes a dataclass whose fields carry their shapes."""

    record: type

    def read(self, value: object, path: str, faults: list[str]) -> object:
        """See `Shape.read`."""
        if not _is_object(value, path, faults):
            return None
        before = len(faults)
        shapes = {field.name: field for field in shaped_fields(self.record)}
        for name in value:
            if name not in shapes:
                guess = _nearest(name, shapes) if len(faults) < _GUESSES else ""
                faults.append(f"{within(path, name)}: is unknown{guess}")
        for name, field in shapes.items():
            if name not in value and _is_needed(field):
                faults.append(f"{within(path, name)}: is missing")
        known = {
            name: field.metadata["shape"].read(value[name], within(path, name), faults)
            for name, field in shapes.items()
            if name in value
        }
        return None if len(faults) > before else self.record(**known)

    def plain(self, value: object) -> dict[str, Any]:
        """See `Shape.plain`. A field that is written only when set is left out at its default."""
        return {
            field.name: field.metadata["shape"].plain(getattr(value, field.name))
            for field in shaped_fields(self.record)
            if not (field.metadata["when_set"] and getattr(value, field.name) == field.default)
        }

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`. ``x-when-set`` marks what is left out at its default."""
        told = dict(_told(self.record))
        properties = {}
        for field in shaped_fields(self.record):
            properties[field.name] = {
                **({"description": told[field.name]} if field.name in told else {}),
                **field.metadata["shape"].schema(),
                **_default(field),
                **({"x-when-set": True} if field.metadata["when_set"] else {}),
            }
        needed = [field.name for field in shaped_fields(self.record) if _is_needed(field)]
        return {
            "description": (self.record.__doc__ or "").partition("\n")[0],
            "type": "object",
            "properties": properties,
            **({"required": needed} if needed else {}),
            "additionalProperties": False,
        }


def shaped(shape: Shape, *, when_set: bool = False, needed: bool = False) -> dict[str, Any]:
    """The metadata of a dataclass field that is read by ``shape``.

    Args:
        shape: What the document holds there.
        when_set: The field is written only where it differs from its default.
            A field added later has it, so that readers which do not know the
            field refuse only the profiles that use it.
        needed: The document must hold it though the dataclass has a default.
    """
    return {"shape": shape, "when_set": when_set, "needed": needed}


def shaped_fields(record: type) -> tuple[dataclasses.Field[Any], ...]:
    """The fields of a dataclass that belong to the document."""
    return tuple(field for field in dataclasses.fields(record) if "shape" in field.metadata)


def _is_object(value: object, path: str, faults: list[str]) -> TypeGuard[dict[str, Any]]:
    if not isinstance(value, dict):
        faults.append(f"{path or 'document'}: {shown(value)} is no object")
        return False
    faults.extend(f"{within(path, name)}: is given twice" for name in getattr(value, "twice", ()))
    odd = [name for name in value if not isinstance(name, str) or SURROGATE.search(name)]
    faults.extend(f"{within(path, name)}: the name holds half a character" for name in odd)
    return True


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    has_none = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    return has_none or bool(field.metadata["needed"])


def _default(field: dataclasses.Field[Any]) -> dict[str, Any]:
    if field.default_factory is not dataclasses.MISSING:
        return {"default": {}}
    if _is_needed(field):
        return {}
    return {"default": field.metadata["shape"].plain(field.default)}


def _nearest(name: object, names: Mapping[str, object]) -> str:
    import difflib  # only where there is a fault to explain

    close = difflib.get_close_matches(str(name)[:_GUESSED_LENGTH], names, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _told(record: type) -> Iterator[tuple[str, str]]:
    """The fields as the docstring's ``Attributes:`` tells them."""
    _, _, attributes = inspect.cleandoc(record.__doc__ or "").partition("Attributes:\n")
    for name, text in re.findall(r"^ {4}(\w+): ((?:.|\n {8,})*)", attributes, re.MULTILINE):
        yield name, " ".join(text.split())
