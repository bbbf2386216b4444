"""What a root holds of each service between processes: its profile and its locks.

``services/NAME/VERSION/rldlib.json`` is the profile as it came, and
``services/NAME/VERSION/KIND.pylock.toml`` the lock for one kind of interpreter,
beside which ``KIND.pylock.brief`` says the same in a form that is read at once.
A lock is the pin of what its source gave the first time: it stays until the
service is released, also where its environment was collected.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from rldlib.adapters.files import REAL, erase, replace_atomically
from rldlib.errors import MismatchError, StorageError
from rldlib.values.lock_text import brief, read_brief
from rldlib.values.profile import PROFILE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rldlib.adapters.files import FileSystem
    from rldlib.values.lock import Lock

_LOCK_SUFFIX = ".pylock.toml"
_BRIEF_SUFFIX = ".brief"


@dataclass(frozen=True, slots=True)
class Holding:
    """One version of one service on one kind of interpreter, as it was pinned."""

    version: Version
    profile: bytes
    lock: Lock


class Holdings:
    """The services of one root. Every method may raise `StorageError`."""

    def __init__(
        self,
        root: Path,
        *,
        read: Callable[[str], Lock],
        write: Callable[[Lock], str],
        files: FileSystem = REAL,
    ) -> None:
        self._folder = root / "services"
        self._logs = root / "logs"
        self._read = read
        self._write = write
        self._files = files

    def of(self, service: str) -> Sequence[Holding]:
        """What is held of a service, the newest version first."""
        found = [Holding(version, profile, lock) for version, profile, lock in self._held(service)]
        return sorted(found, key=lambda holding: holding.version, reverse=True)

    def locks(self, service: str) -> Sequence[Lock]:
        """The locks held of a service, but for damaged ones: they hold nothing any more."""
        found = []
        for path in (self._folder / service).glob(f"*/*{_LOCK_SUFFIX}"):
            try:
                found.append(self._lock_at(path))
            except (MismatchError, FileNotFoundError):
                continue
        return found

    def keep(self, lock: Lock, profile: bytes) -> None:
        """Pin a lock, and keep the profile it belongs to."""
        folder = self._folder / lock.service / lock.version
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StorageError(str(folder), str(exc)) from exc
        # The lock last: a profile without one is no holding yet.
        replace_atomically(folder / PROFILE_NAME, profile, files=self._files)
        path, standard = self.lock_path(lock), self._write(lock).encode()
        replace_atomically(path, standard, files=self._files)
        _keep_brief(path.with_suffix(_BRIEF_SUFFIX), brief(lock, standard))

    def text(self, lock: Lock) -> str:
        """A lock as pylock.toml."""
        return self._write(lock)

    def read(self, text: str) -> Lock:
        """A lock out of pylock.toml."""
        return self._read(text)

    def lock_path(self, lock: Lock) -> Path:
        """Where a lock is kept."""
        return self._folder / lock.service / lock.version / f"{lock.interpreter}{_LOCK_SUFFIX}"

    def forget(self, service: str) -> bool:
        """Drop every pin of a service, and its log; False where there was no pin."""
        folder = self._folder / service
        for log in self._logs.glob(f"{service}.log*"):
            erase(log)
        if not folder.is_dir():
            return False
        try:
            shutil.rmtree(folder)
        except OSError as exc:
            raise StorageError(str(folder), str(exc)) from exc
        return True

    def services(self) -> Sequence[str]:
        """The names of all services held."""
        if not self._folder.is_dir():
            return ()
        return tuple(sorted(entry.name for entry in self._folder.iterdir() if entry.is_dir()))

    def _held(self, service: str) -> Iterator[tuple[Version, bytes, Lock]]:
        folder = self._folder / service
        if not folder.is_dir():
            return
        for version in folder.iterdir():
            for path in version.glob(f"*{_LOCK_SUFFIX}"):
                try:
                    yield (
                        Version(version.name),
                        (version / PROFILE_NAME).read_bytes(),
                        self._lock_at(path),
                    )
                except FileNotFoundError:
                    continue  # released by another process meanwhile
                except (InvalidVersion, OSError) as exc:
                    raise StorageError(str(path), str(exc)) from exc

    def _lock_at(self, path: Path) -> Lock:
        try:
            return self._lock_of(path, path.read_bytes())
        except (MismatchError, UnicodeDecodeError) as exc:
            expected, found = (
                (exc.expected, exc.actual) if isinstance(exc, MismatchError) else ("a lock", "no text")
            )
            service = path.parent.parent.name
            advice = f"It was not used; 'rld release {service}' drops it, and the next start pins anew"
            raise MismatchError(str(path), expected, found, advice) from exc

    def _lock_of(self, path: Path, standard: bytes) -> Lock:
        beside = path.with_suffix(_BRIEF_SUFFIX)
        # Whatever is wrong with it, the standard file says the same.
        with suppress(OSError):
            lock = read_brief(beside.read_bytes(), standard)
            if lock is not None:
                return lock
        lock = self._read(standard.decode())
        _keep_brief(beside, brief(lock, standard))
        return lock


def _keep_brief(path: Path, data: bytes) -> None:
    """Neither replaced nor flushed: a part of it is known as such, and the next reader makes it again."""
    with suppress(OSError):
        path.write_bytes(data)
