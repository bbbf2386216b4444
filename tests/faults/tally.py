"""How many faults were injected in a run, by kind: told at its end, over all of its processes."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path

# Where each is noted; the processes of one run share it.
_WHERE = "RLDLIB_TESTS_INJECTED"


def begin(path: Path) -> None:
    """From now on, note them there; a process that was started by one that began goes on there."""
    os.environ.setdefault(_WHERE, str(path))


def injected(kind: str | int, count: int = 1) -> None:
    """Note faults of a kind, or of an error number."""
    where = os.environ.get(_WHERE)
    if where is None:
        return
    told = errno.errorcode[kind] if isinstance(kind, int) else kind
    fd = os.open(where, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"{count} {told}\n".encode())
    finally:
        os.close(fd)


def told() -> str:
    """All of them, the most frequent kind first; empty where none was."""
    path = Path(os.environ.get(_WHERE, ""))
    if not path.is_file():
        return ""
    found: Counter[str] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        count, _, kind = line.partition(" ")
        found[kind] += int(count)
    listed = ", ".join(f"{count} {kind}" for kind, count in found.most_common())
    return f"{found.total()} faults injected: {listed}"
