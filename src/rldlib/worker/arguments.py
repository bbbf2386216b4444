"""Arguments: what came over the wire, as what the annotations say.

The wire carries typed values already. Only what has no form of its own there
is built here: dataclasses and typed dicts from dicts, enumerations from their
values, tuples from lists, bytes from views.
"""

from __future__ import annotations

import sys
import types
import typing
from collections import abc
from enum import Enum

from rldlib.worker.schemas import hints_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from inspect import Signature
    from typing import Any

    Builder = Callable[[Any, str], Any]


class MisfitError(Exception):
    """A value does not fit its annotation; the text names its path."""


class Binding:
    """How an operation's arguments become those of its function."""

    def __init__(self, signature: Signature, hints: Mapping[str, Any]) -> None:
        parameters = signature.parameters.values()
        self._open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        self._names = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        self._required = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.default is p.empty}
        built = {name: builder(hints[name]) for name in self._names & hints.keys()}
        self._builders = {name: build for name, build in built.items() if build is not None}

    def bind(self, arguments: dict[str, Any]) -> list[str]:
        """Make the arguments those of the function, in place; every reason why they do not fit it."""
        given = arguments.keys()
        issues = []
        if not self._required <= given:
            issues = [f"{name} is missing" for name in sorted(self._required - given)]
        if not given <= self._names and not self._open:
            issues += [f"{name} is no argument of it" for name in sorted(given - self._names)]
        if self._builders:
            issues += self._build(arguments)
        return issues

    def _build(self, arguments: dict[str, Any]) -> list[str]:
        issues = []
        for name, build in self._builders.items():
            if name in arguments:
                try:
                    arguments[name] = build(arguments[name], name)
                except MisfitError as exc:
                    issues.append(str(exc))
        return issues


def builder(annotation: Any, within: tuple[Any, ...] = ()) -> Builder | None:
    """What builds a value of the annotation; None where values come as they are."""
    if annotation in within:
        # A class that contains itself: its builder is not ready yet, and looked up when it is used.
        return _later(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Union or origin is getattr(types, "UnionType", None):
        return _union([builder(argument, within) for argument in arguments], arguments)
    if origin in (list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection):
        return _items(builder(arguments[0], within), list)
    if annotation is tuple or origin is tuple:
        return _tuple([builder(a, within) for a in arguments if a not in (..., ())], arguments)
    if origin in (dict, abc.Mapping, abc.MutableMapping):
        return _values(builder(arguments[1], within))
    if isinstance(origin or annotation, type):
        return _class(origin or annotation, within)
    return None


def _later(annotation: Any) -> Builder:
    def build(value: Any, path: str) -> Any:
        return (builder(annotation) or _as_is)(value, path)

    return build


def _as_is(value: Any, _path: str) -> Any:
    return value


def _class(kind: Any, within: tuple[Any, ...]) -> Builder | None:
    if kind is bytes or kind is bytearray:
        return lambda value, _path: kind(value) if isinstance(value, (memoryview, bytes)) else value
    if f"{kind.__module__}.{kind.__qualname__}" == "numpy.ndarray":
        # Whoever asks with JSON alone sends lists.
        return lambda value, _path: sys.modules["numpy"].asarray(value) if type(value) is list else value
    if issubclass(kind, Enum):
        return lambda value, path: _member(kind, value, path)
    if hasattr(kind, "__dataclass_fields__"):
        names = {field.name for field in sys.modules["dataclasses"].fields(kind) if field.init}
        return _object(kind, _fields(kind, names, (*within, kind)), names)
    if issubclass(kind, dict) and hasattr(kind, "__required_keys__"):
        names = set(kind.__required_keys__ | kind.__optional_keys__)
        return _object(dict, _fields(kind, names, (*within, kind)), names)
    return None


def _fields(kind: Any, names: set[str], within: tuple[Any, ...]) -> dict[str, Builder]:
    hints = hints_of(kind)
    built = {name: builder(hints[name], within) for name in names if name in hints}
    return {name: build for name, build in built.items() if build is not None}


def _object(kind: Any, fields: dict[str, Builder], names: set[str]) -> Builder:
    def build(value: Any, path: str) -> Any:
        if type(value) is not dict:
            if isinstance(value, kind):
                return value
            raise MisfitError(f"{path} is a {type(value).__name__}; {kind.__name__} is built from a dict")
        unknown = value.keys() - names
        if unknown:
            raise MisfitError(f"{path}.{min(unknown)} is no field of {kind.__name__}")
        made = {
            name: fields[name](item, f"{path}.{name}") if name in fields else item
            for name, item in value.items()
        }
        try:
            return kind(**made)
        except (TypeError, ValueError) as exc:
            raise MisfitError(f"{path} makes no {kind.__name__}: {exc}") from exc

    return build


def _member(kind: Any, value: Any, path: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise MisfitError(
            f"{path} is {value!r:.80}; it is one of {[member.value for member in kind]}"
        ) from None


def _items(build: Builder | None, kind: type) -> Builder | None:
    if build is None:
        return None
    return lambda value, path: (
        kind(build(item, f"{path}[{index}]") for index, item in enumerate(value))
        if type(value) is list
        else value
    )


def _tuple(builders: list[Builder | None], arguments: tuple[Any, ...]) -> Builder:
    if len(arguments) == 2 and arguments[1] is ...:
        each = builders[0] or _as_is
        return typing.cast("Builder", _items(each, tuple))
    return lambda value, path: _exact(builders, value, path) if type(value) is list else value


def _exact(builders: list[Builder | None], value: list[Any], path: str) -> tuple[Any, ...]:
    if not builders:
        return tuple(value)
    if len(value) != len(builders):
        raise MisfitError(f"{path} has {len(value)} items; it takes {len(builders)}")
    pairs = enumerate(zip(builders, value, strict=True))
    return tuple((build or _as_is)(item, f"{path}[{index}]") for index, (build, item) in pairs)


def _values(build: Builder | None) -> Builder | None:
    if build is None:
        return None
    return lambda value, path: (
        {key: build(item, f"{path}.{key}") for key, item in value.items()} if type(value) is dict else value
    )


def _union(builders: list[Builder | None], kinds: tuple[Any, ...]) -> Builder | None:
    if not any(builders):
        return None

    def build(value: Any, path: str) -> Any:
        if value is None and type(None) in kinds:
            return value
        told = []
        for one, kind in zip(builders, kinds, strict=True):
            if one is None:
                if isinstance(kind, type) and isinstance(value, kind):
                    return value
                continue
            try:
                return one(value, path)
            except MisfitError as exc:
                told.append(str(exc))
        # Nothing was built: it may be of one of the kinds that come as they are.
        if None in builders and type(value) is not dict:
            return value
        raise MisfitError("; ".join(told))

    return build
