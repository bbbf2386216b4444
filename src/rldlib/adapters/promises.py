"""Room that was set aside, seen by every process of the host.

A promise is a file that is locked (``flock``) by its open file description.
It lives as long as any process holds that description, and dies with the
last of them, however they end: no pid is ever asked, and nothing is stale.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import threading
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rldlib.errors import StorageError
from rldlib.values.promise_text import FIGURES, file_name, is_file_name, read_promise, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rldlib.values.promise import Promise

# An admission takes milliseconds. Whoever keeps the lock for this long is stopped or hangs.
ADMISSION_LIMIT_S = 30.0
# A promise is a few kilobytes, its wheels included; a note adds some bytes.
_MAX_BYTES = 1024 * 1024
_NEW = re.compile(r"\.[A-Za-z0-9_]{1,64}\.new\Z", re.ASCII)

# What a file was when it was read: inode, size, time of its last change.
_State = tuple[int, int, int]
_NO_STATE: _State = (-1, -1, -1)

_open: set[_Descriptor] = set()


class _Descriptor:
    """An open file that is closed once, and never kept by a forked child.

    A child's copy would keep the lock for as long as the child lives.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        _open.add(self)

    def close(self) -> None:
        """May be repeated."""
        number, self.number = self.number, -1
        _open.discard(self)
        if number >= 0:
            os.close(number)

    def unlock(self) -> None:
        """At once, whoever else has a copy; then close."""
        with suppress(OSError):
            fcntl.flock(self.number, fcntl.LOCK_UN)
        self.close()


def _let_go_in_child() -> None:
    for descriptor in tuple(_open):
        with suppress(OSError):
            descriptor.close()


os.register_at_fork(after_in_child=_let_go_in_child)


class HeldPromise:
    """See `rldlib.ports.HeldPromise`. Safe for many threads."""

    def __init__(self, descriptor: _Descriptor, promise: Promise, path: Path) -> None:
        self._descriptor = descriptor
        self._promise = promise
        self._path = path
        self._lock = threading.Lock()
        self._closing = weakref.finalize(self, descriptor.close)

    @property
    def promise(self) -> Promise:
        """See `rldlib.ports.HeldPromise.promise`."""
        return self._promise

    def fileno(self) -> int:
        """See `rldlib.ports.HeldPromise.fileno`.

        Raises:
            ValueError: It was given up here, or belongs to the process that forked this one.
        """
        if self._descriptor.number < 0:
            raise ValueError(f"the promise to {self._promise.service} is not held by this process any more")
        return self._descriptor.number

    def note(self, **facts: Any) -> None:
        """See `rldlib.ports.HeldPromise.note`: changes fields of the promise, its figures excepted.

        Raises:
            TypeError: Not a field of `Promise`, or one of its figures.
            ValueError: As `fileno`.
            StorageError: It could not be written; what was told before still holds.
        """
        if fixed := sorted(facts.keys() & set(FIGURES)):
            raise TypeError(f"a promise keeps its {', '.join(fixed)}: make another one")
        with self._lock:
            changed = dataclasses.replace(self._promise, **facts)
            descriptor = self.fileno()
            try:
                _write_whole(descriptor, write_lines(facts))
            except OSError as exc:
                raise _storage_error(self._path, exc) from exc
            self._promise = changed

    def close(self) -> None:
        """See `rldlib.ports.HeldPromise.close`. May be repeated."""
        with self._lock:
            self._closing()


class Promises:
    """See `rldlib.ports.Promises`. Every method may raise `StorageError`.

    The files of the dead are removed by whoever holds the admission lock;
    until then they lie there and count for nothing.

    Args:
        host_dir: The folder that all roots of this user share.
        limit_s: How long an admission waits for another one.
    """

    def __init__(self, host_dir: Path, *, limit_s: float = ADMISSION_LIMIT_S) -> None:
        self._folder = host_dir / "promises"
        self._lock = host_dir / "admission.lock"
        self._limit_s = limit_s
        self._admitting: int | None = None
        # Name of a file -> its state when it was read, and what it said. Whoever sweeps next starts from it.
        self._known: dict[str, tuple[_State, Promise]] = {}

    @contextmanager
    def admission(self) -> Iterator[Sequence[Promise]]:
        """See `rldlib.ports.Promises.admission`. Threads exclude each other too.

        Raises:
            RuntimeError: A bug: this thread holds it already.
            StorageError: No lock can be had there, or its holder keeps it
                beyond the limit.
        """
        if self._admitting == threading.get_ident():
            raise RuntimeError("this thread holds the admission lock already")
        lock = self._open_lock()
        try:
            self._wait_for(lock)
            self._admitting = threading.get_ident()
            try:
                yield self._sweep(remove=True)
            finally:
                self._admitting = None
        finally:
            lock.unlock()

    def make(self, promise: Promise) -> HeldPromise:
        """See `rldlib.ports.Promises.make`. The file is locked before anyone can see it.

        Raises:
            RuntimeError: A bug: called outside `admission`.
            ValueError: The promise's id or a figure cannot name a file.
            StorageError: The file could not be written; nothing was set aside.
        """
        if self._admitting != threading.get_ident():
            raise RuntimeError("a promise is made within admission(), by the thread that holds it")
        path, new = self._folder / file_name(promise), self._folder / f".{promise.id}.new"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            descriptor = _Descriptor(os.open(new, flags, 0o600))
        except OSError as exc:
            raise _storage_error(new, exc) from exc
        try:
            fcntl.flock(descriptor.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_whole(descriptor.number, write_lines(promise.facts()))
            new.rename(path)
        except BaseException as exc:
            new.unlink(missing_ok=True)
            descriptor.close()
            if isinstance(exc, OSError):
                raise _storage_error(path, exc) from exc
            raise
        return HeldPromise(descriptor, promise, path)

    def living(self) -> Sequence[Promise]:
        """See `rldlib.ports.Promises.living`. Never waits: during an admission the dead are left to it."""
        if not self._folder.exists():
            return ()
        lock = self._open_lock()
        try:
            return self._sweep(remove=self._is_locked_at_once(lock))
        finally:
            lock.unlock()

    def _open_lock(self) -> _Descriptor:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Never unlinked: two processes must not lock two files of one name. Opened
            # anew each time: a lock belongs to an open file description, not to a process.
            return _Descriptor(os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as exc:
            raise _storage_error(self._lock, exc) from exc

    def _is_locked_at_once(self, lock: _Descriptor) -> bool:
        try:
            fcntl.flock(lock.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as exc:
            raise _storage_error(self._lock, exc) from exc
        return True

    def _wait_for(self, lock: _Descriptor) -> None:
        if not self._is_locked_at_once(lock) and not _is_locked_within(lock, self._limit_s):
            reason = f"another process has kept this lock for {self._limit_s:g} s ('fuser {self._lock}' tells which)"
            raise StorageError(str(self._lock), reason)

    def _sweep(self, *, remove: bool) -> tuple[Promise, ...]:
        """The promises that live, the oldest first; with `remove`, what the dead left is gone after."""
        living: dict[str, tuple[_State, Promise]] = {}
        known, folder = self._known, str(self._folder)
        try:
            for name in os.listdir(self._folder):  # noqa: PTH208 - names alone
                # Unfinished ones have nobody left to finish them once the lock is ours.
                if not (is_file_name(name) or (remove and _NEW.match(name))):
                    continue
                held = _read_if_held(f"{folder}/{name}", name, known.get(name))
                if held is not None and held[1] is not None:
                    living[name] = held[0], held[1]
                elif held is None and remove:
                    (self._folder / name).unlink(missing_ok=True)
        except OSError as exc:
            raise _storage_error(self._folder, exc) from exc
        self._known = living
        promises = (promise for _, promise in living.values())
        return tuple(sorted(promises, key=lambda promise: (promise.since, promise.id)))


def _read_if_held(
    path: str, name: str, known: tuple[_State, Promise] | None
) -> tuple[_State, Promise | None] | None:
    """What a living promise says, no promise where it is unfinished; None where nobody holds it.

    A note is added to the file: one that is as it was is not read again.
    The lock that asks is a shared one: any number of readers find the same
    promise dead at once, and only its holders keep them out.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        found = os.fstat(number)
        state = found.st_ino, found.st_size, found.st_mtime_ns
        if known is not None and known[0] == state:
            return known
        content = _read(number)
        # What was added meanwhile, or did not come back whole, is read again the next time.
        is_whole = len(content) == found.st_size
        told = read_promise(name, content) if is_file_name(name) else None
        return (state if is_whole else _NO_STATE), told
    else:
        return None
    finally:
        os.close(number)


def _read(number: int) -> bytes:
    content = b""
    # What the medium does not give back is as good as torn; the figures are in the name.
    with suppress(OSError):
        while len(content) < _MAX_BYTES and (chunk := os.read(number, _MAX_BYTES)):
            content += chunk
    return content


def _is_locked_within(lock: _Descriptor, seconds: float) -> bool:
    """Wait in a thread: the kernel's wait has no limit, and asking again and again costs.

    Given up on, the thread gets the lock some day by its own copy, and lets
    go of it at once: closing the last copy unlocks.
    """
    copy, ended = _Descriptor(os.dup(lock.number)), threading.Event()
    locked = []

    def wait() -> None:
        try:
            # Fails where the file system lost the lock's server: told as not locked.
            with suppress(OSError):
                fcntl.flock(copy.number, fcntl.LOCK_EX)
                locked.append(True)
        finally:
            copy.close()
            ended.set()

    threading.Thread(target=wait, name="rldlib-admission", daemon=True).start()
    return ended.wait(seconds) and bool(locked)


def _write_whole(number: int, data: bytes) -> None:
    while data:
        data = data[os.write(number, data) :]


def _storage_error(path: Path, exc: OSError) -> StorageError:
    return StorageError(os.fsdecode(exc.filename or path), exc.strerror or str(exc))
