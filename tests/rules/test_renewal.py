from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rldlib.rules.renewal import LIVES, due, next_renewal, renewal_at

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize("role", LIVES)
def test_a_role_is_due_at_half_of_its_life_and_not_before(role):
    expires = NOW + LIVES[role]

    assert renewal_at(role, expires) == NOW + LIVES[role] / 2
    assert due({role: expires}, renewal_at(role, expires)) == {role}
    assert due({role: expires}, renewal_at(role, expires) - timedelta(seconds=1)) == frozenset()


def test_the_shortest_life_says_when_to_look_again():
    expires = {role: NOW + life for role, life in LIVES.items()}

    assert next_renewal(expires) == NOW + timedelta(hours=12)


def test_all_that_is_due_is_due_at_once():
    expires = {role: NOW + life for role, life in LIVES.items()}

    assert due(expires, NOW + timedelta(days=5)) == {"timestamp", "snapshot", "locks"}
