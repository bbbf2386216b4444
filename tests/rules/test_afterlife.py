from __future__ import annotations

import itertools

import pytest

from rldlib.rules.afterlife import after_use
from rldlib.values.policy import Policy
from rldlib.values.profile import Life

_STRICTNESS = ["retain", "terminate", "delete"]


@pytest.mark.parametrize(("profile", "host"), [*itertools.product(_STRICTNESS, [None, *_STRICTNESS])])
def test_the_stricter_of_profile_and_host_wins(profile, host):
    expected = max(profile, host or "retain", key=_STRICTNESS.index)

    assert after_use(Life(after_use=profile), Policy(after_use=host)) == expected
