"""Values that travel, for property tests."""

from __future__ import annotations

import math
from datetime import timedelta, timezone

from hypothesis import strategies as st

_texts = st.one_of(st.text(), st.sampled_from(["$", '"$"', "\ud800", "\ud800\udc00", "\x00", "\u2028"]))
_zones = st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    _texts,
    st.binary(),
    st.decimals(allow_nan=False),
    st.datetimes(timezones=st.one_of(st.none(), _zones)),
    st.dates(),
    st.times(timezones=st.one_of(st.none(), _zones)),
    st.timedeltas(),
    st.uuids(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(_texts, inner, max_size=5)),
    max_leaves=20,
)
plain_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.just("$"), st.text(max_size=3)), inner, max_size=3),
        st.builds(
            lambda code, content: {"$": [code, *content]},
            st.sampled_from(
                [
                    "decimal",
                    "datetime",
                    "date",
                    "time",
                    "timedelta",
                    "uuid",
                    "bytes",
                    "view",
                    "array",
                    "dict",
                    "?",
                ]
            ),
            st.lists(inner, max_size=4),
        ),
    ),
    max_leaves=15,
)


def same(left, right):
    """Equal, and of the same types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and math.copysign(1, left) != math.copysign(1, right):
        return False
    return left == right
