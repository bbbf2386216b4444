"""Whole folders: published and removed so that nobody sees a part of one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from rldlib.adapters.files.single import flush_path
from rldlib.adapters.files.system import REAL, storage_errors

if TYPE_CHECKING:
    from pathlib import Path

    from rldlib.adapters.files.system import FileSystem

_FLUSHES_AT_ONCE: Final = 8


def publish_folder(beside: Path, place: Path, *, files: FileSystem = REAL) -> None:
    """Flush a folder that was built beside, and rename it into place.

    The caller holds the lock of `place` and has seen that nothing is there.

    Raises:
        StorageError: It could not be flushed or renamed; nothing is at `place`.
    """
    with storage_errors(beside):
        flush_tree(str(beside), files=files)
        place.parent.mkdir(parents=True, exist_ok=True)
        files.rename(str(beside), str(place))
        flush_path(str(place.parent), files=files)


def flush_tree(folder: str, *, files: FileSystem = REAL) -> None:
    """Wait until every file below a folder, and then the folders, are on the disk."""
    folders, found = [], []
    for place, _, names in os.walk(folder):
        folders.append(place)
        found += [path for name in names if not os.path.islink(path := f"{place}/{name}")]  # noqa: PTH114 - many
    _flush_all(found, files)
    _flush_all(folders, files)


def _flush_all(paths: list[str], files: FileSystem) -> None:
    """Flushes wait for the disk, and for each other least when they wait together."""

    def flush(some: list[str]) -> None:
        for path in some:
            flush_path(path, files=files)

    if len(paths) <= _FLUSHES_AT_ONCE:
        return flush(paths)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_FLUSHES_AT_ONCE, "rldlib-flush") as pool:
        shares = [paths[first :: 4 * _FLUSHES_AT_ONCE] for first in range(4 * _FLUSHES_AT_ONCE)]
        list(pool.map(flush, shares))
    return None


def remove_tree(path: Path, aside: Path, *, files: FileSystem = REAL) -> None:
    """Remove a folder or file so that nobody ever sees a part of it; nothing there is fine.

    It is renamed into `aside` first; what a crash leaves there is removed by
    whoever collects.

    Raises:
        StorageError: It could not be removed.
    """
    gone = aside / f"gone-{os.urandom(8).hex()}"
    with storage_errors(path):
        aside.mkdir(parents=True, exist_ok=True)
        try:
            files.rename(str(path), str(gone))
        except FileNotFoundError:
            return
        erase(gone)


def erase(path: Path) -> None:
    """Remove a folder or file that nobody looks at any more; somebody else may do the same."""
    import shutil

    with storage_errors(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=_unless_gone)
        else:
            path.unlink(missing_ok=True)


def _unless_gone(_: object, __: str, info: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(info[1], FileNotFoundError):
        raise info[1]
