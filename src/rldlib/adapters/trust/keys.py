"""The private keys of one domain: files that only their owner reads, named by what they sign."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner

from rldlib.adapters.files import REAL, flush_path, storage_errors, write_file
from rldlib.errors import SigningKeyMissingError, StorageError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from rldlib.adapters.files import FileSystem

_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700
# So much of a key's id tells keys of one role apart for people; the id itself is checked when it is read.
_TOLD: Final = 16


class Keys:
    """A folder of keys. What it holds never reaches a message, a log or a `repr`."""

    def __init__(self, folder: Path, *, files: FileSystem = REAL) -> None:
        self._folder = folder
        self._files = files

    def path(self, role: str, keyid: str) -> Path:
        """Where a key lies; it may have been taken elsewhere."""
        return self._folder / f"{role}-{keyid[:_TOLD]}.pem"

    def make(self, role: str) -> CryptoSigner:
        """A new key; it is on the disk when this returns.

        Raises:
            StorageError: It could not be written.
        """
        signer = CryptoSigner.generate_ed25519()
        path = self.path(role, signer.public_key.keyid)
        with storage_errors(path):
            os.makedirs(self._folder, mode=_FOLDER_MODE, exist_ok=True)  # noqa: PTH103 - with its mode
            write_file(str(path), signer.private_bytes, mode=_MODE, files=self._files, durable=True)
            flush_path(str(self._folder), files=self._files)
        return signer

    def has(self, role: str, keyid: str) -> bool:
        """Whether the key is here."""
        return self.path(role, keyid).exists()

    def signer(self, role: str, keyid: str) -> CryptoSigner:
        """The key that signs a role.

        Raises:
            SigningKeyMissingError: It is not here.
            StorageError: It cannot be read, or is another key.
        """
        path = self.path(role, keyid)
        try:
            with storage_errors(path):
                content = path.read_bytes()
        except StorageError as exc:
            if isinstance(exc.__cause__, FileNotFoundError):
                raise SigningKeyMissingError(role, str(path)) from None
            raise
        signer = _signer(content)
        if signer is None or signer.public_key.keyid != keyid:
            # Without its cause: a parser may quote what it read.
            raise StorageError(str(path), f"it does not hold the key that signs {role}")
        return signer

    def sweep(self, known: Collection[Path]) -> None:
        """Remove every key but these: they were replaced, or never came into use."""
        with storage_errors(self._folder):
            for path in sorted(set(self._folder.glob("*.pem")) - set(known)):
                self._files.remove(str(path))


def _signer(content: bytes) -> CryptoSigner | None:
    try:
        return CryptoSigner(load_pem_private_key(content, None))
    except (ValueError, TypeError):
        return None
