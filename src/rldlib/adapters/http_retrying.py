"""One request, tried again while that may help and its deadline has not passed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from rldlib.errors import SourceUnavailableError
from rldlib.values.address import told_url

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# How often it is taken up again after the connection broke.
RETRIES = 2


def retried(url: str, attempt: Callable[[float], T], deadline_s: float, *, retries: int = RETRIES) -> T:
    """What an attempt gives; each is told the instant by which all must be over.

    Raises:
        SourceUnavailableError: None came to its end within the bounds.
    """
    from rldlib.adapters.http_faults import BROKEN, may_be_repeated, reason_of

    until = time.monotonic() + deadline_s
    for left in range(retries, -1, -1):
        try:
            return attempt(until)
        except BROKEN as exc:
            late = time.monotonic() >= until
            if not left or late or not may_be_repeated(exc):
                reason = f"no complete answer within {deadline_s:g} s" if late else reason_of(exc)
                raise SourceUnavailableError(told_url(url), reason) from exc
    raise RuntimeError("the last attempt neither returned nor raised; this is a bug in rldlib")
