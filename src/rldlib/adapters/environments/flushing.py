"""Environments reach the disk after they are used, and no start waits for it.

An environment that was not flushed is good for as long as the system runs that
built it: its marker names that boot. After a power cut, or a reboot, the
marker's boot is another one, or the marker cannot be read: the environment is
built again from the store. A process that goes on flushes it some seconds after
it was built, or found like that, and has its marker say so.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from rldlib.adapters.files import REAL, HostLock, erase, flush_path, flush_tree, replace_atomically
from rldlib.errors import StorageError
from rldlib.values.places import ENVIRONMENT_MARKER

if TYPE_CHECKING:
    from pathlib import Path

    from rldlib.adapters.files import FileSystem
    from rldlib.values.places import Places

_LOG: Final = logging.getLogger(__name__)
_BOOT: Final = "boot"


@functools.cache
def boot() -> str | None:
    """What is another after each start of the system; None where it does not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - a warm start
            return file.read().strip() or None
    except (OSError, ValueError):
        return None


def marker(facts: dict[str, Any]) -> bytes:
    """The marker of an environment that is not flushed; where boots are not told, of one that is."""
    return json.dumps(facts if boot() is None else {**facts, _BOOT: boot()}, indent=1).encode()


class Flushing:
    """The environments of one root, and whether each is on the disk.

    Args:
        places: Where they lie.
        files: The file system.
        later_s: How long after it was built or found one is flushed; None leaves that to other processes.
    """

    def __init__(self, places: Places, *, files: FileSystem = REAL, later_s: float | None = None) -> None:
        self._places = places
        self._files = files
        self._later_s = later_s
        self._lock = threading.Lock()
        self._timers: dict[str, threading.Timer] = {}
        self._closed = False

    def close(self) -> None:
        """Begin nothing more, and wait for what was begun."""
        with self._lock:
            self._closed = True
            timers = list(self._timers.values())
        for timer in timers:
            timer.cancel()
            timer.join()

    def is_complete(self, place: str, digest: str) -> bool:
        """Whether all of an environment is there: on the disk, or by what this boot of the system wrote."""
        told = _read(place)
        if told is None:
            return False
        built_in = told.get(_BOOT)
        if built_in is None:
            return True
        if built_in != boot():
            return False
        self.later(digest)
        return True

    def later(self, digest: str) -> None:
        """Flush it once nobody waits for anything; where the process ends before, another will."""
        with self._lock:
            if self._later_s is None or boot() is None or self._closed or digest in self._timers:
                return
            timer = self._timers[digest] = threading.Timer(self._later_s, self.flush, [digest])
            timer.daemon = True
            timer.start()

    def flush(self, digest: str) -> None:
        """Flush it now, and say so in its marker; what the disk refuses is not found any more."""
        place = self._places.place("environment", digest)
        try:
            lock = HostLock(self._places.lock("environment", digest), files=self._files)
            if not lock.attempt():
                return  # somebody builds or removes it, or flushes it already
            try:
                self._flush(place)
            finally:
                lock.release()
        except StorageError as exc:
            _LOG.warning("an environment was not flushed: %s", exc)

    def _flush(self, place: Path) -> None:
        told = _read(str(place))
        if told is None or told.pop(_BOOT, None) != boot():
            return
        try:
            flush_tree(str(place), files=self._files)
            # Its name too: else it is whole and nowhere to be found.
            flush_path(str(place.parent), files=self._files)
        except FileNotFoundError:
            return  # its worker writes bytecode just now; another time
        except OSError as exc:
            erase(place / ENVIRONMENT_MARKER)
            raise StorageError(str(place), exc.strerror or str(exc)) from exc
        replace_atomically(place / ENVIRONMENT_MARKER, json.dumps(told, indent=1).encode(), files=self._files)


def _read(place: str) -> dict[str, Any] | None:
    try:
        with open(f"{place}/{ENVIRONMENT_MARKER}", "rb") as file:  # noqa: PTH123 - a warm start
            told = json.load(file)
    except (OSError, ValueError):
        return None  # none, or what a power cut left of it
    return told if isinstance(told, dict) else None
