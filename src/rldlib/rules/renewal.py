"""How long what is signed stays true, and when it is signed again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rldlib.values.trust import Role

# A timestamp of one day bounds how long a client can be held on an old state, and how long a
# responder may be away before nothing new starts from it. Locks follow what is published within
# a week. What is signed by keys that may lie in a safe lasts a year.
LIVES: Final[Mapping[Role, timedelta]] = {
    "root": timedelta(days=365),
    "targets": timedelta(days=365),
    "locks": timedelta(days=7),
    "snapshot": timedelta(days=7),
    "timestamp": timedelta(days=1),
}


def renewal_at(role: Role, expires: datetime) -> datetime:
    """When a role is signed again: with half its life left, so that a night without us breaks nothing."""
    return expires - LIVES[role] / 2


def due(expires: Mapping[Role, datetime], now: datetime) -> frozenset[Role]:
    """The roles to sign again now."""
    return frozenset(role for role, at in expires.items() if renewal_at(role, at) <= now)


def next_renewal(expires: Mapping[Role, datetime]) -> datetime:
    """When somebody should look again."""
    return min(renewal_at(role, at) for role, at in expires.items())
