"""The gate's one pass over a wheel: its listing first, then each member once.

Bytes in, faults out. Where a sink is given, the content goes there on the way,
so that a wheel is checked and unpacked in one pass; whoever gives the sink
throws away what it got when the wheel is refused.
"""

from __future__ import annotations

import hashlib
import stat
import zlib
from typing import TYPE_CHECKING, Final

from rldlib.rules import gate
from rldlib.rules.archive import STORED, read_archive
from rldlib.rules.layout import EntryPointsError, entry_scripts, headers
from rldlib.rules.record import completeness, parse_record
from rldlib.values.fault import Fault
from rldlib.values.image import Image, ImageFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rldlib.rules.archive import Member
    from rldlib.rules.record import Entry
    from rldlib.values.data import Data

    Sink = Callable[[bytes], object]

_CHUNK_BYTES: Final = 256 * 1024
# Read whole, so bounded: METADATA as where it is read without its wheel, the others far above any seen.
_MAX_INFO_BYTES: Final = {"METADATA": 4 * 1024**2, "WHEEL": 64 * 1024, "entry_points.txt": 256 * 1024}
# A line of RECORD has a path, a hash and a size.
_RECORD_FREE_BYTES: Final = 64 * 1024
_RECORD_LINE_BYTES: Final = 1024
_MAX_RECORD_BYTES: Final = 64 * 1024**2


class ContentError(Exception):
    """A member does not unpack to what the directory says; carries the fault."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.fault = Fault(kind, detail)


class Inspection:
    """One wheel under inspection. `verify` may be called from several threads.

    Attributes:
        members: The files of the wheel; empty where its listing cannot be trusted.
        faults: What was found until now.
    """

    def __init__(self, data: Data, filename: str) -> None:
        """Decide over the listing."""
        self._data = data
        self._filename = filename
        self._record: dict[str, Entry | None] = {}
        self._identity: gate.Identity | None = None
        archive = read_archive(data, gate.MAX_MEMBERS)
        self.faults: list[Fault] = [*archive.faults, *gate.member_faults(archive.members, len(data))]
        self.members: Sequence[Member] = [member for member in archive.members if not member.is_folder]
        paths = [member.name for member in self.members]
        if not archive.faults:
            self._identity, faults = gate.identify(filename, paths)
            self.faults += faults
        if self._identity is not None:
            self.faults += gate.placement_faults(paths, self._identity)
        if self._identity is None or any(fault.kind not in gate.EXCUSABLE for fault in self.faults):
            self.members = ()
        else:
            self._read_info(paths, self._identity)

    def verify(self, member: Member, sink: Sink | None = None) -> ImageFile | None:
        """Unpack one member and compare it with RECORD; None where it differs."""
        entry = self._record.get(member.name)
        digest = hashlib.sha256()
        other = hashlib.new(entry.algorithm) if entry and entry.algorithm != "sha256" else None
        crc = 0
        try:
            for chunk in contents(self._data, member):
                digest.update(chunk)
                crc = zlib.crc32(chunk, crc)
                if other is not None:
                    other.update(chunk)
                if sink is not None:
                    sink(chunk)
        except ContentError as exc:
            self.faults.append(exc.fault)
            return None
        if crc != member.crc:
            self.faults.append(Fault("crc-mismatch", f"{member.name}: differs from its CRC-32"))
        found = (other or digest).digest()
        if entry is not None and (entry.digest != found or entry.size != member.size):
            self.faults.append(
                Fault("record-mismatch", f"{member.name}: differs from its hash or size in RECORD")
            )
            return None
        # As installers do: only a regular file that says so (external attributes, upper half).
        executable = stat.S_ISREG(member.mode) and bool(member.mode & 0o111)
        return ImageFile(member.name, digest.hexdigest(), member.size, executable)

    def image(self, files: Sequence[ImageFile]) -> Image:
        """What the wheel consists of, to be asked for once there are no faults."""
        if self._identity is None:
            raise RuntimeError(f"{self._filename} was refused; it has no image")
        return Image(wheel=self._filename, info=self._identity.info, files=tuple(files))

    def _read_info(self, paths: Sequence[str], identity: gate.Identity) -> None:
        own = f"{identity.info}/RECORD"
        record = self._text(own)
        if record is not None:
            self._record, faults = parse_record(record, own, len(paths))
            self.faults += faults
            self.faults += completeness(self._record, paths, identity.info)
        metadata, wheel = self._text(f"{identity.info}/METADATA"), self._text(f"{identity.info}/WHEEL")
        if metadata is not None:
            self.faults += gate.metadata_faults(identity, headers(metadata, {"name", "version"}))
        if wheel is not None:
            self.faults += gate.wheel_faults(headers(wheel, {"wheel-version"}))
        points = f"{identity.info}/entry_points.txt"
        if points in paths:
            try:
                scripts = entry_scripts(self._text(points) or "")
                self.faults += gate.entry_script_faults(scripts, paths, identity)
            except EntryPointsError as exc:
                self.faults.append(Fault("entry-points", str(exc)))

    def _text(self, path: str) -> str | None:
        member = next((member for member in self.members if member.name == path), None)
        if member is None:
            self.faults.append(Fault("dist-info", f"{path}: is missing"))
            return None
        most = self._most_bytes(path)
        if member.size > most:
            self.faults.append(Fault("info-size", f"{path}: has {member.size:,} bytes; at most {most:,}"))
            return None
        try:
            return b"".join(contents(self._data, member)).decode()
        except ContentError as exc:
            self.faults.append(exc.fault)
        except UnicodeDecodeError:
            self.faults.append(Fault("dist-info", f"{path}: is not UTF-8"))
        return None

    def _most_bytes(self, path: str) -> int:
        lines = _RECORD_FREE_BYTES + _RECORD_LINE_BYTES * len(self.members)
        return _MAX_INFO_BYTES.get(path.rpartition("/")[2], min(lines, _MAX_RECORD_BYTES))


def contents(data: Data, member: Member) -> Iterator[bytes]:
    """Unpack one member, never more than the directory says.

    Raises:
        ContentError: It is not what the directory says.
    """
    if member.method == STORED:
        for at in range(member.start, member.end, _CHUNK_BYTES):
            yield data[at : min(at + _CHUNK_BYTES, member.end)]
        return
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    try:
        for chunk in _inflated(data, member, unpacker):
            size += len(chunk)
            if size > member.size:
                break
            yield chunk
    except zlib.error as exc:
        raise ContentError("stream", f"{member.name}: cannot be unpacked, {exc}") from exc
    if size != member.size or not unpacker.eof:
        raise ContentError(
            "size-mismatch", f"{member.name}: does not unpack to the {member.size:,} bytes it claims"
        )


def _inflated(data: Data, member: Member, unpacker: zlib._Decompress) -> Iterator[bytes]:
    for at in range(member.start, member.end, _CHUNK_BYTES):
        packed = data[at : min(at + _CHUNK_BYTES, member.end)]
        while packed and not unpacker.eof:
            # One byte more than expected, so that a stream that goes on is seen to do so.
            chunk = unpacker.decompress(packed, min(member.size + 1, _CHUNK_BYTES))
            packed = unpacker.unconsumed_tail
            if chunk:
                yield chunk
        if unpacker.eof and (packed or unpacker.unused_data or at + _CHUNK_BYTES < member.end):
            raise ContentError("stream", f"{member.name}: has bytes after the end of its stream")
    if not unpacker.eof:
        yield unpacker.flush()
