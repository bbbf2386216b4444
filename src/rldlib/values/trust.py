"""What a domain signs: roles, the names of targets, and where a responder serves them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self, get_args

from rldlib.errors import UsageError

if TYPE_CHECKING:
    from rldlib.values.join import JoinString

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pathway:
    """Where one domain is asked, and what it must prove.

    Attributes:
        source: The address, as errors tell it.
        root_sha256: The sha256 of the root metadata that everything is believed by.
        metadata_url: Where its metadata lies.
        targets_url: Where its targets lie.
        minimum: The lowest version of its timestamp that may be believed.
    """

    source: str
    root_sha256: str
    metadata_url: str
    targets_url: str
    minimum: int = 1

    @classmethod
    def of(cls, join: JoinString, url: str | None = None) -> Self:
        """The pathway that a join string names.

        Args:
            join: The join string.
            url: The responder's root; by default https, and http on this very machine.
        """
        base = (url or join.url("http" if join.is_loopback else "https")).rstrip("/")
        return cls(
            source=base,
            root_sha256=join.root_sha256,
            metadata_url=base + METADATA_PATH,
            targets_url=base + TARGETS_PATH,
            minimum=join.minimum,
        )
