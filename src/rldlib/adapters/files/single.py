"""One file: written whole or not at all, read without reading what is not looked at."""

from __future__ import annotations

import mmap
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rldlib.adapters.files.system import REAL, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldlib.adapters.files.system import FileSystem

# No replacement takes so long: what is older has no writer any more.
_LEFT_AFTER_S: Final = 600.0


def replace_atomically(path: Path, data: bytes, *, files: FileSystem = REAL) -> None:
    """Give a file new content: whoever reads sees the old or the new, never a part.

    Raises:
        StorageError: It could not be written; the old content is untouched.
    """
    beside = f"{path}.{os.urandom(8).hex()}.tmp"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_file(beside, data, files=files, durable=True)
            files.rename(beside, str(path))
        except BaseException:
            _forget(beside)
            raise
        flush_path(str(path.parent), files=files)
        _sweep(str(path))


def _sweep(path: str) -> None:
    """Remove what processes left that were killed while they replaced this file."""
    folder, name = os.path.split(path)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(f"{name}.") and entry.name.endswith(".tmp"):
                try:
                    if time.time() - entry.stat().st_mtime > _LEFT_AFTER_S:
                        os.unlink(entry.path)  # noqa: PTH108 - a scanned entry
                except FileNotFoundError:
                    continue  # its writer has just renamed it


def write_file(
    path: str, data: bytes, *, mode: int = 0o666, files: FileSystem = REAL, durable: bool = False
) -> None:
    """Write a new file; with `durable` it is on the disk when this returns."""
    fd = files.create(path, mode)
    try:
        files.write(fd, data)
        if durable:
            files.flush(fd)
    finally:
        os.close(fd)


def flush_path(path: str, *, files: FileSystem = REAL) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        files.flush(fd)
    finally:
        os.close(fd)


@contextmanager
def mapped(path: Path) -> Iterator[bytes | mmap.mmap]:
    """The bytes of a file, without reading what is not looked at.

    Raises:
        StorageError: It cannot be read.
    """
    with storage_errors(path), path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            content: bytes | mmap.mmap = b""
        else:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        yield content
    finally:
        if not isinstance(content, bytes):
            content.close()


def _forget(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108 - beside a string
    except FileNotFoundError:
        return
