"""What the tests of store and environments build on: locks, a source, an interpreter."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from packaging.markers import default_environment
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from rldlib.errors import SourceUnavailableError
from rldlib.values.image import Image
from rldlib.values.interpreter import Interpreter
from rldlib.values.lock import Lock, LockedWheel


@dataclass
class FolderSource:
    """A `Source` that gives files, and counts what it was asked for."""

    blobs: Path | None = None
    fetched: list[str] = field(default_factory=list)
    identity: str = "folder"
    chunk: int = 1 << 16

    def fetch(self, locator, into, *, max_bytes):
        self.fetched.append(locator)
        content = Path(locator).read_bytes()
        if len(content) > max_bytes:
            raise SourceUnavailableError(locator, "too much")
        for start in range(0, len(content), self.chunk):
            into.write(content[start : start + self.chunk])

    def blob(self, sha256, into, *, max_bytes):
        path = self.blobs / sha256 if self.blobs else None
        if path is None or not path.exists():
            return False
        self.fetch(str(path), into, max_bytes=max_bytes)
        return True


def locked(path: Path) -> LockedWheel:
    name, version, _, _ = parse_wheel_filename(path.name)
    content = path.read_bytes()
    return LockedWheel(
        name=name,
        version=str(version),
        filename=path.name,
        locator=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )


def lock_of(*wheels: Path, service: str | None = None) -> Lock:
    pinned = sorted((locked(path) for path in wheels), key=lambda wheel: wheel.name)
    carrier = locked(wheels[0])
    return Lock(
        service=service or carrier.name,
        version=carrier.version,
        distribution=carrier.name,
        source="folder",
        interpreter=own_interpreter().label,
        wheels=tuple(pinned),
    )


def own_interpreter() -> Interpreter:
    return Interpreter(
        executable=os.path.realpath(sys._base_executable),
        version=Version(".".join(map(str, sys.version_info[:3]))),
        tags=tuple(sys_tags())[:5],
        markers=default_environment(),
        own=True,
    )


def content_of(image: Path) -> dict[str, bytes]:
    """What lies in an image, by its path in the wheel."""
    data = image.read_bytes()
    found = Image.read(data)
    starts = zip(found.starts(), found.files, strict=True)
    return {file.path: data[start : start + file.size] for start, file in starts}


def tree_of(folder: Path) -> dict[str, bytes | str]:
    """Everything below a folder: the content of files, where links point, and folders."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = path.read_bytes() if path.is_file() else "folder"
    return found
