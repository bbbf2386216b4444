"""Reading from an open file what is looked at, and noticing when it is no longer all there.

Nothing is mapped: a file that somebody cuts off, or a disk that fails, is an
error of the reading here. In a mapping it would be a signal that ends the process.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rldlib.adapters.files.system import storage_errors
from rldlib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Stays in the processor's own cache between its reading, its hashing and its writing.
CHUNK_BYTES: Final = 256 * 1024


class OpenFile:
    """The bytes of an open file, as long as it was when it was opened. Threads may share it.

    Every reading may raise `StorageError`: it cannot be read, or is shorter by now.
    """

    def __init__(self, fd: int, path: Path | str) -> None:
        """Take over nothing: whoever opened it closes it."""
        self._fd = fd
        self._path = path
        self._size = os.fstat(fd).st_size

    def fileno(self) -> int:
        """Its descriptor."""
        return self._fd

    def __len__(self) -> int:
        """How many bytes it had."""
        return self._size

    def __getitem__(self, part: slice, /) -> bytes:
        """Some of its bytes; as of `bytes`, what lies beyond its end is left out."""
        start, stop, _ = part.indices(self._size)
        return self.read(start, stop - start) if stop > start else b""

    def read(self, start: int, size: int) -> bytes:
        """So many bytes from `start` on."""
        try:
            found = os.pread(self._fd, size, start)
        except OSError as exc:
            raise self._unreadable(exc) from exc
        return found if len(found) == size else b"".join(map(bytes, self.chunks(start, size)))

    def chunks(self, start: int, size: int) -> Iterator[memoryview]:
        """So many bytes from `start` on, in pieces that are good until the next is asked for."""
        buffer = memoryview(bytearray(min(size, CHUNK_BYTES)))
        end = start + size
        while start < end:
            try:
                count = os.preadv(self._fd, [buffer[: end - start]], start)
            except OSError as exc:
                raise self._unreadable(exc) from exc
            if not count:
                raise StorageError(
                    str(self._path), f"it had {self._size:,} bytes when it was opened, and was cut off since"
                )
            yield buffer[:count]
            start += count

    def sha256(self, start: int = 0, size: int | None = None) -> str:
        """The hash of so many bytes from `start` on, by default of all of it; in hex."""
        digest = hashlib.sha256()
        for chunk in self.chunks(start, self._size if size is None else size):
            digest.update(chunk)
        return digest.hexdigest()

    def _unreadable(self, error: OSError) -> StorageError:
        return StorageError(str(self._path), error.strerror or str(error))


@contextmanager
def opened(path: Path | str) -> Iterator[OpenFile]:
    """A file to read from.

    Raises:
        StorageError: It cannot be opened.
    """
    with storage_errors(path):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with storage_errors(path):
            file = OpenFile(fd, path)
        yield file
    finally:
        os.close(fd)
