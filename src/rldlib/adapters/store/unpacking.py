"""A wheel into its image: checked and unpacked in one pass."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from rldlib.adapters.files import REAL, share
from rldlib.errors import WheelRefusedError
from rldlib.rules.gate import excused
from rldlib.rules.inspection import Inspection
from rldlib.values.image import LARGE_BYTES, laid_out

if TYPE_CHECKING:
    from collections.abc import Collection

    from rldlib.adapters.files import FileSystem
    from rldlib.rules.archive import Member
    from rldlib.values.data import Data
    from rldlib.values.image import ImageFile
    from rldlib.values.lock import LockedWheel

_READ_ONLY: Final = 0o444
# Small files are written so many bytes at a time.
_RUN_BYTES: Final = 512 * 1024


def unpack(
    data: Data, wheel: LockedWheel, path: str, *, allow: Collection[str], files: FileSystem = REAL
) -> None:
    """Write the image of a wheel to a new file; without its end it is none, so that comes last.

    Raises:
        WheelRefusedError: The gate refuses it. Whoever called throws away what was written.
        OSError: It could not be written.
    """
    inspection = Inspection(data, wheel.filename)
    _refuse(inspection, wheel, allow)
    fd = files.create(path, _READ_ONLY)
    try:
        unpacking = _Unpacking(inspection, fd, files)
        found = unpacking.run()
        _refuse(inspection, wheel, allow)
        files.write_at(fd, inspection.image(found).end(), unpacking.end)
    finally:
        os.close(fd)


def _refuse(inspection: Inspection, wheel: LockedWheel, allow: Collection[str]) -> None:
    faults = excused(inspection.faults, wheel.sha256, allow)
    if faults:
        raise WheelRefusedError(wheel.filename, [str(fault) for fault in faults])


class _Unpacking:
    """The members of one wheel on their way into one file: first the small ones, then the large ones."""

    def __init__(self, inspection: Inspection, fd: int, files: FileSystem) -> None:
        self._inspection = inspection
        self._fd = fd
        self._files = files
        self._members = sorted(inspection.members, key=_is_large)
        starts, self.end = laid_out(member.size for member in self._members)
        self._starts = {member.name: start for member, start in zip(self._members, starts, strict=True)}
        self._found: dict[str, ImageFile | None] = {}

    def run(self) -> list[ImageFile]:
        """Unpack all of them; those that differ from what they should be are left out, and are faults."""
        large = [member for member in self._members if _is_large(member)]
        share(self._unpack_small, large, self._unpack_large, lambda member: member.size)
        found = (self._found[member.name] for member in self._members)
        return [file for file in found if file is not None]

    def _unpack_small(self) -> None:
        run: list[bytes] = []
        at = held = 0
        for member in self._members:
            if _is_large(member):
                break
            self._found[member.name] = self._inspection.verify(member, run.append)
            held += member.size
            if held >= _RUN_BYTES:
                self._files.write_at(self._fd, b"".join(run), at)
                run, at, held = [], at + held, 0
        self._files.write_at(self._fd, b"".join(run), at)

    def _unpack_large(self, member: Member) -> None:
        at = self._starts[member.name]

        def write(chunk: bytes) -> None:
            nonlocal at
            self._files.write_at(self._fd, chunk, at)
            at += len(chunk)

        self._found[member.name] = self._inspection.verify(member, write)


def _is_large(member: Member) -> bool:
    return member.size >= LARGE_BYTES
