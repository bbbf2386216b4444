"""Builds small valid wheels for tests, the same bytes each time."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_FIXED_TIME = (2020, 1, 1, 0, 0, 0)


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str | bytes] | None = None,
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    profile: Mapping[str, Any] | None = None,
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """Write a valid wheel, RECORD included, and return its path.

    Args:
        folder: Where it goes; made where it is missing.
        name: The distribution's name; it may hold hyphens.
        version: Its version, already normalised.
        files: Members by path, as text or bytes.
        requires: Requirements, one ``Requires-Dist`` each.
        requires_python: ``Requires-Python``; None leaves it out.
        profile: Goes to ``rldlib.json``, as the first member, stored.
        entry_points: Names and objects, by group.
        tag: The wheel's tag; several with dots, as in a file name.
    """
    return write_wheel(
        folder,
        f"{name.replace('-', '_')}-{version}-{tag}.whl",
        wheel_members(name, version, files, requires, requires_python, profile, entry_points, tag),
    )


def wheel_members(
    name: str,
    version: str,
    files: Mapping[str, str | bytes] | None = None,
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    profile: Mapping[str, Any] | None = None,
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
    tag: str = "py3-none-any",
) -> dict[str, bytes]:
    """The members of that wheel in their order, RECORD last."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    members: dict[str, bytes] = {}
    if profile is not None:
        members[f"{info}/rldlib.json"] = json.dumps(profile).encode()
    for path, content in (files or {}).items():
        members[path] = content.encode() if isinstance(content, str) else content
    members[f"{info}/METADATA"] = _metadata(name, version, requires, requires_python)
    members[f"{info}/WHEEL"] = _wheel(tag)
    if entry_points:
        members[f"{info}/entry_points.txt"] = _entry_points(entry_points)
    members[f"{info}/RECORD"] = record_of(members, info)
    return members


def record_of(members: Mapping[str, bytes], info: str) -> bytes:
    """The RECORD of these members; its own line is added."""
    lines = [f"{path},{_record_hash(content)},{len(content)}" for path, content in members.items()]
    return "".join(f"{line}\n" for line in [*lines, f"{info}/RECORD,,"]).encode()


def write_wheel(folder: Path, filename: str, members: Mapping[str, bytes]) -> Path:
    """Zip the members as they are, without looking at what they say."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / filename
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for member, content in members.items():
            entry = zipfile.ZipInfo(member, _FIXED_TIME)
            entry.external_attr = 0o100644 << 16
            stored = member.endswith(".dist-info/rldlib.json")
            wheel.writestr(entry, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
    return path


def _record_hash(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return "sha256=" + digest.rstrip(b"=").decode()


def _metadata(name: str, version: str, requires: Sequence[str], requires_python: str | None) -> bytes:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        f"Summary: The {name} of a test",
    ]
    lines += [f"Requires-Python: {requires_python}"] if requires_python else []
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return "".join(f"{line}\n" for line in lines).encode()


def _wheel(tag: str) -> bytes:
    pythons, abis, platforms = tag.split("-")
    tags = [
        f"{py}-{abi}-{plat}"
        for py in pythons.split(".")
        for abi in abis.split(".")
        for plat in platforms.split(".")
    ]
    lines = ["Wheel-Version: 1.0", "Generator: tests", f"Root-Is-Purelib: {str(platforms == 'any').lower()}"]
    return "".join(f"{line}\n" for line in [*lines, *(f"Tag: {text}" for text in tags)]).encode()


def _entry_points(groups: Mapping[str, Mapping[str, str]]) -> bytes:
    lines: list[str] = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items()), ""]
    return "\n".join(lines).encode()
