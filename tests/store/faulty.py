"""A file system whose calls fail when told to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rldlib.adapters.files import FileSystem

CALLS = ("create", "write", "flush", "make_folder", "link", "rename", "lock")


class FaultyFileSystem(FileSystem):
    """Fails the `nth` use of one call with an error of the system."""

    def __init__(self, call: str, nth: int = 1, number: int = errno.ENOSPC) -> None:
        self.call = call
        self.left = nth
        self.number = number
        self.failed = 0

    def _meet(self, call: str) -> None:
        if call == self.call:
            self.left -= 1
            if self.left == 0:
                self.failed += 1
                raise OSError(self.number, os.strerror(self.number))

    def create(self, path, mode=0o666):
        self._meet("create")
        return super().create(path, mode)

    def write(self, fd, data):
        self._meet("write")
        super().write(fd, data)

    def write_at(self, fd, data, at):
        self._meet("write")
        super().write_at(fd, data, at)

    def flush(self, fd):
        self._meet("flush")
        super().flush(fd)

    def make_folder(self, path):
        self._meet("make_folder")
        super().make_folder(path)

    def link(self, target, path):
        self._meet("link")
        super().link(target, path)

    def rename(self, source, target):
        self._meet("rename")
        super().rename(source, target)

    def lock(self, fd, *, shared=False):
        self._meet("lock")
        return super().lock(fd, shared=shared)


class FlushedFileSystem(FileSystem):
    """The real one; it notes what was flushed, by its path below an environment.

    Args:
        told: Set once a file of the name `until` was renamed into place.
        until: That name.
    """

    def __init__(self, told=None, *, until=""):
        self.flushed = set()
        self._told = told
        self._until = until

    def flush(self, fd):
        path = str(Path(f"/proc/self/fd/{fd}").readlink())
        self.flushed.add(path.partition("/environments/")[2].partition("/")[2] or path)
        super().flush(fd)

    def rename(self, source, target):
        super().rename(source, target)
        if self._told is not None and target.endswith(self._until):
            self._told.set()
