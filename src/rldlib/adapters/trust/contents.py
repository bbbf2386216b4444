"""Contents of targets that were verified, by name: the newest of each."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from tuf.api.exceptions import LengthOrHashMismatchError

from rldlib.adapters.files import replace_atomically, storage_errors

if TYPE_CHECKING:
    from pathlib import Path

    from tuf.api.metadata import TargetFile

# Profiles and locks are some kilobytes each, and can be had again.
_MOST: Final = 512
_DIGEST_BYTES: Final = 32


class Contents:
    """A folder of contents; who looks into it holds the lock of the domain."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, target: TargetFile) -> bytes | None:
        """What is kept by the name of a target, if it is what is signed now."""
        data = self.kept(target.path)
        try:
            if data is not None:
                target.verify_length_and_hashes(data)
        except LengthOrHashMismatchError:
            return None
        return data

    def kept(self, name: str) -> bytes | None:
        """What was verified last by this name; what was damaged since is not there."""
        path = self._path(name)
        with storage_errors(path):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return None
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return data if hashlib.sha256(data).digest() == digest else None

    def keep(self, name: str, data: bytes) -> None:
        """Keep a content that was verified; the oldest make room.

        Raises:
            StorageError: It could not be written.
        """
        replace_atomically(self._path(name), hashlib.sha256(data).digest() + data)
        with storage_errors(self._folder):
            kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
            for path in kept[_MOST:]:
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        # Hashed: what a domain calls a target must not become a path.
        return self._folder / hashlib.sha256(name.encode()).hexdigest()
