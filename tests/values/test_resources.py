"""Every kind of resource, through a document and back."""

from __future__ import annotations

import json

import pytest

from rldlib.values.document import parse_profile, render
from rldlib.values.profile import Resource

_HERE = {"sha256": "ab" * 32, "size": 12}
_ELSEWHERE = {"authority": "cd" * 32, "target": "tax/key", "policy": "minor"}


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "wheel", **_HERE},
        {"kind": "data", **_HERE, "use": "rates by state", "after_use": "delete"},
        {"kind": "data", **_ELSEWHERE},
        {"kind": "archive", **_HERE},
        {"kind": "secret", **_ELSEWHERE},
        {"kind": "endpoint", **_ELSEWHERE},
        {"kind": "x-model", **_HERE, "required": False},
    ],
    ids=lambda given: f"{given['kind']} {'here' if 'size' in given else 'elsewhere'}",
)
def test_a_resource_of_any_kind_keeps_what_it_says(given):
    document = {"schema": 1, "service": "tax", "version": "1.0", "resources": [{"name": "it", **given}]}

    profile = parse_profile(json.dumps(document).encode(), source="a test")

    assert profile.resources == (Resource(name="it", **given),)
    assert parse_profile(render(profile), source="a test") == profile
