"""What the structures of a zip file say, and whether they all say the same.

Tools read a zip in different ways: from its end, from its start, by the
central directory or by the local headers. A file that reads differently by
each of them can show one content to a check and another to an installer. So
only files are taken that have one reading: every byte belongs to exactly one
header, one member or the directory, and what is said twice is said alike.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rldlib.rules.directory import NotReadableError, directory_of
from rldlib.values.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rldlib.values.data import Data

STORED: Final = 0
DEFLATED: Final = 8
# APPNOTE.TXT 6.3.10, sections 4.3.7 and 4.3.12.
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_EXTRA = struct.Struct("<HH")
_FULL_32: Final = 0xFFFFFFFF
_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
# 4.5 is that of zip64 (section 4.4.3.2); later ones are for what is refused.
_NEWEST_VERSION: Final = 45
_DESCRIPTOR: Final = 0x0008
_UTF8: Final = 0x0800
_ZIP64: Final = 0x0001
# Info-ZIP's second name of a member, which some tools prefer to the first.
_OTHER_NAME: Final = frozenset({0x7075, 0x6375})
# Most local headers carry no more beyond what the directory says of them: they are read at once.
_LIKELY_EXTRA: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member, as the central directory and its local header both say.

    Attributes:
        name: Its path in the archive.
        mode: Its Unix mode; 0 where the archive has none.
        method: How it is packed.
        crc: Its CRC-32.
        packed: Its size in the archive, in bytes.
        size: Its size once unpacked, in bytes.
        header: Where its local header begins.
        start: Where its data begins.
        flags: The general purpose flags.
    """

    name: str
    mode: int
    method: int
    crc: int
    packed: int
    size: int
    header: int
    start: int
    flags: int

    @property
    def is_folder(self) -> bool:
        """Whether it stands for a folder."""
        return self.name.endswith("/")

    @property
    def end(self) -> int:
        """Where its data ends; a data descriptor may follow."""
        return self.start + self.packed


@dataclass(frozen=True, slots=True)
class Archive:
    """The members in the order of the directory, and every fault of the structures."""

    members: Sequence[Member] = ()
    faults: tuple[Fault, ...] = field(default=())


def read_archive(data: Data, max_members: int) -> Archive:
    """Read the directory and every local header; the members' data is not touched."""
    faults: list[Fault] = []
    try:
        count, start, end = directory_of(data)
        if count > max_members:
            return Archive(faults=(Fault("too-many-members", f"{count:,} members; at most {max_members:,}"),))
        members = list(_members(data, count, start, data[start:end], faults))
    except NotReadableError as exc:
        return Archive(faults=(*faults, exc.fault))
    faults += _tiling(data, members, start)
    return Archive(members, tuple(faults))


# --- the directory ----------------------------------------------------------------


def _members(data: Data, count: int, start: int, directory: bytes, faults: list[Fault]) -> Iterator[Member]:
    at, end = 0, len(directory)
    for _ in range(count):
        if at + _CENTRAL.size > end or directory[at : at + 4] != b"PK\1\2":
            raise NotReadableError(
                "truncated", f"the directory ends at byte {start + at:,}, before its last member"
            )
        fields = _CENTRAL.unpack_from(directory, at)
        name_length, extra_length, comment_length = fields[10:13]
        names = at + _CENTRAL.size
        at = names + name_length + extra_length + comment_length
        if at > end:
            raise NotReadableError("truncated", "a member's entry reaches beyond the directory")
        raw = directory[names : names + name_length]
        extra = directory[names + name_length : names + name_length + extra_length]
        yield _member(data, fields, raw, extra, faults)
    if at != end:
        raise NotReadableError("gap", f"{end - at:,} bytes of the directory belong to no member")


def _member(data: Data, fields: Sequence[int], raw: bytes, extra: bytes, faults: list[Fault]) -> Member:
    (_, _, needed, flags, method, time, date, crc, packed, size, _, _, comment, disk, _, external, header) = (
        fields
    )
    name = _name(raw, flags, faults)
    size, packed, header = _widened((size, packed, header), extra, name, faults)
    if comment:
        faults.append(Fault("member-comment", f"{name}: carries {comment} bytes that no installer reads"))
    if disk:
        faults.append(Fault("multi-disk", f"{name}: is said to lie on disk {disk}"))
    if flags & _ENCRYPTED:
        faults.append(Fault("encrypted", f"{name}: is encrypted"))
    if needed > _NEWEST_VERSION:
        faults.append(Fault("compression", f"{name}: needs version {needed / 10:g} of the format"))
    if method not in {STORED, DEFLATED}:
        faults.append(Fault("compression", f"{name}: is packed by method {method}; only 0 and 8 are read"))
    if method == STORED and packed != size:
        faults.append(Fault("size-mismatch", f"{name}: is stored as it is, and has two sizes"))
    told = (flags, method, time, date, crc, packed, size)
    start = header + _local(data, header, told, raw, name, faults)
    if start + packed > len(data):
        raise NotReadableError("truncated", f"{name}: reaches beyond the end of the file")
    return Member(
        name=name,
        # Whatever system the entry names: installers read the upper half as a Unix mode.
        mode=external >> 16,
        method=method,
        crc=crc,
        packed=packed,
        size=size,
        header=header,
        start=start,
        flags=flags,
    )


def _name(raw: bytes, flags: int, faults: list[Fault]) -> str:
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        # Without the flag it would be code page 437 to one tool and UTF-8 to another.
        name = raw.decode("utf-8", "backslashreplace")
        faults.append(Fault("name-encoding", f"{name}: is not in the encoding it is said to be in"))
        return name


# --- what is said twice ----------------------------------------------------------


def _local(data: Data, at: int, told: tuple[int, ...], raw: bytes, name: str, faults: list[Fault]) -> int:
    """Compare the local header with the directory, and return how long it is."""
    head = data[at : at + _LOCAL.size + len(raw) + _LIKELY_EXTRA]
    if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
        raise NotReadableError("truncated", f"{name}: there is no local header at byte {at:,}")
    fields = _LOCAL.unpack_from(head)
    needed, flags, method, time, date, crc, packed, size, name_length, extra_length = fields[1:]
    names = _LOCAL.size
    length: int = names + name_length + extra_length
    if length > len(head):
        head = data[at : at + length]
    if head[names : names + name_length] != raw:
        faults.append(Fault("local-mismatch", f"{name}: the local header has another name"))
    extra = head[names + name_length : length]
    size, packed, _ = _widened((size, packed, 0), extra, name, faults)
    found = (flags, method, time, date, crc, packed, size)
    # With a data descriptor the sizes were not known yet; the descriptor is compared instead.
    if flags & _DESCRIPTOR and found[4:] == (0, 0, 0):
        found = (*found[:4], *told[4:])
    if needed > _NEWEST_VERSION:
        faults.append(Fault("compression", f"{name}: needs version {needed / 10:g} of the format"))
    if found != told:
        faults.append(Fault("local-mismatch", f"{name}: the local header and the directory differ"))
    return length


def _widened(
    values: tuple[int, int, int], extra: bytes, name: str, faults: list[Fault]
) -> tuple[int, int, int]:
    """The size, packed size and offset, with what a zip64 field says of those that did not fit."""
    if not extra and _FULL_32 not in values:
        return values
    missing = [position for position, value in enumerate(values) if value == _FULL_32]
    wide: bytes | None = None
    for kind, content in _extra_fields(extra, name, faults):
        if kind in _OTHER_NAME:
            faults.append(Fault("extra-field", f"{name}: carries a second name or comment"))
        if kind == _ZIP64:
            if wide is not None:
                faults.append(Fault("zip64", f"{name}: has two zip64 fields"))
            wide = content
    # Bazel's zipper says the sizes again where they did fit: the same twice is one reading.
    if not missing and wide == struct.pack("<QQ", values[0], values[1]):
        return values
    # Otherwise a zip64 field holds what did not fit and nothing else (section 4.5.3).
    if len(wide or b"") != 8 * len(missing):
        faults.append(Fault("zip64", f"{name}: its zip64 field does not hold what the header leaves to it"))
        return values
    found = list(values)
    for place, position in enumerate(missing):
        (found[position],) = struct.unpack_from("<Q", wide or b"", 8 * place)
    return found[0], found[1], found[2]


def _extra_fields(extra: bytes, name: str, faults: list[Fault]) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size + length
        if at <= len(extra):
            yield kind, extra[at - length : at]
    if at != len(extra):
        faults.append(Fault("extra-field", f"{name}: its extra fields do not fill their place"))


# --- every byte belongs to one thing -----------------------------------------------


def _tiling(data: Data, members: Sequence[Member], directory: int) -> Iterator[Fault]:
    ordered = sorted(members, key=lambda member: member.header)
    ends = [member.header for member in ordered[1:]] + [directory]
    if not ordered and directory:
        yield Fault("gap", f"{directory:,} bytes before the directory belong to no member")
    if ordered and ordered[0].header:
        yield Fault("prefix-data", f"{ordered[0].header:,} bytes stand before the first member")
    for member, end in zip(ordered, ends, strict=True):
        rest = end - member.end
        if rest < 0:
            yield Fault("overlap", f"{member.name}: shares {-rest:,} bytes with what follows it")
        elif member.flags & _DESCRIPTOR:
            if not _is_descriptor(data[member.end : min(end, member.end + 32)], rest, member):
                yield Fault("local-mismatch", f"{member.name}: its data descriptor and the directory differ")
        elif rest:
            yield Fault("gap", f"{member.name}: {rest:,} bytes after it belong to no member")


def _is_descriptor(found: bytes, length: int, member: Member) -> bool:
    told = (member.crc, member.packed, member.size)
    layouts = {12: "<III", 16: "<4xIII", 20: "<IQQ", 24: "<4xIQQ"}
    layout = layouts.get(length)
    if layout is None or len(found) != length or ("4x" in layout and not found.startswith(b"PK\7\x08")):
        return False
    return struct.unpack(layout, found) == told
