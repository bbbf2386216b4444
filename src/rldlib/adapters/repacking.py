"""Zip files read and written member by member, so that what stays stays as it is.

`zipfile` packs a member anew when it copies one. Here a member's bytes, its
header and its row in the directory are carried over untouched.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# The directory of a wheel with 60,000 members takes 6 MiB; what needs more is no wheel.
MAX_DIRECTORY_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024

STORED, DEFLATED = 0, 8
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8 = 0x800
# A count or an offset that stands in a zip64 record instead, which a file below 4 GiB never needs.
_ELSEWHERE = {0xFFFF, 0xFFFFFFFF}
_MAX_OFFSET = 0xFFFFFFFE
# The layout of APPNOTE.TXT 4.3.7, 4.3.12 and 4.3.16.
_LOCAL = struct.Struct("<4s5H3I2H")
_ROW = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_OFFSET_IN_ROW = 42
_MAX_COMMENT_BYTES = 0xFFFF


class NotAnArchiveError(ValueError):
    """The file is no zip file, or none that a wheel may be; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One row of the directory.

    Attributes:
        name: The path in the archive.
        row: The row as it stands in the directory, name, extra field and comment included.
        offset: Where its local header begins.
        method: How it is packed.
        crc: Its checksum.
        packed: Its size in the file.
        unpacked: Its size.
        time: Its time of change, as the format has it: time and date.
        mode: Its external attributes; the upper half are Unix permissions.
    """

    name: str
    row: bytes
    offset: int
    method: int
    crc: int
    packed: int
    unpacked: int
    time: tuple[int, int]
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The directory of a zip file.

    Attributes:
        members: Its members in the order of the directory.
        start: Where the directory begins, so where the last member ends.
        comment: The comment at the very end.
    """

    members: tuple[Member, ...]
    start: int
    comment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A member to be written: its path, its bytes, how it is packed, when it changed, its attributes."""

    name: str
    data: bytes
    method: int
    time: tuple[int, int]
    mode: int


def read_archive(file: BinaryIO) -> Archive:
    """Read the directory at the end of the file.

    Raises:
        NotAnArchiveError: There is none, or the file is more than its members.
    """
    size = file.seek(0, os.SEEK_END)
    tail = _slice(file, max(0, size - _END.size - _MAX_COMMENT_BYTES), _END.size + _MAX_COMMENT_BYTES)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise NotAnArchiveError("it has no directory at its end")
    _, disk, first_disk, here, count, length, start, comment = _END.unpack_from(tail, at)
    position = size - len(tail) + at
    if {here, count, length, start} & _ELSEWHERE:
        raise NotAnArchiveError("it needs the zip64 extension, which is for 4 GiB and more")
    if disk or first_disk or here != count or at + _END.size + comment != len(tail):
        raise NotAnArchiveError("its end is damaged")
    if length > MAX_DIRECTORY_BYTES or start + length != position:
        raise NotAnArchiveError(
            f"its directory of {length:,} bytes at {start:,} does not end at {position:,}"
        )
    members = tuple(_members(_slice(file, start, length), count))
    if min((member.offset for member in members), default=0) != 0:
        raise NotAnArchiveError("something stands before its first member")
    if any(member.offset >= start for member in members):
        raise NotAnArchiveError("a member begins beyond the members")
    for twice in ("name", "offset"):
        if len({getattr(member, twice) for member in members}) < len(members):
            raise NotAnArchiveError(f"two members have the same {twice}")
    return Archive(members=members, start=start, comment=tail[at + _END.size :])


def _members(directory: bytes, count: int) -> Iterable[Member]:
    at = 0
    for _ in range(count):
        if len(directory) - at < _ROW.size or directory[at : at + 4] != b"PK\x01\x02":
            raise NotAnArchiveError("its directory is damaged")
        row = _ROW.unpack_from(directory, at)
        flags, method, time, date, crc, packed, unpacked = row[3:10]
        name_length, extra, comment, *_, mode, offset = row[10:]
        end = at + _ROW.size + name_length + extra + comment
        if end > len(directory) or flags & _ENCRYPTED or {packed, unpacked, offset} & _ELSEWHERE - {0xFFFF}:
            raise NotAnArchiveError(
                "its directory has a row that is damaged, encrypted, or for 4 GiB and more"
            )
        name = directory[at + _ROW.size :][:name_length]
        yield Member(
            name=name.decode("utf-8" if flags & _UTF8 else "cp437", "replace"),
            row=directory[at:end],
            offset=offset,
            method=method,
            crc=crc,
            packed=packed,
            unpacked=unpacked,
            time=(time, date),
            mode=mode,
        )
        at = end
    if at != len(directory):
        raise NotAnArchiveError("its directory is longer than its rows")


def read_member(file: BinaryIO, member: Member, *, max_bytes: int) -> bytes:
    """A member's bytes, at most ``max_bytes`` of them, its checksum compared.

    Raises:
        NotAnArchiveError: It is longer, damaged, or packed in another way than wheels use.
    """
    if max(member.unpacked, member.packed) > max_bytes:
        raise NotAnArchiveError(
            f"{member.name} has {member.unpacked:,} bytes; at most {max_bytes:,} are read"
        )
    header = _slice(file, member.offset, _LOCAL.size)
    if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
        raise NotAnArchiveError(f"{member.name} is not where the directory says")
    name_length, extra = _LOCAL.unpack(header)[9:]
    data = _slice(file, member.offset + _LOCAL.size + name_length + extra, member.packed)
    if member.method == DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.unpacked + 1)
        except zlib.error as exc:
            raise NotAnArchiveError(f"{member.name} cannot be unpacked ({exc})") from exc
    elif member.method != STORED:
        raise NotAnArchiveError(f"{member.name} is packed by method {member.method}")
    if len(data) != member.unpacked or zlib.crc32(data) != member.crc:
        raise NotAnArchiveError(f"{member.name} has not the length and checksum that the directory says")
    return data


def write_archive(
    file: BinaryIO,
    archive: Archive,
    into: BinaryIO,
    *,
    first: Addition,
    kept: Sequence[Member],
    last: Addition,
) -> None:
    """Write a new archive: one member before those kept of an old one, one after.

    Args:
        file: The old file, for the bytes of the members kept.
        archive: Its directory.
        into: The new file, empty.
        first: What comes first.
        kept: Members of ``archive``, in any order; bytes, order and rows stay.
        last: What comes last.

    Raises:
        NotAnArchiveError: The new file would have 4 GiB or more.
    """
    ends = _ends(archive)
    moved: dict[str, bytes] = {}
    rows = [_added(into, first)]
    for member in sorted(kept, key=lambda member: member.offset):
        moved[member.name] = _placed(member.row, into.tell())
        _copy(file, member.offset, ends[member.offset] - member.offset, into)
    rows += [moved[member.name] for member in archive.members if member.name in moved]
    rows.append(_added(into, last))
    start = into.tell()
    directory = b"".join(rows)
    if start + len(directory) > _MAX_OFFSET or len(rows) in _ELSEWHERE:
        raise NotAnArchiveError("it would have 4 GiB, or 65,535 members, or more")
    into.write(directory)
    comment = archive.comment
    into.write(
        _END.pack(b"PK\x05\x06", 0, 0, len(rows), len(rows), len(directory), start, len(comment)) + comment
    )


def _ends(archive: Archive) -> dict[int, int]:
    """Where each member ends, by where it begins; a data descriptor belongs to the member before it."""
    starts = sorted(member.offset for member in archive.members)
    return dict(zip(starts, [*starts[1:], archive.start], strict=True))


def _placed(row: bytes, offset: int) -> bytes:
    if offset > _MAX_OFFSET:
        raise NotAnArchiveError("it would have 4 GiB or more")
    return row[:_OFFSET_IN_ROW] + struct.pack("<I", offset) + row[_OFFSET_IN_ROW + 4 :]


def _added(into: BinaryIO, member: Addition) -> bytes:
    """Write a member; its row for the directory."""
    data = member.data
    if member.method == DEFLATED:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = packer.compress(data) + packer.flush()
    name = member.name.encode()
    sizes = (zlib.crc32(member.data), len(data), len(member.data))
    flags = 0 if name.isascii() else _UTF8
    start = into.tell()
    into.write(
        _LOCAL.pack(b"PK\x03\x04", 20, flags, member.method, *member.time, *sizes, len(name), 0) + name + data
    )
    # Made by Unix (3) at version 2.0, so that the attributes are read as permissions.
    made, needed = 3 << 8 | 20, 20
    row = (b"PK\x01\x02", made, needed, flags, member.method, *member.time, *sizes, len(name), 0, 0, 0, 0)
    return _placed(_ROW.pack(*row, member.mode, 0) + name, start)


def _copy(file: BinaryIO, start: int, length: int, into: BinaryIO) -> None:
    file.seek(start)
    while length:
        chunk = file.read(min(length, _CHUNK_BYTES))
        if not chunk:
            raise NotAnArchiveError("it became shorter while it was read")
        into.write(chunk)
        length -= len(chunk)


def _slice(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)
