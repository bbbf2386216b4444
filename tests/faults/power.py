"""What a power cut leaves: a file system that knows what was flushed, and lays out the rest as lost.

Only what was flushed is certain: the content of a file, the entries of a
folder. Everything else may be there, or not, or in part, in any combination.
Folders that are made once for a root are taken as there.
"""

from __future__ import annotations

import os
import random
import stat
import threading
from pathlib import Path

from rldlib.adapters.files import FileSystem

# Not through the file system port: locks hold no content, and the journal may lose what it likes.
_NOT_OURS = ("journal.sqlite", "locks", "logs")
# An image: what lies at each path, as content, as ``None`` for a folder, or as where a link points.
Layout = dict[str, bytes | tuple[str] | None]


class Disk(FileSystem):
    """Remembers what is on the disk; `layouts` are what a cut after each flush and rename leaves."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._chance = random.Random(seed)
        self._contents: dict[int, bytes] = {}
        self._entries: dict[int, dict[str, int]] = {}
        self._links: dict[int, str] = {}
        self._folders: set[int] = set()
        # Held open, so that the system gives no number to another file meanwhile.
        self._held: dict[int, int] = {}
        self._one = threading.RLock()
        self.layouts: list[Layout] = []

    def close(self) -> None:
        """Let go of what is held."""
        for fd in self._held.values():
            os.close(fd)

    def flush(self, fd):
        super().flush(fd)
        path = Path(f"/proc/self/fd/{fd}").readlink()
        with self._one:
            number = self._hold(path)
            if path.is_dir():
                self._entries[number] = {name: self._hold(path / name) for name in _names(path)}
            else:
                self._contents[number] = path.read_bytes()
        self._cut()

    def rename(self, source, target):
        super().rename(source, target)
        self._cut()

    def _hold(self, path: Path) -> int:
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        found = os.fstat(fd)
        if found.st_ino in self._held:
            os.close(fd)
        else:
            self._held[found.st_ino] = fd
        if stat.S_ISLNK(found.st_mode):
            self._links[found.st_ino] = str(path.readlink())
        elif stat.S_ISDIR(found.st_mode):
            self._folders.add(found.st_ino)
        return found.st_ino

    # --- what is left --------------------------------------------------------------

    def _cut(self) -> None:
        with self._one:
            for folder, file in (
                (self._flushed_and_lasting, self._flushed),  # nothing but what was flushed
                (self._all, self._flushed),  # every name, the content lost where it was not flushed
                (self._some, self._part),  # a part of the names, a part of the content
            ):
                layout: Layout = {}
                self._lay_out(layout, "", self._root, folder, file)
                self.layouts.append(layout)

    def _lay_out(self, layout, name, path, folder, file) -> None:
        """What lies at a path now; `folder` says which entries are kept, and `file` which content."""
        if name in _NOT_OURS:
            return
        if path.is_symlink():
            layout[name] = (str(path.readlink()),)
        elif path.is_dir():
            layout[name] = None
            for entry, number in folder(name, path).items():
                inner, there = f"{name}/{entry}".lstrip("/"), path / entry
                if number is None or _number(there) == number:
                    self._lay_out(layout, inner, there, folder, file)
                else:
                    self._lay_out_lost(layout, inner, number)
        else:
            layout[name] = file(path)

    def _lay_out_lost(self, layout, name, number) -> None:
        """What lay at a path when its folder was flushed, and does no more."""
        if number in self._links:
            layout[name] = (self._links[number],)
        elif number in self._folders:
            layout[name] = None
            for entry, inner in self._entries.get(number, {}).items():
                self._lay_out_lost(layout, f"{name}/{entry}", inner)
        else:
            layout[name] = self._contents.get(number, b"")

    def _all(self, _name, path):
        return dict.fromkeys(_names(path))

    def _flushed_and_lasting(self, name, path):
        lasting = {entry: None for entry in _names(path) if _lasts(f"{name}/{entry}".lstrip("/"))}
        return {**self._entries.get(path.stat().st_ino, {}), **lasting}

    def _some(self, name, path):
        kept = self._all(name, path) if self._chance.random() < 0.7 else self._flushed_and_lasting(name, path)
        certain = self._flushed_and_lasting(name, path)
        return {
            entry: number for entry, number in kept.items() if entry in certain or self._chance.random() < 0.8
        }

    def _flushed(self, path):
        return self._contents.get(path.stat().st_ino, b"")

    def _part(self, path):
        content = path.read_bytes()
        if path.stat().st_ino in self._contents:
            return content
        return content[: self._chance.choice((0, len(content) // 2, len(content), len(content)))]


def _lasts(name: str) -> bool:
    """Folders that are made once, and kept."""
    return name in {
        *("environments", "services", "services/echo", "services/echo/1.0", "store", "store/images"),
        *("store/wheels", "store/wheels/sha256", "tmp"),
    }


def _names(path: Path) -> list[str]:
    return [entry.name for entry in path.iterdir()]


def _number(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def restore(layout: Layout, root: Path) -> None:
    """Make a root of what was left."""
    for name, content in layout.items():
        path = root / name
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
        elif isinstance(content, tuple):
            path.symlink_to(content[0])
        else:
            path.write_bytes(content)
            if "/bin/" in name:
                path.chmod(0o755)
