"""What a wheel must be to carry a profile, and what carrying it changes in RECORD."""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
from typing import TYPE_CHECKING

from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldlib.values.profile import ResourceProfile

SERVICES_GROUP = "rldlib.services"


def service_entries(entry_points: bytes) -> tuple[str, ...]:
    """The names in the group ``rldlib.services`` of an ``entry_points.txt``.

    Raises:
        ValueError: The text is none.
    """
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    # A name is a name as it is written; the default makes all of them lower case.
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to do so
    try:
        parser.read_string(entry_points.decode())
    except (configparser.Error, UnicodeDecodeError) as exc:
        raise ValueError(" ".join(str(exc).split())) from exc
    return tuple(parser[SERVICES_GROUP]) if parser.has_section(SERVICES_GROUP) else ()


def stamp_faults(profile: ResourceProfile, version: Version, services: Sequence[str]) -> tuple[str, ...]:
    """Where a profile contradicts the wheel that shall carry it; an empty tuple lets it.

    Args:
        profile: The profile.
        version: The wheel's version.
        services: The names in the wheel's entry point group.
    """
    faults = []
    if Version(profile.version) != version:
        faults.append(f"version: {profile.version} is not the wheel's version {version}")
    if not services:
        faults.append(
            f"service: the wheel has no entry point of the group {SERVICES_GROUP}; "
            f'add {profile.service} = "PACKAGE:CLASS" to [project.entry-points."{SERVICES_GROUP}"]'
        )
    elif profile.service not in services:
        faults.append(f"service: {profile.service} is not the wheel's entry point {', '.join(services)}")
    if len(services) > 1:
        faults.append(f"service: the wheel has the services {', '.join(services)}; one wheel, one service")
    return tuple(faults)


def recorded(record: bytes, path: str, data: bytes) -> bytes:
    """RECORD with the row of one member, before its own; all other rows stay as they are written."""
    lines = [line for line in record.decode().splitlines(keepends=True) if _subject(line) != path]
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    own = next(
        (at for at, line in enumerate(lines) if _subject(line).endswith(".dist-info/RECORD")), len(lines)
    )
    if own and not lines[own - 1].endswith("\n"):
        lines[own - 1] += end
    lines.insert(own, f"{path},sha256={digest},{len(data)}{end}")
    return "".join(lines).encode()


def _subject(line: str) -> str:
    return next(iter(next(csv.reader([line]), [])), "")
