"""What a domain signs: roles, the names of targets, and where a responder serves them."""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

from rldlib.errors import UsageError

Role = Literal["root", "targets", "locks", "snapshot", "timestamp"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

# Below the responder's root. All that trust needs lies in one place, so that a mirror copies one folder.
METADATA_PATH: Final = "/metadata/"
TARGETS_PATH: Final = "/metadata/targets/"

# A profile is below 64 KiB, a lock some tens; templates and the like have to fit in memory twice.
MAX_TARGET_BYTES: Final = 16 * 1024 * 1024
_MAX_NAME_LENGTH: Final = 256
_LOCKS: Final = "locks/"
# What the online key may sign: one lock for each kind of environment, and nothing beside.
LOCK_PATTERN: Final = "locks/*/*/*"
_SEGMENT: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._+!~-]*[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})+\Z")


def role_of(name: str) -> Role:
    """Which role signs a target: locks have one of their own, whose key is always online.

    Raises:
        UsageError: A target cannot be called so.
    """
    if len(name) > _MAX_NAME_LENGTH or not _NAME.match(name):
        raise UsageError(
            f"{name[:80]!r} is no name of a target: FOLDER/.../NAME of letters, digits and . _ + ! ~ -, "
            f"at most {_MAX_NAME_LENGTH} characters"
        )
    if not name.startswith(_LOCKS):
        return "targets"
    if name.count("/") != LOCK_PATTERN.count("/"):
        raise UsageError(f"{name!r} is no name of a lock: locks/SERVICE/VERSION/ENVIRONMENT.toml")
    return "locks"
