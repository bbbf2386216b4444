"""A promise as the name and the lines of its file.

The figures are in the name, which is given at once and cannot be torn. A
promise whose content is damaged therefore still counts with exactly what it
was given; the rest of it is unknown, and `Promise.is_readable` says so.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rldlib.values.promise import Promise

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a note may never change: others have decided by it.
FIGURES = ("id", "memory_bytes", "disk_bytes", "cpu_idle_rcu")

_NAME = re.compile(
    r"(?P<id>[A-Za-z0-9_]{1,64})-(?P<memory_bytes>\d{1,19})-(?P<disk_bytes>\d{1,19})"
    r"-(?P<cpu_idle_rcu>\d{1,19})\.promise\Z",
    re.ASCII,
)
_TEXTS = ("service", "version", "root", "environment", "since")
_NUMBERS = ("host_pid", "worker_pid")
_NEEDED = {"service", "version", "root", "host_pid"}
_FIELDS = tuple(field.name for field in fields(Promise))


def file_name(promise: Promise) -> str:
    """The name of its file.

    Raises:
        ValueError: The id or a figure cannot be part of a name.
    """
    name = f"{promise.id}-{promise.memory_bytes}-{promise.disk_bytes}-{promise.cpu_idle_rcu}.promise"
    if _NAME.match(name) is None:
        raise ValueError(
            f"{name!r} names no promise: its id is 1 to 64 letters, digits and underscores, its figures are not negative"
        )
    return name


def is_file_name(name: str) -> bool:
    """Whether a file of this name is a promise."""
    return _NAME.match(name) is not None


def write_lines(told: Mapping[str, Any]) -> bytes:
    """What a file begins with, or what is added to it to change fields.

    On a line of its own, whatever an interrupted write left before it.
    """
    return b"\n" + json.dumps(told).encode() + b"\n"


def read_promise(name: str, content: bytes) -> Promise:
    """The promise of a file; each line changes what the ones before it said.

    A torn or damaged line counts for nothing; fields of a newer rldlib are
    left out.
    """
    match = _NAME.match(name)
    assert match is not None, f"{name!r} names no promise"
    told: dict[str, Any] = {}
    for line in content.split(b"\n"):
        document = _document(line)
        # A line is kept or left as a whole: half of one is not what was written.
        if _has_its_types(document):
            told.update(document)
    figures: dict[str, Any] = {
        key: text if key == "id" else int(text) for key, text in match.groupdict().items()
    }
    if not told.keys() >= _NEEDED:
        return Promise(service="unreadable", version="", root="", host_pid=0, **figures)
    known = {name: told[name] for name in _FIELDS if name in told}
    return Promise(**(known | figures | {"wheels": tuple(told.get("wheels", ()))}))


def _document(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line) if line else {}
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _has_its_types(told: dict[str, Any]) -> bool:
    wheels = told.get("wheels", [])
    return (
        all(isinstance(told.get(name, ""), str) for name in _TEXTS)
        and all(type(told.get(name)) in {int, type(None)} for name in _NUMBERS)
        and isinstance(wheels, list)
        and all(isinstance(wheel, str) for wheel in wheels)
    )
