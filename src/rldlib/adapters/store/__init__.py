"""Verified wheels, unpacked images and data by sha256. `rldlib.values.places` says where.

Nothing in the store is ever linked to from elsewhere: what leaves it is
copied, and compared with its hash on the way.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from rldlib.adapters.files import (
    REAL,
    HostLock,
    OpenFile,
    erase,
    flush_path,
    opened,
    publish,
    remove_tree,
    storage_errors,
)
from rldlib.adapters.store.bytecode import KeptBytecode
from rldlib.errors import MismatchError, StorageError
from rldlib.reporter import Reporter
from rldlib.values.image import DamagedImageError, Image
from rldlib.values.places import Places

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from rldlib.adapters.files import FileSystem
    from rldlib.ports import Source
    from rldlib.values.bytecode import Bytecode
    from rldlib.values.lock import LockedWheel
    from rldlib.values.places import Kind

# How long another process may fetch, or unpack, the same thing before we say so.
_FETCH_DEADLINE_S: Final = 1800
_UNPACK_DEADLINE_S: Final = 600
# So much more than was promised is read, so that a file that grew is told as that.
_SLACK_BYTES: Final = 1024 * 1024
_WHOLE_BYTES: Final = 2 * 1024 * 1024
# A hash becomes a file name.
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")


class Store:
    """See `rldlib.ports.Store`."""

    def __init__(
        self,
        root: Path,
        reporter: Reporter | None = None,
        allow: Collection[str] = frozenset(),
        *,
        files: FileSystem = REAL,
    ) -> None:
        """Name the store; nothing is made before something is kept.

        Args:
            root: The daemon's root.
            reporter: Told when something damaged was found.
            allow: The host's exceptions from the gate, each ``sha256:KIND``.
            files: The file system.
        """
        self._places = Places(root)
        self._reporter = reporter or Reporter()
        self._allow = frozenset(allow)
        self._files = files
        self._sources: dict[str, Source] = {}
        self._bytecode = KeptBytecode(
            self._places,
            lambda sha256: self._places.place("image", sha256).is_file(),
            lambda text: self._reporter.noted("", text),
            files=files,
        )
        # Open files of wheels that were verified and are not on the disk yet; whoever takes one closes it.
        self._arriving: dict[str, int] = {}
        # What was verified, by what would change with its content.
        self._verified: dict[Path, tuple[int, int, int]] = {}

    def wheel(self, sha256: str) -> Path | None:
        """See `Store.wheel`. One that is damaged is removed, and so no longer there."""
        return self._kept("wheel", sha256)

    def add(self, wheel: LockedWheel, source: Source, *, arrived: Callable[[], object] | None = None) -> Path:
        """See `Store.add`."""
        self._sources[wheel.sha256] = source
        present = self.wheel(wheel.sha256)
        if present is not None:
            return present

        def fetch(into: BinaryIO) -> bool:
            source.fetch(wheel.locator, into, max_bytes=wheel.size + _SLACK_BYTES)
            return True

        def verified(beside: Path) -> None:
            if arrived is not None:
                with storage_errors(beside):
                    self._arriving[wheel.sha256] = os.open(beside, os.O_RDONLY | os.O_CLOEXEC)
                arrived()

        try:
            path = self._receive("wheel", wheel.sha256, wheel.size, wheel.filename, fetch, verified)
        finally:
            unread = self._arriving.pop(wheel.sha256, None)
            if unread is not None:
                os.close(unread)
        if path is None:
            raise RuntimeError("a fetched wheel has no path")
        return path

    def blob(self, sha256: str, size: int, source: Source | None) -> Path | None:
        """See `Store.blob`."""

        def fetch(into: BinaryIO) -> bool:
            return source is not None and source.blob(sha256, into, max_bytes=size + _SLACK_BYTES)

        return self._kept("blob", sha256) or self._receive("blob", sha256, size, f"data {sha256}", fetch)

    def image(self, wheel: LockedWheel) -> Path:
        """See `Store.image`."""
        place = self._places.place("image", wheel.sha256)
        # A folder is what earlier versions made.
        if not place.is_file():
            with self._locked("image", wheel.sha256):
                if not place.is_file():
                    self._unpack(wheel, place)
        return place

    def renew(self, wheel: LockedWheel) -> Path:
        """See `Store.renew`."""
        place = self._places.place("image", wheel.sha256)
        with self._locked("image", wheel.sha256):
            # Another process may have renewed it already.
            if not _is_intact(place):
                self._reporter.noted(wheel.name, f"{place} was damaged; it is unpacked again")
                self._unpack(wheel, place)
        return place

    def content(self, wheel: LockedWheel) -> Image | None:
        """See `Store.content`."""
        try:
            with opened(self._places.place("image", wheel.sha256)) as data:
                return Image.read(data)
        except (StorageError, DamagedImageError):
            return None

    def bytecode(self, wheel: LockedWheel, kind: str) -> Bytecode | None:
        """See `Store.bytecode`."""
        return self._bytecode.of(wheel.sha256, kind)

    def keep_bytecode(self, wheel: LockedWheel, kind: str, made: Bytecode) -> bool:
        """See `Store.keep_bytecode`."""
        return self._bytecode.keep(wheel.sha256, kind, made)

    # --- files by their hash ---------------------------------------------------------

    def _kept(self, kind: Kind, sha256: str) -> Path | None:
        if not _SHA256.match(sha256):
            raise MismatchError(f"the hash of a {kind}", "64 hexadecimal digits", repr(sha256))
        path = self._places.place(kind, sha256)
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StorageError(str(path), exc.strerror or str(exc)) from exc
        mark = found.st_ino, found.st_size, found.st_mtime_ns
        if self._verified.get(path) == mark:
            return path
        try:
            with opened(path) as data:
                intact = data.sha256() == sha256
        except StorageError as exc:
            if isinstance(exc.__cause__, FileNotFoundError):
                return None  # collected since we looked
            raise
        if intact:
            self._verified[path] = mark
            return path
        self._reporter.noted("", f"{path} was damaged; it is removed")
        remove_tree(path, self._places.aside, files=self._files)
        return None

    def _receive(
        self,
        kind: Kind,
        sha256: str,
        size: int,
        what: str,
        fetch: Callable[[BinaryIO], bool],
        verified: Callable[[Path], None] = lambda _: None,
    ) -> Path | None:
        from rldlib.adapters.store.receiving import Receiver

        place, beside = self._places.place(kind, sha256), self._places.beside(kind, sha256)
        with self._locked(kind, sha256):
            present = self._kept(kind, sha256)
            if present is not None:
                return present
            with storage_errors(beside):
                self._places.aside.mkdir(parents=True, exist_ok=True)
                place.parent.mkdir(parents=True, exist_ok=True)
                erase(beside)  # what a killed process left
            try:
                with Receiver(beside, size, sha256, what, files=self._files) as into:
                    if not fetch(cast("BinaryIO", into)):
                        return None
                    into.verify()
                    verified(beside)
                    into.finish()
                with storage_errors(place):
                    self._files.rename(str(beside), str(place))
                    flush_path(str(place.parent), files=self._files)
                    found = place.stat()
            finally:
                erase(beside)
            self._verified[place] = found.st_ino, found.st_size, found.st_mtime_ns
        return place

    def _locked(self, kind: Kind, key: str) -> HostLock:
        deadline_s = _UNPACK_DEADLINE_S if kind == "image" else _FETCH_DEADLINE_S
        return HostLock(self._places.lock(kind, key), deadline_s=deadline_s, files=self._files)

    # --- images ----------------------------------------------------------------------

    def _unpack(self, wheel: LockedWheel, place: Path) -> None:
        """Check and unpack; the caller holds the image's lock.

        It is not flushed. What a power cut leaves of it differs from its own hashes, which are compared
        whenever it is used: it is then unpacked again, from a wheel that was flushed.
        """
        from rldlib.adapters.store.unpacking import unpack

        beside = self._places.beside("image", wheel.sha256)
        remove_tree(place, self._places.aside, files=self._files)
        erase(beside)
        try:
            with self._opened(wheel) as file, storage_errors(beside):
                self._places.aside.mkdir(parents=True, exist_ok=True)
                # Of a small one each member is a slice, and no reading of its own.
                data = file if len(file) > _WHOLE_BYTES else file.read(0, len(file))
                unpack(data, wheel, str(beside), allow=self._allow, files=self._files)
            publish(beside, place, files=self._files)
        finally:
            erase(beside)

    @contextmanager
    def _opened(self, wheel: LockedWheel) -> Iterator[OpenFile]:
        fd = self._arriving.pop(wheel.sha256, None)
        if fd is None:
            with opened(self._present(wheel)) as file:
                yield file
        else:
            try:
                yield OpenFile(fd, self._places.place("wheel", wheel.sha256))
            finally:
                os.close(fd)

    def _present(self, wheel: LockedWheel) -> Path:
        path = self.wheel(wheel.sha256)
        source = self._sources.get(wheel.sha256)
        if path is None and source is not None:
            path = self.add(wheel, source)
        if path is None:
            missing = self._places.place("wheel", wheel.sha256)
            raise StorageError(
                str(missing), f"{wheel.filename} is missing or was damaged; it must be fetched again"
            )
        return path


def _is_intact(place: Path) -> bool:
    """Whether every file of an image is what its end says."""
    try:
        with opened(place) as data:
            image = Image.read(data)
            return all(
                data.sha256(start, file.size) == file.sha256
                for start, file in zip(image.starts(), image.files, strict=True)
            )
    except (StorageError, DamagedImageError):
        return False
