"""Whether an environment is still what was installed: what its RECORDs and its listing of bytecode name."""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rldlib.values.places import BYTECODE_LISTING, ENVIRONMENT_MARKER

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECORDS = "lib/python*/site-packages/*.dist-info/RECORD"
_HASHED = "sha256="


def damaged_files(environment: Path) -> list[str]:
    """The files that are missing or differ, relative to the environment; empty where it is intact.

    What was added later, as the bytecode that a worker writes, is not looked at.
    """
    marker = _marker(environment)
    found = [*_damaged_base(environment), *_damaged_bytecode(environment, marker.get("bytecode"))]
    records = sorted(environment.glob(_RECORDS))
    if len(records) < len(marker.get("wheels", ())):
        found.append(_RECORDS)
    for record in records:
        found += _damaged_of(record, environment)
    return sorted(set(found))


def _damaged_base(environment: Path) -> Iterator[str]:
    """What makes it a virtualenv: an interpreter that is there, and where it came from."""
    if not os.access(environment / "bin" / "python", os.X_OK):
        yield "bin/python"
    try:
        settings = (environment / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        settings = ""
    homes = [line.partition("=")[2].strip() for line in settings.splitlines() if line.startswith("home")]
    if not any(Path(home).is_dir() for home in homes):
        yield "pyvenv.cfg"


def _marker(environment: Path) -> dict[str, Any]:
    try:
        told = json.loads((environment / ENVIRONMENT_MARKER).read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _damaged_bytecode(environment: Path, told: str | None) -> Iterator[str]:
    if told is None:
        return
    try:
        listing = (environment / BYTECODE_LISTING).read_bytes()
    except OSError:
        listing = b""
    if hashlib.sha256(listing).hexdigest() != told:
        yield BYTECODE_LISTING
        return
    for path, (sha256, size) in json.loads(listing).items():
        if not _is_intact(f"{environment}/{path}", sha256, str(size)):
            yield path


def _damaged_of(record: Path, environment: Path) -> Iterator[str]:
    packages = record.parent.parent
    own = record.relative_to(packages).as_posix()
    try:
        with record.open(newline="", encoding="utf-8") as lines:
            rows = [(path, _in_hex(digest), size) for path, digest, size in csv.reader(lines)]
    except (OSError, ValueError, csv.Error):
        rows = []
    # It lists itself last: one without that row was cut off.
    if not rows or rows[-1][0] != own:
        yield os.path.relpath(record, environment)
    for path, sha256, size in rows:
        file = os.path.normpath(packages / path)
        if path != own and not _is_intact(file, sha256, size):
            yield os.path.relpath(file, environment)


def _in_hex(told: str) -> str:
    if not told.startswith(_HASHED):
        return ""
    try:
        return base64.urlsafe_b64decode(f"{told.removeprefix(_HASHED)}==").hex()
    except binascii.Error:
        return "?"


def _is_intact(file: str, sha256: str, size: str) -> bool:
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 - beside strings
            if str(os.fstat(stream.fileno()).st_size) != size:
                return False
            return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    except OSError:
        return False
