"""The process that compiles, from its host's side."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PROGRAM: Final = Path(__file__).parents[2] / "worker" / "compiling.py"
_LENGTH_BYTES: Final = 4
# Bytecode of the largest source that is compiled is smaller.
_MOST_BYTES: Final = 64 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
# All that a service imports takes seconds; at the lowest priority, on a busy machine, minutes.
_LONGEST_S: Final = 600.0
_LOWEST: Final = 19


class CompilerEndedError(Exception):
    """It ended, was ended, or took too long, before all was compiled."""


class Compiler:
    """One process of the interpreter that compiles; it ends with this one, and gives way to everything.

    Args:
        executable: The base interpreter.
        tag: Its cache tag.
        in_haste: Whether somebody waits for it already.

    Raises:
        OSError: It could not be started.
    """

    def __init__(self, executable: str, tag: str, *, in_haste: bool) -> None:
        self._tag = tag
        self._until = time.monotonic() + _LONGEST_S
        # By the thread that waits for it: the kernel kills it when that thread ends.
        self._process = subprocess.Popen(
            [executable, *_options(), str(os.getpid()), str(0 if in_haste else _LOWEST)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath},
            # An interrupt at the terminal is for the host. Within its session: in one of its own, niceness
            # may count for nothing.
            process_group=0,
            bufsize=0,
        )

    def compiled(self, rows: Sequence[tuple[str, str, str, int]]) -> Iterator[bytes]:
        """The bytecode of each source, given as the process takes them; empty where there is none.

        Raises:
            CompilerEndedError: It ended before that.
        """
        request = json.dumps(rows).encode()
        try:
            self._say(len(request).to_bytes(_LENGTH_BYTES, "little") + request)
            tag = self._hear()
            if tag != self._tag.encode():
                raise CompilerEndedError(f"its cache tag is {tag!r}, and {self._tag} was asked for")
            for _ in rows:
                yield self._hear()
        except OSError as exc:
            raise CompilerEndedError(str(exc)) from exc

    def hurry(self) -> None:
        """Somebody waits for it now: give way no longer, where this process may say so."""
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, 0)

    def kill(self) -> None:
        """End it at once; who reads from it is told."""
        self._process.kill()

    def close(self) -> None:
        """End it and reap it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _say(self, data: bytes) -> None:
        assert self._process.stdin is not None
        view = memoryview(data)
        while view:
            view = view[self._process.stdin.write(view) :]

    def _hear(self) -> bytes:
        length = int.from_bytes(self._read(_LENGTH_BYTES), "little")
        if length > _MOST_BYTES:
            raise CompilerEndedError(f"it sent {length:,} bytes at once")
        return self._read(length)

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        fd, parts = self._process.stdout.fileno(), []
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while size:
            if not poll.poll(max(0.0, self._until - time.monotonic()) * 1000):
                raise CompilerEndedError(f"it took longer than {_LONGEST_S:g} s")
            part = os.read(fd, min(size, _CHUNK_BYTES))
            if not part:
                raise CompilerEndedError("it ended before everything was compiled")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _options() -> list[str]:
    # Whoever imports a module meets its warnings; here nobody reads them.
    return ["-I", "-S", "-W", "ignore", str(_PROGRAM)]
