from __future__ import annotations

from rldlib.rules.ordering import in_order
from rldlib.values.profile import Resource


def _resource(name: str, *requires: str) -> Resource:
    return Resource(name=name, kind="data", sha256="ab" * 32, size=1, requires=requires)


def test_a_resource_comes_after_all_that_it_requires():
    ordered = in_order(
        [_resource("query", "database", "template"), _resource("template", "database"), _resource("database")]
    )

    assert [resource.name for resource in ordered] == ["database", "template", "query"]


def test_independent_resources_keep_the_order_of_their_author():
    assert [resource.name for resource in in_order([_resource("b"), _resource("a")])] == ["b", "a"]
