"""Web addresses: what may be shown of them, and what tells two servers apart."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit, urlunsplit

Origin = tuple[str, str, int]

DEFAULT_PORTS = {"http": 80, "https": 443}


def told_url(url: str) -> str:
    """A URL as it may be shown: without credentials, query and fragment."""
    try:
        return urlunsplit((*urlsplit(bare(urlsplit(url)))[:3], "", ""))
    except ValueError:
        return "a URL that is none"


def bare(parts: SplitResult) -> str:
    """The URL without credentials and fragment."""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def origin_of(parts: SplitResult) -> Origin:
    """Scheme, host and port; a ValueError where the port is none."""
    return parts.scheme, (parts.hostname or "").lower(), parts.port or DEFAULT_PORTS.get(parts.scheme, 0)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name alone: nothing is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
