"""Locks between the threads and processes of a host."""

from __future__ import annotations

import fcntl
import functools
import os
import time
import weakref
from typing import TYPE_CHECKING, Final, Self

from rldlib.adapters.files.system import REAL, storage_errors
from rldlib.errors import StorageError
from rldlib.rules.mounts import local_locks

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from rldlib.adapters.files.system import FileSystem

# A lock that is held by others is asked for again at growing distance: flock knows no deadline.
_FIRST_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.02
_MOUNTS: Final = "/proc/self/mountinfo"


class HostLock:
    """A lock between threads and processes of a host that dies with its holder.

    The file is never removed: who waits on a removed file waits for another
    lock than who comes next. Each use opens it anew, so that two threads of
    one process exclude each other as two processes do.
    """

    def __init__(
        self,
        path: Path,
        *,
        deadline_s: float | None = None,
        shared: bool = False,
        files: FileSystem = REAL,
    ) -> None:
        """Name the lock; nothing is opened before it is entered or tried.

        Args:
            path: Its file.
            deadline_s: How long to wait for it; None is for ever.
            shared: Whether others may share it, so that only who wants it alone is kept out.
            files: The file system.
        """
        self._path = path
        self._deadline_s = deadline_s
        self._shared = shared
        self._files = files
        self._fd: int | None = None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            StorageError: It was not to be had within the deadline, or locks do not work there.
        """
        until = None if self._deadline_s is None else time.monotonic() + self._deadline_s
        pause = _FIRST_PAUSE_S
        while not self.attempt():
            if until is not None and time.monotonic() >= until:
                raise StorageError(
                    str(self._path), f"another process held this lock for {self._deadline_s:g} s"
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        self.release()

    def attempt(self) -> bool:
        """Take the lock if nobody has it; the caller then releases it.

        Raises:
            StorageError: Locks do not work there.
        """
        with storage_errors(self._path):
            fd = _open_lock(self._path)
            try:
                self._refuse_local_locks(fd)
                taken = self._files.lock(fd, shared=self._shared)
            except BaseException:
                os.close(fd)
                raise
            if taken:
                self._fd = fd
                _HELD.add(self)
            else:
                os.close(fd)
            return taken

    def release(self) -> None:
        """Let others have it."""
        fd, self._fd = self._fd, None
        _HELD.discard(self)
        if fd is not None:
            try:
                # Unlocked by name: a fork may hold the same open file.
                fcntl.flock(fd, fcntl.LOCK_UN)
            except OSError:
                return  # closing it unlocks it too, unless there is such a fork
            finally:
                os.close(fd)

    def _refuse_local_locks(self, fd: int) -> None:
        how = _local_locks(os.fstat(fd).st_dev)
        if how is not None:
            raise StorageError(
                str(self._path),
                f"it lies on {how}: locks there do not keep other hosts out, which would build and collect "
                "under each other's hands. Mount it with locks, or choose a root on a disk of this host",
            )

    def _let_go(self) -> None:
        """Close the copy that a fork got, and leave the lock to the parent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


@functools.cache
def _local_locks(device: int) -> str | None:
    """See `local_locks`; looked up once for each file system."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - no path's
            return local_locks(file.read(), f"{os.major(device)}:{os.minor(device)}")
    except OSError:
        return None  # another system; its locks are what they are


_HELD: Final[weakref.WeakSet[HostLock]] = weakref.WeakSet()


def _open_lock(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o666)


def _after_fork() -> None:
    for lock in list(_HELD):
        lock._let_go()  # noqa: SLF001 - the module's own class
    _HELD.clear()


os.register_at_fork(after_in_child=_after_fork)
