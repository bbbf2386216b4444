"""Who may ask a responder: bearer tokens (RFC 6750), each for some services or for all."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rldlib.errors import UsageError
from rldlib.values.request import is_service_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ALL: Final = "*"
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*\Z")
_SCHEME: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Scope:
    """The services that a token is for."""

    services: frozenset[str]

    def __contains__(self, service: object) -> bool:
        return ALL in self.services or service in self.services


EVERYTHING: Final = Scope(frozenset({ALL}))


@dataclass(frozen=True, slots=True)
class Access:
    """The tokens of a responder, known by their hashes; without any, everybody may ask for everything."""

    scopes: Mapping[bytes, Scope] = field(default_factory=dict, repr=False)

    def scope(self, authorization: str | None) -> Scope | None:
        """What the value of an ``Authorization`` header gives access to; None where it gives none."""
        if not self.scopes:
            return EVERYTHING
        if authorization is None or not authorization.lower().startswith(_SCHEME):
            return None
        shown = _hashed(authorization[len(_SCHEME) :].strip())
        found = None
        # All are compared, each in the same time: how long it takes tells nothing of a token.
        for known, scope in self.scopes.items():
            if hmac.compare_digest(known, shown):
                found = scope
        return found


def read_tokens(path: Path) -> Access:
    """Read a file of tokens: on each line a token, and the services it is for, or ``*``.

    Raises:
        UsageError: It cannot be read, or a line is none. No token is ever told.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"the tokens in {path} cannot be read: {exc}") from exc
    scopes: dict[bytes, Scope] = {}
    for number, line in enumerate(lines, start=1):
        token, *services = line.replace(",", " ").split() or [""]
        if not token or token.startswith("#"):
            continue
        unknown = [name for name in services if name != ALL and not is_service_name(name)]
        if not _TOKEN.match(token) or not services or unknown:
            raise UsageError(
                f"line {number} of {path} is no token: write 'TOKEN SERVICE[,SERVICE...]' or 'TOKEN *', "
                "a token of at least 16 letters, digits and . _ ~ + / -"
            )
        scopes[_hashed(token)] = Scope(frozenset(services))
    if not scopes:
        raise UsageError(f"{path} has no token: nobody could ask; leave --token-file out to let everybody")
    return Access(scopes)


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
