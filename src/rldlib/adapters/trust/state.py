"""What is kept of another domain beside what the TUF library keeps: where it began, and when it was true."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from rldlib.adapters.files import replace_atomically, storage_errors

if TYPE_CHECKING:
    from pathlib import Path

_ANCHOR: Final = "anchor"
_VERIFIED: Final = "verified"


class State:
    """A domain's folder; who changes it holds its lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def anchor(self, root_sha256: str) -> bytes | None:
        """The first root metadata; one that is damaged is not there."""
        data = _content(self._folder / _ANCHOR)
        return data if data is not None and hashlib.sha256(data).hexdigest() == root_sha256 else None

    def keep_anchor(self, data: bytes) -> None:
        """Keep the first root metadata.

        Raises:
            StorageError: It could not be written.
        """
        replace_atomically(self._folder / _ANCHOR, data)

    def timestamp(self) -> bytes | None:
        """The timestamp that was verified last."""
        return _content(self._folder / "timestamp.json")

    def verified_at(self) -> datetime | None:
        """When all of it was seen to be true last."""
        try:
            return datetime.fromtimestamp((self._folder / _VERIFIED).stat().st_mtime, UTC)
        except FileNotFoundError:
            return None

    def note_verified(self, at: datetime) -> None:
        """All of it is true at this instant. The file's time says so: it is written at each look."""
        path = self._folder / _VERIFIED
        with storage_errors(path):
            path.touch()
            os.utime(path, (at.timestamp(), at.timestamp()))

    def status(self, root_sha256: str, now: datetime) -> dict[str, Any]:
        """What was verified last, and until when it is true, as plain data."""
        at = self.verified_at()
        return {
            "root_sha256": root_sha256,
            "folder": str(self._folder),
            "verified_at": at.isoformat(timespec="seconds") if at else None,
            "roles": self.roles(now),
        }

    def roles(self, now: datetime) -> list[dict[str, Any]]:
        """Version and expiry of every role that was verified; its text is not verified again."""
        told = (_role(path, now) for path in sorted(self._folder.glob("*.json")))
        return [role for role in told if role is not None]


def _role(path: Path, now: datetime) -> dict[str, Any] | None:
    """One role; None where its file is damaged, or just gone: the next look fetches it again."""
    data = _content(path)
    try:
        signed = json.loads(data or b"")["signed"]
        expires = datetime.fromisoformat(signed["expires"])
        return {
            "role": unquote(path.stem),
            "version": signed["version"],
            "expires": expires.isoformat(),
            "expired": expires <= now,
        }
    except (ValueError, TypeError, KeyError):
        return None


def _content(path: Path) -> bytes | None:
    with storage_errors(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
