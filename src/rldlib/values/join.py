"""Join strings: where a responder answers, and the root of trust that it must prove.

```
rldlib://HOST:PORT#root-sha256=HEX&min=N
```

What follows the ``#`` is the domain: the sha256 of the first root metadata it ever
signed. The address is only where it is asked, and may change.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from rldlib.errors import UsageError
from rldlib.values.address import is_loopback

MAX_JOIN_LENGTH = 512
# TUF writes a version as an integer without a bound; this one outlives a publication each millisecond.
MAX_MINIMUM = 2**48

_FORM = "write rldlib://HOST:PORT#root-sha256=HEX&min=N, as 'rld serve' prints it"
_HEX = re.compile(r"[0-9a-f]{64}\Z")
_NUMBER = re.compile(r"[0-9]{1,15}\Z")
# Labels of a host name (RFC 1123); underscores stand in the names of containers.
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\Z"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinString:
    """One way to one domain.

    Attributes:
        host: Name or address, in lower case; an IPv6 address without brackets.
        port: Its port.
        root_sha256: The domain's identity: the sha256 of its first root metadata.
        minimum: The lowest version of the timestamp that may be believed, so that a
            host that asks for the first time cannot be given an old state.
    """

    host: str
    port: int
    root_sha256: str
    minimum: int = 1

    def __post_init__(self) -> None:
        _check_host(self.host)
        if not 1 <= self.port <= 65535:
            raise UsageError(f"port {self.port} of a join string is none: 1 to 65535")
        if not _HEX.match(self.root_sha256):
            raise UsageError(
                f"root-sha256 of a join string is {len(self.root_sha256)} characters where 64 hexadecimal digits "
                f"in lower case are due; {_FORM}"
            )
        if not 1 <= self.minimum <= MAX_MINIMUM:
            raise UsageError(f"min={self.minimum} of a join string is no version: 1 to {MAX_MINIMUM:,}")

    @property
    def address(self) -> str:
        """``HOST:PORT``, as it stands in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the address is this very machine, by its name alone."""
        return is_loopback(self.host)

    def url(self, scheme: str) -> str:
        """The responder's root over ``scheme``, without a slash at the end."""
        return f"{scheme}://{self.address}"

    def __str__(self) -> str:
        return f"rldlib://{self.address}#root-sha256={self.root_sha256}&min={self.minimum}"


def parse_join(text: str) -> JoinString:
    """Read a join string.

    Raises:
        UsageError: It is none; the first thing that is wrong with it is named.
    """
    if len(text) > MAX_JOIN_LENGTH:
        raise UsageError(f"a text of {len(text):,} characters is no join string; {_FORM}")
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as exc:
        raise UsageError(f"the address of a join string cannot be read ({exc}); {_FORM}") from exc
    _check_form(parts)
    if port is None:
        raise UsageError(f"the join string names no port; {_FORM}")
    facts = _facts(parts.fragment)
    return JoinString(
        host=(parts.hostname or "").lower(),
        port=port,
        root_sha256=facts["root-sha256"],
        minimum=_minimum(facts),
    )


def _check_form(parts: SplitResult) -> None:
    """Refuse what a join string never has; nothing of a credential is repeated."""
    if parts.scheme != "rldlib":
        raise UsageError(f"{parts.scheme or 'no scheme'!r} is where rldlib:// must stand; {_FORM}")
    if "@" in parts.netloc:
        raise UsageError(f"a join string holds no credentials: take out what stands before the @; {_FORM}")
    if parts.path or parts.query:
        raise UsageError(f"a join string has no path and no query; {_FORM}")
    if not parts.hostname:
        raise UsageError(f"the join string names no host; {_FORM}")


def _check_host(host: str) -> None:
    if "%" in host:
        raise UsageError(f"the host of a join string names an interface of one machine; {_FORM}")
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError as exc:
            raise UsageError(f"the host of a join string is no IPv6 address ({exc}); {_FORM}") from exc
    elif not _HOST.match(host):
        raise UsageError(f"{host!r} is no name of a host; {_FORM}")


def _facts(fragment: str) -> dict[str, str]:
    facts: dict[str, str] = {}
    for pair in fragment.split("&") if fragment else ():
        name, equals, value = pair.partition("=")
        if name not in {"root-sha256", "min"} or not equals:
            raise UsageError(f"{pair!r} is nothing that a join string says; {_FORM}")
        if name in facts:
            raise UsageError(f"the join string says {name} twice; {_FORM}")
        facts[name] = value
    if "root-sha256" not in facts:
        raise UsageError(f"the join string names no root-sha256, so nobody could be trusted by it; {_FORM}")
    return facts


def _minimum(facts: dict[str, str]) -> int:
    text = facts.get("min", "1")
    if not _NUMBER.match(text):
        raise UsageError(f"min={text!r} of a join string is no number; {_FORM}")
    return int(text)
