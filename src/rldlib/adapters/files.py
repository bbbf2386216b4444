"""The file system as the store and the environments use it, safe against crashes.

What is written lies beside its place first, in the same tree, is flushed, and
is renamed into place: a reader sees all of it or nothing, after a kill and
after a power cut. Everything that can fail goes through `FileSystem`, so that
a test can make each call fail.
"""

from __future__ import annotations

import fcntl
import functools
import mmap
import os
import shutil
import time
import uuid
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

from rldlib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

_FICLONE: Final = 0x40049409
# A lock that is held by others is asked for again at growing distance: flock knows no deadline.
_FIRST_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.02
_FLUSHES_AT_ONCE: Final = 8
# sync_file_range(2): start writing, do not wait.
_SYNC_FILE_RANGE_WRITE: Final = 2


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

    def begin_flush(self, fd: int) -> None:
        """Let the disk begin, so that the later `flush` waits less. Never fails: it is a hint."""
        _begin_flush()(fd)

    def flush(self, fd: int) -> None:
        """Wait until a file, or a folder's entries, are on the disk."""
        os.fsync(fd)

    def make_folder(self, path: str) -> None:
        """Make a folder that must not be there yet."""
        os.mkdir(path)  # noqa: PTH102 - a thousand times a build

    def link(self, target: str, path: str) -> None:
        """Make a symbolic link."""
        os.symlink(target, path)  # noqa: PTH211 - strings, as above

    def clone(self, source: int, target: int) -> None:
        """Share the blocks of a file, copied by whoever writes first; `OSError` where that is unknown."""
        fcntl.ioctl(target, _FICLONE, source)

    def rename(self, source: str, target: str) -> None:
        """Rename within one file system; a file at `target` is replaced."""
        os.rename(source, target)  # noqa: PTH104 - strings, as above

    def remove(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)  # noqa: PTH108 - strings, as above

    def lock(self, fd: int) -> bool:
        """Take a lock if nobody has it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


# --- one file -----------------------------------------------------------------------


def replace_atomically(path: Path, data: bytes, *, files: FileSystem = REAL) -> None:
    """Give a file new content: whoever reads sees the old or the new, never a part.

    Raises:
        StorageError: It could not be written; the old content is untouched.
    """
    beside = f"{path}.{uuid.uuid4().hex}.tmp"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_file(beside, data, files=files, durable=True)
            files.rename(beside, str(path))
        except BaseException:
            _forget(beside)
            raise
        flush_path(str(path.parent), files=files)


def write_file(
    path: str, data: bytes, *, mode: int = 0o666, files: FileSystem = REAL, durable: bool = False
) -> None:
    """Write a new file; with `durable` it is on the disk when this returns."""
    fd = files.create(path, mode)
    try:
        files.write(fd, data)
        if durable:
            files.flush(fd)
        else:
            files.begin_flush(fd)
    finally:
        os.close(fd)


def flush_path(path: str, *, files: FileSystem = REAL) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        files.flush(fd)
    finally:
        os.close(fd)


@functools.cache
def _begin_flush() -> Callable[[int], object]:
    """sync_file_range, where the C library has it: fsync then finds the blocks on their way."""
    import ctypes

    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is None:
        return lambda _: None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return lambda fd: call(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


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


# --- whole folders ---------------------------------------------------------------------


def publish_folder(beside: Path, place: Path, *, files: FileSystem = REAL) -> None:
    """Flush a folder that was built beside, and rename it into place.

    The caller holds the lock of `place` and has seen that nothing is there.

    Raises:
        StorageError: It could not be flushed or renamed; nothing is at `place`.
    """
    with storage_errors(beside):
        flush_tree(str(beside), files=files)
        place.parent.mkdir(parents=True, exist_ok=True)
        files.rename(str(beside), str(place))
        flush_path(str(place.parent), files=files)


def flush_tree(folder: str, *, files: FileSystem = REAL) -> None:
    """Wait until every file below a folder, and then the folders, are on the disk."""
    folders, found = [], []
    for place, _, names in os.walk(folder):
        folders.append(place)
        found += [path for name in names if not os.path.islink(path := f"{place}/{name}")]  # noqa: PTH114 - many
    _flush_all(found, files)
    _flush_all(folders, files)


def _flush_all(paths: list[str], files: FileSystem) -> None:
    """Flushes wait for the disk, and for each other least when they wait together."""
    if len(paths) <= _FLUSHES_AT_ONCE:
        for path in paths:
            flush_path(path, files=files)
        return
    with ThreadPoolExecutor(_FLUSHES_AT_ONCE, "rldlib-flush") as pool:
        list(pool.map(lambda path: flush_path(path, files=files), paths))


def remove_tree(path: Path, aside: Path, *, files: FileSystem = REAL) -> None:
    """Remove a folder or file so that nobody ever sees a part of it; nothing there is fine.

    It is renamed into `aside` first; what a crash leaves there is removed by
    whoever collects.

    Raises:
        StorageError: It could not be removed.
    """
    gone = aside / f"gone-{uuid.uuid4().hex}"
    with storage_errors(path):
        aside.mkdir(parents=True, exist_ok=True)
        try:
            files.rename(str(path), str(gone))
        except FileNotFoundError:
            return
        erase(gone)


def erase(path: Path) -> None:
    """Remove a folder or file that nobody looks at any more; somebody else may do the same."""
    with storage_errors(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=_unless_gone)
        else:
            path.unlink(missing_ok=True)


def _unless_gone(_: object, __: str, info: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(info[1], FileNotFoundError):
        raise info[1]


def _forget(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108 - beside a string
    except FileNotFoundError:
        return


# --- locks -------------------------------------------------------------------------------


class HostLock:
    """A lock between threads and processes of a host that dies with its holder.

    The file is never removed: who waits on a removed file waits for another
    lock than who comes next. Each use opens it anew, so that two threads of
    one process exclude each other as two processes do.
    """

    def __init__(self, path: Path, *, deadline_s: float | None = None, files: FileSystem = REAL) -> None:
        """Name the lock; nothing is opened before it is entered or tried."""
        self._path = path
        self._deadline_s = deadline_s
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
                taken = self._files.lock(fd)
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
            # Unlocked by name: a fork may hold the same open file.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def _let_go(self) -> None:
        """Close the copy that a fork got, and leave the lock to the parent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


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
