"""Acknowledgements that were not taken yet, a small file each."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rldlib.adapters.files import REAL, erase, replace_atomically, storage_errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rldlib.adapters.files import FileSystem
    from rldlib.values.support import Acknowledgement


class Receipts:
    """See `rldlib.ports.Receipts`. ``receipts/DOMAIN/SERVICE-VERSION.json`` below the root.

    Args:
        root: The daemon's root.
        files: The file system.
    """

    def __init__(self, root: Path, *, files: FileSystem = REAL) -> None:
        self._folder = root / "receipts"
        self._files = files

    def keep(self, identity: str, said: Acknowledgement) -> None:
        """See `Receipts.keep`."""
        from rldlib.values.support import write

        replace_atomically(self._place(identity, said), write(said), files=self._files)

    def pending(self, identity: str) -> Sequence[Acknowledgement]:
        """See `Receipts.pending`. What cannot be read is dropped: nobody could take it."""
        from rldlib.values.foreign import MalformedDocumentError
        from rldlib.values.support import Acknowledgement, read

        folder = self._of(identity)
        found = []
        with storage_errors(folder):
            for path in sorted(folder.glob("*.json")):
                try:
                    found.append(read(Acknowledgement, path.read_bytes()))
                except FileNotFoundError:
                    continue  # another process was heard meanwhile
                except MalformedDocumentError:
                    erase(path)
        return tuple(sorted(found, key=lambda said: said.at))

    def taken(self, identity: str, said: Acknowledgement) -> None:
        """See `Receipts.taken`."""
        from rldlib.values.support import write

        path = self._place(identity, said)
        with storage_errors(path):
            try:
                if path.read_bytes() == write(said):
                    path.unlink(missing_ok=True)
            except FileNotFoundError:
                return

    def _place(self, identity: str, said: Acknowledgement) -> Path:
        return self._of(identity) / f"{said.service}-{said.version}.json"

    def _of(self, identity: str) -> Path:
        return self._folder / hashlib.sha256(identity.encode()).hexdigest()[:32]
