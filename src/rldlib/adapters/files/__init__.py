"""The file system as the store and the environments use it, safe against crashes.

What is written lies beside its place first, in the same tree, and is renamed
into place: a reader sees all of it or nothing, after a kill too. What cannot be
made again, or does not tell its own damage, is flushed before: so it is after
a power cut. Nothing is mapped into memory, where a failing disk is a signal
instead of an error. Everything that can fail goes through `FileSystem`, so that
a test can make each call fail.
"""

from __future__ import annotations

from rldlib.adapters.files.folders import erase, flush_tree, make_apart, publish, remove_tree
from rldlib.adapters.files.locks import HostLock
from rldlib.adapters.files.reading import OpenFile, opened
from rldlib.adapters.files.sharing import share
from rldlib.adapters.files.single import flush_path, replace_atomically, sweep, write_file
from rldlib.adapters.files.system import REAL, FileSystem, storage_errors

__all__ = [
    "REAL",
    "FileSystem",
    "HostLock",
    "OpenFile",
    "erase",
    "flush_path",
    "flush_tree",
    "make_apart",
    "opened",
    "publish",
    "remove_tree",
    "replace_atomically",
    "share",
    "storage_errors",
    "sweep",
    "write_file",
]
