"""Schemas: annotations as JSON Schema (2020-12), as far as the wire has types for them."""

from __future__ import annotations

import sys
import types
import typing
from collections import abc
from enum import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from inspect import Signature
    from typing import Any

    Schema = dict[str, Any]

# What a function hands out item by item. A generator may also be annotated as an iterable; a list may, too.
_STREAMS = (abc.Iterator, abc.Generator, abc.AsyncIterator, abc.AsyncGenerator)
_ITERABLES = (*_STREAMS, abc.Iterable, abc.AsyncIterable)
_SIMPLE: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    bytearray: {"type": "string", "contentEncoding": "base64"},
    memoryview: {"type": "string", "contentEncoding": "base64"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    dict: {"type": "object"},
}
# By name: a class that nobody imported cannot be an annotation either.
_FORMATS: dict[str, Schema] = {
    "decimal.Decimal": {"type": "string", "format": "decimal"},
    "datetime.datetime": {"type": "string", "format": "date-time"},
    "datetime.date": {"type": "string", "format": "date"},
    "datetime.time": {"type": "string", "format": "time"},
    "datetime.timedelta": {"type": "string", "format": "duration"},
    "uuid.UUID": {"type": "string", "format": "uuid"},
    "numpy.ndarray": {"type": "array", "x-numpy": True},
}
_ALIAS: Any = getattr(typing, "TypeAliasType", ())  # since 3.12
_PLAIN = (str, int, float, bool, type(None))


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The function's annotations, evaluated; those that cannot be are left out.

    Names that only type checkers import are the usual reason.
    """
    bare = getattr(function, "__func__", function)
    bare = getattr(bare, "func", bare)
    if not hasattr(bare, "__annotations__"):
        bare = type(bare).__call__
    try:
        return typing.get_type_hints(bare)
    except Exception:  # noqa: BLE001 - an annotation is the author's code, and may raise anything
        return _one_by_one(bare)


def _one_by_one(function: Any) -> dict[str, Any]:
    found = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            found.update(typing.get_type_hints(holder, getattr(function, "__globals__", {})))
        except Exception:  # noqa: BLE001, S112 - as above: this one argument takes anything
            continue
    return found


def arguments_schema(signature: Signature, hints: Mapping[str, Any]) -> Schema:
    """The schema of a call's arguments: an object.

    Raises:
        TypeError: An argument cannot be given by name.
    """
    properties: Schema = {}
    required, additional = [], False
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            additional = True
            continue
        if parameter.kind is parameter.VAR_POSITIONAL or parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(f"its argument {name} cannot be given by name; all arguments are")
        properties[name] = schema(hints[name]) if name in hints else {}
        if parameter.default is parameter.empty:
            required.append(name)
        elif isinstance(parameter.default, _PLAIN):
            properties[name] = {**properties[name], "default": _plain(parameter.default)}
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": additional,
    }


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def result_schema(hints: Mapping[str, Any], *, stream: bool) -> Schema:
    """The schema of a result, or of each item of a stream."""
    if "return" not in hints:
        return {}
    annotation = hints["return"]
    if stream:
        arguments = typing.get_args(annotation)
        return schema(arguments[0]) if typing.get_origin(annotation) in _ITERABLES and arguments else {}
    return schema(annotation)


def is_stream(annotation: Any) -> bool:
    """Whether what is annotated so is handed out item by item."""
    return (typing.get_origin(annotation) or annotation) in _STREAMS


def schema(annotation: Any, within: tuple[Any, ...] = ()) -> Schema:
    """The schema of an annotation; ``{}``, which takes anything, where there is none.

    Args:
        annotation: Evaluated already.
        within: The classes it is nested in: one that contains itself ends in ``{}``.
    """
    if annotation in within:
        return {}
    try:
        if annotation in _SIMPLE:
            return dict(_SIMPLE[annotation])
    except TypeError:  # unhashable, for example Literal[[]]
        return {}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    alias: Any = annotation if origin is None else origin
    if isinstance(alias, _ALIAS):
        # `type Rows = list[Row]`; numpy's NDArray is one, too.
        meant = alias.__value__[arguments] if arguments else alias.__value__
        return {} if alias in within else schema(meant, (*within, alias))
    if origin is not None:
        return _generic(origin, arguments, within)
    if isinstance(annotation, type):
        return _class(annotation, within)
    if hasattr(annotation, "__supertype__"):  # NewType
        return schema(annotation.__supertype__, within)
    return {}


def _generic(origin: Any, arguments: tuple[Any, ...], within: tuple[Any, ...]) -> Schema:
    if origin is typing.Union or origin is getattr(types, "UnionType", None):
        return {"anyOf": [schema(argument, within) for argument in arguments]}
    if origin is typing.Literal:
        return {"enum": [_plain(argument) for argument in arguments]}
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            return {"type": "array", "items": schema(arguments[0], within)}
        items = [schema(argument, within) for argument in arguments if argument != ()]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin in (list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection):
        return {"type": "array", "items": schema(arguments[0], within)}
    if origin in (dict, abc.Mapping, abc.MutableMapping):
        return {"type": "object", "additionalProperties": schema(arguments[1], within)}
    # numpy.ndarray[...], a generic dataclass, and the like: as without their arguments.
    return _class(origin, within) if isinstance(origin, type) else {}


def _class(kind: Any, within: tuple[Any, ...]) -> Schema:
    for base in kind.__mro__:
        found = _FORMATS.get(f"{base.__module__}.{base.__qualname__}")
        if found is not None:
            return dict(found)
    if issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    if hasattr(kind, "__dataclass_fields__"):
        return _dataclass(kind, (*within, kind))
    if issubclass(kind, dict) and hasattr(kind, "__required_keys__"):
        return _typed_dict(kind, (*within, kind))
    return {}


def _dataclass(kind: type, within: tuple[Any, ...]) -> Schema:
    dataclasses = sys.modules["dataclasses"]
    hints = hints_of(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    missing = dataclasses.MISSING
    return {
        "type": "object",
        "title": kind.__name__,
        "properties": {field.name: schema(hints.get(field.name), within) for field in fields},
        "required": [f.name for f in fields if f.default is missing and f.default_factory is missing],
        "additionalProperties": False,
    }


def _typed_dict(kind: Any, within: tuple[Any, ...]) -> Schema:
    return {
        "type": "object",
        "title": kind.__name__,
        "properties": {name: schema(hint, within) for name, hint in hints_of(kind).items()},
        "required": sorted(kind.__required_keys__),
        "additionalProperties": False,
    }
