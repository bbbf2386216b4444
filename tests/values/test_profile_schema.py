"""The published schema says what the parser does."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.values.profiles import WHOLE, document, mangled, pinned

from rldlib.values import profile as parts
from rldlib.values.document import canonical, examine, json_schema
from rldlib.values.records import shaped_fields
from rldlib.values.request import is_service_name

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
PLACES = (
    "docs/reference/profile.schema.json",
    "plugins/rldlib-build/src/rldlib_build/profile.schema.json",
)
RECORDS = [
    record
    for record in vars(parts).values()
    if dataclasses.is_dataclass(record) and record.__module__ == parts.__name__
]


def valid(value):
    return jsonschema.Draft202012Validator(json_schema()).is_valid(value)


@pytest.mark.parametrize("place", PLACES)
def test_the_published_schema_is_of_this_version(place):
    found = (ROOT / place).read_bytes()
    assert found == canonical(json_schema()), "run: python docs/reference/profile_schema.py"


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert valid(WHOLE)
    assert valid(document())


@pytest.mark.parametrize(
    "fields",
    [
        {"service": "Sales Tax"},
        {"demand": {"threads": 0}},
        {"demand": {"memory": 1}},
        {"summary": "a\u202eb"},
        {"operations": {"_x": {}}},
        {"life": {"after_use": "keep"}},
        {"resources": [pinned("a", size=-1)]},
        {"unknown": 1},
    ],
)
def test_the_schema_refuses_what_the_parser_refuses(fields):
    assert not valid(document(**fields))
    assert examine(document(**fields))[0] is None


@given(mangled)
def test_what_the_parser_takes_the_schema_takes(value):
    profile, _ = examine(value)
    assert profile is None or valid(value)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_field_has_a_shape_that_its_default_fits(record):
    assert {field.name for field in shaped_fields(record)} == {
        field.name for field in dataclasses.fields(record)
    }
    for field in shaped_fields(record):
        if field.default is dataclasses.MISSING:
            continue
        shape, faults = field.metadata["shape"], []
        assert shape.read(shape.plain(field.default), field.name, faults) == field.default
        assert not faults


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_a_field_that_may_be_null_is_typed_so(record):
    hints = typing.get_type_hints(record, vars(parts) | {"Mapping": typing.Mapping})
    for field in shaped_fields(record):
        told = field.metadata["shape"].schema()
        assert (type(None) in typing.get_args(hints[field.name])) == (
            {"type": "null"} in told.get("anyOf", ())
        )


@given(st.text("ab0-_. A", max_size=6))
def test_a_service_name_is_the_same_for_schema_and_requests(name):
    assert valid(document(service=name)) == is_service_name(name)
