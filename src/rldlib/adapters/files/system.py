"""The calls of the file system that may fail, as a port of their own."""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rldlib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FICLONERANGE: Final = 0x4020940D
_RANGE: Final = struct.Struct("=qQQQ")
_GET_FLAGS: Final = 0x80086601
_SET_FLAGS: Final = 0x40086602
_TOP_FOLDER: Final = 0x00020000
_FLAGS: Final = struct.Struct("@l")


class FileSystem:
    """The calls that may fail, one method each, every one raising `OSError`."""

    def create(self, path: str, mode: int = 0o666) -> int:
        """Open a file that must not be there yet."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def write(self, fd: int, data: bytes | memoryview) -> None:
        """Write all of it."""
        written = os.write(fd, data)
        while written < len(data):
            written += os.write(fd, memoryview(data)[written:])

    def write_at(self, fd: int, data: bytes | memoryview, at: int) -> None:
        """Write all of it from a byte on; threads may write other parts meanwhile."""
        written = os.pwrite(fd, data, at)
        while written < len(data):
            written += os.pwrite(fd, memoryview(data)[written:], at + written)

    def flush(self, fd: int) -> None:
        """Wait until a file, or a folder's entries, are on the disk."""
        os.fsync(fd)

    def make_folder(self, path: str) -> None:
        """Make a folder that must not be there yet."""
        os.mkdir(path)  # noqa: PTH102 - a thousand times a build

    def link(self, target: str, path: str) -> None:
        """Make a symbolic link."""
        os.symlink(target, path)  # noqa: PTH211 - strings, as above

    def clone(self, source: int, at: int, size: int, target: int) -> None:
        """Begin a file with whole blocks of another, copied by whoever writes first.

        `OSError` where that is unknown.
        """
        fcntl.ioctl(target, _FICLONERANGE, _RANGE.pack(source, at, size, 0))

    def spread(self, folder: str) -> None:
        """Have each folder in this one begin far from the others, where the file system knows how.

        ext4 puts a file near its folder, and a folder near the one above it. It passes over the inodes of
        files that were deleted in the last minutes, one by one: what is made where much was deleted takes
        several times as long.
        """
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            (flags,) = _FLAGS.unpack(fcntl.ioctl(fd, _GET_FLAGS, bytes(_FLAGS.size)))
            if not flags & _TOP_FOLDER:
                fcntl.ioctl(fd, _SET_FLAGS, _FLAGS.pack(flags | _TOP_FOLDER))
        finally:
            os.close(fd)

    def rename(self, source: str, target: str) -> None:
        """Rename within one file system; a file at `target` is replaced."""
        os.rename(source, target)  # noqa: PTH104 - strings, as above

    def remove(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)  # noqa: PTH108 - strings, as above

    def lock(self, fd: int, *, shared: bool = False) -> bool:
        """Take a lock if nobody has it, or nobody has it alone."""
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


REAL: Final = FileSystem()


@contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turn each `OSError` into a `StorageError` with the path and the system's words."""
    try:
        yield
    except OSError as exc:
        raise StorageError(str(exc.filename or path), exc.strerror or str(exc)) from exc
