"""Whole folders: published and removed so that nobody sees a part of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rldlib.adapters.files.single import flush_path
from rldlib.adapters.files.system import REAL, storage_errors

if TYPE_CHECKING:
    from rldlib.adapters.files.system import FileSystem


def publish(beside: Path, place: Path, *, files: FileSystem = REAL) -> None:
    """Rename a file or folder that was built beside into place. Nothing is flushed.

    A reader sees all of it or nothing, also after a kill. After a power cut it
    may have its name and not its content: whoever reads must be able to tell.
    The caller holds the lock of `place` and has seen that nothing is there.

    Raises:
        StorageError: It could not be renamed; nothing is at `place`.
    """
    with storage_errors(beside):
        place.parent.mkdir(parents=True, exist_ok=True)
        files.rename(str(beside), str(place))


def make_apart(folder: Path, *, files: FileSystem = REAL) -> None:
    """Make a folder far from where others were deleted, where the file system knows how.

    The caller holds its lock: what a killed process began of it is removed.

    Raises:
        OSError: It cannot be made; nothing is left.
        StorageError: What is left of it cannot be removed.
    """
    for name in os.listdir(folder.parent):  # noqa: PTH208 - names alone
        if name.startswith(f"{folder.name}."):
            erase(folder.with_name(name))
    try:
        files.spread(str(folder.parent))
    except OSError:
        files.make_folder(str(folder))  # it is about speed alone
        return
    # Where it lies is chosen by the name it is made with: by its own it would lie where the last of that name
    # was deleted.
    begun = f"{folder}.{os.urandom(8).hex()}"
    files.make_folder(begun)
    try:
        files.rename(begun, str(folder))
    except BaseException:
        erase(Path(begun))
        raise


def flush_tree(folder: str, *, files: FileSystem = REAL) -> None:
    """Wait until every file below a folder, and then the folders, are on the disk."""
    folders = []
    for place, _, names in os.walk(folder):
        folders.append(place)
        for name in names:
            if not os.path.islink(path := f"{place}/{name}"):  # noqa: PTH114 - many
                flush_path(path, files=files)
    for place in folders:
        flush_path(place, files=files)


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
        # Its name goes first, on the disk too: a power cut must not give it back with less in it.
        flush_path(str(path.parent), files=files)
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
