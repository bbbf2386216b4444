"""Where the directory of a zip file lies, by its end: the one place that says so."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from rldlib.values.fault import Fault

if TYPE_CHECKING:
    from rldlib.values.data import Data

# APPNOTE.TXT 6.3.10, sections 4.3.14, 4.3.15 and 4.3.16.
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_FULL_16: Final = 0xFFFF
_FULL_32: Final = 0xFFFFFFFF
_MAX_END: Final = _END.size + _FULL_16


class NotReadableError(Exception):
    """The file has no single reading; carries the fault."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.fault = Fault(kind, detail)


def directory_of(data: Data) -> tuple[int, int, int]:
    """The number of members, and where the central directory begins and ends.

    Raises:
        NotReadableError: There is none, or more than one reading of where it is.
    """
    at = len(data) - _END.size
    if at < 0 or data[at : at + 4] != b"PK\5\6":
        raise _no_end(data)
    _, disk, first_disk, here, count, size, start, comment = _END.unpack(data[at : at + _END.size])
    if comment:
        raise NotReadableError("trailing-data", "the archive ends within its own comment")
    if disk or first_disk or here != count:
        raise NotReadableError("multi-disk", "the archive says that it spans several disks")
    end = at
    if data[max(0, at - _LOCATOR.size) : at - _LOCATOR.size + 4] == b"PK\6\7":
        end, count, size, start = _zip64_directory(data, at - _LOCATOR.size, (count, size, start))
    elif count == _FULL_16 or _FULL_32 in {size, start}:
        raise NotReadableError("zip64", "the end says that a zip64 record follows, and none is there")
    if start + size != end:
        kind = "prefix-data" if start + size < end else "truncated"
        raise NotReadableError(
            kind, f"the directory says that it ends at byte {start + size:,}; it ends at {end:,}"
        )
    return count, start, end


def _no_end(data: Data) -> NotReadableError:
    tail = data[max(0, len(data) - _MAX_END) : len(data)]
    found = tail.rfind(b"PK\5\6")
    if found < 0:
        return NotReadableError("not-a-zip", f"{len(data):,} bytes without the end record of a zip archive")
    after = len(tail) - found - _END.size
    return NotReadableError("trailing-data", f"{after:,} bytes follow the end of the archive")


def _zip64_directory(data: Data, at: int, told: tuple[int, int, int]) -> tuple[int, int, int, int]:
    _, disk, record, disks = _LOCATOR.unpack(data[at : at + _LOCATOR.size])
    if disk or disks != 1 or record + _END64.size != at or data[record : record + 4] != b"PK\6\6":
        raise NotReadableError("zip64", "the zip64 records do not follow each other")
    _, length, _, _, disk, first_disk, here, count, size, start = _END64.unpack(
        data[record : record + _END64.size]
    )
    if length != _END64.size - 12 or disk or first_disk or here != count:
        raise NotReadableError("zip64", "the zip64 record contradicts itself")
    # A value that fits is said in both records, and must be the same in both.
    for short, full, long in zip(told, (_FULL_16, _FULL_32, _FULL_32), (count, size, start), strict=True):
        if short not in {full, long}:
            raise NotReadableError("zip64", f"the end says {short:,} where the zip64 record says {long:,}")
    return record, count, size, start
