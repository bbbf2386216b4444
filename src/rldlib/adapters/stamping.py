"""Puts a profile into a wheel, and reads it out again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from rldlib.adapters.repacking import (
    DEFLATED,
    STORED,
    Addition,
    Archive,
    Member,
    NotAnArchiveError,
    read_archive,
    read_member,
    write_archive,
)
from rldlib.errors import ProfileError, StorageError, UsageError, WheelRefusedError
from rldlib.rules.stamping import recorded, service_entries, stamp_faults
from rldlib.values.document import parse_profile
from rldlib.values.profile import MAX_PROFILE_BYTES, PROFILE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The longest of both on the public index are below a tenth of it.
_MAX_TEXT_BYTES = 16 * 1024 * 1024
_FILE_MODE = 0o100644 << 16
# What the zip format can say of time.
_FIRST_YEAR, _LAST_YEAR = 1980, 2107
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wheel:
    """An open wheel: its directory, and the members of its .dist-info by name."""

    file: BinaryIO
    archive: Archive
    folder: str
    info: dict[str, Member]

    def text(self, name: str) -> bytes:
        return read_member(self.file, self.info[name], max_bytes=_MAX_TEXT_BYTES)


def stamp(wheel: Path, profile: bytes) -> None:
    """Put a profile into a wheel, in place of the one it carries, if any.

    The bytes go in as they are, as the first member, stored. All other
    members keep their bytes, order and metadata; only RECORD gains a row. The
    file is replaced at once, under its name: whoever looks sees the old wheel
    or the new one. Stamping the same bytes again changes nothing.

    Args:
        wheel: The wheel's file.
        profile: The bytes of a ``rldlib.json``.

    Raises:
        ProfileError: The bytes are no profile, or not the profile of this wheel.
        UsageError: There is no such file.
        WheelRefusedError: The file is no wheel, or its RECORD is signed.
        StorageError: The folder cannot be written; the wheel is as it was.
    """
    told = parse_profile(profile, source=wheel.name)
    version = _version(wheel)
    with _opened(wheel) as opened:
        try:
            services = (
                service_entries(opened.text("entry_points.txt")) if "entry_points.txt" in opened.info else ()
            )
        except ValueError as exc:
            raise WheelRefusedError(
                wheel.name, [f"zip: its entry_points.txt cannot be read ({exc})"]
            ) from exc
        faults = stamp_faults(told, version, services)
        if faults:
            raise ProfileError(wheel.name, faults)
        with _replacing(wheel) as into:
            _rewrite(opened, profile, into)


def read_profile(wheel: Path) -> bytes | None:
    """The profile that a wheel carries, as its bytes; None where it carries none.

    The file may be hostile, and may have any name. Nothing but its directory
    and the profile is read.

    Raises:
        ProfileError: The profile is longer than a profile may be.
        UsageError: There is no such file.
        WheelRefusedError: The file is no wheel.
        StorageError: The file cannot be read.
    """
    with _opened(wheel) as opened:
        member = opened.info.get(PROFILE_NAME)
        if member is None:
            return None
        if member.unpacked > MAX_PROFILE_BYTES:
            raise ProfileError(wheel.name, [f"document: over {MAX_PROFILE_BYTES:,} bytes"])
        return read_member(opened.file, member, max_bytes=MAX_PROFILE_BYTES + 1024)


def _version(wheel: Path) -> Version:
    try:
        return parse_wheel_filename(wheel.name)[1]
    except InvalidWheelFilename as exc:
        raise WheelRefusedError(wheel.name, [f"name: {exc}"]) from exc


@contextlib.contextmanager
def _opened(wheel: Path) -> Iterator[_Wheel]:
    try:
        with wheel.open("rb") as file:
            archive = read_archive(file)
            folder, info = _dist_info(archive, wheel.name)
            yield _Wheel(file=file, archive=archive, folder=folder, info=info)
    except NotAnArchiveError as exc:
        raise WheelRefusedError(wheel.name, [f"zip: {exc}"]) from exc
    except FileNotFoundError as exc:
        raise UsageError(f"there is no file {wheel}") from exc
    except IsADirectoryError as exc:
        raise WheelRefusedError(wheel.name, ["zip: it is a folder"]) from exc
    except OSError as exc:
        raise StorageError(str(wheel), exc.strerror or str(exc)) from exc


def _dist_info(archive: Archive, name: str) -> tuple[str, dict[str, Member]]:
    """The wheel's one .dist-info and the members right in it."""
    found: dict[str, dict[str, Member]] = {}
    for member in archive.members:
        folder, _, leaf = member.name.partition("/")
        if folder.endswith(".dist-info"):
            found.setdefault(folder, {})[leaf] = member
    if len(found) != 1:
        raise NotAnArchiveError(f"it has {len(found)} .dist-info folders; a wheel has one")
    ((folder, info),) = found.items()
    missing = [leaf for leaf in ("METADATA", "WHEEL", "RECORD") if leaf not in info]
    if missing:
        raise NotAnArchiveError(f"{folder} lacks {' and '.join(missing)}")
    if not _is_named(name, folder):
        raise NotAnArchiveError(f"{folder} is not of the name and version in its file name")
    return folder, info


def _is_named(name: str, folder: str) -> bool:
    """Whether a .dist-info is of the file's name; a file that is not named like a wheel says nothing."""
    try:
        distribution, version, _, _ = parse_wheel_filename(name)
        told, _, told_version = folder.removesuffix(".dist-info").partition("-")
        return canonicalize_name(told) == distribution and Version(told_version) == version
    except InvalidWheelFilename:
        return True
    except InvalidVersion:
        return False


def _rewrite(wheel: _Wheel, profile: bytes, into: BinaryIO) -> None:
    if any(name in wheel.info for name in _SIGNATURES):
        raise NotAnArchiveError("its RECORD is signed; stamp it before it is signed")
    path = f"{wheel.folder}/{PROFILE_NAME}"
    record = wheel.info["RECORD"]
    try:
        text = recorded(wheel.text("RECORD"), path, profile)
    except UnicodeDecodeError as exc:
        raise NotAnArchiveError("its RECORD is no UTF-8") from exc
    write_archive(
        wheel.file,
        wheel.archive,
        into,
        first=Addition(
            name=path, data=profile, method=STORED, time=_time(wheel.info["METADATA"]), mode=_FILE_MODE
        ),
        kept=[member for member in wheel.archive.members if member.name not in {path, record.name}],
        last=Addition(
            name=record.name,
            data=text,
            method=DEFLATED if record.method == DEFLATED else STORED,
            time=record.time,
            mode=record.mode,
        ),
    )


def _time(model: Member) -> tuple[int, int]:
    """``SOURCE_DATE_EPOCH`` as the zip format has it, else the time of METADATA: never the clock's."""
    told = os.environ.get("SOURCE_DATE_EPOCH", "")
    # Ten digits reach beyond what the format can say.
    if not told.isdecimal() or len(told) > 10:
        return model.time
    at = time.gmtime(int(told))
    if not _FIRST_YEAR <= at.tm_year <= _LAST_YEAR:
        return model.time
    clock = at.tm_hour << 11 | at.tm_min << 5 | at.tm_sec // 2
    return clock, (at.tm_year - _FIRST_YEAR) << 9 | at.tm_mon << 5 | at.tm_mday


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``path`` when the block ends well, and else never was.

    Where the system can, it has no name until it is whole. Whoever writes here
    holds a lock on the folder, so one leftover of a killed writer can be known
    as such; the next one removes it.
    """
    path = path.resolve()
    beside = path.with_name(f".{path.name}.stamping")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        beside.unlink(missing_ok=True)
        try:
            with _unnamed(path.parent, beside) as into:
                os.fchmod(into.fileno(), path.stat().st_mode & 0o7777)
                yield into
                into.flush()
                os.fsync(into.fileno())
                if not beside.exists():
                    # With a folder's descriptor it is linkat(), which follows the link in /proc.
                    os.link(
                        f"/proc/self/fd/{into.fileno()}", beside.name, dst_dir_fd=folder, follow_symlinks=True
                    )
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        os.fsync(folder)
    finally:
        os.close(folder)


def _unnamed(folder: Path, beside: Path) -> BinaryIO:
    """A file without a name in the folder; one named ``beside`` where the system has no such."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is not None:
        with contextlib.suppress(OSError):
            return os.fdopen(os.open(folder, flag | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb")
    return beside.open("xb")
