"""Where the bytes of a fetched file go: counted and hashed while they come."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING

from rldlib.adapters.files import REAL, opened, storage_errors
from rldlib.errors import MismatchError

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Buffer

    from rldlib.adapters.files import FileSystem

_READ_ONLY = 0o444


class Receiver(io.RawIOBase):
    """A new file that takes as many bytes as were promised, and not one more.

    A source may go back and write again from an earlier byte on, as it does
    when a broken connection cannot be resumed.
    """

    def __init__(self, path: Path, size: int, sha256: str, what: str, *, files: FileSystem = REAL) -> None:
        """Create the file.

        Raises:
            StorageError: It cannot be created.
        """
        super().__init__()
        self._path = path
        self._size = size
        self._sha256 = sha256
        self._what = what
        self._files = files
        self._digest = hashlib.sha256()
        self._at = 0
        self._went_back = False
        self._fd = -1
        with storage_errors(path):
            self._fd = files.create(str(path), _READ_ONLY)

    def write(self, data: Buffer, /) -> int:
        """Take the next bytes.

        Raises:
            MismatchError: They are more than was promised.
            StorageError: They could not be written.
        """
        view = memoryview(data).cast("B")
        self._at += len(view)
        if self._at > self._size:
            raise MismatchError(f"the size of {self._what}", f"{self._size:,} bytes", "more")
        self._digest.update(view)
        # Mapped here: the source would take the system's words for its own.
        with storage_errors(self._path):
            self._files.write(self._fd, view)
        return len(view)

    def verify(self) -> None:
        """Compare with what was promised.

        Raises:
            MismatchError: Size or hash differ.
            StorageError: It cannot be read.
        """
        if self._at != self._size:
            raise MismatchError(f"the size of {self._what}", f"{self._size:,} bytes", f"{self._at:,} bytes")
        found = self._digest.hexdigest()
        if self._went_back:
            with opened(self._path) as file:
                found = file.sha256()
        if found != self._sha256:
            raise MismatchError(f"the content of {self._what}", f"sha256 {self._sha256}", f"sha256 {found}")

    def finish(self) -> None:
        """Wait until it is on the disk.

        Raises:
            StorageError: It could not be written.
        """
        with storage_errors(self._path):
            self._files.flush(self._fd)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go back to an earlier byte."""
        with storage_errors(self._path):
            self._at = os.lseek(self._fd, offset, whence)
        self._went_back = True
        return self._at

    def truncate(self, size: int | None = None, /) -> int:
        """Forget what comes after."""
        end = self._at if size is None else size
        with storage_errors(self._path):
            os.ftruncate(self._fd, end)
        self._went_back = True
        return end

    def tell(self) -> int:
        """The next byte's position."""
        return self._at

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Close the file; it stays where it is."""
        if not self.closed and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()
