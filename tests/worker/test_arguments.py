from __future__ import annotations

import enum
import inspect
from dataclasses import dataclass, field
from typing import Any, TypedDict

import pytest

from rldlib.worker.arguments import Binding, MisfitError, builder
from rldlib.worker.schemas import hints_of


def _named(value):
    """The same in every process: test runners compare the names."""
    return type(value).__name__ if " at 0x" in str(value) else str(value)


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass
class Tree:
    value: Colour
    children: list[Tree] = field(default_factory=list)


@dataclass
class Picky:
    size: int

    def __post_init__(self):
        if self.size < 0:
            raise ValueError("size is negative")


class Movie(TypedDict):
    title: str
    colour: Colour


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Colour, "red", Colour.RED),
        (Point, {"x": 1}, Point(1)),
        (Point, Point(1), Point(1)),
        (list[Point], [{"x": 1}], [Point(1)]),
        (list[Point], 5, 5),
        (dict[str, Colour], {"a": "red"}, {"a": Colour.RED}),
        (dict[str, Colour], 5, 5),
        (tuple[Colour, ...], ["red"], (Colour.RED,)),
        (tuple[int, ...], [1], (1,)),
        (tuple, [1], (1,)),
        (tuple[int, Colour], [1, "red"], (1, Colour.RED)),
        (tuple[int, Colour], 7, 7),
        (Colour | None, None, None),
        (Point | None, {"x": 2}, Point(2)),
        (int | Colour, 5, 5),
        (int | Colour, "red", Colour.RED),
        (str | Point, "text", "text"),
        (str | list[Point], 5.5, 5.5),
        (Movie, {"title": "x", "colour": "red"}, {"title": "x", "colour": Colour.RED}),
        (Tree, {"value": "red", "children": [{"value": "red"}]}, Tree(Colour.RED, [Tree(Colour.RED)])),
        (bytes, memoryview(b"x"), b"x"),
        (bytes, "x", "x"),
        (bytearray, b"x", bytearray(b"x")),
    ],
    ids=_named,
)
def test_values_are_built_as_annotated(annotation, value, expected):
    built = builder(annotation)(value, "a")

    assert built == expected
    assert type(built) is type(expected)


@pytest.mark.parametrize(
    "annotation", [int, str, Any, list, dict, list[int], dict[str, int], int | str, object]
)
def test_what_has_a_form_on_the_wire_comes_as_it_is(annotation):
    assert builder(annotation) is None


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (Colour, "green", r"a is 'green'; it is one of \['red'\]"),
        (Point, 5, "a is a int; Point is built from a dict"),
        (Point, {"z": 1}, "a.z is no field of Point"),
        (Point, {}, "a makes no Point"),
        (Picky, {"size": -1}, "size is negative"),
        (list[Point], [{"x": 1}, {"z": 1}], r"a\[1\].z is no field"),
        (dict[str, Colour], {"k": "green"}, "a.k is 'green'"),
        (tuple[int, Colour], [1], "a has 1 items; it takes 2"),
        (Tree, {"value": "red", "children": [{"value": "x"}]}, r"a.children\[0\].value is 'x'"),
        (Colour | Point, {"z": 1}, "a.z is no field"),
        (None | Colour, "green", "green"),
    ],
    ids=_named,
)
def test_what_cannot_be_built_is_told_with_its_path(annotation, value, told):
    if annotation == (None | Colour):
        # One kind of the union comes as it is: then anything does, and the function sees it.
        assert builder(annotation)(value, "a") == value
        return
    with pytest.raises(MisfitError, match=told):
        builder(annotation)(value, "a")


def test_lists_become_arrays_where_arrays_are_annotated():
    np = pytest.importorskip("numpy")

    assert builder(np.ndarray)([1, 2], "a").tolist() == [1, 2]
    assert builder(np.ndarray)(np.zeros(2), "a").tolist() == [0, 0]


def test_every_issue_is_told_at_once():
    def function(a: Colour, b: Point, c=1): ...

    issues = Binding(inspect.signature(function), {"a": Colour, "b": Point}).bind({"a": "x", "d": 1})
    assert issues == ["b is missing", "d is no argument of it", "a is 'x'; it is one of ['red']"]


def test_open_functions_take_any_name():
    def function(a, **more: int): ...

    bound = {"a": 1, "b": 2}
    issues = Binding(inspect.signature(function), hints_of(function)).bind(bound)
    assert (bound, issues) == ({"a": 1, "b": 2}, [])
