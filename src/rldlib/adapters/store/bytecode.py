"""Bytecode beside the images it was made of: one file for each wheel and kind of interpreter.

It is not flushed. What a power cut leaves of it differs from its own hashes,
which are compared whenever it is read; what is damaged is removed, and made
again after the next start.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from rldlib.adapters.files import REAL, HostLock, erase, remove_tree, storage_errors, write_file
from rldlib.errors import StorageError
from rldlib.values.bytecode import Bytecode, DamagedBytecodeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rldlib.adapters.files import FileSystem
    from rldlib.values.places import Places

_READ_ONLY: Final = 0o444
# Of one wheel, for one kind of interpreter; the largest that are popular have half of it.
_MOST_BYTES: Final = 128 * 1024 * 1024


class KeptBytecode:
    """The bytecode of one root's images.

    Args:
        places: Where things lie.
        is_there: Whether the image of a wheel is.
        noted: Told of what was damaged.
        files: The file system.
    """

    def __init__(
        self,
        places: Places,
        is_there: Callable[[str], bool],
        noted: Callable[[str], None],
        *,
        files: FileSystem = REAL,
    ) -> None:
        self._places = places
        self._is_there = is_there
        self._noted = noted
        self._files = files

    def of(self, sha256: str, kind: str) -> Bytecode | None:
        """See `rldlib.ports.Store.bytecode`."""
        place = self._place(sha256, kind)
        try:
            with open(place, "rb") as file:  # noqa: PTH123 - a warm start
                if os.fstat(file.fileno()).st_size <= 2 * _MOST_BYTES:
                    return Bytecode.parse(file.read())
        except FileNotFoundError:
            return None
        except OSError as exc:
            self._noted(f"{place} cannot be read ({exc.strerror}); what it holds is compiled again")
            return None
        except DamagedBytecodeError:
            pass
        self._remove(place)
        return None

    def keep(self, sha256: str, kind: str, made: Bytecode) -> bool:
        """See `rldlib.ports.Store.keep_bytecode`."""
        lock = HostLock(self._places.lock("bytecode", sha256), files=self._files)
        if not lock.attempt():
            return False  # somebody writes or collects it right now
        try:
            present = self.of(sha256, kind) or Bytecode(tag=made.tag)
            new = set(made.files) - set(present.files)
            if not new or made.size + present.size > _MOST_BYTES or not self._is_there(sha256):
                return False
            self._publish(sha256, kind, present.with_files(made.files).dump())
            if not self._is_there(sha256):
                # Collected meanwhile, and whoever collected may not have seen this.
                remove_tree(self._places.place("bytecode", sha256), self._places.aside, files=self._files)
                return False
        finally:
            lock.release()
        return True

    def _publish(self, sha256: str, kind: str, data: bytes) -> None:
        place, beside = self._place(sha256, kind), self._places.beside("bytecode", sha256)
        with storage_errors(beside):
            beside.parent.mkdir(parents=True, exist_ok=True)
            erase(beside)  # what a killed process left
            try:
                write_file(str(beside), data, mode=_READ_ONLY, files=self._files)
                place.parent.mkdir(parents=True, exist_ok=True)
                self._files.rename(str(beside), str(place))
            finally:
                erase(beside)

    def _place(self, sha256: str, kind: str) -> Path:
        return self._places.place("bytecode", sha256) / kind

    def _remove(self, place: Path) -> None:
        self._noted(f"{place} was damaged; what it holds is compiled again")
        try:
            remove_tree(place, self._places.aside, files=self._files)
        except StorageError as exc:
            self._noted(f"it could not be removed either: {exc}")
