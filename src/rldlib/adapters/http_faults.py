"""What requests, urllib3 and sockets raise, in words without secrets."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from typing import TYPE_CHECKING

import requests
import urllib3.exceptions

if TYPE_CHECKING:
    from collections.abc import Iterator

BROKEN = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)

# How http.client tells that a proxy opens no tunnel; what follows is the proxy's own text.
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
# What OpenSSL calls a certificate whose authority is not among those that are trusted.
_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})


def may_be_repeated(exc: BaseException) -> bool:
    """Whether the connection broke, rather than never came about or took too long."""
    causes = list(_chain(exc))
    if any(
        isinstance(cause, TimeoutError | ssl.SSLCertVerificationError | socket.gaierror) for cause in causes
    ):
        return False
    kinds = (
        ConnectionResetError,
        BrokenPipeError,
        http.client.IncompleteRead,
        http.client.RemoteDisconnected,
    )
    return any(isinstance(cause, (*kinds, urllib3.exceptions.ProtocolError)) for cause in causes)


def was_sent(exc: BaseException) -> bool:
    """Whether anything of the request may have arrived: not where there never was a connection."""
    never = (
        urllib3.exceptions.ConnectTimeoutError,
        urllib3.exceptions.NewConnectionError,
        ssl.SSLCertVerificationError,
        socket.gaierror,
        ConnectionRefusedError,
        requests.exceptions.InvalidURL,
        requests.exceptions.ProxyError,
    )
    return not any(isinstance(cause, never) for cause in _chain(exc))


def reason_of(exc: BaseException) -> str:
    """The innermost cause in words; the outer ones quote the whole URL."""
    inner = [cause for cause in _chain(exc) if isinstance(cause, OSError | http.client.HTTPException)]
    inner = [cause for cause in inner if not isinstance(cause, requests.RequestException)]
    cause = inner[-1] if inner else exc
    if isinstance(exc, requests.exceptions.ProxyError):
        return f"its proxy: {_told(cause)}"
    return _told(cause)


def _told(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _untrusted(cause)
    if (refused := _TUNNEL.match(str(cause))) is not None:
        locked = "; put credentials into its URL" if refused[1] == "407" else ""
        return f"it answers with status {refused[1]}{locked}"
    if isinstance(cause, TimeoutError):
        return "it took too long"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    if isinstance(cause, http.client.IncompleteRead):
        return "the connection broke off before the end"
    return f"the exchange broke off ({type(cause).__name__})"


def _untrusted(exc: ssl.SSLCertVerificationError) -> str:
    hint = ""
    if exc.verify_code in _UNKNOWN_AUTHORITY:
        hint = "; name its authority's bundle in REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
    return f"its certificate is not trusted: {exc.verify_message.rstrip('.')}{hint}"


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [exc]
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        nested = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        waiting += [other for other in nested if isinstance(other, BaseException)]
