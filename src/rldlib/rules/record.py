"""What a wheel's RECORD says of its members, and whether that is all of them."""

from __future__ import annotations

import binascii
import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rldlib.values.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# md5 and sha1 can be forged, so that they vouch for nothing.
_STRONG: Final = {"sha256": 32, "sha384": 48, "sha512": 64}
_ASCII_SPACE: Final = 0x20
# Where `splitlines` cuts. A line has one, or two of them.
_LINE_ENDS: Final = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_ENDS_PER_MEMBER: Final = 4
_FREE_ENDS: Final = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of RECORD: the hash's name, its bytes, and the size."""

    algorithm: str
    digest: bytes
    size: int


def parse_record(text: str, own: str, members: int) -> tuple[dict[str, Entry | None], list[Fault]]:
    """Read the RECORD of so many members; `own` is its own path, which has neither hash nor size."""
    # Before they are cut: ten bytes of a wheel unpack to thousands of lines.
    if sum(map(text.count, _LINE_ENDS)) > _ENDS_PER_MEMBER * members + _FREE_ENDS:
        return {}, [Fault("record-malformed", f"{own}: has far more lines than the wheel has members")]
    entries: dict[str, Entry | None] = {}
    faults: list[Fault] = []
    try:
        rows = list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as exc:
        return {}, [Fault("record-malformed", f"{own}: {exc}")]
    for row in filter(None, rows):
        if len(row) != 3:
            faults.append(Fault("record-malformed", f"{own}: a line has {len(row)} fields instead of 3"))
        elif row[0] in entries:
            faults.append(Fault("record-duplicate", f"{row[0]}: is listed twice"))
        elif row[0] == own:
            entries[own] = None
            if row[1] or row[2]:
                faults.append(Fault("record-malformed", f"{own}: lists a hash of itself"))
        else:
            entry = _entry(row)
            entries[row[0]] = entry if isinstance(entry, Entry) else None
            faults += [entry] if isinstance(entry, Fault) else []
    return entries, faults


def _entry(row: list[str]) -> Entry | Fault:
    path, told, size = row
    algorithm, _, text = told.partition("=")
    if algorithm not in _STRONG:
        return Fault("record-weak-hash", f"{path}: has {algorithm or 'no hash'}; sha256 or better is needed")
    try:
        packed = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
        digest = binascii.a2b_base64(packed, strict_mode=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _STRONG[algorithm] or not (size.isascii() and size.isdigit() and len(size) < 20):
        return Fault("record-malformed", f"{path}: its hash or size cannot be read")
    return Entry(algorithm, digest, int(size))


def completeness(entries: Mapping[str, Entry | None], members: Collection[str], info: str) -> list[Fault]:
    """What one of them has and the other lacks; signature files stay out of RECORD."""
    signatures = {f"{info}/RECORD.jws", f"{info}/RECORD.p7s"}
    present = set(members)
    faults = [
        Fault("record-unlisted", f"{path}: is not listed in RECORD")
        for path in sorted(present - set(entries) - signatures)
    ]
    faults += [
        Fault("record-phantom", f"{path}: is listed in RECORD, and is not there")
        for path in sorted(set(entries) - present)
    ]
    faults += [
        Fault("record-malformed", f"{path}: is a signature of RECORD, and listed in it")
        for path in sorted(signatures & set(entries))
    ]
    return faults
