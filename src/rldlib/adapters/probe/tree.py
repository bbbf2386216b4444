"""The kernel's files, below a root that tests can build for themselves."""

from __future__ import annotations

import os

# A file of the kernel that matters here is far smaller; a wrong mount is not.
_MAX_BYTES = 1024 * 1024


class Tree:
    """Reads below `root`. Paths are relative, with slashes."""

    def __init__(self, root: str = "/") -> None:
        self._root = root.rstrip("/") + "/"

    def read(self, path: str, max_bytes: int = _MAX_BYTES) -> str:
        """The file's text, at most `max_bytes` of it.

        Raises:
            OSError: It is not there, or not readable.
        """
        # Plain system calls: this runs a dozen times in every decision.
        descriptor = os.open(self._root + path, os.O_RDONLY | os.O_CLOEXEC)
        data = b""
        try:
            # The kernel gives about a page at a time, whatever is asked for.
            while len(data) < max_bytes and (chunk := os.read(descriptor, max_bytes - len(data))):
                data += chunk
        finally:
            os.close(descriptor)
        return data.decode("utf-8", "replace")

    def find(self, path: str) -> str | None:
        """As `read`, but None where there is no such file."""
        try:
            return self.read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, path: str, prefix: str = "") -> list[str]:
        """What is in a folder and begins so, sorted; nothing where there is no such folder."""
        try:
            return sorted(name for name in os.listdir(self._root + path) if name.startswith(prefix))  # noqa: PTH208 - names alone, in every decision
        except (FileNotFoundError, NotADirectoryError):
            return []
