"""What daemons say to each other, join strings, and the brief form of a lock: readers and seeds to fuzz."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from rldlib.values import lock_text, support
from rldlib.values.foreign import MalformedDocumentError
from rldlib.values.join import JoinString, parse_join
from rldlib.values.lock import Lock, LockedWheel

if TYPE_CHECKING:
    from collections.abc import Iterable

# An input is read as each: none may take what another sends for its own.
_KINDS = (support.SupportRequest, support.SupportAnswer, support.Acknowledgement)
_HEX = "ab" * 32


def support_message(data: bytes) -> None:
    """A message as a daemon reads it, and what is made of it next."""
    refused = None
    for kind in _KINDS:
        try:
            message = support.read(kind, data)
        except MalformedDocumentError as exc:
            refused = exc
            continue
        if support.read(kind, support.write(message)) != message:
            raise AssertionError(f"a {kind.__name__} reads otherwise once it was written")
        if isinstance(message, support.Acknowledgement):
            hashlib.sha256(message.signed_bytes)
        if isinstance(message, support.SupportRequest):
            for asked in message.interpreters:
                hashlib.sha256(asked.digest.encode())
                support.asking_interpreter(asked)
        return
    if refused is not None:
        raise refused


def join_string(data: bytes) -> None:
    """A join string as a person pastes it."""
    join = parse_join(data.decode("utf-8", "surrogateescape"))
    if parse_join(str(join)) != join:
        raise AssertionError("a join string reads otherwise once it was written")


def brief_lock(data: bytes) -> None:
    """The brief form of a lock: whatever is none is nothing."""
    read = lock_text.read_brief(data, b"standard")
    if read is not None and lock_text.read_brief(lock_text.brief(read, b"standard"), b"standard") != read:
        raise AssertionError("a brief lock reads otherwise once it was written")


# --- seeds -----------------------------------------------------------------------


def support_messages() -> Iterable[bytes]:
    kind = {
        "version": "3.11.7",
        "platforms": [["manylinux_2_17_x86_64", "linux_x86_64"], ["any"]],
        "tags": [
            {"interpreter": "cp311", "abi": "cp311", "platforms": 0},
            {"interpreter": "py3", "abi": "none", "platforms": 1},
        ],
        "markers": {"python_version": "3.11", "sys_platform": "linux"},
    }
    request = {"protocols": [1], "service": "tax", "specifier": ">=1,<2", "wish": "auto", "domain": _HEX}
    yield json.dumps(request | {"interpreters": [kind], "score_rcu": 1000}).encode()
    yield json.dumps({"protocols": [1], "service": "tax"}).encode()
    load = {"slots": 4, "active": 1, "queued": 0, "queue_slots": 8, "busy": 0.5, "score_rcu": 900}
    locks = [{"interpreter": 0, "environment": "cp311-linux_x86_64", "target": "locks/tax/1.0/cp311.toml"}]
    answer = {
        "protocol": 1,
        "service": "tax",
        "version": "1.0",
        "profile": "profiles/tax/1.0.json",
        "load": load,
        "locks": locks,
    }
    yield json.dumps(answer | {"remote": True, "operations": {"rate": {"arguments": {}}}}).encode()
    yield json.dumps(
        {
            "service": "tax",
            "version": "1.0",
            "profile_digest": _HEX,
            "resources": [_HEX],
            "state": "released",
            "at": "2026-01-01T00:00:00Z",
            "key": "aGVsbG8=",
            "signature": "aGVsbG8=",
        }
    ).encode()


def join_strings() -> Iterable[bytes]:
    yield str(JoinString(host="pricing.internal", port=8443, root_sha256=_HEX, minimum=12)).encode()
    yield str(JoinString(host="2001:db8::1", port=1, root_sha256=_HEX)).encode()
    yield f"RLDLIB://Host_1:080#root-sha256={_HEX}".encode()


def brief_locks() -> Iterable[bytes]:
    wheel = LockedWheel(
        name="tax",
        version="1.0",
        filename="tax-1.0-py3-none-any.whl",
        locator="https://index.example/tax-1.0-py3-none-any.whl",
        sha256=_HEX,
        size=100,
    )
    lock = Lock(
        service="tax",
        version="1.0",
        distribution="tax",
        source="https://index.example/simple/",
        interpreter="cpython-3.11.7-linux-x86_64",
        wheels=(wheel,),
    )
    yield lock_text.brief(lock, b"standard")
