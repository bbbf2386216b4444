"""What the TUF library refuses, in words: what is wrong, with the numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from tuf.api.exceptions import (
    BadVersionNumberError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata
from tuf.api.serialization import DeserializationError

from rldlib.adapters.trust.updater import BelowMinimumError
from rldlib.errors import TrustError, TrustExpiredError

if TYPE_CHECKING:
    from datetime import datetime

    from tuf.api.metadata import Signed

    from rldlib.values.trust import Pathway

# Above them nothing says which version is due: an older one is a step back.
_UNNAMED: Final = frozenset({"root", "timestamp"})


def refusal(exc: RepositoryError, pathway: Pathway, role: str) -> TrustError:
    """The error of something that is not what its domain signed."""
    return TrustError(pathway.source, pathway.root_sha256, _kind(exc, role), role, str(exc))


def expiry(pathway: Pathway, role: str, signed: Signed | None, now: datetime) -> TrustExpiredError:
    """The error of something that was signed once, and is no longer true."""
    reason = "it is expired"
    if signed is not None:
        late = timedelta(seconds=int((now - signed.expires).total_seconds()))
        reason = (
            f"version {signed.version} was true until {signed.expires.isoformat()}, {late} before the present "
            f"by this host's clock, {now.isoformat(timespec='seconds')}"
        )
    return TrustExpiredError(pathway.source, pathway.root_sha256, "expired", role, reason)


def signed_of(data: bytes) -> Signed | None:
    """What came last, for its version and its time alone."""
    try:
        signed: Signed = Metadata[Any].from_bytes(data).signed
    except RepositoryError:
        return None
    return signed


def _kind(exc: RepositoryError, role: str) -> str:
    match exc:
        case BelowMinimumError():
            return "minimum"
        case DeserializationError():
            return "format"
        case UnsignedMetadataError():
            return "signature"
        case LengthOrHashMismatchError():
            return "mix-and-match"
        case BadVersionNumberError() if role in _UNNAMED:
            return "rollback"
        case BadVersionNumberError() if role == "snapshot" and "snapshot version" not in str(exc):
            # It is the snapshot that the timestamp names, and it names something older than was known.
            return "rollback"
        case _:
            return "format" if role in _UNNAMED else "mix-and-match"
