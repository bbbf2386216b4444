from __future__ import annotations

import pytest

from rldlib.handle import Handle
from rldlib.values.operations import RESERVED, differences, read_operations
from rldlib.values.profile import OperationProfile


def described(**fields):
    described = {
        "arguments": {"type": "object", "properties": {"text": {"type": "string"}}},
        "result": {"type": "string"},
        "idempotent": False,
        "cache_for_s": None,
        "media_type": None,
        "kind": "call",
    }
    return described | fields


def test_operations_are_read_by_name():
    assert read_operations({"echo": described()}) == {"echo": described()}


def test_what_a_newer_worker_adds_is_left_out():
    assert read_operations({"echo": described(colour="red")}) == {"echo": described()}


@pytest.mark.parametrize(
    ("told", "issue"),
    [
        pytest.param([], "no mapping", id="a list"),
        pytest.param({"echo": 3}, "echo is no description", id="a number for an operation"),
        pytest.param({"echo": {}}, "echo.arguments is missing", id="a field missing"),
        pytest.param({"echo": described(kind="loop")}, "neither call nor stream", id="an unknown kind"),
        pytest.param({"echo": described(idempotent=1)}, "echo.idempotent is 1", id="a field of another type"),
        pytest.param({"submit": described()}, "submit is named like an attribute", id="a reserved name"),
        pytest.param({"_echo": described()}, "'_echo' is no name", id="a private name"),
        pytest.param({"an echo": described()}, "'an echo' is no name", id="no name at all"),
        pytest.param(
            {"echo": described(arguments={"properties": {"deadline": {}}})},
            "argument deadline",
            id="the call's own argument",
        ),
    ],
)
def test_operations_that_cannot_be_called_are_refused(told, issue):
    with pytest.raises(ValueError, match=issue):
        read_operations(told)


def test_all_issues_are_told_at_once():
    with pytest.raises(ValueError, match=r"_a.*; .*_b"):
        read_operations({"_a": described(), "_b": described()})


def test_the_names_of_a_handle_s_attributes_are_reserved():
    assert {name for name in dir(Handle) if not name.startswith("_")} == RESERVED


def test_what_is_declared_and_true_is_no_difference():
    declared = OperationProfile(arguments=described()["arguments"], result={"type": "string"})

    assert differences({"echo": declared}, {"echo": described(), "more": described()}) == ()


def test_what_is_not_declared_is_not_compared():
    assert (
        differences({"echo": OperationProfile()}, {"echo": described(idempotent=True, cache_for_s=3)}) == ()
    )


def test_every_difference_is_named():
    declared = {
        "gone": OperationProfile(),
        "echo": OperationProfile(result={"type": "number"}, idempotent=True, media_type="text/html"),
    }

    told = differences(declared, {"echo": described()})

    assert len(told) == 4
    assert "gone is declared" in told[0]
    assert "echo.result is declared as {'type': 'number'}, and is {'type': 'string'}" in told[1]
    assert "echo.media_type" in told[2]
    assert "echo is declared as idempotent" in told[3]
