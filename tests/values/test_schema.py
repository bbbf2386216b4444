from __future__ import annotations

import datetime as dt
import enum
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldlib.values.plain import plain
from rldlib.values.schema import check, convert
from rldlib.worker.schemas import schema


def _named(value):
    """The same in every process: test runners compare the names."""
    return type(value).__name__ if " at 0x" in str(value) else str(value)


_UTC = dt.UTC
_ID = uuid.UUID(int=5)


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Row:
    name: str
    price: Decimal | None = None


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, "x"),
        (int, 5),
        (float, 5),
        (float, 5.5),
        (bool, True),
        (None, None),
        (Any, object()),
        (bytes, b"x"),
        (bytes, memoryview(b"x")),
        (Decimal, Decimal("1.5")),
        (Decimal, 5),
        (dt.datetime, dt.datetime(2026, 1, 1, tzinfo=_UTC)),
        (dt.date, dt.date(2026, 1, 1)),
        (dt.time, dt.time(1)),
        (dt.timedelta, dt.timedelta(1)),
        (uuid.UUID, _ID),
        (list[int], [1, 2]),
        (list[int], (1, 2)),
        (tuple[int, str], [1, "x"]),
        (dict[str, int], {"a": 1}),
        (int | None, None),
        (Colour, "red"),
        (Colour, Colour.RED),
        (Row, {"name": "a"}),
        (Row, {"name": "a", "price": Decimal(1)}),
        (Row, Row("a")),
    ],
    ids=_named,
)
def test_a_value_of_the_annotated_type_fits(annotation, value):
    assert check(schema(annotation), value) == ()


@pytest.mark.parametrize(
    ("annotation", "value", "issue"),
    [
        (str, 5, "a is 5 of type int; it takes a str"),
        (int, True, "a is True of type bool; it takes an int"),
        (int, 1.0, "it takes an int"),
        (float, Decimal(1), "it takes a number"),
        (float, True, "it takes a number"),
        (bool, 1, "it takes a bool"),
        (None, 0, "it takes None"),
        (bytes, "x", "it takes bytes"),
        (Decimal, "1.5", "it takes a Decimal"),
        (Decimal, 1.5, "it takes a Decimal"),
        (Decimal, True, "it takes a Decimal"),
        (dt.datetime, dt.date(2026, 1, 1), "it takes a datetime"),
        (dt.date, dt.datetime(2026, 1, 1, tzinfo=_UTC), "it takes a date"),
        (uuid.UUID, str(_ID), "it takes a UUID"),
        (list[int], [1, "x"], "a[1] is 'x'"),
        (list[int], "x", "it takes a list"),
        (tuple[int, str], [1], "a has 1 items; it takes 2"),
        (tuple[int, str], [1, 2], "a[1] is 2"),
        (dict[str, int], {"k": "x"}, "a.k is 'x'"),
        (dict[str, int], [1], "it takes a dict"),
        (int | None, "x", "a is 'x'"),
        (Colour, "blue", "a is 'blue'; it is one of 'red'"),
        (Row, {"nam": "a"}, "a.name is missing"),
        (Row, {"name": "a", "size": 1}, "a.size is unknown; there is name, price"),
        (Row, {"name": "a", "price": 1.5}, "a.price is 1.5"),
        (list[Row] | None, [{"name": 5}], "a[0].name is 5"),
        (str, ["x" * 100] * 3, "..."),
    ],
    ids=_named,
)
def test_what_does_not_fit_is_told_with_its_path(annotation, value, issue):
    assert issue in "; ".join(check(schema(annotation), value, "a"))


def test_every_issue_is_told_up_to_a_bound():
    arguments = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"]}

    assert check(arguments, {"a": "x"}) == ("b is missing", "a is 'x' of type str; it takes an int")
    assert len(check({"type": "array", "items": {"type": "null"}}, list(range(1000)))) == 20


def test_arrays_fit_where_they_are_annotated():
    np = pytest.importorskip("numpy")
    marked = {"type": "array", "x-numpy": True}

    assert check(marked, np.zeros(3)) == check(marked, [1, 2]) == ()
    assert check({"type": "number"}, np.float32(1)) == check({"type": "integer"}, np.int8(1)) == ()
    assert "numpy array" in check(marked, "x")[0]
    assert plain({"a": np.arange(4).reshape(2, 2), "b": np.float32(0.5)}) == {"a": [[0, 1], [2, 3]], "b": 0.5}


@pytest.mark.parametrize(
    "strange",
    [
        {"type": 5},
        {"type": "object", "properties": 5, "required": 7, "additionalProperties": 9},
        {"type": "array", "prefixItems": {}, "items": 3, "minItems": "x", "maxItems": None},
        {"anyOf": 5},
        {"enum": [[]], "anyOf": []},
        5,
    ],
    ids=_named,
)
def test_a_schema_that_is_none_refuses_nothing(strange):
    """It comes from a worker: a mistake in it is not the caller's."""
    for value in ({"a": 1}, [1], 1):
        assert isinstance(check(strange, value), tuple)
        assert convert(strange, value) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=8,
    )
)
def test_anything_fits_the_schema_that_takes_anything(value):
    assert check({}, value) == ()
    assert convert({}, value) == value


# --- plain JSON --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (Decimal, Decimal("1.50"), '"1.50"'),
        (uuid.UUID, _ID, '"00000000-0000-0000-0000-000000000005"'),
        (dt.datetime, dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=_UTC), '"2026-01-02T03:04:05+00:00"'),
        (dt.date, dt.date(2026, 1, 2), '"2026-01-02"'),
        (dt.time, dt.time(3, 4), '"03:04:00"'),
        (dt.timedelta, dt.timedelta(days=1, seconds=2, microseconds=500_000), '"P1DT2.5S"'),
        (dt.timedelta, -dt.timedelta(seconds=90), '"-P0DT90S"'),
        (dt.timedelta, dt.timedelta(0), '"P0DT0S"'),
        (bytes, b"\xff", '{"$base64": "/w=="}'),
        (list[Decimal], [Decimal(1)], '["1"]'),
        (tuple[int, Decimal], [1, Decimal(2)], '[1, "2"]'),
        (dict[str, dt.date], {"a": dt.date(2026, 1, 2)}, '{"a": "2026-01-02"}'),
        (Decimal | None, None, "null"),
        (Decimal | None, Decimal("0.1"), '"0.1"'),
        (int | Decimal, 5, "5"),
        (str, "P1D", '"P1D"'),
    ],
    ids=_named,
)
def test_values_go_to_json_and_come_back(annotation, value, text):
    assert json.dumps(plain(value)) == text
    back = convert(schema(annotation), json.loads(text))
    assert back == value
    assert type(back) is type(value)


def test_the_fields_of_rows_are_read_each_by_its_own_schema():
    rows = convert(schema(list[Row]), [{"name": "a", "price": "1.10"}, {"name": "5", "price": None}])

    assert rows == [{"name": "a", "price": Decimal("1.10")}, {"name": "5", "price": None}]


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        (Decimal, 0.1, Decimal("0.1")),
        (Decimal, 3, Decimal(3)),
        (dt.timedelta, "P1W", dt.timedelta(weeks=1)),
        (dt.timedelta, "PT1H30M", dt.timedelta(minutes=90)),
        (dt.datetime, "2026-01-02T03:04:05Z", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=_UTC)),
        (str, {"$base64": "eA=="}, b"x"),
    ],
    ids=_named,
)
def test_other_spellings_are_read(annotation, text, expected):
    assert convert(schema(annotation), text) == expected


@pytest.mark.parametrize(
    ("annotation", "text", "told"),
    [
        (Decimal, "one", "a is 'one'; it takes a Decimal"),
        (dt.date, "tomorrow", "it takes a date"),
        (uuid.UUID, "5", "it takes a UUID"),
        (dt.timedelta, "P", "it takes a timedelta"),
        (dt.timedelta, "P1DT", "it takes a timedelta"),
        (dt.timedelta, "1 day", "it takes a timedelta"),
        (bytes, {"$base64": "?"}, "a is no base64"),
        (bytes, {"$base64": 5}, "a is no base64"),
        (list[Decimal], ["1", "x"], r"a\[1\] is 'x'"),
        (Row, {"name": "a", "price": 1, "more": {"$base64": "?"}}, "a.more is no base64"),
    ],
    ids=_named,
)
def test_text_that_cannot_be_read_is_told_with_its_path(annotation, text, told):
    with pytest.raises(ValueError, match=told):
        convert(schema(annotation), text, "a")


def test_values_with_a_plain_meaning_are_told_as_that():
    class Text(str):
        __slots__ = ()

    assert plain({"c": Colour.RED, "r": Row("a", Decimal(1)), "t": (1, Text("x"))}) == {
        "c": "red",
        "r": {"name": "a", "price": "1"},
        "t": [1, "x"],
    }
    assert plain(memoryview(b"\1\0\2\0").cast("H")) == [1, 2]
    assert plain({5: True}) == {"5": True}


def test_what_json_has_nothing_for_is_refused():
    with pytest.raises(TypeError, match="object"):
        plain([object()])


def test_a_schema_of_a_worker_that_requires_no_names_is_passed_over():
    assert check({"type": "object", "required": [["a"], {}, 1]}, {"a": 1}) == ()


def test_a_duration_beyond_all_bounds_is_told_with_its_path():
    with pytest.raises(ValueError, match="a is 'P99999999999999D'"):
        convert({"format": "duration", "type": "string"}, "P99999999999999D", "a")
