"""A wheel's METADATA and profile, read from pieces of its file.

Nothing here asks for bytes by itself: whoever calls says how a piece is read.
The file may be hostile. It is read within bounds, and refused with one of
`WheelRefusedError` and `ProfileError`; nothing else comes out of it.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from rldlib.errors import ProfileError, WheelRefusedError
from rldlib.values.profile import MAX_PROFILE_BYTES, PROFILE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldlib.values.wheel import WheelFile

_KIB = 1024
# The profile is the first member and stored, and shorter than this.
PREFIX_BYTES = 64 * _KIB
# One read of so many bytes holds the directory of most wheels, and METADATA before it.
TAIL_BYTES = 64 * _KIB
# The directory of a wheel with 60,000 members takes 6 MiB; what needs more is no wheel.
MAX_READ_BYTES = 16 * _KIB * _KIB
# The longest METADATA on the public index is below 1 MiB.
MAX_METADATA_BYTES = 4 * _KIB * _KIB

_METADATA_NAME = "METADATA"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
# Encrypted, sizes that follow the data, strong encryption, masked headers.
_UNREADABLE_FLAGS = 0x1 | 0x8 | 0x40 | 0x2000
_UTF8_FLAG = 0x800
_ZIP64_MARK = 0xFFFFFFFF
# All that `zipfile` has been seen to raise on files that are none.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelParts:
    """What was read out of a wheel.

    Attributes:
        metadata: The bytes of METADATA; None where the wheel, or the piece of it, has none.
        profile: The bytes of its resource profile; likewise.
    """

    metadata: bytes | None = None
    profile: bytes | None = None


def read_prefix(wheel: WheelFile, prefix: bytes) -> WheelParts:
    """The parts among the first members that lie whole in the file's first bytes.

    Absence says nothing: a part may lie further on.

    Raises:
        WheelRefusedError: The file does not begin like a wheel, or a part is damaged.
        ProfileError: The profile is longer than a profile may be.
    """
    if prefix[:4] != _LOCAL_SIGNATURE[: len(prefix[:4])] or not prefix:
        raise _refused(wheel, f"it begins with {prefix[:4]!r}, which no wheel does")
    found: dict[str, bytes] = {}
    offset = 0
    while offset + _LOCAL_HEADER.size <= len(prefix):
        (
            signature,
            _version,
            flags,
            method,
            _time,
            _date,
            crc,
            packed,
            unpacked,
            name_length,
            extra_length,
        ) = _LOCAL_HEADER.unpack_from(prefix, offset)
        start = offset + _LOCAL_HEADER.size + name_length + extra_length
        if signature != _LOCAL_SIGNATURE or flags & _UNREADABLE_FLAGS or packed == _ZIP64_MARK:
            break
        name = _name(prefix[offset + _LOCAL_HEADER.size :][:name_length], flags)
        part = _part(wheel, name)
        if part:
            _check_length(wheel, part, unpacked)
        if start + packed > len(prefix):
            break
        if part:
            if part in found:
                raise _refused(wheel, f"it has two members {name}")
            found[part] = _unpacked(wheel, name, method, prefix[start : start + packed], unpacked, crc)
        offset = start + packed
    return _parts(found)


def read_wheel(
    wheel: WheelFile, size: int, read: Callable[[int, int], bytes], *, profile: bool = True
) -> WheelParts:
    """The parts of a wheel of `size` bytes, found by its directory at the end.

    Args:
        wheel: Whose name the file has.
        size: The file's size in bytes.
        read: Gives `length` bytes from `start`. What it raises comes out.
        profile: Whether the profile is wanted besides METADATA.

    Raises:
        WheelRefusedError: The file is no wheel, or needs more than 16 MiB to find out.
        ProfileError: The profile is longer than a profile may be.
    """
    pieces = _Pieces(wheel, size, read)
    wanted = (_METADATA_NAME, PROFILE_NAME) if profile else (_METADATA_NAME,)
    try:
        with zipfile.ZipFile(pieces) as archive:
            found: dict[str, bytes] = {}
            for entry in archive.infolist():
                part = _part(wheel, entry.filename)
                if part is None or part not in wanted:
                    continue
                if part in found:
                    raise _refused(wheel, f"it has two members {entry.filename}")
                found[part] = _member(wheel, archive, entry, part)
    except _Outside as exc:
        raise exc.error from exc.error.__cause__
    except _ZIP_ERRORS as exc:
        raise _refused(wheel, f"it is no zip file that can be read ({exc})") from exc
    if _METADATA_NAME not in found:
        raise _refused(wheel, "it has no .dist-info/METADATA of the name and version in its file name")
    return _parts(found)


class _Outside(Exception):  # noqa: N818 - it carries an error past the handlers of the zip's own, it is none
    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class _Pieces(io.RawIOBase):
    """A file of which only the pieces that are looked at are read, each once."""

    def __init__(self, wheel: WheelFile, size: int, read: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self._wheel = wheel
        self._size = size
        self._read = read
        self._position = 0
        self._taken = 0
        self._pieces: list[tuple[int, bytes]] = []

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"a position of {base + offset} in a file of {self._size:,} bytes")
        self._position = base + offset
        return self._position

    def read(self, length: int = -1) -> bytes:
        rest = max(0, self._size - self._position)
        length = rest if length < 0 else min(length, rest)
        if not length:
            return b""
        data = self._piece(self._position, length)
        self._position += length
        return data

    def _piece(self, start: int, length: int) -> bytes:
        for begin, data in self._pieces:
            if begin <= start and start + length <= begin + len(data):
                return data[start - begin : start - begin + length]
        # A read at the end takes the whole tail, any other a little more than
        # was asked: a member's header tells how much of it is to come.
        tail = max(0, self._size - TAIL_BYTES)
        begin = min(start, tail) if start + length > tail else start
        end = self._size if start + length > tail else min(self._size, start + max(length, 4 * _KIB))
        self._taken += end - begin
        if self._taken > MAX_READ_BYTES:
            raise _Outside(
                _refused(self._wheel, f"its directory takes more than {MAX_READ_BYTES:,} bytes to read")
            )
        try:
            data = self._read(begin, end - begin)
        except Exception as exc:
            raise _Outside(exc) from exc
        if len(data) != end - begin:
            raise _Outside(_refused(self._wheel, f"it ends before its {self._size:,} bytes"))
        self._pieces.append((begin, data))
        return data[start - begin : start - begin + length]


def _part(wheel: WheelFile, name: str) -> str | None:
    """Which part a member is: `METADATA`, the profile, or none."""
    folder, slash, leaf = name.partition("/")
    if not slash or leaf not in {_METADATA_NAME, PROFILE_NAME} or not folder.endswith(".dist-info"):
        return None
    distribution, _, version = folder.removesuffix(".dist-info").partition("-")
    try:
        same = canonicalize_name(distribution) == wheel.name and Version(version) == wheel.version
    except InvalidVersion:
        return None
    return leaf if same else None


def _member(wheel: WheelFile, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, part: str) -> bytes:
    _check_length(wheel, part, entry.file_size)
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _refused(
            wheel,
            f"{entry.filename} is compressed by method {entry.compress_type}; stored or deflated is read",
        )
    with archive.open(entry) as member:
        # One byte more than it claims: the reading goes to the end, and its checksum is compared.
        data = member.read(entry.file_size + 1)
    if len(data) != entry.file_size:
        raise _refused(
            wheel, f"{entry.filename} has {len(data):,} bytes, its directory says {entry.file_size:,}"
        )
    return data


def _unpacked(wheel: WheelFile, name: str, method: int, data: bytes, length: int, crc: int) -> bytes:
    if method == zipfile.ZIP_DEFLATED:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = stream.decompress(data, length + 1)
        except zlib.error as exc:
            raise _refused(wheel, f"{name} cannot be unpacked ({exc})") from exc
    elif method != zipfile.ZIP_STORED:
        raise _refused(wheel, f"{name} is compressed by method {method}; stored or deflated is read")
    if len(data) != length or zlib.crc32(data) != crc:
        raise _refused(wheel, f"{name} has not the length and checksum that its header says")
    return data


def _check_length(wheel: WheelFile, part: str, length: int) -> None:
    if part == PROFILE_NAME and length > MAX_PROFILE_BYTES:
        raise ProfileError(wheel.filename, [f"{length:,} bytes; at most {MAX_PROFILE_BYTES:,} are read"])
    if length > MAX_METADATA_BYTES:
        raise _refused(wheel, f"its METADATA has {length:,} bytes; at most {MAX_METADATA_BYTES:,} are read")


def _name(raw: bytes, flags: int) -> str:
    return raw.decode("utf-8" if flags & _UTF8_FLAG else "cp437", "replace")


def _parts(found: dict[str, bytes]) -> WheelParts:
    return WheelParts(metadata=found.get(_METADATA_NAME), profile=found.get(PROFILE_NAME))


def _refused(wheel: WheelFile, fault: str) -> WheelRefusedError:
    return WheelRefusedError(wheel.filename, [f"zip: {fault}"])
