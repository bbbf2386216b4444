"""The key of a domain: who it is to others, whatever its address."""

from __future__ import annotations

import base64
import functools
import hashlib
from typing import TYPE_CHECKING, Final

from rldlib.adapters.files import REAL, HostLock, replace_atomically, storage_errors
from rldlib.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from rldlib.adapters.files import FileSystem

_KEY_BYTES: Final = 32
_PRIVATE: Final = 0o600
# Another process makes the key meanwhile; that takes a moment.
_DEADLINE_S: Final = 10.0


class Identity:
    """See `rldlib.ports.Identity`. An Ed25519 key (RFC 8032), made when it is first needed.

    It is never shown: not by `repr`, not in an error. Safe for many threads and processes.

    Args:
        root: The daemon's root.
        files: The file system.
    """

    def __init__(self, root: Path, *, files: FileSystem = REAL) -> None:
        self._path = root / "identity.key"
        self._lock = root / "locks" / "identity"
        self._files = files

    @property
    def domain(self) -> str:
        """See `Identity.domain`."""
        return hashlib.sha256(self._public).hexdigest()

    @property
    def key(self) -> str:
        """See `Identity.key`."""
        return base64.b64encode(self._public).decode()

    def sign(self, data: bytes) -> str:
        """See `Identity.sign`."""
        return base64.b64encode(self._private.sign(data)).decode()

    @property
    def _public(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    @functools.cached_property
    def _private(self) -> Ed25519PrivateKey:
        # Not before somebody is told who this is: it takes longer to import than a warm start has.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        found = self._read()
        if found is None:
            with HostLock(self._lock, deadline_s=_DEADLINE_S, files=self._files):
                found = self._read()
                if found is None:
                    found = Ed25519PrivateKey.generate().private_bytes_raw()
                    replace_atomically(self._path, found, mode=_PRIVATE, files=self._files)
        return Ed25519PrivateKey.from_private_bytes(found)

    def _read(self) -> bytes | None:
        with storage_errors(self._path):
            try:
                data = self._path.read_bytes()
            except FileNotFoundError:
                return None
        if len(data) != _KEY_BYTES:
            # Never replaced by itself: to others this would be another domain.
            reason = f"a domain's key has {_KEY_BYTES} bytes, this file has {len(data)}"
            raise StorageError(
                str(self._path), f"{reason}; restore it, or remove it to become another domain"
            )
        return data


def signer(key: str, signature: str, data: bytes) -> str | None:
    """The domain whose key signed `data`, as `Identity.domain` tells it; None where `key` did not."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        raw = base64.b64decode(key, validate=True)
        public = Ed25519PublicKey.from_public_bytes(raw)
        public.verify(base64.b64decode(signature, validate=True), data)
    except (InvalidSignature, ValueError):
        return None
    return hashlib.sha256(raw).hexdigest()
