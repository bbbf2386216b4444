from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from rldlib.cli.arguments import read_arguments
from rldlib.errors import ArgumentsError

_DECIMAL = {"type": "string", "format": "decimal"}
_SCHEMA = {
    "type": "object",
    "properties": {
        "state": {"type": "string"},
        "amount": _DECIMAL,
        "amounts": {"type": "array", "items": _DECIMAL},
        "day": {"type": "string", "format": "date"},
        "id": {"type": "string", "format": "uuid"},
        "count": {"type": "integer"},
        "category": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "format": {"enum": ["json", "csv"]},
        "kind": {"const": "x"},
        "anything": {},
    },
    "required": ["state"],
}


def _read(*pairs: str, args: str | None = None):
    return read_arguments("tax", "table", _SCHEMA, pairs, args)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("state=WA", "WA"),
        ("state=12", "12"),
        ("state=", ""),
        ("state=a=b", "a=b"),
        ("amount=19.99", Decimal("19.99")),
        ('amounts=["1.10", "2"]', [Decimal("1.10"), Decimal(2)]),
        ("day=2026-11-23", date(2026, 11, 23)),
        ("id=12345678-1234-5678-1234-567812345678", UUID("12345678-1234-5678-1234-567812345678")),
        ("count=3", 3),
        ("category=tools", "tools"),
        ("category=null", None),
        ("either=3", 3),
        ("either=three", "three"),
        ("format=csv", "csv"),
        ("kind=x", "x"),
        ('anything={"a": [1]}', {"a": [1]}),
    ],
)
def test_text_is_taken_as_it_stands_and_everything_else_as_json(pair, value):
    assert _read(pair) == {pair.partition("=")[0]: value}


def test_one_json_object_gives_typed_values_too_and_pairs_come_beside_it():
    assert _read("state=WA", args='{"amounts": ["19.99"]}') == {"state": "WA", "amounts": [Decimal("19.99")]}


def test_every_argument_that_does_not_fit_is_told():
    with pytest.raises(ArgumentsError) as refused:
        _read("amount=lots", "count=many", "state", "anything=free text", "day=tomorrow")

    told = str(refused.value)
    assert all(
        part in told
        for part in ("amount", "count: 'many' is no JSON", "'state' is no NAME=VALUE", "anything", "day")
    )
    assert len(refused.value.issues) == 5


@pytest.mark.parametrize("args", ["[1]", "not json", "[" * 100_000])
def test_args_must_be_one_json_object(args):
    with pytest.raises(ArgumentsError, match="--args"):
        _read(args=args)


def test_an_argument_given_twice_is_refused():
    with pytest.raises(ArgumentsError, match="state is given twice"):
        _read("state=WA", args='{"state": "OR"}')
