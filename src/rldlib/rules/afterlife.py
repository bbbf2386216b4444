"""What stays after the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rldlib.values.policy import Policy
    from rldlib.values.profile import AfterUse, Life

# The stricter the later: each leaves less behind than the one before it.
_STRICTNESS: tuple[AfterUse, ...] = ("retain", "terminate", "delete")


def after_use(life: Life, policy: Policy) -> AfterUse:
    """The stricter of what the profile and the host say."""
    return max(life.after_use, policy.after_use or "retain", key=_STRICTNESS.index)
