"""A worker's output on disk: the newest bytes, never more than the cap."""

from __future__ import annotations

import contextlib
import os

# Appended to the name of the log for the older half.
OLDER = ".1"


class CappedLog:
    """Two files of half the cap each; when the newer is full, it becomes the older.

    A full or broken disk loses output and nothing else: whoever writes into
    the pipe must not be held up.
    """

    def __init__(self, path: str, cap: int) -> None:
        self._path = path
        self._half = max(cap // 2, 1)
        self._file = -1
        self._written = 0

    def write(self, data: bytes) -> None:
        """Keep some output; the oldest gives way."""
        data = data[-self._half :]
        try:
            if self._file < 0:
                self._open()
            if self._written + len(data) > self._half:
                self._rotate()
            os.write(self._file, data)
            self._written += len(data)
        except OSError:
            self.close()

    def close(self) -> None:
        """Let go of the file; the next write opens it again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, 0o600)
        self._written = os.fstat(self._file).st_size

    def _rotate(self) -> None:
        self.close()
        os.replace(self._path, self._path + OLDER)
        self._open()


def read_output(path: str) -> bytes:
    """What is kept of a worker's output, the oldest first; empty where there is none."""
    kept = b""
    for name in (path + OLDER, path):
        with contextlib.suppress(FileNotFoundError), open(name, "rb") as file:
            kept += file.read()
    return kept
