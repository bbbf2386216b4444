"""Who may ask a responder: tokens, each for some services or for all.

A token comes as a bearer's (RFC 6750), or as the password of basic
authentication (RFC 7617), which is how netrc keeps one for a host.
"""

from __future__ import annotations

import base64
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
_BEARER: Final = "bearer"
_BASIC: Final = "basic"


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
        token = _shown(authorization or "")
        if token is None:
            return None
        shown = _hashed(token)
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


def _shown(authorization: str) -> str | None:
    """The token in an ``Authorization`` header."""
    scheme, _, told = authorization.strip().partition(" ")
    if scheme.lower() == _BEARER:
        return told.strip()
    if scheme.lower() != _BASIC:
        return None
    try:
        return base64.b64decode(told.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return None


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
