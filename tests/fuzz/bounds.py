"""What one reading of foreign bytes may cost: calls, bytes inflated, memory; and that it writes nothing.

Work is counted, never timed: calls by the interpreter's profiler, inflated
bytes by standing between zlib and whoever asks it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import tracemalloc
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# What changes the world outside: files by how they are opened, everything else by its name.
_CHANGES = (
    *("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
    *("os.exec", "os.fork", "os.posix_spawn", "os.system", "os.putenv", "subprocess.Popen", "socket.connect"),
    *("shutil.rmtree", "shutil.move", "shutil.copyfile", "tempfile.mkstemp", "tempfile.mkdtemp"),
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ExcessError(AssertionError):
    """A reading went beyond what it may cost."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What reading an input may cost, as a constant and a share of its length.

    Attributes:
        calls: Calls of functions, those of C included.
        calls_per_byte: Further ones, for each byte of the input.
        inflated_bytes: What zlib may give.
        memory_bytes: The most that is allocated at a time.
        memory_per_byte: Further bytes, for each of the input.
    """

    calls: int = 20_000
    calls_per_byte: int = 60
    inflated_bytes: int = 0
    memory_bytes: int = 2 * 1024 * 1024
    memory_per_byte: int = 200


class Watch(threading.local):
    """What is seen of one reading. An audit hook cannot be taken out, so there is one, and a switch."""

    on = False
    seen: tuple[str, ...] = ()


_watch = Watch()


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _watch.on:
        return
    if event == "open":
        _, mode, flags = arguments
        if (isinstance(flags, int) and flags & _WRITING) or (
            isinstance(mode, str) and set(mode) & set("wax+")
        ):
            _watch.seen += (f"open {arguments[0]!r}",)
    elif event in _CHANGES:
        _watch.seen += (f"{event} {arguments!r:.100}",)


sys.addaudithook(_audit)


class _Counted:
    """An unpacker whose bytes are counted."""

    def __init__(self, unpacker, given: list[int]) -> None:
        self._unpacker = unpacker
        self._given = given

    def decompress(self, *arguments):
        return self._count(self._unpacker.decompress(*arguments))

    def flush(self, *arguments):
        return self._count(self._unpacker.flush(*arguments))

    def _count(self, data: bytes) -> bytes:
        self._given[0] += len(data)
        return data

    def __getattr__(self, name: str):
        return getattr(self._unpacker, name)


@contextlib.contextmanager
def inflation() -> Iterator[list[int]]:
    """How many bytes zlib gives meanwhile."""
    real, given = zlib.decompressobj, [0]
    zlib.decompressobj = lambda *arguments: _Counted(real(*arguments), given)
    try:
        yield given
    finally:
        zlib.decompressobj = real


@contextlib.contextmanager
def within(bounds: Bounds, length: int, *, memory: bool = True) -> Iterator[None]:
    """Measure what is read here.

    Raises:
        ExcessError: It cost more than it may, or something was written.
    """
    calls = [0]
    # A function of C each: to count in Python would cost more than what is counted.
    count = calls.__setitem__

    def profiled(frame, event, argument) -> None:
        if event in {"call", "c_call"}:
            count(0, calls[0] + 1)

    if memory:
        tracemalloc.start()
    _watch.seen, before = (), sys.getprofile()
    try:
        with inflation() as inflated:
            _watch.on = True
            sys.setprofile(profiled)
            try:
                yield
            finally:
                sys.setprofile(before)
                _watch.on = False
        peak = tracemalloc.get_traced_memory()[1] if memory else 0
    finally:
        if memory:
            tracemalloc.stop()
    for what, cost, most in (
        ("calls", calls[0], bounds.calls + bounds.calls_per_byte * length),
        ("bytes inflated", inflated[0], bounds.inflated_bytes),
        ("bytes of memory", peak, bounds.memory_bytes + bounds.memory_per_byte * length),
    ):
        if cost > most:
            raise ExcessError(f"{cost:,} {what} for {length:,} bytes of input; at most {most:,}")
    if _watch.seen:
        raise ExcessError(f"it changed something: {'; '.join(_watch.seen)}")
