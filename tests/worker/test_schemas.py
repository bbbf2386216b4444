from __future__ import annotations

import datetime as dt
import enum
import inspect
import sys
import typing
import uuid
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict, Union

import pytest

from rldlib.worker.operations import Operation
from rldlib.worker.schemas import schema


def _named(value):
    """The same in every process: test runners compare the names."""
    return type(value).__name__ if " at 0x" in str(value) else str(value)


if typing.TYPE_CHECKING:
    from nowhere import Unknown


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


@dataclass
class Row:
    name: str
    price: Decimal = Decimal(0)
    tags: list[str] = field(default_factory=list)
    seen: int = field(init=False, default=0)


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)


class Titled(TypedDict):
    title: str


class Movie(Titled, total=False):
    year: int


UserId = NewType("UserId", int)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (object, {}),
        (bytes, {"type": "string", "contentEncoding": "base64"}),
        (Decimal, {"type": "string", "format": "decimal"}),
        (dt.datetime, {"type": "string", "format": "date-time"}),
        (dt.date, {"type": "string", "format": "date"}),
        (dt.time, {"type": "string", "format": "time"}),
        (dt.timedelta, {"type": "string", "format": "duration"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (list, {"type": "array"}),
        (dict, {"type": "object"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": {}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Colour, {"enum": ["red", 2]}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045 - one of two spellings
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007 - one of two spellings
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (UserId, {"type": "integer"}),
        (Literal[()], {"enum": []}),
    ],
    ids=_named,
)
def test_annotations_become_schemas(annotation, expected):
    assert schema(annotation) == expected


def test_a_dataclass_becomes_an_object_of_what_its_constructor_takes():
    assert schema(Row) == {
        "type": "object",
        "title": "Row",
        "properties": {
            "name": {"type": "string"},
            "price": {"type": "string", "format": "decimal"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["name"],
        "additionalProperties": False,
    }


def test_a_class_that_contains_itself_ends_in_anything():
    children = schema(Tree)["properties"]["children"]

    assert children == {"type": "array", "items": {}}


def test_a_typed_dict_becomes_an_object():
    found = schema(Movie)

    assert found["properties"] == {"title": {"type": "string"}, "year": {"type": "integer"}}
    assert found["required"] == ["title"]


def test_an_array_of_numpy_is_marked():
    np = pytest.importorskip("numpy")
    import numpy.typing as npt

    for annotation in (np.ndarray, npt.NDArray[np.float64]):
        assert schema(annotation) == {"type": "array", "x-numpy": True}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the statement `type` came with 3.12")
def test_a_named_type_stands_for_what_it_names():
    names = {}
    exec("type Rows = list[int]\ntype Endless = list[Endless]\ntype Of[T] = list[T]\nmeant = Of[str]", names)

    assert schema(names["Rows"]) == {"type": "array", "items": {"type": "integer"}}
    assert schema(names["meant"]) == {"type": "array", "items": {"type": "string"}}
    assert schema(names["Endless"]) == {"type": "array", "items": {}}


# --- operations -----------------------------------------------------------------


def plain(a, b: int = 3, *, c: Colour = Colour.RED, d: Annotated[str, "note"] = "x", **more: int) -> Row: ...


def generator() -> Iterator[int]:
    yield 1


def hands_out() -> Generator[str, None, None]:
    return iter(())


async def async_generator() -> AsyncIterator[int]:
    yield 1


async def coroutine() -> int:
    return 1


def half_known(a: Unknown, b: int) -> Unknown: ...


class Callable:
    def __call__(self, a: int) -> str: ...


def test_an_operation_tells_its_arguments_with_their_defaults():
    arguments = Operation("plain", plain).facts["arguments"]

    assert arguments["properties"] == {
        "a": {},
        "b": {"type": "integer", "default": 3},
        "c": {"enum": ["red", 2]},
        "d": {"type": "string", "default": "x"},
    }
    assert arguments["required"] == ["a"]
    assert arguments["additionalProperties"] is True


@pytest.mark.parametrize(
    ("function", "kind", "asynchronous", "result"),
    [
        (plain, "call", False, schema(Row)),
        (generator, "stream", False, {"type": "integer"}),
        (hands_out, "stream", False, {"type": "string"}),
        (async_generator, "stream", True, {"type": "integer"}),
        (coroutine, "call", True, {"type": "integer"}),
        (Callable(), "call", False, {"type": "string"}),
        (lambda: 1, "call", False, {}),
    ],
    ids=["plain", "generator", "iterator", "async generator", "coroutine", "object", "lambda"],
)
def test_the_kind_of_an_operation_is_seen(function, kind, asynchronous, result):
    operation = Operation("x", function)

    assert (operation.facts["kind"], operation.asynchronous) == (kind, asynchronous)
    assert operation.facts["result"] == result


def test_an_annotation_that_cannot_be_evaluated_takes_anything_and_the_others_stay():
    facts = Operation("half", half_known).facts

    assert facts["arguments"]["properties"] == {"a": {}, "b": {"type": "integer"}}
    assert facts["result"] == {}


def test_the_arguments_of_a_partial_are_what_is_left():
    import functools

    operation = Operation("x", functools.partial(plain, 1))

    assert next(iter(inspect.signature(operation.function).parameters)) == "b"
    assert operation.facts["arguments"]["required"] == []
