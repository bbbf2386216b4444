"""A directory of wheels as a source: all that an index does, with no network at all."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from packaging.utils import InvalidWheelFilename, canonicalize_name

from rldlib.errors import IntegrityError, ServiceNotFoundError, SourceUnavailableError, WheelRefusedError
from rldlib.values.digest import is_sha256
from rldlib.values.remote_wheel import WheelParts, read_prefix, read_wheel
from rldlib.values.wheel import wheel_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rldlib.values.request import ServiceRequest
    from rldlib.values.wheel import WheelFile

_CHUNK_BYTES = 1024 * 1024
# A profile is the first member: so much of a file holds most of them.
_HEAD_BYTES = 8 * 1024

# Beyond the tick of any file system's clock.
_SETTLED_NS = 3 * 10**9

# What tells whether a file is still the one that was read: path, size, time of its last change.
_Mark = tuple[str, int, int]


class Directory:
    """See `rldlib.ports.Source`: the wheels right below one directory.

    Files that come, change or go later are seen. Threads may share it.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path).absolute()
        self._lock = threading.Lock()
        self._listed: tuple[int, dict[str, list[str]]] | None = None
        self._services: dict[_Mark, str | None] = {}
        self._hashes: dict[_Mark, str] = {}

    @property
    def identity(self) -> str:
        """See `Source.identity`."""
        return str(self._path)

    def offers(self, request: ServiceRequest) -> Sequence[WheelFile]:
        """See `Source.offers`: by the profile's `service`.

        Wheels named NAME are read first, then ``rld-NAME``, and only where
        none carries the service every other one. A wheel that cannot be read
        is passed over, unless its name is the service's and no other has it.
        """
        if request.distribution:
            wheels = self._wheels(request.distribution)
            if not wheels:
                raise ServiceNotFoundError(
                    request.service, self.identity, f"it has no wheel of {request.distribution}"
                )
            return wheels
        names = (request.service, f"rld-{request.service}")
        for name in names:
            carriers = [wheel for wheel in self._wheels(name) if self._service(wheel) == request.service]
            if carriers:
                return carriers
        others = (name for name in self.names() if name not in names)
        carriers = [
            wheel
            for name in others
            for wheel in self._wheels(name)
            if self._service(wheel) == request.service
        ]
        if carriers:
            return carriers
        # Nothing carries it, and a file is named like it: reading that one says what is wrong with it.
        named = [wheel for name in names for wheel in self._wheels(name) if self._service(wheel) is None]
        if named:
            return named
        raise ServiceNotFoundError(
            request.service, self.identity, "no wheel there carries a profile of that service"
        )

    def project(self, name: str) -> Sequence[WheelFile] | None:
        """See `Source.project`."""
        return self._wheels(canonicalize_name(name)) or None

    def profile(self, wheel: WheelFile) -> bytes | None:
        """See `Source.profile`."""
        with self._open(Path(wheel.locator)) as file:
            head = file.read(_HEAD_BYTES)
            parts = read_prefix(wheel, head)
            if parts.profile is None:
                parts = self._parts(wheel, file)
        return parts.profile

    def metadata(self, wheel: WheelFile) -> bytes:
        """See `Source.metadata`."""
        with self._open(Path(wheel.locator)) as file:
            metadata = self._parts(wheel, file, profile=False).metadata
        if metadata is None:
            raise WheelRefusedError(wheel.filename, ["zip: it has no METADATA"])
        return metadata

    def pin(self, wheel: WheelFile) -> WheelFile:
        """See `Source.pin`. A file is hashed once for as long as it does not change."""
        with self._open(Path(wheel.locator)) as file:
            mark = _mark(wheel.locator, os.fstat(file.fileno()))
            with self._lock:
                sha256 = self._hashes.get(mark)
            if sha256 is None:
                sha256 = _hash_of(file)
                with self._lock:
                    self._hashes[mark] = sha256
        return replace(wheel, sha256=sha256, size=mark[1])

    def fetch(self, locator: str, into: BinaryIO, *, max_bytes: int) -> None:
        """See `Source.fetch`."""
        path = Path(locator)
        if path.parent != self._path or path.suffix != ".whl":
            raise SourceUnavailableError(self.identity, f"{locator} is no wheel right below it")
        self._copy(path, into, max_bytes)

    def blob(self, sha256: str, into: BinaryIO, *, max_bytes: int) -> bool:
        """See `Source.blob`: ``blobs/sha256/HEX`` below the directory."""
        path = self._path / "blobs" / "sha256" / sha256
        if not is_sha256(sha256) or not path.exists():
            return False
        self._copy(path, into, max_bytes)
        return True

    @property
    def received_bytes(self) -> int:
        """Nothing: a directory is here already."""
        return 0

    def close(self) -> None:
        """Nothing is held open."""

    # --- the listing -----------------------------------------------------------

    def names(self) -> Sequence[str]:
        """See `Source.names`: those that files are named after."""
        return tuple(self._listing())

    def _listing(self) -> Mapping[str, list[str]]:
        """File names by normalised distribution; read again where the directory changed."""
        try:
            changed = self._path.stat().st_mtime_ns
            with self._lock:
                if self._listed is not None and self._listed[0] == changed:
                    return self._listed[1]
            listing: dict[str, list[str]] = {}
            for filename in sorted(os.listdir(self._path)):  # noqa: PTH208 - names alone, of many files
                distribution, dash, _ = filename.partition("-")
                if dash and filename.endswith(".whl"):
                    listing.setdefault(canonicalize_name(distribution), []).append(filename)
        except OSError as exc:
            raise SourceUnavailableError(self.identity, _words(exc)) from exc
        # A clock tick later at least, or a file that came within the tick would never be seen.
        if time.time_ns() - changed > _SETTLED_NS:
            with self._lock:
                self._listed = changed, listing
        return listing

    def _wheels(self, name: str) -> tuple[WheelFile, ...]:
        return tuple(self._named(name))

    def _named(self, name: str) -> Iterator[WheelFile]:
        for filename in self._listing().get(name, ()):
            path = self._path / filename
            try:
                found = path.stat()
                if stat.S_ISREG(found.st_mode):
                    yield wheel_file(filename, str(path), size=found.st_size)
            except (InvalidWheelFilename, FileNotFoundError):
                # No name of a wheel, or gone since it was listed: it is not offered.
                continue
            except OSError as exc:
                raise SourceUnavailableError(str(path), _words(exc)) from exc

    # --- files -------------------------------------------------------------------

    def _service(self, wheel: WheelFile) -> str | None:
        """The service in a wheel's profile; None where it has none, or none that can be read."""
        try:
            mark = _mark(wheel.locator, os.stat(wheel.locator))  # noqa: PTH116 - asked of every wheel
            if mark not in self._services:
                self._services[mark] = _service_in(self.profile(wheel))
            return self._services[mark]
        except (IntegrityError, SourceUnavailableError, OSError):
            return None

    def _parts(self, wheel: WheelFile, file: BinaryIO, *, profile: bool = True) -> WheelParts:
        def read(start: int, length: int) -> bytes:
            return os.pread(file.fileno(), length, start)

        return read_wheel(wheel, os.fstat(file.fileno()).st_size, read, profile=profile)

    def _open(self, path: Path) -> _Opened:
        return _Opened(path)

    def _copy(self, path: Path, into: BinaryIO, max_bytes: int) -> None:
        with self._open(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise SourceUnavailableError(
                    str(path), f"{size:,} bytes where at most {max_bytes:,} bytes are read"
                )
            left = size
            while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
                left -= len(chunk)
                into.write(chunk)


class _Opened:
    """A regular file, open; what goes wrong with it comes out as `SourceUnavailableError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> BinaryIO:
        try:
            # Not blocking: a pipe that lies there has nobody to write to it.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as exc:
            raise SourceUnavailableError(str(self._path), _words(exc)) from exc
        self._file: BinaryIO = os.fdopen(descriptor, "rb")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            self._file.close()
            raise SourceUnavailableError(str(self._path), "it is no regular file")
        return self._file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._file.close()
        if isinstance(error, OSError):
            raise SourceUnavailableError(str(self._path), _words(error)) from error


def _hash_of(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _mark(path: str, found: os.stat_result) -> _Mark:
    return path, found.st_size, found.st_mtime_ns


def _service_in(profile: bytes | None) -> str | None:
    try:
        document = json.loads(profile) if profile is not None else None
    except (ValueError, RecursionError):
        return None
    service = document.get("service") if isinstance(document, dict) else None
    return service if isinstance(service, str) else None


def _words(exc: OSError) -> str:
    return (exc.strerror or str(exc)).lower()
