"""The files that an index names, read in pieces where their server lets us."""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO

from rldlib.errors import MismatchError, SourceUnavailableError, WheelRefusedError
from rldlib.values.address import told_url
from rldlib.values.profile import MAX_PROFILE_BYTES
from rldlib.values.remote_wheel import MAX_METADATA_BYTES, PREFIX_BYTES, WheelParts, read_prefix, read_wheel

if TYPE_CHECKING:
    from rldlib.adapters.http import Http
    from rldlib.adapters.http_reading import Response
    from rldlib.values.wheel import WheelFile

_KIB = 1024
# Enough for the profile of a stamped wheel, its first member; a longer one takes another read.
_FIRST_READ_BYTES = 16 * _KIB
# Up to here a file is read whole where its server gives no ranges.
_SMALL_BYTES = 256 * _KIB
# No wheel on the public index has more than 5 GB.
_MAX_WHEEL_BYTES = 8 * _KIB**3
# A file's deadline: the base, and its bytes over the slowest link that is waited for.
_FILE_DEADLINE_S = 60
_SLOWEST_BYTES_PER_S = 64 * _KIB
# What was fetched for its metadata is kept in memory up to here, beyond it in a temporary file.
_SPOOL_BYTES = _KIB**2
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})\Z")


@dataclass(slots=True)
class _Seen:
    """What was read of one file so far. `gives_ranges` is None until the server was asked."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    parts: WheelParts = field(default_factory=WheelParts)
    gives_ranges: bool | None = None
    read_bytes: int = 0
    is_whole: bool = False
    size: int | None = None
    sha256: str | None = None
    file: BinaryIO | None = None

    def add(self, parts: WheelParts) -> None:
        self.parts = WheelParts(
            metadata=self.parts.metadata or parts.metadata,
            profile=self.parts.profile if self.parts.profile is not None else parts.profile,
        )


class _NoRangesError(Exception):
    """The server sent the file from its beginning where a piece was asked for."""


class IndexFiles:
    """Reads profile, METADATA, hash and size of wheels at the least cost. Threads may share it."""

    def __init__(self, http: Http, deadline_s: float) -> None:
        self._http = http
        self._deadline_s = deadline_s
        self._seen: defaultdict[str, _Seen] = defaultdict(_Seen)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Drop what was fetched for its metadata."""
        with self._lock:
            for seen in self._seen.values():
                if seen.file is not None:
                    seen.file.close()
                    seen.file = None

    def profile(self, wheel: WheelFile) -> bytes | None:
        """The profile: from the sibling where one is advertised, else from the first bytes.

        A stamped wheel has it there. Elsewhere it is sought by ranges alone:
        without them no more than 64 KiB is read, or the whole of a small file.
        """
        if wheel.profile_sha256 is not None:
            return self._sibling(wheel, ".rldlib.json", wheel.profile_sha256, MAX_PROFILE_BYTES)
        seen = self._of(wheel)
        with seen.lock:
            if not seen.is_whole and seen.parts.profile is None and not seen.read_bytes:
                self._read_head(wheel, seen)
            if not seen.is_whole and seen.parts.profile is None:
                if seen.gives_ranges:
                    self._read_pieces(wheel, seen, profile=True)
                elif seen.size is not None and seen.size <= _SMALL_BYTES:
                    self._read_whole(wheel, seen)
                elif seen.read_bytes < PREFIX_BYTES:
                    answer = self._http.prefix(wheel.locator, PREFIX_BYTES, deadline_s=self._deadline_s)
                    self._take_head(wheel, seen, answer, PREFIX_BYTES)
            return seen.parts.profile

    def metadata(self, wheel: WheelFile) -> bytes:
        """METADATA: from the sibling (PEP 658), else from the tail, else from the whole file."""
        if wheel.metadata_sha256 is not None:
            return self._sibling(wheel, ".metadata", wheel.metadata_sha256, MAX_METADATA_BYTES)
        seen = self._of(wheel)
        with seen.lock:
            if seen.parts.metadata is None and seen.size is None:
                self._read_head(wheel, seen)
            if seen.parts.metadata is None and not seen.is_whole and seen.gives_ranges is not False:
                self._read_pieces(wheel, seen, profile=False)
            if seen.parts.metadata is None and not seen.is_whole:
                self._read_whole(wheel, seen)
            if seen.parts.metadata is None:
                raise WheelRefusedError(wheel.filename, ["zip: it has no METADATA"])
            return seen.parts.metadata

    def pin(self, wheel: WheelFile) -> WheelFile:
        """The wheel with hash and size; without a hash at the index, the file is fetched."""
        if wheel.sha256 is not None and wheel.size is not None:
            return wheel
        seen = self._of(wheel)
        with seen.lock:
            if wheel.sha256 is not None and seen.size is None:
                length = self._http.head(wheel.locator, deadline_s=self._deadline_s).headers.get(
                    "content-length", ""
                )
                seen.size = int(length) if length.isascii() and length.isdigit() else None
            if (wheel.sha256 is None and seen.sha256 is None) or seen.size is None:
                self._read_whole(wheel, seen)
            return replace(wheel, sha256=wheel.sha256 or seen.sha256, size=seen.size)

    def fetch(self, locator: str, into: BinaryIO, max_bytes: int) -> None:
        """Write the file; what was fetched before for its metadata is not fetched again."""
        with self._lock:
            seen = self._seen.get(locator)
        if seen is not None:
            with seen.lock:
                if seen.file is not None and seen.size is not None and seen.size <= max_bytes:
                    seen.file.seek(0)
                    while chunk := seen.file.read(_KIB**2):
                        into.write(chunk)
                    return
        if self.stream(locator, into, max_bytes) is None:
            raise SourceUnavailableError(
                told_url(locator), "there is no such file, though the index names it"
            )

    def stream(self, locator: str, into: BinaryIO, max_bytes: int) -> int | None:
        """Write what is at `locator`; None where there is nothing."""
        deadline_s = _FILE_DEADLINE_S + max_bytes / _SLOWEST_BYTES_PER_S
        return self._http.stream(locator, into, max_bytes=max_bytes, deadline_s=deadline_s)

    # --- pieces ------------------------------------------------------------------

    def _of(self, wheel: WheelFile) -> _Seen:
        with self._lock:
            seen = self._seen[wheel.locator]
        if seen.size is None:
            seen.size = wheel.size
        return seen

    def _sibling(self, wheel: WheelFile, suffix: str, sha256: str, max_bytes: int) -> bytes:
        url = wheel.locator + suffix
        answer = self._http.get(url, max_bytes=max_bytes, deadline_s=self._deadline_s)
        if answer.status != 200:
            raise SourceUnavailableError(
                told_url(url), f"status {answer.status}, though the index advertises it"
            )
        found = hashlib.sha256(answer.body).hexdigest()
        if sha256 and found != sha256:
            raise MismatchError(f"the sha256 of {wheel.filename}{suffix}", sha256, found)
        return answer.body

    def _read_head(self, wheel: WheelFile, seen: _Seen) -> None:
        answer = self._http.range(wheel.locator, 0, _FIRST_READ_BYTES, deadline_s=self._deadline_s)
        seen.gives_ranges = answer.status == 206
        if seen.gives_ranges:
            self._check_range(wheel, seen, answer, 0)
        self._take_head(wheel, seen, answer, _FIRST_READ_BYTES)

    def _take_head(self, wheel: WheelFile, seen: _Seen, answer: Response, asked: int) -> None:
        """Keep the parts among the first bytes; a file that ends within them is there whole."""
        if answer.status not in {200, 206}:
            raise SourceUnavailableError(told_url(wheel.locator), f"status {answer.status}")
        length = answer.headers.get("content-length", "")
        if answer.status == 200 and length.isascii() and length.isdigit():
            self._check_size(wheel, seen, int(length))
        seen.read_bytes = len(answer.body)
        if answer.status == 200 and len(answer.body) < asked:
            self._check_size(wheel, seen, len(answer.body))
        if seen.size is not None and len(answer.body) >= seen.size:
            self._take_whole(wheel, seen, answer.body)
        else:
            seen.add(read_prefix(wheel, answer.body))

    def _take_whole(self, wheel: WheelFile, seen: _Seen, body: bytes) -> None:
        seen.sha256 = hashlib.sha256(body).hexdigest()
        self._check_hash(wheel, seen.sha256)
        seen.size, seen.is_whole = len(body), True
        seen.add(read_wheel(wheel, len(body), lambda start, length: body[start : start + length]))

    def _read_pieces(self, wheel: WheelFile, seen: _Seen, *, profile: bool) -> None:
        def read(start: int, length: int) -> bytes:
            answer = self._http.range(wheel.locator, start, length, deadline_s=self._deadline_s)
            if answer.status != 206:
                # Of the whole file that comes instead, no more than asked for was read: its first bytes.
                seen.gives_ranges = False
                self._take_head(wheel, seen, answer, length)
                raise _NoRangesError
            seen.gives_ranges = True
            self._check_range(wheel, seen, answer, start)
            return answer.body

        if seen.size is None:
            return
        try:
            seen.add(read_wheel(wheel, seen.size, read, profile=profile))
        except _NoRangesError:
            return
        seen.is_whole = profile

    def _read_whole(self, wheel: WheelFile, seen: _Seen) -> None:
        bound = seen.size if seen.size is not None else _MAX_WHEEL_BYTES
        file: BinaryIO = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # type: ignore[assignment]  # noqa: SIM115 - kept for `fetch`; `close` ends it
        try:
            self.fetch(wheel.locator, file, bound)
            size = file.tell()
            self._check_size(wheel, seen, size)
            file.seek(0)
            digest = hashlib.sha256()
            while chunk := file.read(_KIB**2):
                digest.update(chunk)
            seen.sha256 = digest.hexdigest()
            self._check_hash(wheel, seen.sha256)

            def read(start: int, length: int) -> bytes:
                file.seek(start)
                return file.read(length)

            seen.add(read_wheel(wheel, size, read))
        except BaseException:
            file.close()
            raise
        seen.file, seen.is_whole = file, True

    # --- what the index said, compared -----------------------------------------------

    @staticmethod
    def _check_range(wheel: WheelFile, seen: _Seen, answer: Response, start: int) -> None:
        match = _CONTENT_RANGE.match(answer.headers.get("content-range", ""))
        if match is None or int(match[1]) != start:
            raise SourceUnavailableError(
                told_url(wheel.locator),
                f"it sent {answer.headers.get('content-range')!r} for the bytes from {start:,} on",
            )
        IndexFiles._check_size(wheel, seen, int(match[3]))

    @staticmethod
    def _check_size(wheel: WheelFile, seen: _Seen, size: int) -> None:
        if seen.size is not None and size != seen.size:
            raise MismatchError(f"the size of {wheel.filename}", f"{seen.size:,} bytes", f"{size:,} bytes")
        seen.size = size

    @staticmethod
    def _check_hash(wheel: WheelFile, found: str) -> None:
        if wheel.sha256 is not None and found != wheel.sha256:
            raise MismatchError(f"the sha256 of {wheel.filename}", wheel.sha256, found)
