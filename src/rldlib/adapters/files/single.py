"""One file: written whole or not at all."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from rldlib.adapters.files.system import REAL, storage_errors

if TYPE_CHECKING:
    from pathlib import Path

    from rldlib.adapters.files.system import FileSystem

# What is being written beside a file: its name, a dot, so many digits of chance, and this.
_BESIDE: Final = re.compile(r"\.[0-9a-f]{16}\.tmp\Z")
# Somebody may sweep up a file in the moment between its creation and its lock.
_ATTEMPTS: Final = 8


def replace_atomically(path: Path, data: bytes, *, mode: int = 0o666, files: FileSystem = REAL) -> None:
    """Give a file new content: whoever reads sees the old or the new, never a part.

    Args:
        path: The file; its folder is made where it is missing.
        data: All of its new content.
        mode: Who may read and write it, as far as the process's mask allows.
        files: The file system.

    Raises:
        StorageError: It could not be written; the old content is untouched.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(_ATTEMPTS)):
            try:
                _replace(str(path), data, mode, files)
                break
            except FileNotFoundError:
                if not left:
                    raise
        flush_path(str(path.parent), files=files)
    sweep(path.parent, path.name, files=files)


def _replace(path: str, data: bytes, mode: int, files: FileSystem) -> None:
    beside = f"{path}.{os.urandom(8).hex()}.tmp"
    fd = files.create(beside, mode)
    try:
        # Held until it has its name: so others tell it from what a killed process left.
        files.lock(fd)
        files.write(fd, data)
        files.flush(fd)
        files.rename(beside, path)
    except BaseException:
        _forget(beside)
        raise
    finally:
        os.close(fd)


def sweep(folder: Path, name: str = "", *, files: FileSystem = REAL) -> list[str]:
    """Remove what processes left in a folder that were killed while they replaced a file there.

    Args:
        folder: It may be missing.
        name: Only what was to become this file; by default any.
        files: The file system.

    Returns:
        The paths that are gone.

    Raises:
        StorageError: The folder cannot be read, or something in it cannot be removed.
    """
    with storage_errors(folder):
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names alone
        except FileNotFoundError:
            return []
        ends = [(entry, match.start()) for entry in names if (match := _BESIDE.search(entry))]
        found = [f"{folder}/{entry}" for entry, end in ends if name in {"", entry[:end]}]
        return [path for path in found if _is_swept(path, files)]


def _is_swept(path: str, files: FileSystem) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False  # its writer has just renamed it
    try:
        if not files.lock(fd):
            return False
        _forget(path)
    finally:
        os.close(fd)
    return True


def write_file(
    path: str, data: bytes | memoryview, *, mode: int = 0o666, files: FileSystem = REAL, durable: bool = False
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


def _forget(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108 - beside a string
    except FileNotFoundError:
        return
