"""A lock as one line of JSON, beside the ``pylock.toml`` that it was read from.

The standard file is what counts, and what others read; reading it takes longer
than all else of a start with the environment there. This line names the very
bytes it was made of, and its own: one that is of other bytes, or damaged, is
nothing, and the standard file is read.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from rldlib.values.lock import Lock, LockedWheel

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT = 1
_FACTS = ("service", "version", "distribution", "source", "interpreter")
_TEXTS = ("name", "version", "filename", "locator", "sha256")
_DIGEST_LENGTH = 64


def brief(lock: Lock, standard: bytes) -> bytes:
    """The lock that was read from the ``pylock.toml`` with these bytes."""
    document = {name: getattr(lock, name) for name in _FACTS}
    wheels = [[*(getattr(wheel, name) for name in _TEXTS), wheel.size] for wheel in lock.wheels]
    content = json.dumps([_FORMAT, _digest(standard), document, wheels]).encode()
    return _digest(content).encode() + content


def read_brief(data: bytes, standard: bytes) -> Lock | None:
    """Undo `brief`; None where it is not of these bytes, is damaged, or is no lock."""
    told, content = data[:_DIGEST_LENGTH], data[_DIGEST_LENGTH:]
    if told.decode("ascii", "replace") != _digest(content):
        return None
    try:
        return _lock_of(json.loads(content), _digest(standard))
    except (ValueError, TypeError, LookupError, RecursionError):
        # Its own digest holds, so no rldlib wrote it and nothing damaged it: somebody made it.
        return None


def _lock_of(document: Any, standard: str) -> Lock | None:
    if document[:2] != [_FORMAT, standard]:
        return None
    facts: Mapping[str, Any] = document[2]
    return Lock(
        **facts,
        wheels=tuple(
            LockedWheel(**dict(zip(_TEXTS, texts, strict=True)), size=size) for *texts, size in document[3]
        ),
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
