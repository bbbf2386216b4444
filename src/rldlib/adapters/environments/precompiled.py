"""Bytecode into one environment while it is built, listed with its hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING

from rldlib.adapters.files import REAL, write_file
from rldlib.values.bytecode import place_of
from rldlib.values.places import BYTECODE_LISTING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rldlib.adapters.files import FileSystem
    from rldlib.values.bytecode import Bytecode


def lay_bytecode(folder: str, site: str, kept: Iterable[Bytecode], *, files: FileSystem = REAL) -> str | None:
    """Write what is kept where Python looks for it, once all sources are there.

    Returns:
        The hash of the listing, for the environment's marker; None where nothing was there to be written.
    """
    listed: dict[str, tuple[str, int]] = {}
    folders: set[str] = set()
    for bytecode in kept:
        for source, content in bytecode.files.items():
            path = f"{site}/{place_of(source, bytecode.tag)}"
            if _write(folder, path, content, folders, files):
                listed[path] = hashlib.sha256(content).hexdigest(), len(content)
    if not listed:
        return None
    listing = json.dumps(listed).encode()
    write_file(f"{folder}/{BYTECODE_LISTING}", listing, files=files)
    return hashlib.sha256(listing).hexdigest()


def _write(root: str, path: str, content: bytes | memoryview, folders: set[str], files: FileSystem) -> bool:
    folder = path.rpartition("/")[0]
    if folder not in folders:
        folders.add(folder)
        with contextlib.suppress(
            FileExistsError, FileNotFoundError
        ):  # a wheel's own file: the next lines tell
            files.make_folder(f"{root}/{folder}")
    try:
        write_file(f"{root}/{path}", content, files=files)
    except (FileExistsError, FileNotFoundError, NotADirectoryError):
        return False  # two wheels have the same module, or a file has the name of its folder
    return True
